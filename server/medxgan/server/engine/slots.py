"""Places for the rows of an inversion on the provider's device: bound buffers, used again and again.

A captured CUDA graph and a TensorRT engine want the same shapes and the same addresses at every call. So a set of slots
has a fixed number of rows, and what leaves is overwritten by what comes.
"""

import itertools
import weakref
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from medxgan.bundle.graphs import CONSTANTS, LOSSES, STATE
from medxgan.server.engine.buckets import bucket_of, filled
from medxgan.server.engine.port import FloatArray, InversionState, Losses

Buffers = dict[str, ort.OrtValue]
"""Tensors on the provider's device, by name."""

Device = tuple[str, int]
"""Where buffers lie, in ONNX Runtime's words: the kind, and which of that kind."""

NO_SYNCHRONISATION = "disable_synchronize_execution_providers"
"""Of ONNX Runtime's run options: a call returns before the device has done its work."""

CAPTURED_GRAPH = "gpu_graph_id"
"""Of ONNX Runtime's run options: which captured CUDA graph a call captures or replays."""


class Slots:
    """Bound buffers for a fixed number of rows.

    The state lives in two sets of buffers: a step reads one and writes the other, the next step goes back.

    Args:
        session: of the gradient step.
        like: a state whose shapes the slots have.
        device: where the buffers lie.
        graphs: numbers for the captured CUDA graphs, one for each direction; none where nothing is captured.
    """

    def __init__(
        self, session: ort.InferenceSession, like: InversionState, device: Device, graphs: tuple[int, int] | None = None
    ) -> None:
        self._session = session
        self._constants = _empties(like, CONSTANTS, device)
        self._current = _empties(like, STATE, device)
        self._following = _empties(like, STATE, device)
        self._losses = {name: _empty(like.step.shape, device) for name in LOSSES}
        forth = self._bound(self._current, self._following), graphs and graphs[0]
        back = self._bound(self._following, self._current), graphs and graphs[1]
        self._ways = [forth, back]

    def put(self, state: InversionState) -> None:
        """Put rows into all of the slots."""
        for name, buffer in (self._constants | self._current).items():
            buffer.update_inplace(getattr(state, name))

    def move(self, z: FloatArray) -> None:
        """Put the rows at other codes."""
        self._current["z"].update_inplace(z)

    def step(self, *, last: bool = True) -> None:
        """Compute a step from the current buffers into the following ones.

        Args:
            last: whether the results are read next; else the device may still be at it.
        """
        binding, graph = self._ways[0]
        options = ort.RunOptions()
        if graph is not None:
            options.add_run_config_entry(CAPTURED_GRAPH, str(graph))
        if not last:
            options.add_run_config_entry(NO_SYNCHRONISATION, "1")
        self._session.run_with_iobinding(binding, options)

    def turn(self) -> None:
        """Go on from where the last step led."""
        self._ways.reverse()
        self._current, self._following = self._following, self._current

    def losses(self, rows: int) -> Losses:
        """Of the first rows, before the last step."""
        reconstruction, classification = (_to_host(self._losses[name])[:rows] for name in LOSSES)
        return Losses(reconstruction, classification)

    def current(self, rows: int) -> dict[str, FloatArray]:
        """The state of the first rows."""
        return {name: _to_host(buffer)[:rows] for name, buffer in self._current.items()}

    def following(self, name: str, rows: int) -> FloatArray:
        """One part of where the last step led the first rows."""
        return _to_host(self._following[name])[:rows]

    def _bound(self, source: Buffers, destination: Buffers) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, buffer in (self._constants | source).items():
            binding.bind_ortvalue_input(name, buffer)
        for name, buffer in destination.items():
            binding.bind_ortvalue_output(f"next_{name}", buffer)
        for name, buffer in self._losses.items():
            binding.bind_ortvalue_output(name, buffer)
        return binding


class SlotPool:
    """The slots of one session. Used on one thread; where none are kept, on any.

    Args:
        session: of the gradient step.
        device: where buffers lie.
        sizes: of batches, ascending, in which slots are kept and used again; none where every batch gets slots of its
            own size, as is best on the CPU, where filling costs as much as rows.
        captures: whether the session captures CUDA graphs.
    """

    def __init__(
        self, session: ort.InferenceSession, device: Device, sizes: tuple[int, ...] = (), *, captures: bool = False
    ) -> None:
        self._session = session
        self._device = device
        self._sizes = sizes
        self._graphs = itertools.count(1) if captures else None
        self._free: defaultdict[int, list[Slots]] = defaultdict(list)

    def start(self, state: InversionState, beta1: float) -> "OrtInversionRun":
        """Put a batch into free slots. They are free again when nobody holds the run any more."""
        rows = len(state.step)
        size = bucket_of(rows, self._sizes)
        state = filled(state, size)
        free = self._free[size] if size in self._sizes else None
        slots = free.pop() if free else self._made(state)
        slots.put(state)
        run = OrtInversionRun(slots, state, rows, beta1)
        if free is not None:
            weakref.finalize(run, free.append, slots)
        return run

    def _made(self, state: InversionState) -> Slots:
        graphs = None if self._graphs is None else (next(self._graphs), next(self._graphs))
        return Slots(self._session, state, self._device, graphs)


class OrtInversionRun:
    """A batch of inversions on the provider's device. Implements `InversionRun`.

    Args:
        slots: that hold the rows, and maybe others behind them.
        start: what was put there.
        rows: how many count.
        beta1: Adam's.
    """

    def __init__(self, slots: Slots, start: InversionState, rows: int, beta1: float) -> None:
        self._slots = slots
        self._start = start
        self._rows = rows
        self._beta1 = beta1

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row; only the losses come to the host."""
        if steps < 1:
            raise ValueError(f"expected at least 1 step, got {steps}")
        for left in reversed(range(steps)):
            self._slots.step(last=left == 0)
            self._slots.turn()
        return self._slots.losses(self._rows)

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """The losses of every row at another code, and the gradient; the rows stay as they are."""
        behind = self._start.z[self._rows :]
        self._slots.move(np.concatenate([z, behind]))
        self._slots.step()
        # From a first moment of 0, a step of Adam leads to 1 - beta1 of the gradient.
        gradient = self._slots.following("first_moment", self._rows) / np.float32(1 - self._beta1)
        self._slots.move(self._start.z)
        return self._slots.losses(self._rows), gradient

    def state(self) -> InversionState:
        """Bring the rows back to the host."""
        constants = {name: getattr(self._start, name)[: self._rows] for name in CONSTANTS}
        return InversionState(**self._slots.current(self._rows), **constants)


def _empties(like: InversionState, names: Sequence[str], device: Device) -> Buffers:
    return {name: _empty(getattr(like, name).shape, device) for name in names}


def _empty(shape: Sequence[int], device: Device) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, *device)


def _to_host(buffer: ort.OrtValue) -> FloatArray:
    # On the CPU `numpy()` is a view of the buffer, which the next step overwrites.
    values: FloatArray = buffer.numpy().copy()
    return values
