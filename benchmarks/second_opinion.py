"""Whether the explanations of a run convince a classifier that its generator has never seen.

    python benchmarks/second_opinion.py RUN --data DATA --judge FOLDER [--out benchmarks/results]

A generator is trained to change the answer of one classifier, and could do so by a trick that only this one falls for.
The judge has the same architecture and training images and another seed; it is trained into FOLDER unless it is there.
Both are asked about the test images that both rightly call positive.
"""

import argparse
from pathlib import Path

import torch
from measuring import versions, write_results

from medxgan.training.evaluation.classification import score_images
from medxgan.training.evaluation.explained import Explainer
from medxgan.training.networks.classifier import probability
from medxgan.training.runs import Run, build_preprocess
from medxgan.training.train_classifier import train_classifier

OTHER_SEED = 100


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
    judge_run = Run(arguments.judge, other)
    if not judge_run.has("classifier"):
        judge_run = train_classifier(other, arguments.data, arguments.judge)
    judge, classifier, (generator, encoder) = judge_run.classifier(), run.classifier(), run.generator()

    threshold = configuration.classes.decision_threshold
    images = configuration.data.load(arguments.data).test
    scored = score_images(classifier, build_preprocess(configuration), images, "test", "images")
    both = scored.true_positives(threshold) & (probability(judge, scored.x) >= threshold)
    explainer = Explainer(classifier, generator, encoder, configuration.inversion, threshold, configuration.seed)
    explained = explainer.explain(scored.x[both], scored.cohort.select(both, "true positives of both"))

    pictures = {
        "reconstruction called positive": (explained.realizations.reconstruction, True),
        "negative realization called negative": (explained.realizations.negative, False),
        "image less the difference called negative": (explained.realizations.applied_negative(explained.x), False),
    }
    shares = {
        name: [((probability(each, x) >= threshold) == positive).float().mean().item() for each in (classifier, judge)]
        for name, (x, positive) in pictures.items()
    }
    name = configuration.data.path.stem if configuration.data.kind == "npz" else configuration.data.kind
    lines = [f"| {what} | {own:.3f} | {others:.3f} |" for what, (own, others) in shares.items()]
    page = f"# A second opinion: {name}, {len(explained.x)} test images that both call positive\n\n"
    page += "| | the classifier explained | a classifier never seen |\n|---|---|---|\n" + "\n".join(lines)
    page += f"\n\n{versions('torch')}\n"
    write_results(arguments.out, f"second-opinion-{name}", {"images": len(explained.x), "shares": shares}, page)


if __name__ == "__main__":
    main()
