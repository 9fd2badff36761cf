"""How an operator wants models to be run."""

import os
from dataclasses import dataclass
from pathlib import Path

from medxgan.server.engine.providers import ProviderChoice


def default_cache() -> Path:
    """Folder of what is built for one device and kept: `medxgan` in the user's cache (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medxgan"


@dataclass(frozen=True)
class EngineSettings:
    """Of one engine.

    Attributes:
        provider: what runs the gradient steps.
        threads: threads within an operator on the CPU; 0: as many as there are cores.
        device: number of the accelerator, as the driver counts.
        maximum_rows: most rows of a batch, >= 1; an accelerator is made ready for every size of batch up to it.
        cuda_graphs: whether CUDA captures a gradient step once and replays it: hundreds of kernels by one launch.
        half_precision: whether TensorRT may compute in 16 bits, where the results still are those of the CPU.
        cache: folder of TensorRT's engines; the user's cache where it is None.
    """

    provider: ProviderChoice = "auto"
    threads: int = 0
    device: int = 0
    maximum_rows: int = 8
    cuda_graphs: bool = True
    half_precision: bool = False
    cache: Path | None = None
