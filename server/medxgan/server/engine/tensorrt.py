"""TensorRT: the shapes that an engine is built for, where it is kept, and where its libraries lie.

ONNX Runtime builds an engine for a graph at its first run, which takes minutes, and anew for a shape that the engine
was not built for. So the shapes are stated before, and what was built is kept in a folder named by everything that it
depends on: an engine of another version is nothing that one wants to find out by running it.
"""

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import re
from pathlib import Path

import onnxruntime as ort

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.settings import EngineSettings, default_cache
from medxgan.v1 import bundle_pb2

USUAL_ROWS = 8
"""Rows that an engine is fastest for, unless fewer are the most."""

LIBRARIES = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
"""Of TensorRT 10, which ONNX Runtime's provider is linked with, in the order in which they need each other."""

_DRIVER = Path("/proc/driver/nvidia/gpus")


def takes(graph: bundle_pb2.Graph) -> bool:
    """Whether a graph is run by TensorRT: one whose extents are all known but for the batch. A film has any."""
    return all(-1 not in tensor.shape[1:] for tensor in graph.inputs)


def options(bundle: LoadedBundle, graph: bundle_pb2.Graph, settings: EngineSettings) -> dict[str, str]:
    """The provider's options for one graph.

    Args:
        bundle: that the graph is of.
        graph: one that TensorRT `takes`.
        settings: of the engine.
    """
    folder = str(cache_folder(bundle, graph, settings))
    return {
        "device_id": str(settings.device),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
        "trt_fp16_enable": "1" if settings.half_precision else "0",
        "trt_profile_min_shapes": _shapes(graph, 1),
        "trt_profile_opt_shapes": _shapes(graph, min(USUAL_ROWS, settings.maximum_rows)),
        "trt_profile_max_shapes": _shapes(graph, settings.maximum_rows),
    }


def cache_folder(bundle: LoadedBundle, graph: bundle_pb2.Graph, settings: EngineSettings) -> Path:
    """Where a graph's engine is kept: by graph, weights, shapes, precision, versions and device.

    Args:
        bundle: that the graph is of.
        graph: one of its graphs.
        settings: of the engine.
    """
    depends_on = [
        graph.sha256,
        *sorted(file.sha256 for file in bundle.description.data_files),
        f"rows {settings.maximum_rows}",
        "fp16" if settings.half_precision else "fp32",
        f"onnxruntime {ort.__version__}",
        f"tensorrt {version()}",
        f"device {device_name(settings.device)}",
    ]
    digest = hashlib.sha256("\n".join(depends_on).encode()).hexdigest()[:16]
    return (settings.cache or default_cache()) / "tensorrt" / bundle.name / f"{Path(graph.file).stem}-{digest}"


def is_built(bundle: LoadedBundle, settings: EngineSettings) -> bool:
    """Whether every engine of a bundle is there already."""
    return all(
        any(cache_folder(bundle, graph, settings).glob("*.engine"))
        for graph in bundle.description.graphs
        if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX and takes(graph)
    )


def load_libraries() -> None:
    """Load the libraries that `pip install 'tensorrt-cu13<11'` brings, where it did; else the system finds its own."""
    found = importlib.util.find_spec("tensorrt_libs")
    for folder in (found.submodule_search_locations or ()) if found else ():
        for name in LIBRARIES:
            if (Path(folder) / name).exists():
                ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL)


def version() -> str:
    """Of the TensorRT that pip installed; "of the system" where it was not pip."""
    for distribution in importlib.metadata.distributions():
        if re.fullmatch(r"tensorrt[-_]cu\d+([-_]libs)?", distribution.metadata["Name"] or ""):
            return distribution.version
    return "of the system"


def device_name(number: int, driver: Path = _DRIVER) -> str:
    """What the driver calls a device; "unknown" where there is no driver.

    Args:
        number: as the driver counts.
        driver: folder in which it tells of its devices.
    """
    told = sorted(driver.glob("*/information"))
    if number >= len(told):
        return "unknown"
    matched = re.search(r"^Model:\s*(.+)$", told[number].read_text(encoding="utf-8"), re.MULTILINE)
    return matched[1].strip() if matched else "unknown"


def _shapes(graph: bundle_pb2.Graph, rows: int) -> str:
    """`name:1x2,name:1x3`: TensorRT's way to state shapes."""
    return ",".join(
        f"{tensor.name}:{'x'.join(str(extent) for extent in (rows, *tensor.shape[1:]))}" for tensor in graph.inputs
    )
