"""A film that comes in with a wish is explained while it is decoded."""

import io
import json
import logging
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.web.films import SAMPLE
from tests.web.rooms import Opening, entered, events, explained

from medxgan.web.settings import Limits

WISH = {"model": "phantom", "version": "3", "maps": ["original", "difference"], "trajectory": 3}


def brought(reader: httpx.Client, film: bytes, **wish: object) -> list[tuple[str, dict[str, object]]]:
    """What is told of a film that comes in with a wish."""
    with reader.stream("POST", "/api/explanations", content=json.dumps(wish).encode() + b"\n" + film) as answer:
        assert answer.status_code == 200, answer.read()
        return list(events(answer))


def test_the_film_is_told_and_then_its_explanation(reader: httpx.Client) -> None:
    (first, film), *_, (last, told) = brought(reader, SAMPLE, **WISH)
    assert (first, last) == ("film", "result")
    plain = reader.post("/api/films", content=SAMPLE).json()
    assert film == plain | {"id": film["id"]}
    # It is held as if it had been asked for on its own, and says the same.
    assert reader.get(f"/api/films/{film['id']}").json()["explanations"] == [told["id"]]
    assert reader.get(f"/api/films/{film['id']}/explanations/{told['id']}").json() == told
    expected = explained(reader, plain["id"], **WISH)
    assert told["verdict"] == expected["verdict"]
    assert told["grey"] == expected["grey"] is not None
    assert told["scores"] == expected["scores"]


def test_maps_come_one_after_the_other(reader: httpx.Client) -> None:
    (_, film), *_, (_, told) = brought(reader, SAMPLE, **WISH)
    path = f"/api/films/{film['id']}/explanations/{told['id']}/maps"
    alone = [reader.get(f"{path}/{kind}").content for kind in ("difference", "original")]
    assert len(alone[0]) == 4 * 32 * 32
    assert reader.get(f"{path}/difference,original").content == b"".join(alone)
    for missing in ("occlusion", "difference,occlusion", "difference,", ","):
        assert reader.get(f"{path}/{missing}").json()["error"]["kind"] == "missing"


def test_the_first_frame_of_several_is_explained(reader: httpx.Client) -> None:
    file = io.BytesIO()
    frames = [Image.open(io.BytesIO(SAMPLE)), Image.new("L", (512, 512))]
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    (_, film), *_, (last, told) = brought(reader, file.getvalue(), **WISH)
    assert (film["frame"], film["frames"], last) == (1, 2, "result")
    assert told["geometry"]["frame"] == 1
    assert told["verdict"]["status"] == "reliable"
    levels = np.frombuffer(reader.get(f"/api/films/{film['id']}/levels").content, np.uint8)
    np.testing.assert_array_equal(levels.reshape(512, 512), np.asarray(frames[0]))


def test_what_is_no_film_is_told_and_not_held(reader: httpx.Client) -> None:
    [(name, told)] = brought(reader, b"no film", **WISH)
    assert (name, told["kind"]) == ("error", "film")
    assert reader.get("/api/films").json() == []


def test_a_film_is_there_though_the_server_refuses_the_wish(reader: httpx.Client) -> None:
    (first, film), (last, told) = brought(reader, SAMPLE, model="phantom", steps=10_000_000)
    assert (first, last, told["field"]) == ("film", "error", "settings.inversion.steps")
    assert reader.get(f"/api/films/{film['id']}").json()["explanations"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, "wish"),
        (b"[]\nfilm", 422, "wish"),
        (b'{"steps": "many"}\nfilm', 422, "steps"),
        (b"{}\n", 415, None),
        (SAMPLE, 422, "wish"),
        (b"{}\n" + b"x" * 1001, 422, "film"),
        (b"{}\n" + b"x" * 2**21, 422, "film"),
    ],
    ids=["nothing", "no object", "wrong", "no film", "no wish", "too large", "far too large"],
)
def test_what_is_wrong_is_refused_before_anything_begins(
    small_room: httpx.Client, body: bytes, status: int, field: str | None
) -> None:
    answer = small_room.post("/api/explanations", content=body)
    assert (answer.status_code, answer.json()["error"].get("field")) == (status, field)
    if field == "film":
        assert answer.json()["error"]["message"] == "film: expected at most 1,000 bytes"


@pytest.fixture(scope="module")
def small_room(opening: Opening) -> Iterator[httpx.Client]:
    """Somebody in a reading room of films of up to 1,000 bytes."""
    with opening(limits=Limits(film_bytes=1000)) as url, entered(url) as reader:
        yield reader


def test_nobody_without_a_session_brings_a_film(room: str) -> None:
    assert httpx.post(f"{room}/api/explanations", content=b"{}\n" + SAMPLE).status_code == 401


def test_who_leaves_stops_the_work(reader: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "medxgan.web")
    body = json.dumps({"model": "endless", "steps": 50_000_000}).encode() + b"\n" + SAMPLE
    with reader.stream("POST", "/api/explanations", content=body) as response:
        told = events(response)
        name, film = next(told)
        assert (name, next(told)[0]) == ("film", "progress")
    until = time.monotonic() + 60
    while not any("outcome=left" in line for line in caplog.messages):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert reader.get(f"/api/films/{film['id']}").json()["explanations"] == []
