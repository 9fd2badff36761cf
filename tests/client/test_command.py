"""`medxgan explain` and `medxgan models`: the files that they write, and what they say."""

import json

import pytest
from grpc import StatusCode
from tests.client.commands import FILES, names, run, words

pytestmark = pytest.mark.usefixtures("plain_terminal")


def test_explain_writes_all_files_and_ends_with_the_panels_path(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--out", tmp_path / "results", "--seed", 3, "--steps", 9)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "results") == FILES
    assert result.stdout.splitlines()[-1] == str(tmp_path / "results" / "panel.png")
    for text in ("0.900", "0.800", "0.100", "RELIABLE", "30 ms", "CPUExecutionProvider", "converted to grey"):
        assert text in result.stdout
    assert "0.600, still positive" in result.stdout
    assert "uncertainty" not in result.stdout
    sent = service.requests[-1]
    assert (sent.settings.seed, sent.settings.inversion.steps) == (3, 9)
    assert json.loads((tmp_path / "results" / "explanation.json").read_text())["settings"]["seed"] == 3


@pytest.mark.usefixtures("undrawn")
def test_restarts_tell_the_uncertainty(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--restarts", 4)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"uncertainty.png"}
    assert "0.025 on average over 4 restarts" in result.stdout
    assert service.requests[-1].settings.inversion.restarts == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("positive_score", "said"), [(0.7, "was found in 12 steps"), (0.3, "nearest attempt scores 0.3")]
)
def test_a_negative_image_gets_what_would_make_it_positive(service, film, tmp_path, positive_score, said) -> None:
    service.answer.scores.original.positive = False
    service.positive_score = positive_score
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"positive.png", "positive-panel.png"}
    assert said in words(result.stdout)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("original", "applied", "said"),
    [
        (True, True, "still positive"),
        (True, False, "negative: taking the difference away from the original is enough"),
        (False, False, "negative, as the original is"),
        (False, True, "positive, although the original is not"),
    ],
)
def test_the_applied_negative_is_told_in_words_by_the_servers_decision(service, film, original, applied, said) -> None:
    scores = service.answer.scores
    scores.original.probability, scores.original.positive = 0.5, original
    scores.applied_negative.probability, scores.applied_negative.positive = 0.5, applied
    result = run("explain", film, "--server", service.address)
    assert f"0.500, {said}" in words(result.stdout)


@pytest.mark.usefixtures("undrawn")
def test_a_trajectory_becomes_an_animation_and_scores_in_the_report(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--trajectory", 5)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"trajectory.gif"}
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [frame["score"]["probability"] for frame in report["trajectory"]] == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.usefixtures("undrawn")
def test_the_default_model_needs_no_name(service, film) -> None:
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert service.requests[0].model.name == ""


def test_a_server_without_a_default_lists_its_models(service, film) -> None:
    service.is_default = False
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 1
    assert result.stderr == "error: the server has no default model; name one with --model: chest\n"


def test_models_are_listed(service) -> None:
    result = run("models", "--server", service.address)
    assert result.exit_code == 0
    for text in ("chest 2 (default)", "frontal chest radiograph", "no finding", "Apache-2.0", "CPUExecutionProvider"):
        assert text in result.stdout


def test_an_unknown_model_is_heard_of_before_any_work(service, film) -> None:
    service.fail(StatusCode.NOT_FOUND, "no model 'brain' is served; there is: chest")
    result = run("explain", film, "--server", service.address, "--model", "brain")
    assert result.exit_code == 1
    assert result.stderr == "error: no model 'brain' is served; there is: chest\n"
