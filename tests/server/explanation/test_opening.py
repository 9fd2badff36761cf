"""Films are reduced before they reach the server only where the model's own graph makes the same of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from medxgan.bundle import load_bundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import FloatArray
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.opening import outputs_without_guess, reduction_of, run_open
from medxgan.server.images.film import Film
from medxgan.server.images.reduction import reduced
from medxgan.v1 import bundle_pb2

MODELS = Path(__file__).parents[3] / "models"
SHIPPED = sorted(file.parent for file in MODELS.glob("*/*/bundle.json"))


class Opening:
    """An engine whose OPEN does something else to its films first."""

    def __init__(self, engine: OrtEngine, change) -> None:
        self._engine, self._change = engine, change

    def run(self, role, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None):
        return self._engine.run(role, dict(inputs) | {"image": self._change(inputs["image"])}, outputs)


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.parent.name)
def test_every_shipped_model_takes_reduced_films(folder: Path) -> None:
    bundle = load_bundle(folder)
    engine = OrtEngine(bundle, EngineSettings("cpu", 1))
    reduction = reduction_of(bundle.description, engine)
    assert reduction is not None
    levels = np.random.default_rng(0).integers(0, 4096, (900, 700), np.uint16)
    film = Film(levels, inverted=True, pixel_aspect=1.1)
    whole, small = run_open(engine, film), run_open(engine, reduced(film, reduction))
    np.testing.assert_allclose(small["x"], whole["x"], atol=2e-6)  # rounding in single precision
    np.testing.assert_allclose(small["logit"], whole["logit"], atol=1e-4)
    without_guess = run_open(engine, film, outputs_without_guess(bundle.description))
    assert whole.keys() - without_guess.keys() == {"z"}
    for name, values in without_guess.items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6, atol=1e-6)


def test_a_model_that_opens_films_otherwise_gets_them_whole() -> None:
    bundle = load_bundle(MODELS / "phantom" / "3")
    engine = OrtEngine(bundle, EngineSettings("cpu", 1))
    turned = Opening(engine, lambda image: np.ascontiguousarray(image[..., ::-1, :]))
    assert reduction_of(bundle.description, turned) is not None, "what is done to a reduced film too changes nothing"
    edges = Opening(engine, lambda image: np.ascontiguousarray(image[..., 2:-2, 2:-2]))
    assert reduction_of(bundle.description, edges) is None
    other = bundle_pb2.Bundle()
    other.CopyFrom(bundle.description)
    other.image.aspect = bundle_pb2.ASPECT_CROP
    assert reduction_of(other, engine) is None
