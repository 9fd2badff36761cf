"""A configuration: its sections, and what they ask of each other."""

from typing import Self

from pydantic import Field, model_validator

from medxgan.training.configuration.external_classifier import ExternalClassifierConfig
from medxgan.training.configuration.section import Section
from medxgan.training.configuration.sections import (
    AugmentationConfig,
    CardConfig,
    ClassesConfig,
    ClassifierConfig,
    EncoderConfig,
    FamiliarityConfig,
    GeneratorConfig,
    ImageConfig,
    InversionConfig,
    RefinementConfig,
)
from medxgan.training.data.source import DataConfig
from medxgan.training.networks.channels import COARSEST_SIDE, doublings
from medxgan.training.networks.generator import FINE_STRIDE


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
