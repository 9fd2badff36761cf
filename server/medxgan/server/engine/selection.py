"""Opens the engine that an operator asked for, and says so where less than that runs."""

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import Engine
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import get_logger

_log = get_logger(__name__)


def open_engine(bundle: LoadedBundle, choice: ProviderChoice, threads: int = 0) -> Engine:
    """Open the engine for a bundle.

    Args:
        bundle: a bundle that passed `load_bundle`.
        choice: what runs the gradient steps.
        threads: threads within an operator on the CPU; 0: as many as there are cores.

    Returns:
        The engine; its `execution` tells what really runs, and why if that is less than was asked for.

    Raises:
        UnsupportedError: `torch` was asked for and PyTorch is not installed.
        BundleError: a graph can't be loaded or is not as the bundle states.
    """
    engine = _open_torch(bundle, threads) if choice == "torch" else OrtEngine(bundle, choice, threads)
    execution = engine.execution
    if execution.fallback_reason:
        _log.warning(
            "provider_fallback",
            model=bundle.name,
            requested=execution.requested,
            running=execution.provider,
            reason=execution.fallback_reason,
        )
    return engine


def _open_torch(bundle: LoadedBundle, threads: int) -> Engine:
    try:
        from medxgan.server.engine.torch_engine import TorchEngine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UnsupportedError("the provider torch needs PyTorch: pip install 'medxgan[torch]'") from error
    return TorchEngine(bundle, threads)
