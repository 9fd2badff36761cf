"""Where the replicas of a model run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnxruntime as ort

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.port import Engine
from medxgan.server.engine.providers import CPU, available_chain
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings


@dataclass(frozen=True)
class Replication:
    """Where the replicas of a model run.

    Attributes:
        settings: of every engine; its `device` is left alone.
        devices: numbers of the accelerators; the CPU is one device, whatever their number.
        replicas: engines on each device, >= 1.
    """

    settings: EngineSettings
    devices: Sequence[int] = (0,)
    replicas: int = 1

    @property
    def openings_at_a_time(self) -> int:
        """Models that are opened at a time: one for each core, but one on an accelerator or with PyTorch."""
        choice = self.settings.provider
        on_cpu = choice != "torch" and available_chain(choice, ort.get_available_providers()) == [CPU]
        return (os.cpu_count() or 1) if on_cpu else 1


def open_engines(bundle: LoadedBundle, replication: Replication) -> list[Engine]:
    """Open the engines of a model's replicas, device by device.

    Raises:
        UnsupportedError: see `open_engine`.
        BundleError: see `open_engine`.
    """
    engines: list[Engine] = []
    for device in replication.devices:
        settings = replace(replication.settings, device=device)
        engines += [open_engine(bundle, settings) for _ in range(replication.replicas)]
        if engines[0].execution.provider in (CPU, "cpu"):
            break
    return engines
