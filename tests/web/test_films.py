"""Films come in, are explained, questioned, and are gone."""

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.ports import free_port
from tests.web.films import SAMPLE, phantom_film
from tests.web.inside import Upstream, inside
from tests.web.rooms import LOOPBACK, Opening, entered, events, explained, opened

from medxgan.client import Client
from medxgan.client.results import Explanation
from medxgan.web.decoding import Film
from medxgan.web.region import erased
from medxgan.web.settings import Limits, RoomSettings

RG1 = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))


def dicom(**attributes: object) -> bytes:
    content = io.BytesIO()
    phantom_film(**attributes).save_as(content, enforce_file_format=True)
    return content.getvalue()


@pytest.fixture
def sample(reader: httpx.Client) -> dict[str, object]:
    """The sample film of the reading room, in the session of `reader`."""
    return reader.post("/api/samples/0").raise_for_status().json()


def test_a_dicom_film_comes_back_as_it_is_stored(reader: httpx.Client) -> None:
    film = reader.post("/api/films", content=RG1.read_bytes()).raise_for_status().json()
    assert (film["rows"], film["columns"], film["bits"], film["inverted"]) == (1955, 1841, 16, True)
    levels = np.frombuffer(reader.get(f"/api/films/{film['id']}/levels").content, "<u2").reshape(1955, 1841)
    from pydicom import dcmread

    np.testing.assert_array_equal(levels, dcmread(RG1).pixel_array)
    # The window of the file is what it is shown by.
    assert (film["low"], film["high"]) == (0, 30000)


def test_an_explanation_is_the_server_s(reader: httpx.Client, sample: dict[str, object], upstream: str) -> None:
    told = explained(reader, sample["id"], model="phantom", maps=["original", "difference", "grad_cam"], trajectory=5)
    with Client(upstream) as client:
        expected = client.explain(SAMPLE, model="phantom")
    assert told["verdict"]["status"] == expected.verdict.status == "reliable"
    assert told["scores"]["original"]["probability"] == expected.scores.original.probability
    assert told["geometry"]["box"] == {"top": 0, "left": 0, "bottom": 512, "right": 512}
    path = f"/api/films/{sample['id']}/explanations/{told['id']}"
    difference = np.frombuffer(reader.get(f"{path}/maps/difference").content, "<f4").reshape(32, 32)
    np.testing.assert_allclose(difference, expected.difference, atol=1e-4)
    frames = np.frombuffer(reader.get(f"{path}/trajectory").content, "<f4").reshape(5, 32, 32)
    np.testing.assert_allclose(frames[-1] - frames[0], difference, atol=1e-4)
    assert reader.get(f"{path}/maps/occlusion").json()["error"]["kind"] == "missing"
    assert reader.get(path).json() == told
    assert reader.get(f"/api/films/{sample['id']}").json()["explanations"] == [told["id"]]


def test_how_levels_became_x_is_fitted(reader: httpx.Client, sample: dict[str, object]) -> None:
    told = explained(reader, sample["id"], maps=["original"])
    levels = np.frombuffer(reader.get(f"/api/films/{sample['id']}/levels").content, np.uint8).reshape(512, 512)
    path = f"/api/films/{sample['id']}/explanations/{told['id']}/maps/original"
    x = np.frombuffer(reader.get(path).content, "<f4").reshape(32, 32)
    reduced = np.asarray(Image.fromarray(levels.astype(np.float32)).resize((32, 32), Image.Resampling.BILINEAR))
    # Single precision, and Pillow's own rounding.
    np.testing.assert_allclose(np.clip(reduced * told["grey"]["slope"] + told["grey"]["offset"], -1, 1), x, atol=2e-3)


