"""A bundle's networks as functions of any number of rows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.scheduler import InversionScheduler
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole


class Networks:
    """Runs stateless graphs on rows, in chunks.

    Each chunk is a call of its own on the engine's thread: between two chunks the inversions of other requests take
    their blocks, and cancelling the awaiting task ends its compute.

    Args:
        engine: runs the graphs.
        scheduler: owns the engine's thread.
        maximum_batch: most rows of a chunk, >= 1.
        outputs: how many outputs the classifier has, >= 1.
    """

    def __init__(self, engine: Engine, scheduler: InversionScheduler, maximum_batch: int, outputs: int) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._maximum_batch = maximum_batch
        self._outputs = outputs

    def chunks(self, rows: int) -> Iterator[slice]:
        """The rows chunk by chunk: for who makes the rows of a long run no sooner than they are needed."""
        for start in range(0, rows, self._maximum_batch):
            yield slice(start, min(start + self._maximum_batch, rows))

    async def positive_logits(self, x: FloatArray) -> FloatArray:
        """From images [N, 1, S, S] to logits [N] of the positive class, whose logistic function is its probability."""
        return (await self._run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x}, ["logit"]))["logit"]

    async def logits(self, x: FloatArray, target: int) -> FloatArray:
        """From images [N, 1, S, S] to the logits [N] of one output of the classifier."""
        return (await self.attribution(x, target, ["logit"]))["logit"]

    async def gradients(self, x: FloatArray, target: int) -> FloatArray:
        """From images [N, 1, S, S] to the gradients [N, 1, S, S] of one output's logit."""
        return (await self.attribution(x, target, ["gradient"]))["gradient"]

    async def attribution(self, x: FloatArray, target: int, outputs: Sequence[str]) -> dict[str, FloatArray]:
        """From images [N, 1, S, S] to these outputs of the attribution graph, for one output of the classifier."""
        inputs = {"x": x}
        if self._outputs > 1:
            inputs["target"] = np.tile(np.eye(self._outputs, dtype=np.float32)[target], (len(x), 1))
        return await self._run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, inputs, outputs)

    async def generate(self, z: FloatArray) -> FloatArray:
        """From latent codes [N, D] to images [N, 1, S, S]; for a bundle with a generator."""
        return (await self._run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z}, ["image"]))["image"]

    async def _run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str]
    ) -> dict[str, FloatArray]:
        rows = len(next(iter(inputs.values())))
        results = []
        for chunk in self.chunks(rows):
            part = {name: values[chunk] for name, values in inputs.items()}
            results.append(await self._scheduler.call(partial(self._engine.run, role, part, outputs)))
        return {name: np.concatenate([result[name] for result in results]) for name in outputs}
