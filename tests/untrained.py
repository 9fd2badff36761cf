"""A model that has learned nothing, small enough for tests."""

import torch
from torch import nn

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


def untrained_model() -> TrainedModel:
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
