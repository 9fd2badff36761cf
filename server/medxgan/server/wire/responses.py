"""Results of the server as messages of the wire."""

from medxgan.server.explanation.explain import Progress
from medxgan.server.explanation.explanation import Explanation, Inverted, OpenedImage, PositiveRealization
from medxgan.server.explanation.rendering import notes_on_maps, render_frame, render_map, score_message
from medxgan.server.images.film import Placement
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.server.wire.descriptions import execution, identity, settings_in_force
from medxgan.v1 import explanation_pb2


def explain_response(
    model: ServedModel, request: explanation_pb2.ExplainRequest, explanation: Explanation, stopwatch: Stopwatch
) -> explanation_pb2.ExplainResponse:
    """The answer to Explain: the maps in the order and the forms asked for, each as often as asked for."""
    opened, inverted, positive = explanation.opened, explanation.inverted, explanation.positive_realization
    requested = request.maps or [explanation_pb2.MapRequest(kind=kind) for kind in explanation.maps]
    response = explanation_pb2.ExplainResponse(
        model=identity(model),
        execution=execution(model),
        settings=settings_in_force(explanation.settings),
        scores=_scores(model, explanation),
        verdict=explanation.verdict,
        image_checks=_image_checks(opened),
        outcome=None if inverted is None else _outcome(inverted),
        positive_realization=None if positive is None else _positive_outcome(positive),
        maps=[render_map(wanted.kind, explanation.maps[wanted.kind], wanted.form) for wanted in requested],
        trajectory=[render_frame(frame, request.trajectory.form) for frame in explanation.trajectory],
        geometry=_geometry(opened.placement),
        notes=[*opened.notes, *notes_on_maps(explanation.maps)],
    )
    if explanation.target_logit is not None:
        response.target.class_name = explanation.settings.target
        response.target.logit = explanation.target_logit
    response.timing.CopyFrom(_timing(stopwatch))
    return response


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


def classify_response(model: ServedModel, opened: OpenedImage) -> explanation_pb2.ClassifyResponse:
    """The answer to Classify."""
    classes = model.bundle.description.classification
    return explanation_pb2.ClassifyResponse(
        model=identity(model),
        execution=execution(model),
        score=score_message(opened.score),
        decision_threshold=classes.decision_threshold,
        predicted_class=classes.positive_class if opened.score.positive else classes.negative_class,
        familiar=opened.familiar,
        image_checks=_image_checks(opened),
        geometry=_geometry(opened.placement),
        notes=opened.notes,
    )


def _scores(model: ServedModel, explanation: Explanation) -> explanation_pb2.Scores:
    scores = explanation_pb2.Scores(
        original=score_message(explanation.opened.score),
        decision_threshold=model.bundle.description.classification.decision_threshold,
    )
    if explanation.inverted is not None:
        scores.reconstruction.CopyFrom(score_message(explanation.inverted.reconstruction_score))
        scores.negative_realization.CopyFrom(score_message(explanation.inverted.negative_realization_score))
        scores.applied_negative.CopyFrom(score_message(explanation.inverted.applied_negative_score))
    if explanation.positive_realization is not None:
        scores.positive_realization.CopyFrom(score_message(explanation.positive_realization.score))
    return scores


def _image_checks(opened: OpenedImage) -> list[explanation_pb2.ImageCheck]:
    return [
        explanation_pb2.ImageCheck(name=check.name, measured=check.measured, maximum=check.maximum, passed=check.passed)
        for check in opened.checks
    ]


def _outcome(inverted: Inverted) -> explanation_pb2.InversionOutcome:
    return explanation_pb2.InversionOutcome(
        steps_taken=inverted.steps_taken,
        converged=inverted.converged,
        reconstruction_mse=inverted.reconstruction_mse,
        classification_loss=inverted.classification_loss,
        restart=inverted.restart,
        difference_spread=inverted.difference_spread,
    )


def _positive_outcome(positive: PositiveRealization) -> explanation_pb2.PositiveRealizationOutcome:
    return explanation_pb2.PositiveRealizationOutcome(
        found=positive.score.positive,
        steps_taken=positive.steps_taken,
        scale=positive.scale,
        change_mse=positive.change_mse,
    )


def _geometry(placement: Placement) -> explanation_pb2.Geometry:
    top, left, bottom, right = placement.box
    geometry = explanation_pb2.Geometry(
        rows=placement.rows,
        columns=placement.columns,
        orientation=placement.orientation,
        box=explanation_pb2.Box(top=top, left=left, bottom=bottom, right=right),
        pixel_aspect=placement.pixel_aspect,
        frame=placement.frame,
    )
    if placement.spacing is not None:
        geometry.pixel_spacing.row_mm = placement.spacing.row_mm
        geometry.pixel_spacing.column_mm = placement.spacing.column_mm
    return geometry


def _timing(stopwatch: Stopwatch) -> explanation_pb2.Timing:
    parts = stopwatch.milliseconds()
    return explanation_pb2.Timing(
        queued_ms=parts[Phase.QUEUED],
        preprocess_ms=parts[Phase.PREPROCESS],
        inversion_ms=parts[Phase.INVERSION],
        positive_realization_ms=parts[Phase.POSITIVE_REALIZATION],
        maps_ms=parts[Phase.MAPS],
        total_ms=sum(parts.values()),
    )
