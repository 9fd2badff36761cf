"""A bundle, or a training run by its draft bundle: measured as it is served, and sealed."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.evaluation.bundle_figures import ANATOMIES, measure_bundle
from medxgan.evaluation.errors import SubjectError
from medxgan.evaluation.images import fingerprint_of_data
from medxgan.evaluation.served import served
from medxgan.export.bundle import export_bundle
from medxgan.export.sealing import EVALUATION_FILE, draft_folder, fingerprint, is_draft, is_measured, seal
from medxgan.server.engine.providers import ProviderChoice
from medxgan.training.data.samples import DataSplit
from medxgan.training.data.source import DataConfig, load
from medxgan.training.runs import Run, load_trained_model
from medxgan.v1.bundle_pb2 import Bundle


def seal_bundle(
    folder: Path,
    data: DataConfig,
    data_root: Path,
    provider: ProviderChoice,
    threads: int,
    *,
    anatomies: int = ANATOMIES,
    again: bool = False,
) -> Bundle:
    """Measure a draft and write its thresholds, figures and card.

    Args:
        folder: the bundle, NAME/VERSION/.
        data: the data that it was trained on.
        data_root: folder that relative paths of `data` start from.
        provider: what runs the bundle's graphs.
        threads: CPU threads; 0 takes as many as there are cores.
        anatomies: that are sampled for `disentanglement`.
        again: whether a bundle may be sealed that states figures already, and so may have been released.

    Returns:
        What was measured: `metrics`, `reliability` and `familiarity`.

    Raises:
        SubjectError: the bundle is no draft.
        BundleError, UnsupportedError: the bundle can't be served.
        DataError, ImagesError: there are no images to measure it on.
    """
    bundle = load_bundle(folder)
    if not again and not is_draft(bundle.description):
        raise SubjectError(
            f"{bundle.name}: states figures already; a bundle never changes once released. To replace the figures of "
            "one that was not, use --reseal"
        )
    return _sealed(folder, load(data, data_root), provider, threads, anatomies)


def _sealed(folder: Path, images: DataSplit, provider: ProviderChoice, threads: int, anatomies: int) -> Bundle:
    async def measure() -> Bundle:
        async with served(folder, provider, threads) as model:
            return await measure_bundle(model, images, anatomies)

    measured = asyncio.run(measure())
    seal(folder, measured)
    return measured


def evaluate_run(
    folder: Path,
    data_root: Path,
    provider: ProviderChoice,
    threads: int,
    *,
    anatomies: int = ANATOMIES,
    fresh: bool = False,
) -> LoadedBundle:
    """Measure a run as its bundle is served, and write `evaluation.json` into it.

    Its draft, which `medxgan export` makes the bundle of, lies in RUN/draft. A run that was measured as it is now, on
    the images that there are now, is not measured again unless `fresh`.

    Returns:
        The sealed draft.

    Raises:
        RunError: there is no run, or no trained classifier.
        ExportError: its networks can't be stored as graphs.
        DataError, ImagesError: there are no images to measure it on.
    """
    run = Run.open(folder)
    draft = draft_folder(folder)
    images = load(run.configuration.data, data_root)
    data = fingerprint_of_data(images)
    if fresh or not is_measured(run) or _read_evaluation(folder).get("data") != data:
        shutil.rmtree(folder / "draft", ignore_errors=True)
        export_bundle(load_trained_model(folder), draft)
        measured = _sealed(draft, images, provider, threads, anatomies)
        content: dict[str, Any] = {"run": fingerprint(run), "data": data}
        content |= json_format.MessageToDict(measured, preserving_proto_field_name=True)
        (folder / EVALUATION_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return load_bundle(draft)


def _read_evaluation(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    return content