def test_progress_is_told(reader: httpx.Client, sample: dict[str, object]) -> None:
    with reader.stream(
        "POST", f"/api/films/{sample['id']}/explanations", json={"model": "endless", "steps": 60}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        names = [(name, told.get("steps_taken")) for name, told in events(answer)]
    assert names[-1][0] == "result"
    assert [name for name, _ in names[:-1]] == ["progress"] * (len(names) - 1)
    assert len(names) > 2


def test_who_leaves_stops_the_work(
    reader: httpx.Client, sample: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "medxgan.web")
    wish = {"model": "endless", "steps": 50_000_000}
    with reader.stream("POST", f"/api/films/{sample['id']}/explanations", json=wish) as response:
        assert next(events(response))[0] == "progress"
    until = time.monotonic() + 60
    while not any("outcome=left" in line for line in caplog.messages):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert reader.get(f"/api/films/{sample['id']}").json()["explanations"] == []


def test_what_is_wrong_is_named(reader: httpx.Client, sample: dict[str, object]) -> None:
    path = f"/api/films/{sample['id']}/explanations"
    answer = reader.post(path, json={"steps": "many"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "steps")
    answer = reader.post(path, json={"maps": ["grad_dog"]})
    assert answer.json()["error"]["field"] == "maps"
    # What the server refuses is told in the stream, by the same words.
    with reader.stream("POST", path, json={"steps": 10_000_000}) as response:
        [(name, told)] = events(response)
    assert (name, told["kind"], told["field"]) == ("error", "field", "settings.inversion.steps")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello", "no DICOM"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "damaged"),
        (RG1.read_bytes()[:9000], "DICOM"),
        (dicom(PixelSpacing=["1e300", "1e-300"]), "PixelSpacing"),
        (dicom(RescaleSlope="1e999", RescaleIntercept="0"), "RescaleSlope"),
    ],
    ids=["empty", "text", "damaged", "cut short", "a line", "no levels"],
)
def test_what_is_no_film_is_refused(reader: httpx.Client, content: bytes, words: str) -> None:
    answer = reader.post("/api/films", content=content)
    assert answer.status_code == 415
    assert words in answer.json()["error"]["message"]
    assert reader.get("/api/films").json() == []


def test_a_region_s_share_and_a_film_without_it(reader: httpx.Client, sample: dict[str, object], upstream: str) -> None:
    told = explained(reader, sample["id"], maps=["original", "difference"])
    path = f"/api/films/{sample['id']}/explanations/{told['id']}"
    difference = np.abs(np.frombuffer(reader.get(f"{path}/maps/difference").content, "<f4").reshape(32, 32))
    # A quarter of the film holds a quarter of the map's pixels.
    upper_left = [[0, 0], [0, 256], [256, 256], [256, 0]]
    shares = reader.post(f"{path}/region", json={"outline": upper_left}).json()
    assert shares["area"] == 0.25
    assert shares["difference"] == pytest.approx(difference[:16, :16].sum() / difference.sum(), rel=1e-5)
    assert shares.keys() == {"area", "difference"}

    scores = reader.post(f"/api/films/{sample['id']}/erased", json={"outline": upper_left, "model": "phantom"}).json()
    assert scores["whole"]["probability"] == pytest.approx(told["scores"]["original"]["probability"], abs=1e-6)
    levels = np.array(Image.open(files("medxgan.web") / "samples" / "phantom.png"))
    film = Film(levels, inverted=False, low=0, high=255)
    with Client(upstream) as client:
        expected = client.classify(erased(film, np.array(upper_left, float)), model="phantom").score.probability
    assert scores["erased"]["probability"] == pytest.approx(expected, abs=1e-6)
    assert scores["erased"]["probability"] != scores["whole"]["probability"]
    answer = reader.post(f"{path}/region", json={"outline": [[1, 2], [3, 4]]})
    assert answer.json()["error"]["field"] == "outline"


def test_the_panel_and_the_numbers_can_be_saved(reader: httpx.Client, sample: dict[str, object]) -> None:
    told = explained(reader, sample["id"], maps=["original", "reconstruction", "negative_realization", "difference"])
    path = f"/api/films/{sample['id']}/explanations/{told['id']}"
    with Image.open(io.BytesIO(reader.get(f"{path}/panel.png").content)) as panel:
        assert panel.width == 2000
    numbers = reader.get(f"{path}/explanation.json")
    assert "attachment" in numbers.headers["content-disposition"]
    assert numbers.json()["verdict"] == told["verdict"]
    assert len(numbers.json()["image"]["sha256"]) == 64


def two_pages() -> bytes:
    content = io.BytesIO()
    pages = [Image.fromarray(np.full((40, 50), level, np.uint8)) for level in (10, 200)]
    pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:])
    return content.getvalue()


def test_a_frame_is_chosen(reader: httpx.Client) -> None:
    film = reader.post("/api/films", content=two_pages()).json()
    assert (film["frame"], film["frames"]) == (1, 2)
    turned = reader.post(f"/api/films/{film['id']}/frame", json={"frame": 2}).json()
    assert turned["frame"] == 2
    assert set(reader.get(f"/api/films/{film['id']}/levels").content) == {200}
    assert reader.post(f"/api/films/{film['id']}/frame", json={"frame": 3}).status_code == 415


