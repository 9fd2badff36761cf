"""An engine that raises, or gives NaN, in the middle of a batch: what becomes of those who share it, and of the rest.

The server runs in this process, with the shipped phantom on the real engine and what spoils it around that.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import grpc
import numpy as np
from attacks import tensor
from chaos_callers import request
from chaos_page import Finding
from serving import ROOT

from medxgan.bundle import load_bundle
from medxgan.server.engine.port import Engine, Execution, FloatArray, InversionRun, InversionState, Losses
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings
from medxgan.v1.bundle_pb2 import GraphRole
from medxgan.v1.explanation_pb2 import MAP_KIND_DIFFERENCE, ExplainRequest, ExplainResponse
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

MARK = 7.0
"""The reconstruction weight of the request that spoils a block."""
OTHERS = 5
ROUNDS = 4
BLOCK = 5
SAME = 2e-3
"""Difference of maps that another batch size may make by rounding."""

Fault = Literal["", "raises", "gives NaN"]


class SpoiltRun:
    """A run of the real engine; rows with the mark spoil it."""

    def __init__(self, engine: "SpoiltEngine", state: InversionState) -> None:
        self._engine = engine
        self._run = engine.engine.start(state)
        self._marked = state.reconstruction_weight == MARK

    def advance(self, steps: int) -> Losses:
        """Take the steps, or fail."""
        if self._engine.fault == "raises" and self._marked.any():
            raise RuntimeError("the device is gone")
        losses = self._run.advance(steps)
        return Losses(self._spoilt(losses.reconstruction), self._spoilt(losses.classification))

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """As it is."""
        return self._run.gradient(z)

    def state(self) -> InversionState:
        """The rows, those with the mark as NaN."""
        state = self._run.state()
        return replace(state, z=self._spoilt(state.z), first_moment=self._spoilt(state.first_moment))

    def _spoilt(self, values: FloatArray) -> FloatArray:
        values = values.copy()
        if self._engine.fault == "gives NaN":
            values[self._marked] = np.nan
        return values


@dataclass
class SpoiltEngine:
    """The real engine, and what goes wrong with it."""

    engine: Engine
    fault: Fault = ""
    is_shared: ClassVar[bool] = False

    @property
    def execution(self) -> Execution:
        """As it is."""
        return self.engine.execution

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """As it is."""
        return self.engine.run(role, inputs, outputs)

    def start(self, state: InversionState) -> InversionRun:
        """A run that may be spoilt."""
        return SpoiltRun(self, state)

    def warm_up(self) -> None:
        """As it is."""
        self.engine.warm_up()


def spoilt_engine(seconds: float) -> list[Finding]:  # noqa: ARG001 - so many rounds, however long they take
    """Both faults, with others in the batch."""
    logging.getLogger("medxgan").setLevel(logging.CRITICAL)
    return asyncio.run(_spoilt_engine())


async def _spoilt_engine() -> list[Finding]:
    bundle = load_bundle(ROOT / "models" / "phantom" / "3")
    engine = SpoiltEngine(open_engine(bundle, EngineSettings("cpu", 1)))
    model = ServedModel(bundle, [engine], ModelCapacity())
    server = Server(ServerSettings(address="127.0.0.1:0"), ModelRepository([model]))
    port = await server.listen()
    await server.warm_up()
    found = []
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = ExplanationServiceStub(channel)
            expected = [await stub.Explain(_ask(number)) for number in range(OTHERS)]
            for fault in ("raises", "gives NaN"):
                engine.fault = fault
                found += await _round(stub, fault, expected)
                engine.fault = ""
            again = [await stub.Explain(_ask(number)) for number in range(OTHERS)]
    finally:
        await server.stop()
    same = sum(_same(ours, theirs) for ours, theirs in zip(again, expected, strict=True))
    return [*found, Finding("an engine that was spoilt", "answers as before", f"{same} of {OTHERS}", same == OTHERS)]


async def _round(stub: ExplanationServiceStub, fault: str, expected: list[ExplainResponse]) -> list[Finding]:
    marked: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for _ in range(ROUNDS):
        early = [asyncio.create_task(_code(stub, _ask(number), expected[number])) for number in range(OTHERS)]
        await asyncio.sleep(0.05)  # they are in the batch
        bad = asyncio.create_task(_code(stub, _ask(0, MARK), None))
        late = [asyncio.create_task(_code(stub, _ask(number), expected[number])) for number in range(OTHERS)]
        marked[await bad] += 1
        others.update(await asyncio.gather(*early, *late))
    unharmed = others["as without it"] == sum(others.values())
    return [
        Finding(f"the engine {fault} for one row", "that caller hears so", f"{dict(marked)}"),
        Finding(f"the engine {fault} for one row", "others unharmed", f"{dict(others)}", unharmed),
    ]


async def _code(stub: ExplanationServiceStub, asked: ExplainRequest, expected: ExplainResponse | None) -> str:
    try:
        answer = await stub.Explain(asked)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    if expected is None:
        return "OK with NaN" if np.isnan(_difference(answer)).any() else "OK"
    return "as without it" if _same(answer, expected) else "other maps"


def _ask(number: int, weight: float | None = None) -> ExplainRequest:
    asked = request(tensor(64, seed=number), steps=4 * BLOCK)
    if weight is not None:
        asked.settings.inversion.reconstruction_weight = weight
    return asked


def _difference(answer: ExplainResponse) -> FloatArray:
    (values,) = [each.tensor for each in answer.maps if each.kind == MAP_KIND_DIFFERENCE]
    return np.frombuffer(values.data, np.float32)


def _same(answer: ExplainResponse, expected: ExplainResponse) -> bool:
    return bool(np.allclose(_difference(answer), _difference(expected), rtol=0, atol=SAME))
