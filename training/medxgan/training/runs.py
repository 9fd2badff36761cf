"""The run folder: one configuration, and below it what each training made.

RUN/options.json              the configuration in force and the versions of the libraries
RUN/classifier/               checkpoint.safetensors, metrics.jsonl, TensorBoard events
RUN/generator/                the same, and samples/step-NNNNNN.png from fixed noise
RUN/encoder/                  the same, where an encoder was trained on its own
RUN/refinement/               the same, where passes were trained that refine the encoder's guess
RUN/familiarity/              checkpoint.safetensors, familiarity.json: measures and their maxima
"""

import json
import logging
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from google.protobuf import json_format
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from medxgan.training import processes
from medxgan.training.checkpoint import load_weights, save_checkpoint
from medxgan.training.configuration import ServedClassifierConfig, TrainingConfig
from medxgan.training.description import (
    classification,
    external_provenance,
    image_specification,
    inversion_specification,
    provenance,
    unmeasured_reliability,
)
from medxgan.training.familiarity import Familiarity, FamiliarityCheck
from medxgan.training.load_classifier import ClassifierSourceError, load_external_classifier
from medxgan.training.model import TrainedModel
from medxgan.training.networks import (
    Classifier,
    CorrectedEncoder,
    Discriminator,
    Encoder,
    ExplainedClassifier,
    FeatureEncoder,
    Generator,
    MaskedGenerator,
    PlainGenerator,
    RefinedEncoder,
    ResidualClassifier,
    ResidualEncoder,
    TwoBranchGenerator,
)
from medxgan.training.networks.channels import decoder_channels, encoder_channels
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import Familiarity as FamiliarityMessage

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.safetensors"
FAMILIARITY = "familiarity.json"
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
        """Start a run, or go on with one; its options.json then states the configuration now in force.

        Of several processes the first writes it.
        """
        if not processes.is_first():
            return cls(folder, configuration)
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
        """Checkpoint file of a part: "classifier", "generator", "encoder", "refinement"."""
        return self.folder / part / CHECKPOINT

    def has(self, part: str) -> bool:
        """Whether a part has been trained in this run."""
        return self.checkpoint(part).exists()

    def classifier(self) -> ExplainedClassifier:
        """The trained classifier, or the external one that the configuration names, frozen.

        Raises:
            RunError: it has not been trained, or can't be loaded from where it is.
        """
        if self.configuration.external_classifier is not None:
            try:
                external = load_external_classifier(
                    self.configuration.external_classifier,
                    self.configuration.image.size,
                    self.configuration.classes.positive,
                )
            except ClassifierSourceError as error:
                raise RunError(str(error)) from error
            for note in external.notes if processes.is_first() else ():
                logger.warning("external_classifier: %s", note)
            return external
        classifier = build_classifier(self.configuration)
        self._load("classifier", {"classifier": classifier})
        return classifier.eval().requires_grad_(False)

    def generator(self) -> tuple[Generator, Encoder | None]:
        """The trained generator (its averaged weights) and the encoder, if there is one, both frozen.

        An encoder that was trained on its own takes the place of the one trained along with the generator.

        Raises:
            RunError: the generator has not been trained.
        """
        generator = build_generator(self.configuration)
        channels = self.configuration.generator.encoder_channels
        along: Encoder | None = None
        if isinstance(generator, MaskedGenerator):
            along = build_feature_encoder(self.configuration, generator)
        elif channels:
            along = build_encoder(channels, generator)
        joint = {"average.generator": generator} | ({} if along is None else {"average.encoder": along})
        self._load("generator", joint)
        encoder: Encoder | None = along
        if self.has("encoder"):
            encoder = build_encoder(self.configuration.encoder.channels, generator)
            self._load("encoder", {"encoder": encoder})
        frozen = None if encoder is None else encoder.eval().requires_grad_(False)
        return generator.eval().requires_grad_(False), frozen

    def explaining_encoder(
        self, generator: Generator, encoder: Encoder | None, classifier: ExplainedClassifier
    ) -> nn.Module | None:
        """What finds the codes of an image to explain: the guess, refined where the configuration says so.

        Raises:
            RunError: it says so, and the passes have not been trained.
        """
        guessing = self.guessing_encoder(generator, encoder, classifier)
        passes = self.configuration.refinement.passes
        if not passes or guessing is None or not isinstance(generator, TwoBranchGenerator | MaskedGenerator):
            return guessing
        residual = build_residual_encoder(self.configuration, generator)
        self._load("refinement", {"residual": residual})
        return RefinedEncoder(guessing, generator, residual, passes).eval().requires_grad_(False)

    def guessing_encoder(
        self, generator: Generator, encoder: Encoder | None, classifier: ExplainedClassifier
    ) -> Encoder | CorrectedEncoder | None:
        """What makes the first guess of them: the encoder, corrected where the configuration says so."""
        settings = self.configuration.inversion
        if not settings.corrections or not isinstance(generator, MaskedGenerator) or encoder is None:
            return encoder
        threshold = self.configuration.classes.decision_threshold
        limit = math.log(threshold / (1 - threshold)) - settings.conviction
        corrected = CorrectedEncoder(encoder, generator, classifier, settings.corrections, limit)
        return corrected.eval().requires_grad_(False)

    def save_familiarity(self, check: FamiliarityCheck) -> None:
        """Keep the familiarity measures and their maxima."""
        file = self.checkpoint("familiarity")
        file.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(file, self.configuration.familiarity.steps, {"familiarity": check.measures})
        stored = json_format.MessageToJson(check.description, preserving_proto_field_name=True)
        file.with_name(FAMILIARITY).write_text(stored + "\n", encoding="utf-8")

    def familiarity(self) -> FamiliarityCheck | None:
        """The familiarity measures and their maxima; None where they were not fitted."""
        file = self.checkpoint("familiarity")
        if not file.exists():
            return None
        measures = Familiarity(self.configuration.image.size)
        load_weights(file, {"familiarity": measures})
        description = json_format.Parse(file.with_name(FAMILIARITY).read_text(encoding="utf-8"), FamiliarityMessage())
        return FamiliarityCheck(measures.eval().requires_grad_(False), description)

    def _load(self, part: str, modules: Mapping[str, nn.Module]) -> None:
        file = self.checkpoint(part)
        if not file.exists():
            raise RunError(f"{self.folder}: has no {part} yet; run `medxgan train {part}` with --out {self.folder}")
        load_weights(file, modules)


