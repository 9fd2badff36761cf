"""A bundle's networks as functions of any number of rows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from medxgan.bundle import LoadedBundle
from medxgan.bundle.graphs import output_names
from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole


class Networks:
    """Runs stateless graphs on rows, in chunks.

    Each chunk is a call of its own on the device thread: between two chunks the inversions of other requests take
    their blocks, and cancelling the awaiting task ends its compute.

    Args:
        bundle: whose networks they are.
        engine: runs the graphs.
        thread: makes the calls to the engine.
        maximum_rows: most rows of a chunk, >= 1.
        urgent: whether its calls go before those that are not.
    """

    def __init__(
        self,
        bundle: LoadedBundle,
        engine: Engine,
        thread: DeviceThread,
        maximum_rows: int,
        *,
        urgent: bool = False,
    ) -> None:
        self._classes = output_names(bundle.description.classification)
        self._engine = engine
        self._thread = thread
        self._maximum_rows = maximum_rows
        self._urgent = urgent

    def chunks(self, rows: int) -> Iterator[slice]:
        """The rows chunk by chunk: for who makes the rows of a long run no sooner than they are needed."""
        for start in range(0, rows, self._maximum_rows):
            yield slice(start, min(start + self._maximum_rows, rows))

    async def positive_logits(self, x: FloatArray) -> FloatArray:
        """From images [N, 1, S, S] to logits [N] of the positive class, whose logistic function is its probability."""
        return (await self._run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x}, ["logit"]))["logit"]

    async def logits(self, x: FloatArray, target: str) -> FloatArray:
        """From images [N, 1, S, S] to the classifier's output [N] for one class."""
        outputs = await self._run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x}, ["outputs"])
        logits: FloatArray = outputs["outputs"][:, self._classes.index(target)]
        return logits

    async def gradients(self, x: FloatArray, target: str) -> FloatArray:
        """From images [N, 1, S, S] to the gradients [N, 1, S, S] of one class's logit."""
        return (await self.attribution(x, target, ["gradient"]))["gradient"]

    async def attribution(self, x: FloatArray, target: str, outputs: Sequence[str]) -> dict[str, FloatArray]:
        """From images [N, 1, S, S] to these outputs of the attribution graphs, for one class of the classifier."""
        inputs = {"x": x}
        if len(self._classes) > 1:
            one_hot = np.eye(len(self._classes), dtype=np.float32)[self._classes.index(target)]
            inputs["target"] = np.tile(one_hot, (len(x), 1))
        return await self._run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, inputs, outputs)

    async def draw(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """From latent codes [N, D] to images [N, 1, S, S] and their logits [N]; for a bundle with a generator."""
        drawn = await self._run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z}, ["image", "logit"])
        return drawn["image"], drawn["logit"]

    async def _run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str]
    ) -> dict[str, FloatArray]:
        rows = len(next(iter(inputs.values())))
        results = []
        for chunk in self.chunks(rows):
            part = {name: values[chunk] for name, values in inputs.items()}
            run = partial(self._engine.run, role, part, outputs)
            results.append(await self._thread.call(run, urgent=self._urgent))
        return {name: np.concatenate([result[name] for result in results]) for name in outputs}