def test_an_explanation_of_a_frame_is_not_another_frame_s(upstream: str) -> None:
    """The frame is turned while it is explained."""

    async def turned(explanation: Explanation) -> tuple[str, list[str]]:
        server = Upstream(explanation)
        async with inside(server, RoomSettings(hosts=LOOPBACK)) as reader:
            (await reader.post("/api/session")).raise_for_status()
            film = (await reader.post("/api/films", content=two_pages())).json()
            path = f"/api/films/{film['id']}"
            explaining = asyncio.create_task(reader.post(f"{path}/explanations", json={}))
            await server.asked.wait()
            assert (await reader.post(f"{path}/frame", json={"frame": 2})).json()["frame"] == 2
            server.ready.set()
            told = (await explaining).text
            server.explanation = replace(explanation, geometry=replace(explanation.geometry, frame=2))
            again = (await reader.post(f"{path}/explanations", json={})).text
            assert "event: result" in again
            return told, (await reader.get(path)).json()["explanations"]

    with Client(upstream) as client:
        explanation = client.explain(SAMPLE, model="phantom")
    told, held = asyncio.run(turned(explanation))
    assert "event: result" not in told
    assert "another frame" in told
    assert len(held) == 1


def test_two_readers_do_not_see_each_other_s_films(reader: httpx.Client, room: str, sample: dict[str, object]) -> None:
    told = explained(reader, sample["id"], maps=["original"])
    paths = [f"/api/films/{sample['id']}", f"/api/films/{sample['id']}/levels"]
    paths += [
        f"/api/films/{sample['id']}/explanations/{told['id']}{rest}" for rest in ("", "/maps/original", "/panel.png")
    ]
    with entered(room) as other, httpx.Client(base_url=room, timeout=60) as nobody:
        assert other.get("/api/films").json() == []
        for path in paths:
            assert reader.get(path).status_code == 200
            assert (other.get(path).status_code, nobody.get(path).status_code) == (404, 401)
        assert other.delete(paths[0]).status_code == 404
    assert reader.get(paths[0]).status_code == 200


def test_films_are_gone_with_the_session(reader: httpx.Client, sample: dict[str, object]) -> None:
    cookie = dict(reader.cookies)
    assert reader.delete("/api/session").status_code == 204
    reader.cookies.update(cookie)
    assert reader.get(f"/api/films/{sample['id']}").json()["error"]["kind"] == "sign_in"
    reader.cookies.clear()
    reader.post("/api/session").raise_for_status()
    assert reader.get(f"/api/films/{sample['id']}").status_code == 404


def test_limits_are_kept(opening: Opening) -> None:
    with (
        opening(limits=Limits(film_bytes=200_000, films=2, sessions=1, film_pixels=300_000)) as url,
        entered(url) as reader,
    ):
        assert reader.post("/api/films", content=b"x" * 200_001).json()["error"]["kind"] == "field"
        assert reader.post("/api/films", content=iter([b"x" * 150_000] * 2)).json()["error"]["kind"] == "field"
        wide = io.BytesIO()
        Image.new("L", (600, 600)).save(wide, "PNG")
        assert "360,000 pixels" in reader.post("/api/films", content=wide.getvalue()).json()["error"]["message"]
        for _ in range(2):
            assert reader.post("/api/samples/0").status_code == 201
        assert reader.post("/api/samples/0").json()["error"]["kind"] == "full"
        assert httpx.post(f"{url}/api/session", timeout=60).json()["error"]["kind"] == "full"


def test_a_film_is_not_received_where_there_is_no_place_for_it() -> None:
    async def refused() -> None:
        limits = Limits(held_bytes=len(SAMPLE) + 512 * 512 + 1000)
        async with inside(Upstream(), RoomSettings(hosts=LOOPBACK, limits=limits)) as reader:
            await reader.post("/api/session")
            assert (await reader.post("/api/films", content=SAMPLE)).status_code == 201

            async def unread() -> AsyncIterator[bytes]:
                raise AssertionError
                yield b""

            for size in ({"Content-Length": "1001"}, {}):  # of how many bytes it is may be left open
                told = await reader.post("/api/films", content=unread(), headers=size)
                assert (told.status_code, told.json()["error"]["kind"]) == (409, "full")
            assert (await reader.post("/api/films", content=b"no film")).status_code == 415

    asyncio.run(refused())


def test_a_server_that_is_away_is_said_to_be(unused_address: str) -> None:
    with opened(unused_address, RoomSettings(hosts=LOOPBACK)) as url, entered(url) as reader:
        film = reader.post("/api/samples/0").json()
        answer = reader.get("/api/models")
        assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "away")
        with reader.stream("POST", f"/api/films/{film['id']}/explanations", json={}) as response:
            assert [told["kind"] for _, told in events(response)] == ["away"]


def test_nothing_of_a_film_is_logged(
    reader: httpx.Client, sample: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = explained(reader, sample["id"], maps=["original"])
    # uvicorn's access log is off; pytest listens to it all the same.
    foreign = ("httpx", "httpcore", "uvicorn.access")
    text = json.dumps([record.getMessage() for record in caplog.records if not record.name.startswith(foreign)])
    assert "outcome=explained" in text
    assert sample["id"] not in text
    assert told["id"] not in text


@pytest.fixture
def unused_address() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"
