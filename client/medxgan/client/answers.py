"""From the wire's answers to the client's results; what this client does not know never loses an answer."""

from google.protobuf.message import DecodeError

from medxgan.client import results
from medxgan.client.errors import ServerFaultError
from medxgan.client.geometry import Box, Geometry, PixelSpacing
from medxgan.client.tensors import array
from medxgan.client.vocabulary import (
    ImageForm,
    MapKind,
    MapNeed,
    Orientation,
    ProgressPhase,
    Solver,
    VerdictReasonCode,
    VerdictStatus,
    from_wire,
)
from medxgan.v1 import bundle_pb2, explanation_pb2


def explanation(answer: explanation_pb2.ExplainResponse) -> results.Explanation:
    """Read an explanation; raises ServerFaultError where a map's data does not fit its shape."""
    timing = answer.timing
    maps = [_map(entry) for entry in answer.maps]
    return results.Explanation(
        model=_identity(answer.model),
        execution=_execution(answer.execution),
        settings=_settings(answer.settings),
        scores=_scores(answer.scores),
        verdict=_verdict(answer.verdict),
        image_checks=tuple(_check(check) for check in answer.image_checks),
        outcome=_outcome(answer.outcome) if answer.HasField("outcome") else None,
        positive_outcome=_positive_outcome(answer.positive_realization)
        if answer.HasField("positive_realization")
        else None,
        target=results.TargetScore(answer.target.class_name, answer.target.logit)
        if answer.HasField("target")
        else None,
        maps={entry.kind: entry for entry in maps},
        trajectory=tuple(
            results.TrajectoryFrame(
                frame.position,
                _score(frame.score),
                array(frame.tensor) if frame.HasField("tensor") else None,
                frame.png if frame.HasField("png") else None,
            )
            for frame in answer.trajectory
        ),
        geometry=_geometry(answer.geometry),
        timing=results.Timing(
            queued_ms=timing.queued_ms,
            preprocess_ms=timing.preprocess_ms,
            inversion_ms=timing.inversion_ms,
            positive_realization_ms=timing.positive_realization_ms,
            maps_ms=timing.maps_ms,
            total_ms=timing.total_ms,
        ),
        notes=tuple(answer.notes),
    )


def kept_explanation(content: bytes) -> results.Explanation:
    """Read an answer that `Client.explain` gave to be kept.

    Raises:
        ServerFaultError: it is none.
    """
    try:
        return explanation(explanation_pb2.ExplainResponse.FromString(content))
    except DecodeError as error:
        raise ServerFaultError("a kept answer can't be read") from error


def stream_event(message: explanation_pb2.ExplainStreamResponse) -> results.Progress | results.Explanation | None:
    """Read one message of a stream; None where it is of a kind that this client does not know."""
    match message.WhichOneof("event"):
        case "result":
            return explanation(message.result)
        case "progress":
            return results.Progress(
                phase=from_wire(ProgressPhase, message.progress.phase),
                steps_taken=message.progress.steps_taken,
                steps_total=message.progress.steps_total,
                reconstruction_mse=message.progress.reconstruction_mse,
                classification_loss=message.progress.classification_loss,
            )
        case _:
            return None


def classification(answer: explanation_pb2.ClassifyResponse) -> results.Classification:
    """Read a score."""
    return results.Classification(
        model=_identity(answer.model),
        execution=_execution(answer.execution),
        score=_score(answer.score),
        decision_threshold=answer.decision_threshold,
        predicted_class=answer.predicted_class,
        familiar=answer.familiar,
        image_checks=tuple(_check(check) for check in answer.image_checks),
        geometry=_geometry(answer.geometry),
        notes=tuple(answer.notes),
    )


def models(answer: explanation_pb2.ListModelsResponse) -> tuple[results.ModelSummary, ...]:
    """Read the list of models."""
    return tuple(
        results.ModelSummary(
            model=_identity(model.model),
            modality=model.modality,
            positive_class=model.positive_class,
            negative_class=model.negative_class,
            license=model.license,
            execution=_execution(model.execution),
            has_generator=model.has_generator,
            is_default=model.is_default,
        )
        for model in answer.models
    )


def model_description(answer: explanation_pb2.GetModelResponse) -> results.ModelDescription:
    """Read the description of one model."""
    return results.ModelDescription(
        model=_identity(answer.model),
        bundle=answer.bundle,
        execution=_execution(answer.execution),
        maps=tuple(
            results.MapDescription(
                kind=from_wire(MapKind, entry.kind),
                name=entry.name,
                title=entry.title,
                unit=entry.unit,
                range=_interval(entry.range) if entry.HasField("range") else None,
                channels=entry.channels,
                needs=tuple(from_wire(MapNeed, need) for need in entry.needs),
                cost=entry.cost,
                is_default=entry.is_default,
                any_class=entry.any_class,
            )
            for entry in answer.maps
        ),
        default_settings=_settings(answer.default_settings),
        server=server_description(answer.server),
    )


