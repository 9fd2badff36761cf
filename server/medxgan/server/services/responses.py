"""Results of the server as messages of the wire."""

from collections.abc import Sequence

from medxgan.server.attribution import Attributions
from medxgan.server.explanation import Explanation
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import Progress
from medxgan.server.maps.rendering import render, tensor
from medxgan.server.model import ServedModel
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod

_EVERY_MAP = (
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_ORIGINAL),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_RECONSTRUCTION),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_DIFFERENCE),
    explanation_pb2.MapRequest(kind=explanation_pb2.MAP_KIND_COLORIZED),
)


def render_maps(explanation: Explanation, requested: Sequence[explanation_pb2.MapRequest]) -> list[explanation_pb2.Map]:
    """The maps asked for, in that order; every kind as a tensor where none is asked for."""
    return [render(explanation, wanted.kind, wanted.form) for wanted in requested or _EVERY_MAP]


def explain_response(
    model: ServedModel,
    explanation: Explanation,
    maps: Sequence[explanation_pb2.Map],
    decode_seconds: float,
    render_seconds: float,
) -> explanation_pb2.ExplainResponse:
    """The answer to Explain. Decoding counts as preprocessing, rendering as maps."""
    settings, scores, outcome, timing = (
        explanation.settings,
        explanation.scores,
        explanation.outcome,
        explanation.timing,
    )
    return explanation_pb2.ExplainResponse(
        model=model.identity,
        execution=model.execution,
        inversion=explanation_pb2.InversionSettings(
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            reconstruction_weight=settings.reconstruction_weight,
        ),
        seed=explanation.seed,
        scores=explanation_pb2.Scores(
            original=scores.original,
            reconstruction=scores.reconstruction,
            negative_realization=scores.negative_realization,
            decision_threshold=scores.decision_threshold,
        ),
        verdict=explanation.verdict,
        outcome=explanation_pb2.InversionOutcome(
            steps_taken=outcome.steps_taken,
            converged=outcome.converged,
            reconstruction_mse=outcome.reconstruction_mse,
            classification_loss=outcome.classification_loss,
        ),
        maps=maps,
        timing=explanation_pb2.Timing(
            queued_ms=timing.queued_ms,
            preprocess_ms=timing.preprocess_ms + 1000 * decode_seconds,
            inversion_ms=timing.inversion_ms,
            maps_ms=timing.maps_ms + 1000 * render_seconds,
            total_ms=timing.total_ms + 1000 * (decode_seconds + render_seconds),
        ),
        notes=explanation.notes,
    )


def progress_response(progress: Progress) -> explanation_pb2.ExplainStreamResponse:
    """One message of ExplainStream before the last."""
    return explanation_pb2.ExplainStreamResponse(
        progress=explanation_pb2.Progress(
            steps_taken=progress.steps_taken,
            steps_total=progress.steps_total,
            reconstruction_mse=progress.reconstruction_mse,
            classification_loss=progress.classification_loss,
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
    model: ServedModel, methods: Sequence[AttributionMethod], attributions: Attributions
) -> explanation_pb2.AttributeResponse:
    """The answer to Attribute."""
    return explanation_pb2.AttributeResponse(
        model=model.identity,
        execution=model.execution,
        logit=attributions.logit,
        image=tensor(attributions.original),
        attributions=[
            explanation_pb2.Attribution(method=method, values=tensor(values))
            for method, values in zip(methods, attributions.maps, strict=True)
        ],
        notes=attributions.notes,
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
