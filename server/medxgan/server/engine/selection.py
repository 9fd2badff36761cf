"""Opens the engine that an operator asked for, and says so where less than that runs."""

from dataclasses import replace

from medxgan.bundle import LoadedBundle
from medxgan.server.engine import tensorrt
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.parity import LARGEST_DEVIATION, largest_deviation
from medxgan.server.engine.port import Engine
from medxgan.server.engine.providers import CPU, TENSORRT
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import get_logger

_log = get_logger(__name__)


def open_engine(bundle: LoadedBundle, settings: EngineSettings) -> Engine:
    """Open the engine for a bundle.

    Args:
        bundle: a bundle that passed `load_bundle`.
        settings: of the engine.

    Returns:
        The engine; its `execution` tells what really runs, and why if that is less than was asked for.

    Raises:
        UnsupportedError: `torch` was asked for and PyTorch is not installed; or what was asked for computes something
            else than the CPU.
        BundleError: a graph can't be loaded or is not as the bundle states.
    """
    engine = _open_torch(bundle, settings) if settings.provider == "torch" else _open_ort(bundle, settings)
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


def _open_ort(bundle: LoadedBundle, settings: EngineSettings) -> Engine:
    engine = OrtEngine(bundle, settings)
    if engine.execution.provider == CPU:
        return engine
    if engine.execution.provider == TENSORRT and not tensorrt.is_built(bundle, settings):
        _log.warning("tensorrt_builds", model=bundle.name, hint="this takes minutes; `medxgan warm-up` does it before")
    reference = OrtEngine(bundle, replace(settings, provider="cpu"))
    if settings.half_precision and engine.execution.provider == TENSORRT:
        apart = largest_deviation(bundle, engine, reference)
        if apart.share <= LARGEST_DEVIATION:
            _log.info("half_precision", model=bundle.name, deviation=f"{apart.share:.1e}")
            return engine
        _log.warning("half_precision_refused", model=bundle.name, where=apart.where, deviation=f"{apart.share:.2g}")
        engine = OrtEngine(bundle, replace(settings, half_precision=False))
    return believed(bundle, engine, reference)


def believed(bundle: LoadedBundle, engine: Engine, reference: OrtEngine) -> Engine:
    """The engine where it computes what the reference does; else the reference, where nobody insisted on the engine.

    Raises:
        UnsupportedError: it was asked for by name and is wrong.
    """
    execution = engine.execution
    apart = largest_deviation(bundle, engine, reference)
    if apart.share <= LARGEST_DEVIATION:
        _log.info("provider_checked", model=bundle.name, provider=execution.provider, deviation=f"{apart.share:.1e}")
        return engine
    reason = (
        f"{execution.provider} is {apart.share:.2g} of the largest value away from {reference.execution.provider} in "
        f"{apart.where}, expected at most {LARGEST_DEVIATION:g}"
    )
    if execution.requested != "auto":
        raise UnsupportedError(f"{bundle.name}: {reason}")
    reference.stand_in(execution.requested, reason)
    return reference


def _open_torch(bundle: LoadedBundle, settings: EngineSettings) -> Engine:
    try:
        from medxgan.server.engine.torch_engine import TorchEngine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UnsupportedError("the provider torch needs PyTorch: pip install 'medxgan[torch]'") from error
    return TorchEngine(bundle, settings)
