"""MODEL_CARD.md: what a bundle says of itself, for a clinician to read."""

from collections.abc import Iterable, Sequence

from medxgan.v1.bundle_pb2 import (
    ASPECT_CROP,
    ASPECT_PAD,
    ASPECT_STRETCH,
    Aspect,
    Bundle,
    Classification,
    ImageSpecification,
    InversionSpecification,
    Metric,
    Provenance,
    Reliability,
)

ASPECTS: dict[Aspect, str] = {
    ASPECT_CROP: "of a picture that is not square, the largest centred square is used",
    ASPECT_PAD: "a picture that is not square is filled up with its darkest grey",
    ASPECT_STRETCH: "a picture that is not square is stretched to a square",
}


_ATTRIBUTION_ALONE = (
    "This bundle holds no generator: there is no negative realization, and no verdict on an explanation. What it "
    "offers are attribution maps, which weigh each pixel's part in an answer by the classifier's gradient, or by "
    "covering it. Maps of different methods may disagree, and a map that looks sensible is no proof that it is right."
)


def model_card(bundle: Bundle) -> str:
    """The card in Markdown: every statement and figure is taken from the bundle's description."""
    explanation: tuple[str, ...] = (_section("How it is explained", _ATTRIBUTION_ALONE),)
    if bundle.HasField("latent"):
        explanation = (
            _section("How an explanation is found", _inversion(bundle.inversion)),
            _section("When an explanation can be relied on", _verdict(bundle.reliability, bundle.classification)),
        )
    sections = (
        _introduction(bundle),
        _section("What it looks at", _image(bundle.image)),
        _section("What it decides", _classes(bundle.classification)),
        *explanation,
        _section("Measured on images it was not trained on", _metrics(bundle.metrics)),
        _section("Data and licence", _provenance(bundle.provenance)),
        _section("Limitations", _bullets(bundle.provenance.limitations) or "None are stated."),
    )
    return "\n\n".join(sections) + "\n"


def _introduction(bundle: Bundle) -> str:
    classes, modality = bundle.classification, bundle.image.modality
    if bundle.HasField("latent"):
        purpose = (
            f"This model shows why a classifier calls an image ({modality}) positive. It finds a generated "
            f"picture that matches the image, and shows that picture once more without what the classifier takes for "
            f"{classes.positive_class}: the *negative realization*. The difference between the two is where the "
            "classifier looks. "
        )
    else:
        purpose = (
            f"This model shows which parts of an image ({modality}) a classifier's answer rests on, "
            f"{classes.positive_class} or {classes.negative_class}. "
        )
    return (
        f"# {bundle.name}, version {bundle.version}\n\n"
        "**Not a medical device.** For research; not for diagnosis or treatment.\n\n"
        f"{purpose}It explains the classifier, which may be wrong about the patient."
    )


def _image(image: ImageSpecification) -> str:
    return (
        f"One grey image ({image.modality}), reduced to {image.size} x {image.size} pixels: what is smaller than a "
        f"pixel of that grid is not seen. {ASPECTS[image.aspect].capitalize()}. Grey levels are stretched between "
        f"percentile {_number(image.lower_percentile)} and percentile {_number(image.upper_percentile)} of the image."
    )


def _classes(classes: Classification) -> str:
    lines = [
        f"Positive: {classes.positive_class}.",
        f"Negative: {classes.negative_class}.",
        f"An image counts as positive from a probability of {_number(classes.decision_threshold)}.",
    ]
    if classes.outputs:
        positive = classes.outputs[classes.positive_output]
        lines.append(f'Its outputs are {", ".join(classes.outputs)}; positive is "{positive}", negative all others.')
    return _bullets(lines)


def _inversion(inversion: InversionSpecification) -> str:
    steps = "all steps are taken"
    if inversion.tolerance > 0:
        steps = (
            f"a search stops early when {inversion.check_interval} steps lower the loss by less than "
            f"{_number(100 * inversion.tolerance)} %"
        )
    rate, weight = inversion.learning_rate_range, inversion.reconstruction_weight_range
    rows = [
        ("Steps", str(inversion.default_steps), f"1 to {inversion.maximum_steps}"),
        ("Learning rate", _number(inversion.default_learning_rate), _range(rate.minimum, rate.maximum)),
        (
            "Weight of the likeness (λ)",
            _number(inversion.default_reconstruction_weight),
            _range(weight.minimum, weight.maximum),
        ),
    ]
    adam = f"betas {_number(inversion.beta1)} and {_number(inversion.beta2)}, epsilon {_number(inversion.epsilon)}"
    return (
        f"{_table(('Setting', 'Default', 'Allowed'), rows)}\n\n"
        "The search weighs likeness to the image against agreement of the classifier's two answers, "
        f"by Adam ({adam}); {steps}."
    )


def _verdict(reliability: Reliability, classes: Classification) -> str:
    threshold = _number(classes.decision_threshold)
    return (
        f"The server says **not reliable** when\n\n"
        f"- the mean squared error between the image and its reconstruction is above "
        f"{_number(reliability.maximum_reconstruction_mse)} (grey from -1 to 1);\n"
        f"- the classifier puts the image and its reconstruction on different sides of {threshold};\n"
        f"- the classifier still gives the negative realization {threshold} or more.\n\n"
        f"It says **not applicable** when the classifier gives the image itself less than {threshold}. "
        f"How the error's threshold was set: {reliability.method}."
    )


def _metrics(metrics: Iterable[Metric]) -> str:
    rows = [(metric.name, _number(metric.value), metric.measured_on, metric.description) for metric in metrics]
    return _table(("Figure", "Value", "Measured on", "Meaning"), rows) if rows else "Nothing has been measured."


def _provenance(provenance: Provenance) -> str:
    parts = [f"Trained on:\n\n{_bullets(provenance.data)}", f"Licence of the weights: {provenance.license}."]
    if provenance.attribution:
        parts.append(f"Attribution:\n\n{_bullets(provenance.attribution)}")
    versions = ", ".join(f"{name} {number}" for name, number in sorted(provenance.versions.items()))
    parts.append(f"Random seed {provenance.seed}; made with {versions}. The training settings are in `bundle.json`.")
    return "\n\n".join(parts)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _range(minimum: float, maximum: float) -> str:
    return f"{_number(minimum)} to {_number(maximum)}"


def _number(value: float) -> str:
    """Four significant digits: fields of 32 bits don't show their rounding."""
    return f"{value:.4g}"
