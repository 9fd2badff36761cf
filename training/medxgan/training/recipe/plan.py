"""What is going to be trained, and what it will cost: to be read before it is begun, and kept with the run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medxgan.training.configuration import TrainingConfig
from medxgan.training.recipe.budget import Cost, search_steps
from medxgan.training.recipe.inspection import Decisions
from medxgan.training.recipe.search import VARIANTS, Judgement

FILE = "recipe.json"


@dataclass(frozen=True)
class Plan:
    """A training that was sized for a classifier and a set of images.

    Attributes:
        configuration: the whole of it.
        images: to train on.
        held: of these, those that are in memory.
        steps_wanted: steps that so many images call for; more than the configuration has, where a budget is short.
        cost: measured on this machine.
        decisions: of the classifier on the calibration images.
        searches: whether the weights are searched for.
        notes: what a person should know, a sentence each.
        judgements: what the search found, the best first; empty before it.
    """

    configuration: TrainingConfig
    images: int
    held: int
    steps_wanted: int
    cost: Cost
    decisions: Decisions
    searches: bool
    notes: tuple[str, ...]
    judgements: tuple[Judgement, ...] = ()

    @property
    def seconds(self) -> float:
        """Estimate of the whole."""
        return self.cost.seconds(self.configuration.generator.steps, self.held, len(VARIANTS) if self.searches else 0)

    @property
    def bytes(self) -> int:
        """Estimate of the memory at the peak."""
        return self.cost.bytes(self.held)

    def lines(self) -> list[tuple[str, str]]:
        """What a person decides by: a name and a text each."""
        generator, decisions = self.configuration.generator, self.decisions
        external = self.configuration.external_classifier
        size = self.configuration.image.size
        steps = f"{generator.steps} of {generator.batch_size} images"
        if generator.steps < self.steps_wanted:
            steps += f", where {self.steps_wanted} would be better: as many as the budget allows"
        lines = [
            ("images", f"{self.images} to train on, {decisions.images} to calibrate on"),
            ("size", f"{size} x {size} pixels" + _own_size(external.size if external else None)),
            ("latents", f"{generator.z1_size} + {generator.z2_size}, and fine ones"),
            ("steps", steps),
            ("weights", self._weights()),
            ("classifier", _auc(decisions)),
            ("time", f"about {_duration(self.seconds)} on this machine, by {self.cost.step:.2f} s a step"),
            ("memory", f"about {self.bytes / 2**30:.1f} GiB"),
        ]
        return lines + [("note", note) for note in self.notes]

    def with_search(self, configuration: TrainingConfig, judgements: Sequence[Judgement]) -> "Plan":
        """The plan after the search; the model card will say what was chosen, and by whom."""
        best = judgements[0]
        said = (
            f'Sizes and loss weights were chosen by a recipe: of {len(judgements)} sets of weights "{best.variant}", '
            f"by trainings of {search_steps(configuration.generator.steps)} steps judged on the calibration images."
        )
        return replace(self, configuration=_with_limitations(configuration, said), judgements=tuple(judgements))

    def save(self, folder: Path, asked: Mapping[str, Any], seconds_taken: float | None = None) -> None:
        """Keep it in the run folder, the configuration apart, which `options.json` has, with what was asked for."""
        stored = {
            "asked": asked,
            "estimated_seconds": round(self.seconds, 1),
            "taken_seconds": None if seconds_taken is None else round(seconds_taken, 1),
            "estimated_bytes": self.bytes,
            "steps_wanted": self.steps_wanted,
            "cost": asdict(self.cost),
            "decisions_on_calibration_images": asdict(self.decisions),
            "search_on_calibration_images": [asdict(each) | {"score": each.score} for each in self.judgements],
            "notes": list(self.notes),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")

    def _weights(self) -> str:
        if not self.searches:
            return "of the shipped models"
        each = search_steps(self.configuration.generator.steps)
        return f"the best of {len(VARIANTS)} on the calibration images, after {each} steps each"


def _with_limitations(configuration: TrainingConfig, *said: str) -> TrainingConfig:
    card = configuration.card
    return configuration.model_copy(
        update={"card": card.model_copy(update={"limitations": (*card.limitations, *said)})}
    )


def _own_size(size: int | None) -> str:
    return "" if size is None else f", resized to the {size} x {size} that the classifier takes"


def _auc(decisions: Decisions) -> str:
    if decisions.auc is None:
        return f"calls {decisions.positives} of {decisions.images} calibration images positive"
    own = "" if decisions.own_auc == decisions.auc else f" ({decisions.own_auc:.2f} at its own size)"
    agree = f"; {decisions.agreement:.0%} of its decisions stay" if own else ""
    return f"area under the ROC curve {decisions.auc:.2f}{own} on the calibration images{agree}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{max(1, round(seconds / 60))} minutes"
