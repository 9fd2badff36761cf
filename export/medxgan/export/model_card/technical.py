"""The technical tables: preprocessing, classes, search, every figure, and where the weights come from."""

from collections.abc import Iterable

from medxgan.bundle.graphs import output_names
from medxgan.export.model_card.figures import title
from medxgan.export.model_card.markdown import bullets, interval, number, percent, table
from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    ASPECT_PAD,
    ASPECT_STRETCH,
    OUTPUT_ACTIVATION_SOFTMAX,
    SOLVER_LBFGS,
    Aspect,
    Classification,
    Familiarity,
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
    height, width = specification.height, specification.width
    lower, upper = number(specification.lower_percentile), number(specification.upper_percentile)
    return (
        f"One grey image ({specification.modality}), reduced to {height} x {width} pixels: what is smaller than a "
        f"pixel of that grid is not seen. {ASPECTS[specification.aspect].capitalize()}. Grey levels are stretched "
        f"between percentile {lower} and percentile {upper} of the image."
    )


def classes(classification: Classification) -> str:
    """The classes, and from which probability an image is positive."""
    lines = [
        f"Positive: {classification.positive_class}.",
        f"Negative: {classification.negative_class}.",
        f"An image counts as positive from a probability of {number(classification.decision_threshold)}.",
    ]
    if len(classification.outputs) > 1:
        names = ", ".join(output_names(classification))
        others = ", negative all others" if classification.activation == OUTPUT_ACTIVATION_SOFTMAX else ""
        lines.append(f'Its outputs are {names}; positive is "{classification.positive_class}"{others}.')
    return bullets(lines)


def familiarity(check: Familiarity) -> str:
    """Which images the server calls unlike those of the training."""
    rows = [(f"`{each.name}`", number(each.maximum), each.description) for each in check.measures]
    rate = ""
    if check.HasField("false_alarm_rate"):
        share = percent(check.false_alarm_rate)
        rate = f" Real images that are called unlike all the same: {share} ({check.measured_on})."
    return (
        "The server says **not applicable** of an image unlike those of the training (blank, noise, another part of "
        f"the body, a photograph): where a measure exceeds its maximum.{rate}\n\n"
        f"{table(('Measure', 'Maximum', 'Meaning'), rows)}\n\nHow the maxima were set: {check.method}."
    )


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
    if settings.default_solver == SOLVER_LBFGS:
        solver = "L-BFGS, each image for itself"
    else:
        betas = f"betas {number(settings.beta1)} and {number(settings.beta2)}"
        solver = f"Adam ({betas}, epsilon {number(settings.epsilon)})"
    pathology = ""
    if settings.HasField("pathology_rate"):
        pathology = (
            f" The pathology's part of the code moves at {number(settings.pathology_rate)} of the learning rate."
        )
    return (
        f"{table(('Setting', 'Default', 'Allowed'), rows)}\n\n"
        "The search weighs likeness to the image against agreement of the classifier's two answers, "
        f"by {solver}; {steps}.{pathology}"
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
