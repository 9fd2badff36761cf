"""The row of one film: of its explanation, or of its error."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from medxgan.client.geometry import Geometry
from medxgan.client.results import Explanation, Score
from medxgan.cohort.errors import FilmError
from medxgan.cohort.figures import Region, map_figures
from medxgan.cohort.sources.film import Film

Row = Mapping[str, Any]
"""Values by column; a column that is left out is null."""


def film_part(number: int, film: Film, sha256: str | None, size: int | None) -> Row:
    """What is known of a film before it is explained."""
    return {
        "row": number,
        "film": film.film,
        "label": film.label,
        "source": film.source,
        "input_sha256": sha256,
        "input_bytes": size,
    }


def error_part(error: FilmError) -> Row:
    """What there is instead of an explanation."""
    return {"error_code": error.code, "error_field": error.field, "error_text": error.text}


def explanation_part(explanation: Explanation, classes: tuple[str, str], region: Region | None) -> Row:
    """What an explanation says.

    Args:
        explanation: of the film.
        classes: names of the positive and of the negative class.
        region: where the share of every map is asked for.
    """
    scores, outcome, timing = explanation.scores, explanation.outcome, explanation.timing
    row: dict[str, Any] = {
        "score": scores.original.probability,
        "positive": scores.original.positive,
        "predicted_class": classes[0] if scores.original.positive else classes[1],
        "decision_threshold": scores.decision_threshold,
        "score_reconstruction": _probability(scores.reconstruction),
        "score_negative_realization": _probability(scores.negative_realization),
        "score_applied_negative": _probability(scores.applied_negative),
        "verdict": explanation.verdict.status.value,
        "reasons": [reason.code.value for reason in explanation.verdict.reasons],
        "reason_sentences": [reason.sentence for reason in explanation.verdict.reasons],
        "familiar": all(check.passed for check in explanation.image_checks),
        "notes": list(explanation.notes),
        "model": explanation.model.name,
        "version": explanation.model.version,
        "bundle_sha256": explanation.model.bundle_sha256,
        "provider": explanation.execution.provider,
        "seed": explanation.settings.seed,
        "settings": json.dumps(asdict(explanation.settings), sort_keys=True),
        "queued_ms": timing.queued_ms,
        "preprocess_ms": timing.preprocess_ms,
        "inversion_ms": timing.inversion_ms,
        "maps_ms": timing.maps_ms,
        "total_ms": timing.total_ms,
    }
    if outcome is not None:
        row |= {
            "steps_taken": outcome.steps_taken,
            "converged": outcome.converged,
            "reconstruction_mse": outcome.reconstruction_mse,
            "classification_loss": outcome.classification_loss,
            "difference_spread": outcome.difference_spread,
        }
    row |= {f"check_{check.name}": check.measured for check in explanation.image_checks}
    for entry in explanation.maps.values():
        figures = map_figures(entry.array(), explanation.geometry, region)
        row |= {f"{entry.kind.value}_{name}": value for name, value in figures.items()}
    return row | _geometry(explanation.geometry)


def _geometry(geometry: Geometry) -> dict[str, Any]:
    box, spacing = geometry.box, geometry.pixel_spacing
    return {
        "film_rows": geometry.rows,
        "film_columns": geometry.columns,
        "orientation": geometry.orientation.value,
        "box_top": box.top,
        "box_left": box.left,
        "box_bottom": box.bottom,
        "box_right": box.right,
        "spacing_row_mm": None if spacing is None else spacing.row_mm,
        "spacing_column_mm": None if spacing is None else spacing.column_mm,
        "pixel_aspect": geometry.pixel_aspect,
        "frame": geometry.frame,
    }


def _probability(score: Score | None) -> float | None:
    return None if score is None else score.probability
