"""The maps that `medxgan explain` asks for and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.client.commands import FILES, INVERTING, PLAIN, names, run, words

from medxgan.v1 import explanation_pb2

pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
@pytest.mark.parametrize("method", [*PLAIN, *INVERTING])
def test_a_single_map_has_a_panel_of_its_own(service, film, tmp_path, method) -> None:
    result = run("explain", film, "--server", service.address, "--method", method)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == {"original.png", f"{method}.png", "panel.png", "explanation.json"}
    assert ("+2.500 of pneumonia" in result.stdout) == (method in PLAIN)
    assert ("error 0.1" in result.stdout) == method.endswith("integrated-gradients")
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert set(report["maps"]) == {"original", method.replace("-", "_")}
    assert report["maps"][method.replace("-", "_")]["file"] == f"{method}.png"


def test_several_maps_and_the_counterpart_come_from_one_request(service, film, tmp_path) -> None:
    methods = ("--method", "medxgan", "--method", "grad_cam", "--method", "evidence")
    result = run("explain", film, "--server", service.address, *methods)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"grad-cam.png", "evidence.png", "comparison.png"}
    assert result.stdout.splitlines()[-1] == str(Path("out") / "comparison.png")
    assert len(service.requests) == 2


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
@pytest.mark.parametrize("has_generator", [True, False])
def test_all_maps_come_from_one_request(service, film, tmp_path, has_generator) -> None:
    service.has_generator = has_generator
    result = run("explain", film, "--server", service.address, "--method", "all")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(Path("out") / "comparison.png")
    own = {"original.png", "comparison.png", "explanation.json", *(f"{method}.png" for method in PLAIN)}
    with_generator = FILES | {f"{method}.png" for method in INVERTING}
    assert names(tmp_path / "out") == (own | with_generator if has_generator else own)
    _, request = service.requests
    assert len(request.maps) == len({entry.kind for entry in request.maps}) == (16 if has_generator else 7)


def test_a_model_without_a_generator_shows_its_default_maps(service, film, tmp_path) -> None:
    service.has_generator = False
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == {
        "original.png",
        "gradient.png",
        "grad-cam.png",
        "comparison.png",
        "explanation.json",
    }


@pytest.mark.usefixtures("undrawn")
def test_maps_of_the_positive_class_are_left_out_for_another(service, film) -> None:
    result = run("explain", film, "--server", service.address, "--method", "all", "--target", "no finding")
    assert result.exit_code == 0, result.stderr
    assert "+2.500 of no finding" in result.stdout
    assert len(service.requests[-1].maps) == 1 + len(PLAIN)
    assert service.requests[-1].settings.target_class == "no finding"


def test_a_map_that_the_model_lacks_is_refused_with_those_that_it_has(service, film) -> None:
    result = run("explain", film, "--server", service.address, "--method", "dream")
    assert result.exit_code == 2
    assert "chest 2 has no map 'dream'; there is: medxgan, all, original, reconstruction" in words(result.stderr)


def test_a_map_newer_than_this_client_may_be_asked_for(service, film, tmp_path) -> None:
    service.new_maps.append(explanation_pb2.MapDescription(kind=99, name="shapley", title="Shapley values"))
    service.answer.verdict.status = 99
    service.answer.verdict.reasons.add(code=99)
    result = run("explain", film, "--server", service.address, "--method", "shapley", "--film-size")
    assert result.exit_code == 0, result.stderr
    assert {"unrecognised-99.png", "unrecognised-99-film.png", "panel.png"} <= names(tmp_path / "out")
    assert "UNRECOGNISED (99)" in result.stdout
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["verdict"]["status"] == "unrecognised (99)"
    assert report["maps"]["unrecognised (99)"]["file"] == "unrecognised-99.png"


def test_maps_in_a_form_that_is_not_recognised_leave_the_others(service, film, tmp_path) -> None:
    answer = explanation_pb2.ExplainResponse()
    answer.CopyFrom(service.answer)
    answer.maps.add(kind=service.number("original"), tensor=service.tensor(np.zeros((4, 4), np.float32)))
    answer.maps.add(kind=service.number("difference"), tensor=service.tensor(np.zeros((4, 4, 4), np.float32)))
    answer.maps.add(kind=service.number("grad_cam"))
    service.events = [explanation_pb2.ExplainStreamResponse(result=answer)]
    result = run("explain", film, "--server", service.address, "--method", "all")
    assert result.exit_code == 0, result.stderr
    assert "came in a form that this client does not recognise" in words(result.stdout)
    assert names(tmp_path / "out") == {"original.png", "panel.png", "explanation.json"}


@pytest.mark.usefixtures("undrawn")
def test_maps_are_written_at_the_size_of_the_film(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--film-size")
    assert result.exit_code == 0, result.stderr
    assert {"difference-film.png", "colorized-film.png"} <= names(tmp_path / "out")
    with Image.open(tmp_path / "out" / "difference-film.png") as image:
        assert (image.mode, image.size) == ("LA", (50, 40))
        alpha = np.asarray(image)[..., 1]
    assert not alpha[:, :5].any()
    assert (alpha[:, 5:45] == 255).all()
    with Image.open(tmp_path / "out" / "colorized-film.png") as image:
        assert image.mode == "RGBA"
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["maps"]["difference"]["film_file"] == "difference-film.png"
    assert report["geometry"]["box"] == {"top": 0, "left": 5, "bottom": 40, "right": 45}


@pytest.mark.usefixtures("undrawn")
def test_a_film_turned_in_an_unrecognised_way_has_its_maps_all_the_same(service, film, tmp_path) -> None:
    service.answer.geometry.orientation = 99
    result = run("explain", film, "--server", service.address, "--film-size")
    assert result.exit_code == 0
    assert "no maps at the size of the film" in words(result.stderr)
    assert names(tmp_path / "out") == FILES
