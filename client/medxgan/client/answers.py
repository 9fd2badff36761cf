"""From the wire's answers to the client's results."""

from math import prod

import numpy as np

from medxgan.client import results
from medxgan.client.enums import from_wire
from medxgan.client.errors import ServerFaultError
from medxgan.v1 import bundle_pb2, explanation_pb2


def explanation(answer: explanation_pb2.ExplainResponse) -> results.Explanation:
    """Read an explanation; raises ServerFaultError where it can't be read."""
    scores, outcome = answer.scores, answer.outcome
    return results.Explanation(
        model=_identity(answer.model),
        execution=_execution(answer.execution),
        settings=_inversion(answer.inversion),
        seed=answer.seed,
        scores=results.Scores(
            original=_decimal(scores.original),
            reconstruction=_decimal(scores.reconstruction),
            negative_realization=_decimal(scores.negative_realization),
            applied_negative=_decimal(scores.applied_negative),
            positive_realization=_decimal(scores.positive_realization)
            if scores.HasField("positive_realization")
            else None,
            decision_threshold=_decimal(scores.decision_threshold),
        ),
        verdict=_verdict(answer.verdict),
        outcome=results.InversionOutcome(
            steps_taken=outcome.steps_taken,
            converged=outcome.converged,
            reconstruction_mse=_decimal(outcome.reconstruction_mse),
            classification_loss=_decimal(outcome.classification_loss),
            restart=outcome.restart,
            difference_spread=_decimal(outcome.difference_spread) if outcome.HasField("difference_spread") else None,
        ),
        positive_outcome=_positive_outcome(answer.positive_realization)
        if answer.HasField("positive_realization")
        else None,
        timing=results.Timing(
            queued_ms=_decimal(answer.timing.queued_ms),
            preprocess_ms=_decimal(answer.timing.preprocess_ms),
            inversion_ms=_decimal(answer.timing.inversion_ms),
            positive_realization_ms=_decimal(answer.timing.positive_realization_ms),
            maps_ms=_decimal(answer.timing.maps_ms),
            total_ms=_decimal(answer.timing.total_ms),
        ),
        notes=tuple(answer.notes),
        maps={from_wire(results.MapKind, entry.kind): _array(entry.tensor) for entry in answer.maps},
        trajectory=tuple(
            results.TrajectoryFrame(_decimal(frame.position), _decimal(frame.score), _array(frame.tensor))
            for frame in answer.trajectory
        ),
    )


def progress(event: explanation_pb2.Progress) -> results.Progress:
    """Read the progress of a phase; raises ServerFaultError where it can't be read."""
    return results.Progress(
        phase=from_wire(results.ProgressPhase, event.phase),
        steps_taken=event.steps_taken,
        steps_total=event.steps_total,
        reconstruction_mse=_decimal(event.reconstruction_mse),
        classification_loss=_decimal(event.classification_loss),
    )


def classification(answer: explanation_pb2.ClassifyResponse) -> results.Classification:
    """Read a score."""
    return results.Classification(
        model=_identity(answer.model),
        execution=_execution(answer.execution),
        probability=_decimal(answer.probability),
        decision_threshold=_decimal(answer.decision_threshold),
        predicted_class=answer.predicted_class,
        notes=tuple(answer.notes),
    )


def attribution(answer: explanation_pb2.AttributeResponse) -> results.Attribution:
    """Read attributions; raises ServerFaultError where they can't be read."""
    entries = {from_wire(results.AttributionMethod, entry.method): entry for entry in answer.attributions}
    path, windows = answer.integrated_gradients, answer.occlusion
    return results.Attribution(
        model=_identity(answer.model),
        execution=_execution(answer.execution),
        logit=_decimal(answer.logit),
        target=answer.target,
        target_class=answer.target_class,
        notes=tuple(answer.notes),
        image=_array(answer.image),
        values={method: _array(entry.values) for method, entry in entries.items()},
        completeness={
            method: _completeness(entry.completeness)
            for method, entry in entries.items()
            if entry.HasField("completeness")
        },
        elapsed_ms={method: _decimal(entry.elapsed_ms) for method, entry in entries.items()},
        integrated_gradients=results.IntegratedGradientsSettings(path.steps, _decimal(path.baseline))
        if answer.HasField("integrated_gradients")
        else None,
        occlusion=results.OcclusionSettings(windows.window, windows.stride, _decimal(windows.level))
        if answer.HasField("occlusion")
        else None,
        inversion=_inversion(answer.inversion) if answer.HasField("inversion") else None,
        seed=answer.seed,
        verdict=_verdict(answer.verdict) if answer.HasField("verdict") else None,
    )


def model_summary(answer: explanation_pb2.ModelSummary) -> results.ModelSummary:
    """Read one model of a list."""
    return results.ModelSummary(
        model=_identity(answer.model),
        modality=answer.modality,
        positive_class=answer.positive_class,
        negative_class=answer.negative_class,
        license=answer.license,
        execution=_execution(answer.execution),
    )


def model_description(answer: explanation_pb2.GetModelResponse) -> results.ModelDescription:
    """Read the description of one model."""
    return results.ModelDescription(_identity(answer.model), answer.bundle, _execution(answer.execution))


def _identity(model: explanation_pb2.ModelIdentity) -> results.ModelIdentity:
    return results.ModelIdentity(model.name, model.version, model.bundle_sha256)


def _execution(execution: explanation_pb2.Execution) -> results.Execution:
    return results.Execution(
        engine=execution.engine,
        provider=execution.provider,
        requested=execution.requested,
        fallback=execution.fallback,
        fallback_reason=execution.fallback_reason,
    )


def _inversion(settings: explanation_pb2.InversionSettings) -> results.InversionSettings:
    return results.InversionSettings(
        steps=settings.steps,
        learning_rate=_decimal(settings.learning_rate),
        reconstruction_weight=_decimal(settings.reconstruction_weight),
        restarts=settings.restarts,
    )


def _positive_outcome(outcome: explanation_pb2.PositiveRealizationOutcome) -> results.PositiveRealizationOutcome:
    return results.PositiveRealizationOutcome(
        found=outcome.found,
        steps_taken=outcome.steps_taken,
        scale=_decimal(outcome.scale),
        change_mse=_decimal(outcome.change_mse),
    )


def _completeness(completeness: explanation_pb2.Completeness) -> results.Completeness:
    return results.Completeness(
        _decimal(completeness.attributed), _decimal(completeness.change), _decimal(completeness.error)
    )


def _verdict(verdict: explanation_pb2.Verdict) -> results.Verdict:
    return results.Verdict(
        status=from_wire(results.VerdictStatus, verdict.status),
        reasons=tuple(
            results.VerdictReason(
                code=from_wire(results.VerdictReasonCode, reason.code),
                measured=_decimal(reason.measured),
                threshold=_decimal(reason.threshold),
                sentence=reason.sentence,
            )
            for reason in verdict.reasons
        ),
    )


def _array(tensor: explanation_pb2.Tensor) -> results.FloatArray:
    if tensor.data_type != bundle_pb2.DATA_TYPE_FLOAT32:
        raise ServerFaultError("the answer can't be read: a map is missing or not a float32 tensor")
    values = np.frombuffer(tensor.data, dtype="<f4").astype(np.float32, copy=False)
    if values.size != prod(tensor.shape):
        raise ServerFaultError(f"the answer can't be read: {values.size} values for the shape {list(tensor.shape)}")
    return values.reshape(tuple(tensor.shape))


def _decimal(value: float) -> float:
    """The shortest decimal of the wire's float32: 0.9 rather than 0.8999999761581421."""
    return float(str(np.float32(value)))
