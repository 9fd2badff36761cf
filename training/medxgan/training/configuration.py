"""The one file that describes a training run, from the data to what its model card says."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medxgan.training.data.source import DataConfig
from medxgan.training.networks.channels import COARSEST_SIDE, doublings
from medxgan.training.networks.generator import FINE_STRIDE
from medxgan.training.networks.grids import Layout
from medxgan.training.preprocessing import Aspect

Channels = tuple[Annotated[int, Field(ge=1)], ...]


class ConfigurationError(Exception):
    """A file is not TOML; the message names it and the place."""


class Section(BaseModel):
    """A section of the file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageConfig(Section):
    """How a picture becomes x; see `medxgan.training.preprocessing.Preprocess`."""

    size: int = Field(64, ge=16, description="Side of x in pixels; of a generator 4 times a power of two.")
    lower_percentile: float = Field(0.5, ge=0, lt=50, description="Percentile that becomes -1.")
    upper_percentile: float = Field(99.5, gt=50, le=100, description="Percentile that becomes +1.")
    aspect: Aspect = Field("crop", description="What is done with a picture that is not square.")
    modality: str = Field(description="What the images show, in words.")


class ClassesConfig(Section):
    """What the classifier decides."""

    positive: str = Field(description="What a positive image shows; of several outputs, the name of the positive one.")
    negative: str = Field(description="What a negative image shows.")
    decision_threshold: float = Field(0.5, gt=0, lt=1, description="Probability from which an image is positive.")


class AugmentationConfig(Section):
    """Random changes that keep the label."""

    mirror: bool = Field(False, description="Flip left and right half of the time.")
    shift: int = Field(4, ge=0, description="Largest shift along each axis, in pixels.")
    turn: float = Field(0, ge=0, description="Largest angle that G's images are turned by either way, in degrees.")
    zoom: float = Field(0, ge=0, lt=1, description="Largest change of scale of G's images either way, as a share.")
    blur: float = Field(1.0, ge=0, le=1, description="Largest share of a smoothed copy that C sees mixed in.")
    noise: float = Field(0.05, ge=0, description="Deviation of the noise that C is trained with and judges through.")
    style: float = Field(0, ge=0, le=1, description="How much C's training changes how a film was taken; `style.py`.")
    exposure: float = Field(0, ge=0, le=1, description="The same for exposure and shading of the masked form's images.")


