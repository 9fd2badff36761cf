"""Results of the server as messages of the wire."""

from collections.abc import Sequence

from medxgan.server.explainers.attributions import AttributionMap, Attributions
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explainers.table import INTEGRATING
from medxgan.server.explanation import Explanation, PositiveRealization
from medxgan.server.graphs import output_name
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import InversionSettings, Progress
from medxgan.server.maps.rendering import render, render_frame, tensor
from medxgan.server.model import ServedModel
from medxgan.v1 import explanation_pb2

_USUAL_MAPS = (
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_ORIGINAL),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_RECONSTRUCTION),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_DIFFERENCE),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_COLORIZED),
)


def render_maps(explanation: Explanation, requested: Sequence[explanation_pb2.MapRequest]) -> list[explanation_pb2.Map]:
    """The maps asked for, in that order; the usual ones as tensors where none is asked for."""
    return [render(explanation, wanted.kind, wanted.form) for wanted in requested or _USUAL_MAPS]


def render_trajectory(explanation: Explanation, form: explanation_pb2.MapForm) -> list[explanation_pb2.TrajectoryFrame]:
    """The pictures of the trajectory, in order."""
    return [render_frame(frame, form) for frame in explanation.trajectory]


def explain_response(
    model: ServedModel,
    explanation: Explanation,
    maps: Sequence[explanation_pb2.Map],
    frames: Sequence[explanation_pb2.TrajectoryFrame],
    decode_seconds: float,
    render_seconds: float,
) -> explanation_pb2.ExplainResponse:
    """The answer to Explain. Decoding counts as preprocessing, rendering as maps."""
    explained, positive, timing = explanation.explained, explanation.positive_realization, explanation.timing
    scores, outcome = explained.scores, explained.outcome
    return explanation_pb2.ExplainResponse(
        model=model.identity,
        execution=model.execution,
        inversion=_inversion_settings(explanation.settings),
        seed=explanation.seed,
        scores=explanation_pb2.Scores(
            original=scores.original,
            reconstruction=scores.reconstruction,
            negative_realization=scores.negative_realization,
            decision_threshold=scores.decision_threshold,
            applied_negative=scores.applied_negative,
            positive_realization=None if positive is None else positive.score,
        ),
        verdict=explained.verdict,
        outcome=explanation_pb2.InversionOutcome(
            steps_taken=outcome.steps_taken,
            converged=outcome.converged,
            reconstruction_mse=outcome.reconstruction_mse,
            classification_loss=outcome.classification_loss,
            restart=outcome.restart,
            difference_spread=outcome.difference_spread,
        ),
        maps=maps,
        timing=explanation_pb2.Timing(
            queued_ms=timing.queued_ms,
            preprocess_ms=timing.preprocess_ms + 1000 * decode_seconds,
            inversion_ms=timing.inversion_ms,
            maps_ms=timing.maps_ms + 1000 * render_seconds,
            total_ms=timing.total_ms + 1000 * (decode_seconds + render_seconds),
            positive_realization_ms=timing.positive_realization_ms,
        ),
        notes=explanation.notes,
        positive_realization=None if positive is None else _positive_realization_outcome(positive),
        trajectory=frames,
    )


def _positive_realization_outcome(positive: PositiveRealization) -> explanation_pb2.PositiveRealizationOutcome:
    return explanation_pb2.PositiveRealizationOutcome(
        found=positive.found,
        steps_taken=positive.steps_taken,
        scale=positive.scale,
        change_mse=positive.change_mse,
    )


def progress_response(progress: Progress) -> explanation_pb2.ExplainStreamResponse:
    """One message of ExplainStream before the last."""
    return explanation_pb2.ExplainStreamResponse(
        progress=explanation_pb2.Progress(
            steps_taken=progress.steps_taken,
            steps_total=progress.steps_total,
            reconstruction_mse=progress.reconstruction_mse,
            classification_loss=progress.classification_loss,
            phase=progress.phase,
        )
    )


def classify_response(model: ServedModel, image: GreyImage, probability: float) -> explanation_pb2.ClassifyResponse:
    """The answer to Classify."""
    classes = model.bundle.description.classification
    positive = probability >= classes.decision_threshold
    return explanation_pb2.ClassifyResponse(
        model=model.identity,
        execution=model.execution,
        probability=probability,
        decision_threshold=classes.decision_threshold,
        predicted_class=classes.positive_class if positive else classes.negative_class,
        notes=image.notes,
    )


def attribute_response(
    model: ServedModel, image: GreyImage, settings: AttributionSettings, attributions: Attributions
) -> explanation_pb2.AttributeResponse:
    """The answer to Attribute. Of the settings it holds those that a method used."""
    used = {each.method for each in attributions.maps}
    response = explanation_pb2.AttributeResponse(
        model=model.identity,
        execution=model.execution,
        logit=attributions.logit,
        image=tensor(attributions.original),
        target=settings.target,
        target_class=output_name(model.bundle.description.classification, settings.target),
        attributions=[_attribution(each) for each in attributions.maps],
        notes=image.notes,
    )
    if not used.isdisjoint(INTEGRATING):
        response.integrated_gradients.steps = settings.path_steps
        response.integrated_gradients.baseline = settings.baseline
    if explanation_pb2.ATTRIBUTION_METHOD_OCCLUSION in used:
        response.occlusion.window = settings.window
        response.occlusion.stride = settings.stride
        response.occlusion.level = settings.level
    if attributions.explained is not None and settings.inversion is not None:
        response.inversion.CopyFrom(_inversion_settings(settings.inversion))
        response.seed = settings.seed
        response.verdict.CopyFrom(attributions.explained.verdict)
    return response


def _attribution(each: AttributionMap) -> explanation_pb2.Attribution:
    attribution = explanation_pb2.Attribution(
        method=each.method, values=tensor(each.values), elapsed_ms=1000 * each.seconds
    )
    if each.completeness is not None:
        attribution.completeness.attributed = each.completeness.attributed
        attribution.completeness.change = each.completeness.change
        attribution.completeness.error = each.completeness.error
    return attribution


def _inversion_settings(settings: InversionSettings) -> explanation_pb2.InversionSettings:
    return explanation_pb2.InversionSettings(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        reconstruction_weight=settings.reconstruction_weight,
        restarts=settings.restarts,
    )


def model_summary(model: ServedModel) -> explanation_pb2.ModelSummary:
    """One line of ListModels."""
    description = model.bundle.description
    return explanation_pb2.ModelSummary(
        model=model.identity,
        modality=description.image.modality,
        positive_class=description.classification.positive_class,
        negative_class=description.classification.negative_class,
        license=description.provenance.license,
        execution=model.execution,
    )
