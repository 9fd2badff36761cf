"""Bundles that are made beside where they will lie, and what tells a run from the same run later."""

from pathlib import Path

import pytest

from medxgan.export.bundle import being_written
from medxgan.export.sealing import fingerprint
from medxgan.training.configuration import ExternalClassifierConfig, load_configuration
from medxgan.training.runs import Run

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"


def test_a_bundle_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "models" / "chest" / "3"
    with being_written(out) as made:
        made.mkdir()
        (made / "bundle.json").write_text("{}")
        assert (made.parent.name, made.name) == ("chest", "3")
        assert made.stat().st_dev == out.parent.stat().st_dev
        assert out.parent in made.parents, "renamed in one step, not copied"
        assert not out.exists()
    assert [file.name for file in out.iterdir()] == ["bundle.json"]
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("others", [False, True])
def test_of_a_bundle_that_fails_nothing_is_left(tmp_path: Path, others: bool) -> None:
    out = tmp_path / "chest" / "3"
    if others:
        (tmp_path / "chest" / "2").mkdir(parents=True)

    def fail() -> None:
        with being_written(out) as made:
            made.mkdir()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == (["chest", "2"] if others else [])


def test_a_bundle_may_take_the_place_of_an_empty_folder(tmp_path: Path) -> None:
    out = tmp_path / "chest" / "3"
    out.mkdir(parents=True)
    with being_written(out) as made:
        made.mkdir()
        (made / "bundle.json").write_text("{}")
    assert (out / "bundle.json").exists()


def test_a_run_is_another_once_its_external_classifier_is(tmp_path: Path) -> None:
    weights, network = tmp_path / "network.safetensors", tmp_path / "network.onnx"
    for external in (
        ExternalClassifierConfig(source="some.module:make", weights=weights),
        ExternalClassifierConfig(source=str(network)),
    ):
        configuration = load_configuration(PHANTOM).model_copy(update={"external_classifier": external})
        run = Run.create(tmp_path / "run", configuration)
        found = []
        for content in (b"one", b"other"):
            weights.write_bytes(content)
            network.write_bytes(content)
            found.append(fingerprint(run))
        weights.unlink()
        network.unlink()
        found.append(fingerprint(run))
        assert len({tuple(each.items()) for each in found}) == 3