def server_description(server: explanation_pb2.ServerDescription) -> results.ServerDescription:
    """Read what a server is and takes."""
    limits = server.limits
    return results.ServerDescription(
        version=server.version,
        limits=results.Limits(
            message_bytes=limits.message_bytes,
            image_side=limits.image_side,
            image_pixels=limits.image_pixels,
            decompressed_bytes=limits.decompressed_bytes,
            maps=limits.maps,
            restarts=limits.restarts,
            path_steps=limits.path_steps,
            occlusion_windows=limits.occlusion_windows,
            trajectory_frames=limits.trajectory_frames,
        ),
        image_forms=tuple(from_wire(ImageForm, form) for form in server.image_forms),
    )


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


def _settings(settings: explanation_pb2.ExplainSettings) -> results.Settings:
    inversion, path, windows = settings.inversion, settings.integrated_gradients, settings.occlusion
    return results.Settings(
        target_class=settings.target_class,
        seed=settings.seed if settings.HasField("seed") else None,
        inversion=results.InversionSettings(
            steps=inversion.steps if inversion.HasField("steps") else None,
            learning_rate=inversion.learning_rate if inversion.HasField("learning_rate") else None,
            reconstruction_weight=inversion.reconstruction_weight
            if inversion.HasField("reconstruction_weight")
            else None,
            restarts=inversion.restarts if inversion.HasField("restarts") else None,
            solver=from_wire(Solver, inversion.solver) if inversion.solver else None,
        )
        if settings.HasField("inversion")
        else None,
        integrated_gradients=results.IntegratedGradientsSettings(
            steps=path.steps if path.HasField("steps") else None,
            baseline=path.baseline if path.HasField("baseline") else None,
        )
        if settings.HasField("integrated_gradients")
        else None,
        occlusion=results.OcclusionSettings(
            window=windows.window if windows.HasField("window") else None,
            stride=windows.stride if windows.HasField("stride") else None,
            level=windows.level if windows.HasField("level") else None,
        )
        if settings.HasField("occlusion")
        else None,
    )


def _score(score: explanation_pb2.Score) -> results.Score:
    return results.Score(score.probability, score.positive)


def _scores(scores: explanation_pb2.Scores) -> results.Scores:
    return results.Scores(
        original=_score(scores.original),
        reconstruction=_score(scores.reconstruction) if scores.HasField("reconstruction") else None,
        negative_realization=_score(scores.negative_realization) if scores.HasField("negative_realization") else None,
        applied_negative=_score(scores.applied_negative) if scores.HasField("applied_negative") else None,
        positive_realization=_score(scores.positive_realization) if scores.HasField("positive_realization") else None,
        decision_threshold=scores.decision_threshold,
    )


def _map(entry: explanation_pb2.Map) -> results.Map:
    completeness = entry.completeness
    return results.Map(
        kind=from_wire(MapKind, entry.kind),
        values=array(entry.tensor) if entry.HasField("tensor") else None,
        png=entry.png if entry.HasField("png") else None,
        range=_interval(entry.range),
        completeness=results.Completeness(completeness.attributed, completeness.change, completeness.error)
        if entry.HasField("completeness")
        else None,
        elapsed_ms=entry.elapsed_ms,
    )


def _interval(interval: bundle_pb2.Interval) -> results.Interval:
    return results.Interval(interval.minimum, interval.maximum)


def _outcome(outcome: explanation_pb2.InversionOutcome) -> results.InversionOutcome:
    return results.InversionOutcome(
        steps_taken=outcome.steps_taken,
        converged=outcome.converged,
        reconstruction_mse=outcome.reconstruction_mse,
        classification_loss=outcome.classification_loss,
        restart=outcome.restart,
        difference_spread=outcome.difference_spread if outcome.HasField("difference_spread") else None,
    )


def _positive_outcome(outcome: explanation_pb2.PositiveRealizationOutcome) -> results.PositiveRealizationOutcome:
    return results.PositiveRealizationOutcome(
        found=outcome.found,
        steps_taken=outcome.steps_taken,
        scale=outcome.scale,
        change_mse=outcome.change_mse,
    )


def _verdict(verdict: explanation_pb2.Verdict) -> results.Verdict:
    return results.Verdict(
        status=from_wire(VerdictStatus, verdict.status),
        reasons=tuple(
            results.VerdictReason(
                from_wire(VerdictReasonCode, reason.code), reason.measured, reason.threshold, reason.sentence
            )
            for reason in verdict.reasons
        ),
    )


def _check(check: explanation_pb2.ImageCheck) -> results.ImageCheck:
    return results.ImageCheck(check.name, check.measured, check.maximum, check.passed)


def _geometry(geometry: explanation_pb2.Geometry) -> Geometry:
    box, spacing = geometry.box, geometry.pixel_spacing
    return Geometry(
        rows=geometry.rows,
        columns=geometry.columns,
        orientation=from_wire(Orientation, geometry.orientation),
        box=Box(box.top, box.left, box.bottom, box.right),
        pixel_spacing=PixelSpacing(spacing.row_mm, spacing.column_mm) if geometry.HasField("pixel_spacing") else None,
        pixel_aspect=geometry.pixel_aspect,
        frame=geometry.frame,
    )
