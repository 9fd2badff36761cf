"""A folder of explanations as `medxgan explain` writes them."""

import json
import math
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pytest
from starlette.responses import JSONResponse
from tests.web.rooms import Opening, entered

from medxgan.client import Client
from medxgan.client.pictures.files import write_pictures
from medxgan.client.pictures.report import write_report
from medxgan.client.results import Explanation
from medxgan.web.errors import MissingError
from medxgan.web.gallery import Gallery


@pytest.fixture(scope="module")
def explanation(upstream: str) -> Explanation:
    content = (files("medxgan.web") / "samples" / "phantom.png").read_bytes()
    with Client(upstream) as client:
        return client.explain(content, model="phantom")


@pytest.fixture(scope="module")
def folder(explanation: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three explanations: one whole, one that can't be read, one that names files elsewhere."""
    root = tmp_path_factory.mktemp("gallery")
    for name in ("good", "broken", "reaching"):
        (root / name).mkdir()
        written = write_pictures(explanation, root / name)
        write_report(explanation, written, root / name / "explanation.json", image=b"x")
    (root / "broken" / "explanation.json").write_text("{")
    document = json.loads((root / "reaching" / "explanation.json").read_text())
    document["maps"]["difference"]["file"] = "../good/difference.png"
    (root / "reaching" / "explanation.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def visitor(folder: Path, opening: Opening) -> Iterator[httpx.Client]:
    with opening(folder=folder) as url, entered(url) as reader:
        yield reader


def test_every_explanation_has_a_line(visitor: httpx.Client) -> None:
    entries = {entry["name"]: entry for entry in visitor.get("/api/gallery").json()}
    assert entries.keys() == {"good", "broken", "reaching"}
    assert entries["good"]["readable"]
    assert entries["good"]["status"] == "reliable"
    assert not entries["broken"]["readable"]


def test_how_the_scores_of_film_and_reconstruction_agree(visitor: httpx.Client, explanation: Explanation) -> None:
    entries = {entry["name"]: entry for entry in visitor.get("/api/gallery").json()}
    gap = explanation.scores.original.probability - explanation.scores.reconstruction.probability
    assert entries["good"]["agreement"] == pytest.approx(1 - abs(gap))


def test_maps_come_back_from_their_files(visitor: httpx.Client, explanation: Explanation) -> None:
    entry = next(each for each in visitor.get("/api/gallery").json() if each["name"] == "good")
    told = visitor.get(f"/api/gallery/{entry['id']}").json()
    assert told["verdict"]["status"] == "reliable"
    assert {each["kind"] for each in told["maps"]} == {
        "original", "reconstruction", "negative_realization", "difference"
    }  # fmt: skip
    values = np.frombuffer(visitor.get(f"/api/gallery/{entry['id']}/maps/difference").content, "<f4").reshape(32, 32)
    # Half of one of the 255 levels on [-2, 2].
    np.testing.assert_allclose(values, explanation.difference, atol=2 / 255 + 1e-6)


def test_what_can_t_be_read_is_said_and_nothing_outside_is_given(visitor: httpx.Client) -> None:
    entries = {entry["name"]: entry["id"] for entry in visitor.get("/api/gallery").json()}
    assert visitor.get(f"/api/gallery/{entries['broken']}").json()["error"]["kind"] == "missing"
    assert visitor.get(f"/api/gallery/{entries['reaching']}/maps/difference").status_code == 404
    assert visitor.get("/api/gallery/nothing").status_code == 404
    assert visitor.get(f"/api/gallery/{entries['good']}/maps/..%2F..%2Fx").status_code == 404


def test_what_no_json_holds_is_null_and_one_bad_report_is_one_bad_line(folder: Path, tmp_path: Path) -> None:
    """Sent on as it is, by the encoder of the paths, which knows no NaN."""
    document = json.loads((folder / "good" / "explanation.json").read_text())
    reports = {
        "a": document | {"outcome": {"reconstruction_mse": math.nan}},
        "b": document | {"maps": {"difference": 3, "original": {"file": "explanation.json"}, "gradient": {}}},
        "c": document | {"model": {"name": "half \ud800", "version": "1"}},
    }
    texts = {name: json.dumps(report) for name, report in reports.items()}
    texts |= {
        "d": "[" * 100_000,
        "e": texts["a"].replace("NaN", "1e999"),
        "f": texts["a"].replace("NaN", "1" + "0" * 400),
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "explanation.json").write_text(text)
    (tmp_path / os.fsdecode(b"g\xff")).mkdir()
    (tmp_path / os.fsdecode(b"g\xff") / "explanation.json").write_text(texts["a"])
    gallery = Gallery(tmp_path)
    lines = json.loads(JSONResponse(gallery.entries()).body)
    readable = {line["name"]: line["id"] for line in lines if line["readable"]}
    assert readable.keys() == {"a", "b", "f", "g?"}
    assert all(line.get("error") is None for line in lines if line["name"] in "af")
    for line in lines:
        if line["readable"]:
            told = json.loads(JSONResponse(gallery.explanation(line["id"])).body)
            assert told["maps"] == []
        else:
            with pytest.raises(MissingError):
                gallery.explanation(line["id"])
    with pytest.raises(MissingError):
        gallery.values(readable["b"], "difference")


def test_without_a_folder_there_is_no_gallery(reader: httpx.Client) -> None:
    assert not reader.get("/api/session").json()["gallery"]
    assert reader.get("/api/gallery").json()["error"]["kind"] == "missing"
