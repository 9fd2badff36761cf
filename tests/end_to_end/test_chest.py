"""The shipped chest bundle: the demo's film, and real patients that it was not trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from medxgan.client import Client, MapKind
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import load_configuration

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
FILMS = 60
DEFAULT_MAPS = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.DIFFERENCE,
    MapKind.COLORIZED,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with EmbeddedServer(ROOT / "models") as server, Client(server.address) as client:
        yield client


def test_a_radiograph_in_dicom_is_explained(client: Client) -> None:
    film = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
    explanation = client.explain(film, model="chest")
    assert {kind: explanation[kind].shape for kind in explanation.maps} == {
        kind: (128, 128, 3) if kind is MapKind.COLORIZED else (128, 128) for kind in DEFAULT_MAPS
    }
    # MONOCHROME1 was turned: the collimated corner is dark, the mediastinum is bright.
    assert explanation.original[:6, -6:].mean() < -0.5
    assert explanation.original[40:80, 60:68].mean() > 0.3
    # The explanation resembles the film more than a flat grey picture does.
    flat = np.square(explanation.original - explanation.original.mean()).mean()
    assert explanation.outcome is not None
    assert explanation.outcome.reconstruction_mse < 0.5 * flat
    # On the film, the side of the square that was cropped is the film's shorter one.
    film_map = explanation.on_film(MapKind.DIFFERENCE)
    geometry = explanation.geometry
    assert film_map.shape == (geometry.rows, geometry.columns)
    assert np.isfinite(film_map).sum() == min(film_map.shape) ** 2


def test_the_served_classifier_is_the_one_on_the_card(client: Client) -> None:
    configuration = load_configuration(ROOT / "training" / "configs" / "chest-rsna.toml")
    if not DATA.is_dir():
        pytest.skip(f"the real images are not at {DATA}")
    test = configuration.data.load(DATA).test
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda image: client.classify(image, model="chest").score.probability, test.images))
    auc = binary_auroc(torch.tensor(answers), torch.from_numpy(test.labels).long()).item()
    stated = {metric.name: metric.value for metric in client.model("chest").bundle.metrics}
    assert auc == pytest.approx(stated["classifier_auc"], abs=1e-4)


def test_explanations_of_real_films_do_what_the_card_says(client: Client) -> None:
    configuration = load_configuration(ROOT / "training" / "configs" / "chest-rsna.toml")
    if not DATA.is_dir():
        pytest.skip(f"the real images are not at {DATA}")
    test = configuration.data.load(DATA).test
    films = [test.images[row] for row in np.flatnonzero(test.labels)[:FILMS]]
    with ThreadPoolExecutor(8) as callers:
        explanations = list(callers.map(lambda film: client.explain(film, model="chest"), films))
    positive = [explanation for explanation in explanations if explanation.scores.original.positive]
    stated = {metric.name: metric.value for metric in client.model("chest").bundle.metrics}
    error = np.mean([explanation.outcome.reconstruction_mse for explanation in positive])
    flipped = np.mean([not explanation.scores.negative_realization.positive for explanation in positive])
    # The card's figures are over all true positives; these are a part of them.
    assert error == pytest.approx(stated["reconstruction_mse"], rel=0.3)
    assert flipped == pytest.approx(stated["negative_called_negative"], abs=0.1)
