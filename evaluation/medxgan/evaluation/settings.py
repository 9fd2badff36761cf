"""What a caller may choose of an evaluation."""

from dataclasses import dataclass
from typing import Literal

from medxgan.evaluation.images import Split
from medxgan.server.engine.providers import ProviderChoice

Shortcuts = Literal["chest-film"]
"""Kinds of images on which regions that are not anatomy of interest can be found."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of one evaluation.

    Attributes:
        split: part of the data to measure on.
        methods: names of the methods; none means all that the bundle serves.
        images: most true positives to explain; None takes all of them.
        seed: of the selection, the noise, the random baseline, the random weights and the bootstrap.
        provider: what runs the bundle's graphs.
        threads: CPU threads; 0 takes as many as there are cores. Small networks run fastest with one.
        sanity_images: explained images on which the sanity check is made, the first ones; 0 leaves it out.
        shortcuts: measure how much of each map falls on marks, frame and all but the lungs, the images being of this
            kind; None leaves it out.
        sheet_images: rows of the contact sheet; 0 leaves it out.
    """

    split: Split = "test"
    methods: tuple[str, ...] = ()
    images: int | None = None
    seed: int = 0
    provider: ProviderChoice = "auto"
    threads: int = 1
    sanity_images: int = 16
    shortcuts: Shortcuts | None = None
    sheet_images: int = 8
