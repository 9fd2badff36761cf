"""`report.md`: the tables, and how each figure came about, from report.json alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medxgan.evaluation.catalogue import IMAGE_FIGURES, METHOD_FIGURES, Figure, Group, of_group
from medxgan.evaluation.report.sections import coverage_section, estimated_regions, lesion_size_section
from medxgan.evaluation.report.tables import (
    MISSING,
    bold,
    interval,
    interval_or_missing,
    markdown_table,
    picture_link,
    spoken_name,
)
from medxgan.evaluation.summary import ALL, RELIABLE, Report

NOTE = "Research use only. Not a medical device."


def markdown(report: Report, pictures: Sequence[str]) -> str:
    """The report's text.

    Args:
        report: from `summarise`.
        pictures: PNG files beside it.
    """
    model, images = report["model"], report["images"]
    sections = [
        f"# {model['name']}/{model['version']}: explainers compared",
        f"{NOTE} Why this classifier calls an image “{model['positive_class']}” ({model['modality']}), by "
        f"{len(report['methods'])} methods.",
        _made(report),
        "## Ranking",
        _ranking(report),
        *_method_section(report, "Localisation", "localisation", pictures, "localisation.png"),
        *lesion_size_section(report),
        *_method_section(report, "Faithfulness", "faithfulness", pictures, "curves.png"),
        *_method_section(report, "Robustness", "robustness", pictures, ""),
        *_sanity(report, pictures),
        *_method_section(report, "Shortcuts", "shortcuts", pictures, "", estimated_regions(report)),
        *_explanations(report),
        *coverage_section(report, pictures),
        "## Cost",
        _cost(report),
        *picture_link(pictures, "cost.png"),
        "## The classifier",
        _classifier(report),
        *(["## Maps", *picture_link(pictures, "contact-sheet.png")] if "contact-sheet.png" in pictures else []),
        "## How to read this",
        _reading(report, images),
        "## Definitions",
        _definitions(report),
        "## Made with",
        _versions(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _made(report: Report) -> str:
    model, images, made = report["model"], report["images"], report["made_from"]
    masked = f", {images['explained_with_mask']} with a lesion mask" if images["explained_with_mask"] else ", no masks"
    lines = {
        "command": f"`{report['command']}`",
        "bundle": f"{model['name']}/{model['version']}, SHA-256 of bundle.json `{model['bundle_sha256']}`",
        "data": f"{images['split']} split: {images['images']} images of {_patients(images['patients'])}, "
        f"{images['positive_images']} positive",
        "explained": f"{images['explained']} of {images['true_positives']} true positives, of "
        f"{_patients(images['explained_patients'])}{masked}",
        "seed": made["seed"],
        "run by": f"{made['provider']}, {made['threads'] or 'all'} thread(s)",
    }
    return markdown_table(("", ""), lines.items())


def _patients(count: int | None) -> str:
    return f"{'an unknown number of' if count is None else count} patients"


def _ranking(report: Report) -> str:
    ranked = [figure for figure in METHOD_FIGURES if _any(report["ranking"], figure.name)]
    rows = [
        (spoken_name(name), bold(f"{own['mean']:.1f}", position == 0), *(f"{own[figure.name]:g}" for figure in ranked))
        for position, (name, own) in enumerate(report["ranking"].items())
    ]
    table = markdown_table(("method", "mean rank", *(figure.title for figure in ranked)), rows)
    return (
        f"{table}\n\nRank of each method by each figure, 1 the best, and the mean of these. It is a summary and no "
        "more: the figures ask different questions, and differences smaller than the intervals below mean nothing."
    )


def _method_section(
    report: Report, title: str, group: Group, pictures: Sequence[str], picture: str, introduction: str = ""
) -> Iterable[str]:
    rows = {**report["methods"], **report["baselines"]}
    shown = [
        figure
        for figure in of_group(METHOD_FIGURES, group)
        if any(figure.name in own[ALL] for own in report["methods"].values())
    ]
    if not shown:
        return
    yield f"## {title}"
    yield introduction
    for subset in (ALL, RELIABLE):
        if all(subset in own for own in rows.values()) and any(own[subset] for own in report["methods"].values()):
            yield _caption(subset, report["methods"], shown)
            yield _method_table(report, shown, subset)
    yield from picture_link(pictures, picture)


def _method_table(report: Report, shown: Sequence[Figure], subset: str) -> str:
    def cells(name: str, own: Mapping[str, Any], best: Mapping[str, float]) -> list[str]:
        made = []
        for figure in shown:
            estimate = own[subset].get(figure.name)
            if estimate is None:
                made.append(MISSING)
                continue
            text = bold(interval(estimate), estimate["value"] == best.get(figure.name))
            made.append(text + _mark(report, name, figure.name, subset))
        return made

    best = {
        figure.name: (max if figure.better == "higher" else min)(values)
        for figure in shown
        if figure.better is not None
        and (
            values := [
                own[subset][figure.name]["value"] for own in report["methods"].values() if figure.name in own[subset]
            ]
        )
    }
    rows: list[Sequence[object]] = [
        (spoken_name(name), *cells(name, own, best)) for name, own in report["methods"].items()
    ]
    baselines = [
        (f"*{spoken_name(name)}*", *cells(name, own, {})) for name, own in report["baselines"].items() if own[subset]
    ]
    if any(cell != MISSING for row in baselines for cell in row[1:]):
        rows += [("——— *baselines* ———", *([""] * len(shown))), *baselines]
    arrows = {"higher": "↑", "lower": "↓", None: ""}
    return markdown_table(("method", *(f"{figure.title} {arrows[figure.better]}" for figure in shown)), rows)


def _caption(subset: str, methods: Mapping[str, Any], shown: Sequence[Figure]) -> str:
    counts = {
        figure.title: own[subset][figure.name]["images"]
        for figure in shown
        for own in methods.values()
        if figure.name in own[subset]
    }
    over = "all explained images" if subset == ALL else "images with the verdict RELIABLE alone"
    distinct = set(counts.values())
    numbers = str(distinct.pop()) if len(distinct) == 1 else ", ".join(f"{title}: {n}" for title, n in counts.items())
    return f"Over {over} ({numbers}):"


def _mark(report: Report, name: str, figure: str, subset: str) -> str:
    """A dagger where a method is not surely better than the best baseline on the same images."""
    compared = report["against_baselines"].get(name, {}).get(figure)
    if subset != ALL or compared is None:
        return ""
    surely = compared["low"] is not None and compared["low"] > 0
    return "" if surely else " †"


def _sanity(report: Report, pictures: Sequence[str]) -> Iterable[str]:
    sanity = report["sanity"]
    if sanity is None:
        return
    yield "## Sanity check"
    heads = [f"{stage['layers_random']} ({stage['down_to']})" for stage in sanity["stages"]]
    rows = [
        (spoken_name(name), *(f"{value:.2f}" for value in curve[:-1]), _final(report, name))
        for name, curve in sanity["similarity"].items()
    ]
    yield (
        f"Correlation of each map with the one that the same method gives once layers of the classifier have random "
        f"weights, from the output downwards, on {sanity['images']} images; all {sanity['layers']} layers in the last "
        "column (↓). The weights of each layer are exchanged among themselves, in every graph of the bundle alike."
    )
    yield markdown_table(("layers random (down to)", *heads), rows)
    yield from picture_link(pictures, "sanity.png")


def _final(report: Report, name: str) -> str:
    values = {each: own[ALL]["sanity"]["value"] for each, own in report["methods"].items() if "sanity" in own[ALL]}
    estimate = report["methods"][name][ALL]["sanity"]
    return bold(interval(estimate), values[name] == min(values.values()))


def _explanations(report: Report) -> Iterable[str]:
    explanations = report["explanations"]
    if report["verdicts"]:
        yield "## Reconstruction and negative realization"
        counts = ", ".join(
            f"{count} {name.removeprefix('VERDICT_STATUS_').replace('_', ' ')}"
            for name, count in report["verdicts"].items()
        )
        yield (
            "What the methods that need the generator (difference, residual and evidence map, latent integrated "
            f"gradients) rest on: one inversion for each image. Verdicts: {counts}."
        )
    else:
        yield "## The classifier's decision under noise"
    rows = [
        (figure.title, *(interval_or_missing(explanations[subset].get(figure.name)) for subset in explanations))
        for figure in of_group(IMAGE_FIGURES, "reconstruction", "realization", "decision")
        if figure.name in explanations[ALL]
    ]
    if report["verdicts"]:
        yield (
            "The applied negative is the image itself less the difference map. That it is called negative is a far "
            "harder test than a flip of the reconstruction: all that the generator can't draw is still there."
        )
    yield markdown_table(("figure", *("all" if subset == ALL else "RELIABLE alone" for subset in explanations)), rows)


def _cost(report: Report) -> str:
    fastest = min(each["median_ms"] for each in report["cost"].values())
    rows = [
        (spoken_name(name), bold(f"{each['median_ms']:.1f}", each["median_ms"] == fastest))
        for name, each in report["cost"].items()
    ]
    return (
        markdown_table(("method", "median, ms"), rows)
        + "\n\nFor one image and the method alone, as the server runs it, measured in this evaluation; a method that "
        "needs the generator includes the whole inversion, which a request for several of them pays once."
    )


def _classifier(report: Report) -> str:
    classifier = report["classifier"]
    rows = [
        ("AUC", classifier["auc"]),
        *((f"AUC within the source {source}", value) for source, value in classifier["auc_within_source"].items()),
        *((name, classifier[name]) for name in ("accuracy", "sensitivity", "specificity")),
    ]
    known = report["images"]["patients"] is not None
    table = markdown_table(
        ("figure", "value", "images", "patients"),
        (
            (name, interval(each), each["images"], each["patients"] if known else "unknown")
            for name, each in rows
            if each is not None
        ),
    )
    return f"On all images of the split, at the threshold {report['model']['decision_threshold']:g}.\n\n{table}"


def _reading(report: Report, images: Report) -> str:
    rules = report["rules"]
    window = rules["smoothing_window"]
    paragraphs = [
        f"- **Images.** The true positives of the {images['split']} split: labelled positive, and called positive by "
        "the classifier; an explanation of a positive decision is asked of no others. They come in a random order, by "
        "the seed, that takes every patient's first image before anyone's second.",
        "- **Maps.** As the server gives them with its default settings, in this process. For every figure, and for "
        f"the baselines too, a map is taken by its magnitude and averaged over windows of {window}x{window} pixels; "
        "equal pixels come in random order.",
        f"- **Intervals** in brackets: {rules['interval']:.0%}, by drawing whole patients with replacement "
        f"{rules['bootstrap_draws']} times. **Bold**: the best method, whether or not the others are surely worse.",
        "- **†**: not surely better than the best baseline. The interval of the paired difference on the same images "
        "includes 0 or lies below it. Baselines know nothing of the classifier: *random* is noise, *intensity* the "
        "image's own brightness, *centre* a Gaussian at the centre.",
        "- **Localisation** asks whether a map points at what people marked, **faithfulness** whether the classifier "
        "depends on what it points at. A map can be good at one and bad at the other, and a classifier may look "
        "elsewhere than people do.",
        "- **Deletion and insertion** show the classifier pictures unlike any that it was trained on. Where *random* "
        "does well by them, it reacts to scattered pixels as such, and these figures then say little of the methods.",
    ]
    if report["sanity"] is not None:
        paragraphs.append(
            "- **Sanity check.** Maps made by the generator may stay similar when the classifier is randomised: the "
            "generator was trained against the trained classifier and keeps what it learned; only the inversion asks "
            "the randomised one. For these methods the check shows how much hangs on the generator."
        )
    if report["verdicts"]:
        paragraphs.append(
            "- **RELIABLE alone.** Tables over reliable images are over fewer, and easier, ones; compare methods "
            "within a table, not between tables."
        )
    return "\n".join(paragraphs)


def _definitions(report: Report) -> str:
    present = {name for own in report["methods"].values() for name in own[ALL]} | report["explanations"][ALL].keys()
    return "\n".join(
        f"- **{figure.title}** (`{figure.name}`): {figure.definition}"
        for figure in (*METHOD_FIGURES, *IMAGE_FIGURES)
        if figure.name in present
    )


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {number}" for name, number in report["made_from"]["versions"].items()) + "."


def _any(rows: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return any(name in row for row in rows.values())
