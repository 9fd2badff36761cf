"""Whether the explanations of a run convince a classifier that its generator has never seen.

    python benchmarks/second_opinion.py RUN --data DATA --judge FOLDER [--out benchmarks/results]

A generator is trained to change the answer of one classifier, and could do so by a trick that only this one falls for.
The judge has the same training images and another seed. It is trained into FOLDER, with the same architecture, unless
there is a run with a classifier, whose architecture may be another.
Both are asked about the test images that both rightly call positive.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np
import torch
from measuring import data_name, versions, write_results
from numpy.typing import NDArray

from medxgan.evaluation.cohort import Explained, explain_cohort, open_cohort
from medxgan.evaluation.served import served
from medxgan.export.bundle import export_bundle
from medxgan.training.data.samples import DataSplit
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.classifier import probability
from medxgan.training.runs import Run, load_trained_model
from medxgan.training.train_classifier import train_classifier

OTHER_SEED = 100


async def explain_those_of_both(
    bundle: Path, images: DataSplit, judge: ExplainedClassifier, threshold: float
) -> Explained:
    """Explanations of the test images that both classifiers rightly call positive."""
    async with served(bundle, "cpu", 1) as model:
        found = (await open_cohort(model, images, "test")).true_positives("of both")
        both = judge_positive(judge, np.concatenate([opened.x for opened in found.opened]), threshold)
        return await explain_cohort(model, found.select(both, "true positives of both"))


def judge_positive(judge: ExplainedClassifier, x: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """[N] True where the judge calls x: [N, 1, S, S] positive."""
    positive: NDArray[np.bool_] = (probability(judge, torch.from_numpy(x)) >= threshold).numpy()
    return positive


def main() -> None:
    """Train the judge, ask both and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the configuration's paths start from")
    parser.add_argument("--judge", type=Path, required=True, help="run folder of the judge")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    run = Run.open(arguments.run)
    configuration = run.configuration
    other = configuration.model_copy(update={"seed": configuration.seed + OTHER_SEED})
    if Run(arguments.judge, other).has("classifier"):
        judge_run = Run.open(arguments.judge)
    else:
        judge_run = train_classifier(other, arguments.data, arguments.judge)
    judge, threshold = judge_run.classifier(), configuration.classes.decision_threshold
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / "run" / "1"
        export_bundle(load_trained_model(arguments.run), bundle)
        images = configuration.data.load(arguments.data)
        explained = asyncio.run(explain_those_of_both(bundle, images, judge, threshold))

    found, count = explained.inverted, len(explained.cohort)
    pictures = {
        "reconstruction called positive": [(each.reconstruction, each.reconstruction_score) for each in found],
        "negative realization called negative": [
            (each.negative_realization, each.negative_realization_score) for each in found
        ],
        "image less the difference called negative": [
            (each.applied_negative, each.applied_negative_score) for each in found
        ],
    }
    shares = {}
    for title, rows in pictures.items():
        wanted = title.endswith("positive")
        own = sum(score.positive == wanted for _, score in rows) / count
        judged = judge_positive(judge, np.stack([picture for picture, _ in rows])[:, None], threshold)
        shares[title] = [own, float((judged == wanted).mean())]
    name = data_name(configuration.data)
    lines = [f"| {what} | {own:.3f} | {others:.3f} |" for what, (own, others) in shares.items()]
    page = f"# A second opinion: {name}, {count} test images that both call positive\n\n"
    page += "| | the classifier explained | a classifier never seen |\n|---|---|---|\n" + "\n".join(lines)
    page += f"\n\n{versions('torch')}\n"
    write_results(arguments.out, f"second-opinion-{name}", {"images": count, "shares": shares}, page)


if __name__ == "__main__":
    main()
