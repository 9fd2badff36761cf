"""From an image to its finished inversion: every restart inverted, the best one scored and judged."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from medxgan.server.engine.port import FloatArray, InversionState
from medxgan.server.explanation import Explained, Scores
from medxgan.server.inversion import Inversion, InversionRow, InversionSettings, Realizations
from medxgan.server.maps.applied_negative import applied_negative
from medxgan.server.maps.difference import difference_map
from medxgan.server.maps.uncertainty import uncertainty_map
from medxgan.server.restarts import best, joint_progress, starts
from medxgan.server.scheduler import InversionScheduler, OnProgress
from medxgan.server.scores import probability
from medxgan.server.verdict import judge
from medxgan.v1 import bundle_pb2


class ImageInversion:
    """Inverts images with one bundle.

    Each picture is drawn and scored in a batch of its own restart alone: that there are others changes nothing.

    Args:
        inversion: the solver.
        scheduler: shares its engine.
    """

    def __init__(self, inversion: Inversion, scheduler: InversionScheduler) -> None:
        self._inversion = inversion
        self._scheduler = scheduler

    async def invert(
        self, x: FloatArray, settings: InversionSettings, seed: int, on_progress: OnProgress | None = None
    ) -> Explained:
        """Invert one image. Cancelling the awaiting task drops all its restarts before the next block.

        Args:
            x: [1, 1, S, S] in [-1, 1].
            settings: as resolved against the bundle.
            seed: of the starts, 0 to 2^64 - 1.
            on_progress: called on the event loop after every block of gradient steps.
        """
        began = time.perf_counter()
        score, rows, prepare_seconds = await self._scheduler.call(partial(self._prepare, x, settings, seed))

        def on_rows(rows: Sequence[InversionRow]) -> None:
            if on_progress is not None:
                on_progress(joint_progress(rows, self._inversion.terminate))

        inverted = await self._scheduler.invert_all(rows, on_rows)
        candidates = [
            await self._scheduler.call(partial(self._inversion.finish, each.row, each.state)) for each in inverted
        ]
        restart = best(candidates, settings)
        chosen, uncertainty = candidates[restart], _uncertainty(candidates)
        applied = applied_negative(x[0, 0], chosen.reconstruction, chosen.negative_realization)
        scores = Scores(
            original=score,
            reconstruction=chosen.reconstruction_score,
            negative_realization=chosen.negative_realization_score,
            applied_negative=await self._scheduler.call(partial(self._score, applied[np.newaxis, np.newaxis])),
            decision_threshold=self._inversion.bundle.classification.decision_threshold,
        )
        maximum_mse = self._inversion.bundle.reliability.maximum_reconstruction_mse
        return Explained(
            original=x[0, 0],
            z=chosen.z,
            negative_z=chosen.negative_z,
            reconstruction=chosen.reconstruction,
            negative_realization=chosen.negative_realization,
            applied_negative=applied,
            uncertainty=uncertainty,
            scores=scores,
            verdict=judge(scores, chosen.outcome.reconstruction_mse, maximum_mse),
            outcome=replace(
                chosen.outcome,
                restart=restart,
                difference_spread=None if uncertainty is None else float(uncertainty.mean()),
            ),
            prepare_seconds=prepare_seconds,
            steps_began=min(each.began for each in inverted),
            steps_ended=max(each.ended for each in inverted),
            seconds=time.perf_counter() - began,
        )

    def _prepare(
        self, x: FloatArray, settings: InversionSettings, seed: int
    ) -> tuple[float, list[tuple[InversionRow, InversionState]], float]:
        began = time.perf_counter()
        score = self._score(x)
        rows = starts(*self._inversion.init(x, score, settings, seed), seed)
        return score, rows, time.perf_counter() - began

    def _score(self, x: FloatArray) -> float:
        return probability(float(self._inversion.engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x})["logit"][0]))


def _uncertainty(candidates: Sequence[Realizations]) -> FloatArray | None:
    if len(candidates) == 1:
        return None
    return uncertainty_map([difference_map(each.reconstruction, each.negative_realization) for each in candidates])
