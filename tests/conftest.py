"""An untrained model and its bundle, made once for all tests."""

from pathlib import Path

import pytest
import torch
from torch import nn

from medxgan.export.bundle import export_bundle
from medxgan.training.familiarity import Familiarity, FamiliarityCheck
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier, Encoder, TwoBranchGenerator
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    OUTPUT_ACTIVATION_LOGISTIC,
    Classification,
    ClassifierOutput,
    FamiliarityMeasure,
    ImageSpecification,
    Interval,
    InversionSpecification,
    Metric,
    Provenance,
    Reliability,
)
from medxgan.v1.bundle_pb2 import Familiarity as FamiliarityMessage

SIZE = 32

SLOW_FIXTURES = {"tiny_bundle", "plain_models"}
"""Fixtures that export a network, which takes half a minute of processor time."""

SLOW_MODULES = {
    "end_to_end/test_gateway.py",
    "evaluation/test_command.py",
    "evaluation/test_runs.py",
    "export/test_bundle.py",
    "export/test_decompositions.py",
    "export/test_external_classifiers.py",
    "export/test_inversion_step.py",
    "export/test_one_file.py",
    "export/test_one_file_in_wasm.py",
    "server/test_triton_repository.py",
    "gateway/test_command.py",
    "gateway/test_killed.py",
    "training/test_familiarity.py",
    "training/test_inversion.py",
    "training/test_phantom.py",
    "training/test_processes.py",
    "training/test_readers.py",
    "training/test_runs.py",
    "web/test_browser.py",
}
"""Modules that train, export or read data sets by themselves, for longer than five seconds."""


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what takes, at whatever remove, a fixture that exports, and what takes long by itself."""
    for item in items:
        module = item.path.relative_to(Path(__file__).parent).as_posix()
        if module in SLOW_MODULES or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wide terminal without colour, in a folder of its own, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("SERVER", "MODELS", "PROVIDER"):
        monkeypatch.delenv(f"MEDXGAN_{name}", raising=False)


# The networks of the tests are too small to share among cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model() -> TrainedModel:
    """Networks with weights from a fixed seed: 32x32 pixels, 12 + 6 latents. They have learned nothing, but are lively:
    images have contrast, and the classifier's answer follows them, on both sides of 0.5."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20220425)
        generator = TwoBranchGenerator(12, 6, (24, 16, 12), (16, 12, 8))
        classifier = Classifier(width=8)
        encoder = Encoder(generator, (8, 16, 24))
        for network in (generator, classifier, encoder):
            _unsettle(network.eval())
        with torch.no_grad():
            _spread_logits(classifier, generator(torch.randn(256, 18)))
        familiarity = Familiarity(SIZE).eval()
    return TrainedModel(
        preprocess=Preprocess(SIZE, 1, 99, "crop").eval(),
        classifier=classifier,
        generator=generator,
        encoder=encoder,
        image=ImageSpecification(
            height=SIZE,
            width=SIZE,
            channels=1,
            lower_percentile=1,
            upper_percentile=99,
            aspect=ASPECT_CROP,
            modality="untrained test pattern",
        ),
        classification=Classification(
            outputs=[ClassifierOutput(name="lesion")],
            activation=OUTPUT_ACTIVATION_LOGISTIC,
            positive_class="lesion",
            negative_class="no lesion",
            decision_threshold=0.5,
        ),
        inversion=InversionSpecification(
            default_steps=40,
            maximum_steps=200,
            default_learning_rate=0.02,
            learning_rate_range=Interval(minimum=0.001, maximum=0.2),
            default_reconstruction_weight=4,
            reconstruction_weight_range=Interval(minimum=0.5, maximum=32),
            tolerance=0.001,
            check_interval=10,
            beta1=0.5,
            beta2=0.999,
            epsilon=1e-8,
        ),
        reliability=Reliability(maximum_reconstruction_mse=0.5, method="chosen by hand for tests"),
        provenance=Provenance(
            data=["none: random weights"],
            license="Apache-2.0",
            configuration={"generator": "{}"},
            seed=20220425,
            limitations=["Has learned nothing."],
        ),
        metrics=(
            Metric(name="classifier_auc", value=0.5, measured_on="nothing", description="Area under the ROC curve."),
        ),
        familiarity=FamiliarityCheck(familiarity.requires_grad_(False), _lenient(familiarity)),
    )


def _lenient(familiarity: Familiarity) -> FamiliarityMessage:
    """Maxima that only an image without contrast exceeds, since nothing was fitted."""
    count = familiarity(torch.zeros(1, 1, SIZE, SIZE)).shape[1]
    measures = [
        FamiliarityMeasure(name=f"measure_{index}", maximum=500, description="Nothing that was fitted.")
        for index in range(count)
    ]
    return FamiliarityMessage(measures=measures, method="chosen by hand for tests")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported bundle of `tiny_model`: a folder tiny/1 to read, not to change."""
    folder = tmp_path_factory.mktemp("models") / "tiny" / "1"
    export_bundle(tiny_model, folder)
    return folder


def _unsettle(network: nn.Module) -> None:
    """Give batch norm statistics as after training, narrow enough to keep signals alive through the layers."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.02, 0.08)


@torch.no_grad()
def _spread_logits(classifier: Classifier, images: torch.Tensor) -> None:
    """Scale the output layer so that the logits of these images have mean 0 and standard deviation 2."""
    logits = classifier(images)
    classifier.output.weight.mul_(2 / logits.std())
    classifier.output.bias.copy_(-2 * (logits.mean() - classifier.output.bias) / logits.std())
