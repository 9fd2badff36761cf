"""The run folder: one configuration, and below it what each training made.

RUN/options.json              the configuration in force and the versions of the libraries
RUN/classifier/               checkpoint.safetensors, metrics.jsonl, TensorBoard events
RUN/generator/                the same, and samples/step-NNNNNN.png from fixed noise
RUN/encoder/                  the same, where an encoder was trained on its own
RUN/evaluation.json           figures on the test split, thresholds from the training split
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from google.protobuf import json_format
from torch.utils.tensorboard import SummaryWriter

from medxgan.training.checkpoint import load_weights
from medxgan.training.configuration import GeneratorConfig, TrainingConfig
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier, Encoder, Generator, PlainGenerator, TwoBranchGenerator
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import (
    Classification,
    FloatRange,
    ImageSpecification,
    InversionSpecification,
    Metric,
    Provenance,
    Reliability,
)

CHECKPOINT = "checkpoint.safetensors"
LIBRARIES = ("torch", "numpy", "lightning-fabric", "medxgan")


class RunError(Exception):
    """A run folder lacks what the call needs; the message says what to do."""


class Run:
    """A run folder.

    Attributes:
        folder: where it is.
        configuration: what it was started with.
    """

    def __init__(self, folder: Path, configuration: TrainingConfig) -> None:
        self.folder = folder
        self.configuration = configuration

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run that exists.

        Raises:
            RunError: there is none.
        """
        options = folder / "options.json"
        if not options.exists():
            raise RunError(f"{folder}: expected a run folder with options.json")
        stored = json.loads(options.read_text(encoding="utf-8"))
        return cls(folder, TrainingConfig.model_validate(stored["configuration"]))

    @classmethod
    def create(cls, folder: Path, configuration: TrainingConfig) -> "Run":
        """Start a run, or go on with one; its options.json then states the configuration now in force."""
        folder.mkdir(parents=True, exist_ok=True)
        versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
        options = {"configuration": configuration.model_dump(mode="json"), "versions": versions}
        (folder / "options.json").write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")
        return cls(folder, configuration)

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that trained."""
        stored: dict[str, str] = json.loads((self.folder / "options.json").read_text(encoding="utf-8"))["versions"]
        return stored

    def checkpoint(self, part: str) -> Path:
        """Checkpoint file of "classifier", "generator" or "encoder"."""
        return self.folder / part / CHECKPOINT

    def classifier(self) -> Classifier:
        """The trained classifier, frozen.

        Raises:
            RunError: it has not been trained.
        """
        classifier = build_classifier(self.configuration)
        self._load("classifier", {"classifier": classifier})
        return classifier.eval().requires_grad_(False)

    def generator(self) -> tuple[Generator, Encoder | None]:
        """The trained generator (its averaged weights) and the encoder, if there is one, both frozen.

        An encoder that was trained on its own takes the place of the one trained along with the generator.

        Raises:
            RunError: the generator has not been trained.
        """
        generator = build_generator(self.configuration.generator)
        along = build_encoder(self.configuration)
        joint = {"average.generator": generator} | ({} if along is None else {"average.encoder": along})
        self._load("generator", joint)
        encoder = along
        if self.checkpoint("encoder").exists():
            latents = generator.z1_size + generator.z2_size
            encoder = Encoder(latents, self.configuration.encoder.channels, generator.image_size)
            self._load("encoder", {"encoder": encoder})
        frozen = None if encoder is None else encoder.eval().requires_grad_(False)
        return generator.eval().requires_grad_(False), frozen

    def _load(self, part: str, modules: Mapping[str, torch.nn.Module]) -> None:
        file = self.checkpoint(part)
        if not file.exists():
            raise RunError(f"{self.folder}: has no {part} yet; run `medxgan train {part}` with --out {self.folder}")
        load_weights(file, modules)


class RunLog:
    """Figures of one training, a line each in metrics.jsonl and a point each in TensorBoard."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "metrics.jsonl"
        self._events = SummaryWriter(str(folder))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Record the figures of one step."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._events.close()


def build_classifier(configuration: TrainingConfig) -> Classifier:
    """An untrained classifier as configured."""
    return Classifier(configuration.classifier.width, configuration.classifier.dropout)


def build_generator(settings: GeneratorConfig) -> Generator:
    """An untrained generator as configured."""
    if settings.form == "plain":
        return PlainGenerator(settings.z1_size, settings.z2_size, settings.channels)
    return TwoBranchGenerator(settings.z1_size, settings.z2_size, settings.channels, settings.pathology_channels)


def build_encoder(configuration: TrainingConfig) -> Encoder | None:
    """An untrained encoder to be trained along with the generator, where one is configured."""
    settings = configuration.generator
    if not settings.encoder_channels:
        return None
    return Encoder(settings.z1_size + settings.z2_size, settings.encoder_channels, configuration.image.size)


def build_preprocess(configuration: TrainingConfig) -> Preprocess:
    """The preprocessing as configured."""
    image = configuration.image
    return Preprocess(image.size, image.lower_percentile, image.upper_percentile, image.aspect).eval()


def load_trained_model(folder: Path) -> TrainedModel:
    """Everything that export needs of a run.

    Raises:
        RunError: the classifier or the generator has not been trained, or the run has not been evaluated.
    """
    run = Run.open(folder)
    evaluation = folder / "evaluation.json"
    if not evaluation.exists():
        raise RunError(f"{folder}: has not been evaluated; run `medxgan evaluate {folder}`")
    measured = json.loads(evaluation.read_text(encoding="utf-8"))
    configuration = run.configuration
    image, classes, inversion = configuration.image, configuration.classes, configuration.inversion
    generator, encoder = run.generator()
    return TrainedModel(
        preprocess=build_preprocess(configuration),
        classifier=run.classifier(),
        generator=generator,
        encoder=encoder,
        image=ImageSpecification(
            size=image.size,
            channels=1,
            lower_percentile=image.lower_percentile,
            upper_percentile=image.upper_percentile,
            aspect=f"ASPECT_{image.aspect.upper()}",
            modality=image.modality,
        ),
        classification=Classification(
            positive_class=classes.positive,
            negative_class=classes.negative,
            decision_threshold=classes.decision_threshold,
        ),
        inversion=InversionSpecification(
            default_steps=inversion.steps,
            maximum_steps=inversion.maximum_steps,
            default_learning_rate=inversion.learning_rate,
            learning_rate_range=FloatRange(
                minimum=inversion.learning_rate_range[0], maximum=inversion.learning_rate_range[1]
            ),
            default_reconstruction_weight=inversion.reconstruction_weight,
            reconstruction_weight_range=FloatRange(
                minimum=inversion.reconstruction_weight_range[0], maximum=inversion.reconstruction_weight_range[1]
            ),
            tolerance=inversion.tolerance,
            check_interval=inversion.check_interval,
            beta1=inversion.beta1,
            beta2=inversion.beta2,
            epsilon=inversion.epsilon,
        ),
        reliability=json_format.ParseDict(measured["reliability"], Reliability()),
        provenance=Provenance(
            data=configuration.card.data,
            license=configuration.card.license,
            attribution=configuration.card.attribution,
            configuration={
                "classifier": configuration.classifier.model_dump_json(),
                "generator": configuration.generator.model_dump_json(),
            },
            seed=configuration.seed,
            versions=run.versions(),
            limitations=configuration.card.limitations,
        ),
        metrics=tuple(json_format.ParseDict(metric, Metric()) for metric in measured["metrics"]),
    )
