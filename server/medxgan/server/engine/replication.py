"""Where the replicas of a model run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnxruntime as ort

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.port import Engine
from medxgan.server.engine.providers import CPU, ProviderChoice, available_chain
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings


@dataclass(frozen=True)
class Replication:
    """Where the replicas of a model run.

    Attributes:
        settings: of every engine; its `device` is left alone.
        devices: numbers of the accelerators; the CPU is one device, whatever their number.
        replicas: of every model on each device, >= 1.
    """

    settings: EngineSettings
    devices: Sequence[int] = (0,)
    replicas: int = 1

    @property
    def openings_at_a_time(self) -> int:
        """Models that are opened at a time: one for each core, but one on an accelerator or with PyTorch."""
        return _cores() if _shares_sessions(self.settings.provider) else 1


def shared_out(provider: ProviderChoice, threads: int, replicas: int) -> tuple[int, int]:
    """How the processor is shared out among the replicas of a server's models.

    On the CPU small networks gain little by a second thread, which waits for the first at every operator; replicas wait
    for nobody, and share the model's memory.

    Args:
        provider: what runs the gradient steps.
        threads: that compute, in all; 0: as many as there are cores.
        replicas: on each device; 0: one for each thread on the CPU, one elsewhere.

    Returns:
        Threads within an operator (0: as many as there are cores) and replicas, >= 1.
    """
    if not _shares_sessions(provider):
        return threads, max(1, replicas)
    total = threads or _cores()
    copies = replicas or total
    return max(1, total // copies), copies


def open_engines(bundle: LoadedBundle, replication: Replication) -> list[Engine]:
    """Open the engines of a model's replicas, device by device: one for each, or the same for all that may share it.

    Raises:
        UnsupportedError: see `open_engine`.
        BundleError: see `open_engine`.
    """
    engines: list[Engine] = []
    for device in replication.devices:
        settings = replace(replication.settings, device=device)
        engine, others = open_engine(bundle, settings), replication.replicas - 1
        engines.append(engine)
        engines += [engine] * others if engine.is_shared else [open_engine(bundle, settings) for _ in range(others)]
        if engines[0].execution.provider in (CPU, "cpu"):
            break
    return engines


def _cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shares_sessions(provider: ProviderChoice) -> bool:
    """Whether it is ONNX Runtime on the CPU."""
    return provider != "torch" and available_chain(provider, ort.get_available_providers()) == [CPU]
