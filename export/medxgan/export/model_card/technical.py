"""The technical tables: preprocessing, classes, search, every figure, and where the weights come from."""

from collections.abc import Iterable

from medxgan.export.model_card.figures import title
from medxgan.export.model_card.markdown import bullets, interval, number, table
from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    ASPECT_PAD,
    ASPECT_STRETCH,
    Aspect,
    Classification,
    ImageSpecification,
    InversionSpecification,
    Metric,
    Provenance,
)

ASPECTS: dict[Aspect, str] = {
    ASPECT_CROP: "of a picture that is not square, the largest centred square is used",
    ASPECT_PAD: "a picture that is not square is filled up with its darkest grey",
    ASPECT_STRETCH: "a picture that is not square is stretched to a square",
}


def image(specification: ImageSpecification) -> str:
    """What is done to a picture before the classifier sees it."""
    size = specification.size
    lower, upper = number(specification.lower_percentile), number(specification.upper_percentile)
    return (
        f"One grey image ({specification.modality}), reduced to {size} x {size} pixels: what is smaller than a pixel "
        f"of that grid is not seen. {ASPECTS[specification.aspect].capitalize()}. Grey levels are stretched between "
        f"percentile {lower} and percentile {upper} of the image."
    )


def classes(classification: Classification) -> str:
    """The classes, and from which probability an image is positive."""
    lines = [
        f"Positive: {classification.positive_class}.",
        f"Negative: {classification.negative_class}.",
        f"An image counts as positive from a probability of {number(classification.decision_threshold)}.",
    ]
    if classification.outputs:
        positive = classification.outputs[classification.positive_output]
        lines.append(
            f'Its outputs are {", ".join(classification.outputs)}; positive is "{positive}", negative all others.'
        )
    return bullets(lines)


def inversion(settings: InversionSpecification) -> str:
    """Settings of the search for the latent code."""
    steps = "all steps are taken"
    if settings.tolerance > 0:
        steps = (
            f"a search stops early when {settings.check_interval} steps lower the loss by less than "
            f"{number(100 * settings.tolerance)} %"
        )
    rate, weight = settings.learning_rate_range, settings.reconstruction_weight_range
    rows = [
        ("Steps", str(settings.default_steps), f"1 to {settings.maximum_steps}"),
        ("Learning rate", number(settings.default_learning_rate), interval(rate.minimum, rate.maximum)),
        (
            "Weight of the likeness (λ)",
            number(settings.default_reconstruction_weight),
            interval(weight.minimum, weight.maximum),
        ),
    ]
    adam = f"betas {number(settings.beta1)} and {number(settings.beta2)}, epsilon {number(settings.epsilon)}"
    return (
        f"{table(('Setting', 'Default', 'Allowed'), rows)}\n\n"
        "The search weighs likeness to the image against agreement of the classifier's two answers, "
        f"by Adam ({adam}); {steps}."
    )


def metrics(measured: Iterable[Metric]) -> str:
    """Every figure, and the command that makes them."""
    rows = [
        (f"{title(each.name)} (`{each.name}`)", number(each.value), each.measured_on, each.description)
        for each in measured
    ]
    if not rows:
        return "Nothing has been measured."
    return (
        f"{table(('Figure', 'Value', 'Measured on', 'Meaning'), rows)}\n\n"
        "Made by `medxgan evaluate RUN --data ROOT --report DIR`: RUN is the training's folder, ROOT the folder of its "
        "data, DIR the folder of a report on every method of explaining."
    )


def provenance(origin: Provenance) -> str:
    """Data, licence, attribution and versions."""
    parts = [f"Trained on:\n\n{bullets(origin.data)}", f"Licence of the weights: {origin.license}."]
    if origin.attribution:
        parts.append(f"Attribution:\n\n{bullets(origin.attribution)}")
    versions = ", ".join(f"{name} {number}" for name, number in sorted(origin.versions.items()))
    parts.append(f"Random seed {origin.seed}; made with {versions}. The training settings are in `bundle.json`.")
    return "\n\n".join(parts)
