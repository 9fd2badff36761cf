"""The one file that describes a training run, from the data to what its model card says."""

from medxgan.training.configuration.external_classifier import ExternalClassifierConfig
from medxgan.training.configuration.files import (
    ConfigurationError,
    completed,
    load_configuration,
    load_data_section,
    load_served_classifier,
    read_stated,
)
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
    ObjectiveWeights,
    RefinementConfig,
)
from medxgan.training.configuration.whole import ServedClassifierConfig, TrainingConfig

__all__ = [
    "AugmentationConfig",
    "CardConfig",
    "ClassesConfig",
    "ClassifierConfig",
    "ConfigurationError",
    "EncoderConfig",
    "ExternalClassifierConfig",
    "FamiliarityConfig",
    "GeneratorConfig",
    "ImageConfig",
    "InversionConfig",
    "ObjectiveWeights",
    "RefinementConfig",
    "ServedClassifierConfig",
    "TrainingConfig",
    "completed",
    "load_configuration",
    "load_data_section",
    "load_served_classifier",
    "read_stated",
]
