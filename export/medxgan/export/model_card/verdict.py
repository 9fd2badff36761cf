"""What the server's verdict checks, what it promises, and whether unseen patients kept the promise."""

from collections.abc import Sequence

from medxgan.export.model_card.figures import Figures
from medxgan.export.model_card.markdown import number, percent, table
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
    return (
        f"The server says **not reliable** when\n\n"
        f"- the mean squared error between the image and its reconstruction is above "
        f"{number(reliability.maximum_reconstruction_mse)} (grey from -1 to 1);\n"
        f"- the classifier puts the image and its reconstruction on different sides of {threshold};\n"
        f"- the classifier still gives the negative realization {threshold} or more.\n\n"
        f"It says **not applicable** when the classifier gives the image itself less than {threshold}. "
        f"How the error's threshold was set: {reliability.method}."
    )


def _promise(promise: ReliabilityPromise, figures: Figures) -> str:
    text = (
        "That the classifier calls the image negative once the change shown, reconstruction less negative realization, "
        "is taken away from it. The verdict itself does not check this; how often it holds was counted."
    )
    promised, lowest = "none reliable", ""
    if promise.HasField("lower_bound"):
        promised, lowest = percent(promise.applied_negative_called_negative), percent(promise.lower_bound)
    rows = [(f"Set on: {promise.measured_on}", percent(promise.coverage), promised, lowest)]
    reliable, kept = figures.metric("reliable_share"), figures.value("reliable_applied_negative_called_negative")
    if reliable is not None:
        found = "none reliable" if kept is None else percent(kept)
        rows.append((f"Unseen: {reliable.measured_on}", percent(reliable.value), found, ""))
    header = ("Explanations", "Reliable", "Of these keep the promise", "Promised at least (95 % interval)")
    return "\n\n".join([text, table(header, rows), _outcome(promise, kept)])


def _outcome(promise: ReliabilityPromise, kept: float | None) -> str:
    if not promise.HasField("lower_bound"):
        return "Where the threshold was set no explanation was reliable, so nothing is promised."
    lowest = percent(promise.lower_bound)
    if kept is None:
        return "Whether unseen patients keep the promise has not been measured."
    if kept >= promise.lower_bound:
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
