"""What a training costs on this machine, and how much of it a budget buys."""

from dataclasses import dataclass

from medxgan.training.recipe.sizing import FEWEST_STEPS

SEARCH_SHARE = 0.1
"""Steps of one training of the search, as a share of those of the training itself."""


class RecipeError(Exception):
    """There is no recipe for what was asked for; the message says why, and what would help."""


@dataclass(frozen=True)
class Cost:
    """What was measured in a short training.

    Attributes:
        step: seconds of one step, the median of a few.
        image: seconds until a training image is ready: read, preprocessed, and looked at by the classifier.
        familiarity: seconds of the measures that tell foreign images.
        memory: bytes that the process had at its peak, or, on a GPU, that tensors had there.
        held: bytes that every further training image adds to it.
    """

    step: float
    image: float
    familiarity: float
    memory: int
    held: int

    def seconds(self, steps: int, images: int, trials: int) -> float:
        """Of a training, after a search by so many short ones.

        Args:
            steps: of the training.
            images: that it holds.
            trials: short trainings before it.
        """
        searched = trials * (search_steps(steps) * self.step + images * self.image)
        return searched + images * self.image + steps * self.step + self.familiarity

    def bytes(self, images: int) -> int:
        """At the peak, with so many images held."""
        return self.memory + images * self.held


def search_steps(steps: int) -> int:
    """Steps of one training of the search."""
    return max(20, round(SEARCH_SHARE * steps))


def affordable_steps(cost: Cost, wanted: int, images: int, trials: int, seconds: float) -> int | None:
    """The most steps, up to those wanted, that fit into so many seconds; None where too few do."""
    if cost.seconds(wanted, images, trials) <= seconds:
        return wanted
    fewest = min(FEWEST_STEPS, wanted)
    # The cost grows with the steps, so that the most that fit lie where halving finds them.
    low, high = fewest, wanted
    if cost.seconds(low, images, trials) > seconds:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost.seconds(middle, images, trials) <= seconds else (low, middle)
    return low
