"""Whether another training gives the same maps: classifier and generator anew, from another seed.

    python benchmarks/repeatability.py RUN OTHER_RUN --data DATA [--split calibration]

Two of the four questions of Arun et al., Assessing the Trustworthiness of Saliency Maps for Localizing Abnormalities in
Medical Imaging, Radiology: AI 2021: repeatability, since classifiers of one architecture are trained on the same images
from two seeds, and with it reproducibility as far as two seeds tell. Each run is exported and served; images that both
call positive are explained by both, and the maps of one image compared by Pearson's correlation over the pixels and by
the intersection over union of their strongest pixels, as many as the lesion has. What maps have in common anyway stands
beside it: the same figures between different images. Writes repeatability-NAME.json and .md.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from measuring import conditions, data_name, machine, write_results
from numpy.typing import NDArray

from medxgan.evaluation.cohort import open_cohort
from medxgan.evaluation.images import Split
from medxgan.evaluation.metrics.localisation import average_precision, intersection_over_union, top_region
from medxgan.evaluation.saliency import Salience, ranked_pixels, saliency, similarity
from medxgan.evaluation.served import choose_methods, default_settings, explain_together, served
from medxgan.export.bundle import export_bundle
from medxgan.training.data.samples import DataSplit
from medxgan.training.runs import Run, load_trained_model
from medxgan.v1.explanation_pb2 import MapKind

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Of one method's maps of two trainings, means over the images.

    Attributes:
        method: its name.
        correlation: of the two maps of an image.
        correlation_elsewhere: of the maps of two images.
        overlap: intersection over union of the strongest pixels of the two maps of an image.
        overlap_elsewhere: the same of two images.
        precision: average precision of each training's maps against the masks.
    """

    method: str
    correlation: float
    correlation_elsewhere: float
    overlap: float
    overlap_elsewhere: float
    precision: tuple[float, float]


def main(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    other: Annotated[Path, typer.Argument(help="Run folder of another training on the same images.")],
    data: Annotated[Path, typer.Option(help="Folder that the runs' data lie in.")],
    split: Annotated[Split, typer.Option(help="Which images.")] = "test",
    images: Annotated[int, typer.Option(min=2, help="Most images.")] = 200,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Compare the maps of two trainings."""
    configuration = Run.open(run).configuration
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name / "1" for name in ("one", "other")]
        for each, folder in zip((run, other), folders, strict=True):
            export_bundle(load_trained_model(each), folder)
        maps, masks = asyncio.run(explained(folders, configuration.data.load(data), split, images))
    found = [agreement(method, pair, masks) for method, pair in maps.items()]
    name = data_name(configuration.data)
    report = {
        **conditions(1, "torch", "onnxruntime", folders={data: "DATA", run: "RUN", other: "OTHER_RUN"}),
        "data": name,
        "split": split,
        "images": len(masks),
        "agreement": [asdict(each) for each in found],
    }
    write_results(out, f"repeatability-{name}", report, page(report, found))


async def explained(
    folders: Sequence[Path], data: DataSplit, split: Split, most: int
) -> tuple[dict[str, tuple[list[Salience], list[Salience]]], list[Mask]]:
    """The maps of both bundles by method, of images with a mask that both rightly call positive, and the masks."""
    async with AsyncExitStack() as running:
        models = [await running.enter_async_context(served(folder, "cpu", 1)) for folder in folders]
        cohorts = [await open_cohort(model, data, split) for model in models]
        chosen = [
            image.positive and image.mask is not None and all(each.score.positive for each in opened)
            for image, *opened in zip(cohorts[0].images, *(cohort.opened for cohort in cohorts), strict=True)
        ]
        chosen = [pick and sum(chosen[:place]) < most for place, pick in enumerate(chosen)]
        kinds = [kind for kind in choose_methods(models[0], ()) if kind in choose_methods(models[1], ())]
        both: list[dict[MapKind, list[Salience]]] = []
        for model, cohort in zip(models, cohorts, strict=True):
            opened = cohort.select(chosen, "that both call positive").opened
            made = await explain_together(model, opened, default_settings(model, kinds))
            both.append({kind: [saliency(each.maps[kind].values) for each in made] for kind in kinds})
        masks = [image.mask for image, pick in zip(cohorts[0].images, chosen, strict=True) if pick]
    names = {kind: MapKind.Name(kind).removeprefix("MAP_KIND_").lower().replace("_", " ") for kind in kinds}
    return {names[kind]: (both[0][kind], both[1][kind]) for kind in kinds}, [mask for mask in masks if mask is not None]


def agreement(method: str, maps: tuple[list[Salience], list[Salience]], masks: list[Mask]) -> Agreement:
    """Compare the maps of two trainings, image by image, and each with the other training's map of the next image."""
    one, other = maps
    elsewhere = [*other[1:], other[0]]
    random = np.random.default_rng(0)

    def overlaps(others: list[Salience]) -> float:
        regions = [
            [top_region(ranked_pixels(each, random), mask) for each in pair]
            for *pair, mask in zip(one, others, masks, strict=True)
        ]
        return float(np.mean([intersection_over_union(first, second) for first, second in regions]))

    def correlations(others: list[Salience]) -> float:
        return float(np.mean([similarity(first, second) for first, second in zip(one, others, strict=True)]))

    first, second = (
        float(np.mean([average_precision(each, mask) for each, mask in zip(own, masks, strict=True)])) for own in maps
    )
    return Agreement(
        method, correlations(other), correlations(elsewhere), overlaps(other), overlaps(elsewhere), (first, second)
    )


def page(report: Mapping[str, object], found: list[Agreement]) -> str:
    """The report as a page."""
    lines = [
        f"# Two trainings: {report['data']}, {report['images']} images of the {report['split']} split",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        "| map | correlation of the two trainings | of two images | overlap of the strongest pixels | of two images | "
        "average precision, one and the other |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.method} | {each.correlation:.2f} | {each.correlation_elsewhere:.2f} | {each.overlap:.2f} | "
        f"{each.overlap_elsewhere:.2f} | {each.precision[0]:.2f}, {each.precision[1]:.2f} |"
        for each in sorted(found, key=lambda each: -each.correlation)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
