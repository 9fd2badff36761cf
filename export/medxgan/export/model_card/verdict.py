"""What the server's verdict checks, what it promises, and whether unseen patients kept the promise."""

from collections.abc import Sequence

from medxgan.export.model_card.figures import Figures
from medxgan.export.model_card.markdown import bullets, number, percent, table
from medxgan.v1.bundle_pb2 import Classification, CoveragePoint, Reliability, ReliabilityPromise


def verdict(reliability: Reliability, classes: Classification, figures: Figures) -> str:
    """The section, in Markdown."""
    parts = [_checks(reliability, classes)]
    if reliability.HasField("promise"):
        parts.append(f"### What *reliable* promises\n\n{_promise(reliability.promise, figures)}")
    if reliability.curve:
        parts.append(f"### If the verdict were stricter or laxer\n\n{_curve(reliability.curve)}")
    return "\n\n".join(parts)


def _checks(reliability: Reliability, classes: Classification) -> str:
    threshold = number(classes.decision_threshold)
    checks = [
        f"the mean squared error between the image and its reconstruction is above "
        f"{number(reliability.maximum_reconstruction_mse)} (grey from -1 to 1)",
        f"the classifier puts the image and its reconstruction on different sides of {threshold}",
        f"the classifier still gives the negative realization {threshold} or more",
        f"the classifier still gives the image {threshold} or more once the change shown, reconstruction less negative "
        "realization, is taken away from it",
    ]
    if reliability.HasField("minimum_difference_peak"):
        checks.append(
            f"the change shown is nowhere as great as {number(reliability.minimum_difference_peak)}: a change so weak "
            "points at lesions less often"
        )
    return (
        f"The server says **not reliable** when\n\n{bullets(checks)}\n\n"
        f"It says **not applicable** when the classifier gives the image itself less than {threshold}. "
        f"How the error's threshold was set: {reliability.method}."
    )


def _promise(promise: ReliabilityPromise, figures: Figures) -> str:
    unseen = figures.metric("reliable_share")
    rows = [(f"Set on: {promise.measured_on}", percent(promise.coverage), *_promised(promise))]
    kept = figures.value("reliable_difference_pointing")
    if unseen is not None:
        found = "none reliable" if unseen.value == 0 else "not measured" if kept is None else percent(kept)
        rows.append((f"Unseen: {unseen.measured_on}", percent(unseen.value), found, ""))
    header = ("Explanations", "Reliable", "Of these strongest on the lesion", "Promised at least (95 % interval)")
    text = (
        "That the difference map is strongest on the lesion. No verdict can check that where no lesion is marked; how "
        "often it holds was counted where they are. That the classifier changes its mind is no promise: the verdict "
        "checks it of every explanation."
    )
    return "\n\n".join([text, table(header, rows), _outcome(promise, kept)])


def _promised(promise: ReliabilityPromise) -> tuple[str, str]:
    if promise.coverage == 0:
        return "none reliable", ""
    if not promise.HasField("difference_pointing_lower_bound"):
        return "no lesions marked", ""
    return percent(promise.difference_pointing), percent(promise.difference_pointing_lower_bound)


def _outcome(promise: ReliabilityPromise, kept: float | None) -> str:
    if promise.coverage == 0:
        return "Where the thresholds were set no explanation was reliable, so nothing is promised."
    if not promise.HasField("difference_pointing_lower_bound"):
        return "The data have no marked lesions, so **nothing is promised of the place**."
    lowest = percent(promise.difference_pointing_lower_bound)
    if kept is None:
        return "Whether unseen patients keep the promise has not been measured."
    if kept >= promise.difference_pointing_lower_bound:
        return f"Unseen patients **kept the promise**: {percent(kept)}, at least {lowest} promised."
    return f"Unseen patients **did not keep the promise**: {percent(kept)}, at least {lowest} promised."


def _curve(curve: Sequence[CoveragePoint]) -> str:
    rows = [
        (
            percent(point.coverage),
            str(point.images),
            number(point.maximum_reconstruction_mse),
            percent(point.negative_called_negative),
            percent(point.applied_negative_called_negative),
            *_localised(point),
        )
        for point in curve
    ]
    header = ["Kept", "Images", "Error at most", "Negative realization called negative", "Image less the change too"]
    if any(_localised(point) for point in curve):
        header += ["Residual map: average precision", "Residual map: strongest on the lesion"]
    filled = [[*row, *["not measured"] * (len(header) - len(row))] for row in rows]
    return (
        "On unseen patients, with none but the best reconstructed explanations kept, whatever else the verdict checks. "
        f"With few images a step between two lines may be chance.\n\n{table(header, filled)}"
    )


def _localised(point: CoveragePoint) -> tuple[str, ...]:
    if not point.HasField("residual_average_precision"):
        return ()
    return number(point.residual_average_precision), percent(point.residual_pointing)
