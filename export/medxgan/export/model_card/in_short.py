"""The box at the top of the card: what the model does, whom it was measured on, and its figures in plain sentences."""

from collections.abc import Iterator

from medxgan.export.model_card.figures import Figures, measured_on
from medxgan.export.model_card.markdown import box, bullets, of_hundred, only
from medxgan.v1.bundle_pb2 import Bundle, Classification

_MAPS = {"residual": "residual map", "difference": "difference map"}
"""The maps that localisation is reported of; the first that was measured."""


def in_short(bundle: Bundle, figures: Figures) -> str:
    """The box, in Markdown."""
    sentences = [*_classifier(bundle.classification, figures), *_explanations(figures), *_localisation(figures)]
    paragraphs = ["**In short**", _purpose(bundle), *_subjects(figures)]
    if sentences:
        paragraphs.append(bullets(sentences))
    return box("\n\n".join(paragraphs))


def _purpose(bundle: Bundle) -> str:
    classes, modality = bundle.classification, bundle.image.modality
    if bundle.HasField("latent"):
        purpose = (
            f"This model shows why a classifier calls an image ({modality}) positive. It finds a generated "
            f"picture that matches the image, and shows that picture once more without what the classifier takes for "
            f"{classes.positive_class}: the *negative realization*. The difference between the two is where the "
            "classifier looks."
        )
    else:
        purpose = (
            f"This model shows which parts of an image ({modality}) a classifier's answer rests on, "
            f"{classes.positive_class} or {classes.negative_class}."
        )
    return f"{purpose} It explains the classifier, which may be wrong about the patient."


def _subjects(figures: Figures) -> Iterator[str]:
    classifier, explained = figures.metric("classifier_auc"), figures.metric("reliable_share")
    if classifier is not None:
        yield f"The classifier was measured on: {measured_on(classifier)}."
    if explained is not None:
        yield f"The explanations were measured on what it rightly called positive: {measured_on(explained)}."


def _classifier(classes: Classification, figures: Figures) -> Iterator[str]:
    auc = figures.value("classifier_auc")
    if auc is not None:
        yield (
            f"Of 100 pairs of a positive image ({classes.positive_class}) and a negative one "
            f"({classes.negative_class}), the classifier scores the positive one higher in {only(auc)}; guessing would "
            "in 50."
        )


def _explanations(figures: Figures) -> Iterator[str]:
    reliable = figures.value("reliable_share")
    if reliable is not None:
        yield (
            f"Of 100 images that the classifier rightly called positive, {only(reliable)} got an explanation that the "
            "server calls reliable."
        )
    applied = figures.value("applied_negative_called_negative")
    if applied is not None:
        yield (
            f"Of 100 images that the classifier rightly called positive, {only(applied)} were called negative once the "
            "change shown by the explanation was taken away from them."
        )
    pointing = figures.value("reliable_difference_pointing")
    if pointing is not None:
        yield (
            f"Of 100 explanations that the server calls reliable, {only(pointing)} have the strongest change on the "
            "marked lesion."
        )


def _localisation(figures: Figures) -> Iterator[str]:
    chance = figures.value("chance_average_precision")
    if chance is None:
        return
    for kind, ending in (("pointing", _pointing), ("average_precision", _average_precision)):
        brightness = figures.value(f"intensity_{kind}")
        for name, words in _MAPS.items():
            value = figures.value(f"{name}_{kind}")
            if value is not None and brightness is not None:
                yield ending(words, value, chance, brightness) + _comparison(value, chance, brightness)
                break


def _pointing(words: str, value: float, chance: float, brightness: float) -> str:
    return (
        f"Of 100 images with a marked lesion, the {words} is strongest on the lesion in {only(value)}; a random point "
        f"lies on it in {of_hundred(chance)}, the brightest point of the image in {of_hundred(brightness)}."
    )


def _average_precision(words: str, value: float, chance: float, brightness: float) -> str:
    return (
        f"Of 100 pixels that the {words} points out, {only(value)} lie on the lesion, averaged over cut-offs from a "
        f"little of the lesion to all of it; of a random map {of_hundred(chance)}, of plain brightness "
        f"{of_hundred(brightness)}."
    )


def _comparison(value: float, chance: float, brightness: float) -> str:
    """What has to be said of a map that a simpler one equals."""
    if value <= chance:
        return " The map is no better than a random one."
    return " The map is no better than plain brightness." if value <= brightness else ""
