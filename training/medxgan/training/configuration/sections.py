"""The sections of a configuration that are our own networks' and their trainings'."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medxgan.training.configuration.section import Section
from medxgan.training.preprocessing import Aspect

Channels = tuple[Annotated[int, Field(ge=1)], ...]


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
