"""The columns of a run's rows: what docs/cohorts.md explains, and nothing else of a film."""

from collections.abc import Sequence

import pyarrow as pa

from medxgan.cohort.figures import FIGURES

TIMES = ("read_ms", "queued_ms", "preprocess_ms", "inversion_ms", "maps_ms", "total_ms")
"""Columns that differ from one run to the next."""

IDENTITY = [
    ("row", pa.int64()),
    ("film", pa.string()),
    ("label", pa.string()),
    ("source", pa.string()),
    ("input_sha256", pa.string()),
    ("input_bytes", pa.int64()),
    ("error_code", pa.string()),
    ("error_field", pa.string()),
    ("error_text", pa.string()),
]
ANSWER = [
    ("score", pa.float64()),
    ("positive", pa.bool_()),
    ("predicted_class", pa.string()),
    ("decision_threshold", pa.float64()),
    ("score_reconstruction", pa.float64()),
    ("score_negative_realization", pa.float64()),
    ("score_applied_negative", pa.float64()),
    ("verdict", pa.string()),
    ("reasons", pa.list_(pa.string())),
    ("reason_sentences", pa.list_(pa.string())),
    ("familiar", pa.bool_()),
    ("steps_taken", pa.int64()),
    ("converged", pa.bool_()),
    ("reconstruction_mse", pa.float64()),
    ("classification_loss", pa.float64()),
    ("difference_spread", pa.float64()),
    ("notes", pa.list_(pa.string())),
]
GEOMETRY = [
    ("film_rows", pa.int64()),
    ("film_columns", pa.int64()),
    ("orientation", pa.string()),
    *((f"box_{edge}", pa.float64()) for edge in ("top", "left", "bottom", "right")),
    ("spacing_row_mm", pa.float64()),
    ("spacing_column_mm", pa.float64()),
    ("pixel_aspect", pa.float64()),
    ("frame", pa.int64()),
]
RUN = [
    ("model", pa.string()),
    ("version", pa.string()),
    ("bundle_sha256", pa.string()),
    ("provider", pa.string()),
    ("seed", pa.uint64()),
    ("settings", pa.string()),
]


def schema(maps: Sequence[str], checks: Sequence[str], *, region: bool) -> pa.Schema:
    """The columns of a run.

    Args:
        maps: names of its maps.
        checks: names of the bundle's measures of how unlike an image is to those of the training.
        region: whether shares of a region were asked for.
    """
    shares = ("border_share", "region_share") if region else ("border_share",)
    figures = [
        (f"{name}_{figure}", pa.int64() if figure in ("peak_row", "peak_column") else pa.float64())
        for name in maps
        for figure in (*FIGURES, *shares)
    ]
    return pa.schema(
        [
            *IDENTITY,
            *ANSWER,
            *((f"check_{name}", pa.float64()) for name in checks),
            *GEOMETRY,
            *figures,
            *RUN,
            *((name, pa.float64()) for name in TIMES),
        ]
    )