class ClassifierConfig(Section):
    """The classifier's network and training (AdamW, one-cycle learning rate)."""

    form: Literal["plain", "residual"] = "plain"
    width: int = Field(16, ge=1, description="Channels of the plain form's first block.")
    channels: Channels = Field((20, 40, 80, 128), min_length=2, description="Of the residual form's stages.")
    low_pass: int = Field(0, ge=0, le=64, description="Times that the residual form smooths x by (1/4, 1/2, 1/4).")
    localisation: float = Field(0, ge=0, description="Weight of telling where the lesions are; the residual form's.")
    average_decay: float = Field(0, ge=0, lt=1, description="Of the moving average of the weights; 0 is none.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of pooled features dropped.")
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    epochs: int = Field(14, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(4e-3, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(1e-3, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("low_pass", "localisation"):
            if getattr(self, name) > 0 and self.form != "residual":
                raise ValueError(f'{name}: needs form = "residual"')
        return self


class ExternalClassifierConfig(Section):
    """A classifier that was trained elsewhere; it takes the place of the `classifier` section.

    Paths start from the folder of the file that states them.
    """

    source: str = Field(
        pattern=r"^([\w.]+:\w+|.+\.onnx)$",
        description='"package.module:factory", a callable that makes the network, or an ONNX file.',
    )
    weights: Path | None = Field(None, description="The network's state dict as safetensors; none: as it is made.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    layer: str | None = Field(None, description="Layer that attribution looks at; none: the last with activations.")
    layout: Layout | None = Field(
        None,
        description="How that layer's activations lie, where it can't be told: [B, C, H, W], [B, H, W, C], tokens.",
    )
    size: int | None = Field(
        None, ge=1, description="Side of the pictures that the network takes; x is resized to it. None: image.size."
    )
    channels: Literal[1, 3] = Field(1, description="Channels that the network takes; x is repeated.")
    mean: tuple[float, ...] = Field((), description="Taken from (x + 1) / 2: one number, or one a channel.")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field((), description="What is then divided by; see `mean`.")
    outputs: tuple[str, ...] = Field((), description="Names of the outputs, where there is more than one.")
    merged: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Outputs that count as one class, by its name: its probability is their sum."
    )
    activation: Literal["softmax", "logistic"] = Field(
        "softmax", description="Whether several outputs exclude each other, or each stands for itself."
    )
    logits: bool = Field(
        False, description="States that outputs which lie between 0 and 1 are logits, and no probabilities."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {0, 1, self.channels}:
                raise ValueError(f"{name}: expected 1 or {self.channels} numbers, found {len(values)}")
        if len(self.outputs) == 1 or len(set(self.outputs)) < len(self.outputs):
            raise ValueError("outputs: expected at least two different names, or none where there is one output")
        self._check_merged()
        if self.from_onnx and (self.weights is not None or self.arguments):
            raise ValueError("source: an ONNX file holds its weights and takes no arguments")
        return self

    @property
    def from_onnx(self) -> bool:
        """Whether the source is an ONNX file."""
        return self.source.endswith(".onnx")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs once some are merged; where there is one output, none."""
        names = {member: name for name, members in self.merged.items() for member in members}
        return tuple(dict.fromkeys(names.get(output, output) for output in self.outputs))

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Of each class of several, the outputs that it is made of, by their place."""
        return tuple(
            tuple(self.outputs.index(member) for member in self.merged.get(name, (name,))) for name in self.classes
        )

    def check_positive(self, positive: str) -> None:
        """See that the positive class is one of the classes, where there are several.

        Raises:
            ValueError: it is none of them.
        """
        if self.outputs and positive not in self.classes:
            raise ValueError(f"classes.positive: expected one of {', '.join(self.classes)}, found {positive}")

    def _check_merged(self) -> None:
        members = [member for group in self.merged.values() for member in group]
        if self.merged and self.activation != "softmax":
            raise ValueError('merged: needs activation = "softmax": outputs that exclude each other')
        if unknown := [member for member in members if member not in self.outputs]:
            raise ValueError(f"merged: expected names of outputs, found {unknown[0]}")
        if len(set(members)) < len(members):
            raise ValueError("merged: expected each output in one class alone")
        if any(len(group) < 2 for group in self.merged.values()):
            raise ValueError("merged: expected at least two outputs for each class")
        if taken := [name for name in self.merged if name in self.outputs and name not in self.merged[name]]:
            raise ValueError(f"merged: {taken[0]} is the name of another output")
        if self.merged and len(self.classes) < 2:
            raise ValueError("merged: expected at least two classes to be left")


class ObjectiveWeights(Section):
    """Weight of each term of the generator's loss, as in `objective.py`; one of weight 0 is logged all the same."""

    adversarial: float = Field(2.0, ge=0)
    class_of_sample: float = Field(0.3, ge=0)
    reconstruction: float = Field(10.0, ge=0)
    features: float = Field(0.3, ge=0)
    class_of_negative: float = Field(0.5, ge=0)
    class_of_applied: float = Field(0.5, ge=0)
    sparsity: float = Field(0.25, ge=0)
    outside: float = Field(3.0, ge=0)
    prior: float = Field(0.03, ge=0)
    cycle: float = Field(0.05, ge=0)
    place: float = Field(0, ge=0, description="The masked form's.")
    transfer: float = Field(0, ge=0, description="The masked form's.")


class GeneratorConfig(Section):
    """The generator's networks, objective and optimization (Adam).

    Lists of channels are good for any `image.size`; `networks/channels.py` says how they are fitted to it.
    """

    form: Literal["two-branch", "plain", "masked"] = "two-branch"
    z1_size: int = Field(96, ge=1)
    z2_size: int = Field(32, ge=1)
    fine_z1: int = Field(8, ge=0, description="Channels of anatomy latents at an eighth of the resolution.")
    fine_z2: int = Field(8, ge=0, description="Channels of pathology latents at an eighth of the resolution.")
    channels: Channels = Field((112, 80, 56, 28), min_length=1, description="Decoder channels from 4x4 upwards.")
    pathology_channels: Channels = Field((80, 56, 40, 20), min_length=1, description="The pathology branch's.")
    bound: float = Field(1.0, gt=0, le=2, description="What the masked form's pathology adds at most to a level.")
    floor: float = Field(0.0, ge=0, lt=1, description="Share of the bound that it adds at least, within its mask.")
    discriminator_channels: Channels = Field((32, 64, 96, 128), min_length=1, description="From the image down to 4x4.")
    encoder_channels: Channels = Field((24, 48, 72, 96), description="The same; empty: no encoder is trained along.")
    conditional: bool = Field(True, description="Whether the discriminator is told the class.")
    adversarial_loss: Literal["hinge", "cross-entropy"] = "hinge"
    weights: ObjectiveWeights = ObjectiveWeights()
    focus: Literal["gradient", "masks"] = Field(
        "gradient",
        description="Where positives may change: where C looks, or, in those that have one, the data's mask.",
    )
    judged_reduction: int = Field(1, ge=1, description="How many times smaller D sees pictures: 4 leaves it no detail.")
    judge_applied: bool = Field(True, description="Whether the discriminator judges applied negatives too.")
    augment: bool = Field(True, description="Show D and C shifted, dimmed and noised copies.")
    initial_deviation: float | None = Field(None, gt=0, description="Initial weights N(0, this); none: torch's own.")
    learning_rate: float = Field(6e-4, gt=0)
    decay: float = Field(0.3, ge=0, le=1, description="Share of the steps, the last, that the rate falls to 0 over.")
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    beta1: float = Field(0.0, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    batch_size: int = Field(32, ge=2)
    steps: int = Field(2600, ge=1)
    pathology_steps: int = Field(2000, ge=1, description="Of the masked form's first stage.")
    average_decay: float = Field(0.995, ge=0, lt=1, description="Of the moving average of the weights; 0 is none.")
    checkpoint_interval: int = Field(200, ge=1, description="Steps between checkpoints and sample grids.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = self.weights
        needs_encoder = [
            name
            for name in (
                "reconstruction",
                "features",
                "class_of_negative",
                "class_of_applied",
                "sparsity",
                "outside",
                "prior",
                "cycle",
            )
            if getattr(weights, name) > 0
        ]
        if needs_encoder and not self.encoder_channels:
            raise ValueError(f"generator.weights.{needs_encoder[0]}: needs generator.encoder_channels")
        if self.form == "masked" and not self.encoder_channels:
            raise ValueError('generator.form: "masked" needs generator.encoder_channels')
        if self.form == "masked" and weights.place == 0:
            raise ValueError('generator.form: "masked" needs generator.weights.place, which alone opens the mask')
        for name in ("place", "transfer"):
            if getattr(weights, name) > 0 and self.form != "masked":
                raise ValueError(f'generator.weights.{name}: needs generator.form = "masked"')
        return self


class EncoderConfig(Section):
    """A later training of the encoder alone, against the frozen generator."""

    channels: Channels = Field((24, 48, 72, 96), min_length=1, description="From the image down to 4x4.")
    steps: int = Field(1000, ge=1)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-3, gt=0)


class RefinementConfig(Section):
    """Passes that refine the encoder's guess, and their training against the frozen generator."""

    passes: int = Field(0, ge=0, description="0: the guess is left as it is.")
    channels: tuple[int, int, int, int] = (32, 48, 64, 96)
    steps: int = Field(1600, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)


class FamiliarityConfig(Section):
    """The measures that tell images unlike the training's; see `medxgan.training.familiarity`."""

    steps: int = Field(700, ge=1, description="Steps of their network's training.")


class InversionConfig(Section):
    """Defaults and ranges of the inversion that the bundle states."""

    solver: Literal["adam", "lbfgs"] = Field("adam", description="How the loss is brought down.")
    steps: int = Field(20, ge=1)
    maximum_steps: int = Field(2000, ge=1)
    learning_rate: float = Field(0.05, gt=0, description="How far the first step moves each latent.")
    learning_rate_range: tuple[float, float] = (1e-4, 1.0)
    pathology_rate: float = Field(1.0, ge=0, le=1, description="Share of the learning rate that z2 moves by.")
    corrections: int = Field(
        0,
        ge=0,
        description="Steps in which the encoder's z2 is corrected: C calls the image less the difference negative.",
    )
    conviction: float = Field(
        3.0, ge=0, description="How far below the decision threshold C's logit of it shall be after the corrections."
    )
    reconstruction_weight: float = Field(4.0, gt=0, description="λ")
    reconstruction_weight_range: tuple[float, float] = (0.0, 1000.0)
    tolerance: float = Field(0.0, ge=0, lt=1)
    check_interval: int = Field(10, ge=1)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)


class CardConfig(Section):
    """What the model card says and no program can know."""

    data: tuple[str, ...] = Field(min_length=1, description="Data sets used, with their source.")
    license: str = Field(description="Licence of the weights.")
    attribution: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()


class TrainingConfig(Section):
    """The whole file."""

    seed: int = Field(0, ge=0)
    patience: float = Field(30, gt=0, description="Minutes that a process waits for others before it gives them up.")
    data: DataConfig
    image: ImageConfig
    classes: ClassesConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    external_classifier: ExternalClassifierConfig | None = None
    generator: GeneratorConfig = GeneratorConfig()
    encoder: EncoderConfig = EncoderConfig()
    refinement: RefinementConfig = RefinementConfig()
    familiarity: FamiliarityConfig = FamiliarityConfig()
    inversion: InversionConfig = InversionConfig()
    card: CardConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.external_classifier is not None:
            self.external_classifier.check_positive(self.classes.positive)
        try:
            doublings(self.image.size)
        except ValueError as error:
            raise ValueError(f"image.size: {error}") from error
        if self.generator.form == "masked" and self.classifier.form != "residual":
            raise ValueError('generator.form: "masked" needs classifier.form = "residual"')
        if self.inversion.corrections and (self.generator.form != "masked" or self.inversion.pathology_rate > 0):
            raise ValueError('inversion.corrections: needs generator.form = "masked" and inversion.pathology_rate = 0')
        if self.refinement.passes:
            generator = self.generator
            if generator.form == "plain" or not generator.encoder_channels:
                raise ValueError("refinement.passes: needs generator.encoder_channels, and a form with two branches")
            if not generator.fine_z1 or not generator.fine_z2:
                raise ValueError("refinement.passes: needs generator.fine_z1 and generator.fine_z2")
        if self.image.size // self.generator.judged_reduction < 2 * COARSEST_SIDE:
            raise ValueError(f"generator.judged_reduction: leaves less than {2 * COARSEST_SIDE} pixels")
        smallest = COARSEST_SIDE * FINE_STRIDE
        if self.generator.form != "plain" and self.image.size < smallest:
            for name in ("fine_z1", "fine_z2"):
                if getattr(self.generator, name) > 0:
                    raise ValueError(f"generator.{name}: expected 0 below image.size {smallest}, where no grid fits")
        return self


class ServedClassifierConfig(Section):
    """What a bundle of an external classifier alone is made from."""

    data: DataConfig | None = None
    image: ImageConfig
    classes: ClassesConfig
    external_classifier: ExternalClassifierConfig
    card: CardConfig

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.external_classifier.check_positive(self.classes.positive)
        return self


def load_configuration(file: Path) -> TrainingConfig:
    """Read a TOML file; `extends = "other.toml"` takes what the file itself does not state from another beside it.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    return TrainingConfig.model_validate(_read(file))


def read_stated(file: Path, source: str) -> dict[str, Any]:
    """What a file says, for a recipe to complete, with `source` as its external classifier's.

    Args:
        file: TOML file, as for a training, with as few keys as its author cares for.
        source: a path starts from here.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
    """
    content = _read(file)
    external = content.get("external_classifier", {})
    if isinstance(external, dict):
        content["external_classifier"] = external | _located({"source": source}, Path.cwd())
    return content


def completed(recipe: Mapping[str, Any], stated: Mapping[str, Any]) -> TrainingConfig:
    """What is stated, and from the recipe what is not.

    Raises:
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    return TrainingConfig.model_validate(_merge(dict(recipe), dict(stated)))


class _DataSection(BaseModel):
    data: DataConfig


def load_data_section(file: Path) -> DataConfig:
    """The `data` section of a TOML file; other sections are passed over.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: there is no such section, or something in it is wrong.
    """
    return _DataSection.model_validate(_read(file)).data


def _read(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not TOML: {error}") from error
    if isinstance(external := content.get("external_classifier"), dict):
        content["external_classifier"] = _located(external, file.parent)
    base = content.pop("extends", None)
    return content if base is None else _merge(_read(file.parent / base), content)


def load_served_classifier(
    file: Path, source: str | None = None, weights: Path | None = None
) -> ServedClassifierConfig:
    """Read what a bundle of an external classifier is made from; sections that only a training needs are passed over.

    Args:
        file: TOML file, as for a training.
        source: what to take instead of the file's `external_classifier.source`; a path starts from here.
        weights: what to take instead of the file's `external_classifier.weights`.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    content = _read(file)
    stated = {"source": source, "weights": None if weights is None else str(weights)}
    given = {key: value for key, value in stated.items() if value is not None}
    external = content.get("external_classifier", {})
    if isinstance(external, dict) and (external or given):
        content["external_classifier"] = external | _located(given, Path.cwd())
    passed_over = TrainingConfig.model_fields.keys() - ServedClassifierConfig.model_fields.keys()
    return ServedClassifierConfig.model_validate(
        {key: value for key, value in content.items() if key not in passed_over}
    )


def _located(external: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The section with absolute paths."""
    located = dict(external)
    for key in ("source", "weights"):
        value = external.get(key)
        if isinstance(value, str) and (key == "weights" or value.endswith(".onnx")):
            located[key] = str((folder / value).resolve())
    return located


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    # Of another kind, a table has other keys: it takes the place of the base's.
    if over.get("kind", base.get("kind")) != base.get("kind"):
        return over
    merged = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_tables else value
    return merged
