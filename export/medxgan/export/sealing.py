"""From a draft to a bundle: the thresholds, the figures and the card, once all has been measured. The graphs stay.

A draft is a bundle that states no figure. `medxgan evaluate RUN` writes one into the run, RUN/draft/NAME/1, measures
what it serves and seals it there; `medxgan export RUN` gives the sealed bundle its name and version.
"""

import json
import shutil
from pathlib import Path

from medxgan.bundle import load_bundle
from medxgan.bundle.hashing import sha256_of
from medxgan.bundle.schema import CARD_FILE, DESCRIPTION_FILE, description_json, validate_description
from medxgan.export.bundle import being_written, check_destination
from medxgan.export.model_card import model_card
from medxgan.training.runs import Run, RunError
from medxgan.v1.bundle_pb2 import Bundle

EVALUATION_FILE = "evaluation.json"
"""In a run's folder: what was measured, in the names of bundle.proto; and hashes of what of, "run", and on, "data"."""


def is_draft(bundle: Bundle) -> bool:
    """Whether nothing has been measured on a bundle yet."""
    return not bundle.metrics


def seal(folder: Path, measured: Bundle) -> None:
    """Write what was measured into a bundle's description and card.

    Args:
        folder: the bundle, NAME/VERSION/.
        measured: its metrics, reliability and familiarity; its other fields are not looked at.

    Raises:
        BundleError: the folder holds no bundle.
    """
    description = load_bundle(folder).description
    del description.metrics[:]
    description.metrics.extend(measured.metrics)
    for part in ("reliability", "familiarity"):
        if measured.HasField(part):
            getattr(description, part).CopyFrom(getattr(measured, part))
    _write(description, folder)


def draft_folder(run: Path) -> Path:
    """Where a run's draft is, RUN/draft/NAME/1 with the run's own name made a bundle's."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in run.resolve().name.lower())
    return run / "draft" / (name.strip("-")[:63] or "run") / "1"


def fingerprint(run: Run) -> dict[str, str]:
    """SHA-256 of what a bundle of the run is made of, by file: its options, checkpoints and external classifier."""
    files = [run.folder / "options.json", *sorted(run.folder.glob("familiarity/*.json"))]
    files += [run.checkpoint(part) for part in ("classifier", "generator", "encoder", "familiarity") if run.has(part)]
    hashes = {file.relative_to(run.folder).as_posix(): sha256_of(file) for file in files}
    external = run.configuration.external_classifier
    if external is not None:
        named = (external.weights, Path(external.source) if external.from_onnx else None)
        hashes |= {f"external_classifier: {file.name}": _hash_of(file) for file in named if file is not None}
    return hashes


def _hash_of(file: Path) -> str:
    """SHA-256 of a file that may have been taken away; then the empty string, which no file has."""
    return sha256_of(file) if file.is_file() else ""


def is_measured(run: Run) -> bool:
    """Whether the run's draft is sealed, and of what the run now holds."""
    evaluation = run.folder / EVALUATION_FILE
    if not evaluation.exists() or not (draft_folder(run.folder) / DESCRIPTION_FILE).exists():
        return False
    return bool(json.loads(evaluation.read_text(encoding="utf-8")).get("run") == fingerprint(run))


def export_measured_run(folder: Path, out: Path) -> None:
    """Write the bundle of a run that has been evaluated.

    Args:
        folder: the run.
        out: the folder NAME/VERSION to write; it must not hold anything yet.

    Raises:
        DestinationError: `out` is not such a folder.
        RunError: the run has not been evaluated, or was trained or configured anew since.
        BundleError: its draft is damaged.
    """
    out = out.absolute()
    check_destination(out)
    if not is_measured(Run.open(folder)):
        raise RunError(f"{folder}: has not been evaluated as it is now; run `medxgan evaluate {folder}`")
    draft = load_bundle(draft_folder(folder))
    with being_written(out) as made:
        shutil.copytree(draft.folder, made)
        draft.description.name, draft.description.version = out.parent.name, out.name
        _write(draft.description, made)
        load_bundle(made)


def _write(description: Bundle, folder: Path) -> None:
    validate_description(description)
    for name, content in ((CARD_FILE, model_card(description)), (DESCRIPTION_FILE, description_json(description))):
        part = folder.parent / f"{folder.name}-{name}.part"
        part.write_text(content, encoding="utf-8")
        part.replace(folder / name)