class RunLog:
    """Figures of one training, a line each in metrics.jsonl and a point each in TensorBoard.

    Of several processes the first writes them.
    """

    def __init__(self, folder: Path) -> None:
        self._events = None
        if not processes.is_first():
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "metrics.jsonl"
        self._events = SummaryWriter(str(folder))

    def write(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Record the figures of one step; None is one that there is not."""
        if self._events is None:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        for name, value in figures.items():
            if value is not None:
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._events is not None:
            self._events.close()


def build_classifier(configuration: TrainingConfig) -> ExplainedClassifier:
    """An untrained classifier as configured."""
    settings = configuration.classifier
    if settings.form == "residual":
        return ResidualClassifier(settings.channels, settings.dropout, configuration.image.size, settings.low_pass)
    return Classifier(settings.width, settings.dropout)


def build_generator(configuration: TrainingConfig) -> Generator:
    """An untrained generator as configured, its channels fitted to the size of the image."""
    settings, size = configuration.generator, configuration.image.size
    channels = decoder_channels(settings.channels, size)
    if settings.form == "plain":
        return PlainGenerator(settings.z1_size, settings.z2_size, channels)
    if settings.form == "masked":
        return MaskedGenerator(
            settings.z1_size,
            settings.z2_size,
            channels,
            settings.fine_z1,
            settings.fine_z2,
            settings.bound,
            settings.floor,
        )
    return TwoBranchGenerator(
        settings.z1_size,
        settings.z2_size,
        channels,
        decoder_channels(settings.pathology_channels, size),
        settings.fine_z1,
        settings.fine_z2,
    )


def build_discriminator(configuration: TrainingConfig, strata: int = 1) -> Discriminator:
    """An untrained discriminator as configured, its channels fitted to the size of what it sees.

    Args:
        configuration: the whole of it.
        strata: number of strata that it is told apart from the class.
    """
    settings = configuration.generator
    seen = configuration.image.size // settings.judged_reduction
    channels = encoder_channels(settings.discriminator_channels, seen)
    return Discriminator(channels, 2 * strata if settings.conditional else 0)


def build_encoder(channels: tuple[int, ...], generator: Generator) -> Encoder:
    """An untrained encoder of the generator's codes, its channels fitted to the size of the image."""
    return Encoder(generator, encoder_channels(channels, generator.image_size))


def build_feature_encoder(configuration: TrainingConfig, generator: MaskedGenerator) -> FeatureEncoder:
    """An untrained encoder that reads the pathology off the classifier, whose weights are still to be loaded."""
    settings = configuration.generator
    channels = encoder_channels(settings.encoder_channels, generator.image_size)
    classifier = build_classifier(configuration)
    return FeatureEncoder(generator, classifier, configuration.classifier.channels[-2:], channels)


def build_residual_encoder(
    configuration: TrainingConfig, generator: TwoBranchGenerator | MaskedGenerator
) -> ResidualEncoder:
    """An untrained network that moves the codes of a guess; of those, z1 alone where the inversion holds z2."""
    held = configuration.inversion.pathology_rate == 0
    return ResidualEncoder(generator, configuration.refinement.channels, anatomy_alone=held)


def build_preprocess(configuration: TrainingConfig | ServedClassifierConfig) -> Preprocess:
    """The preprocessing as configured."""
    image = configuration.image
    return Preprocess(image.size, image.lower_percentile, image.upper_percentile, image.aspect).eval()


def load_trained_model(folder: Path) -> TrainedModel:
    """Everything that export needs of a run: a draft, on which nothing has been measured.

    A run without a generator gives a model without one.

    Raises:
        RunError: the classifier has not been trained.
    """
    run = Run.open(folder)
    configuration, external = run.configuration, run.configuration.external_classifier
    classifier = run.classifier()
    sections = {"data": configuration.data.model_dump_json()}
    if external is None:
        sections["classifier"] = configuration.classifier.model_dump_json()
    else:
        sections["external_classifier"] = external_provenance(external)
    generator, encoder = None, None
    if run.has("generator"):
        generator, guessing = run.generator()
        encoder = run.explaining_encoder(generator, guessing, classifier)
        sections["generator"] = configuration.generator.model_dump_json()
        sections["inversion"] = configuration.inversion.model_dump_json()
        if configuration.refinement.passes:
            sections["refinement"] = configuration.refinement.model_dump_json()
    return TrainedModel(
        preprocess=build_preprocess(configuration),
        classifier=classifier,
        generator=generator,
        encoder=encoder,
        image=image_specification(configuration.image),
        classification=classification(configuration.classes, external),
        inversion=None if generator is None else inversion_specification(configuration.inversion),
        reliability=None if generator is None else unmeasured_reliability(),
        provenance=provenance(configuration.card, classifier, sections, configuration.seed, run.versions()),
        metrics=(),
        familiarity=run.familiarity(),
        classifier_file=None if external is None or not external.from_onnx else Path(external.source),
    )
