"""From the operator's choice to ONNX Runtime's execution providers, and why less than that choice runs."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import onnxruntime as ort

ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "torch"]
"""What an operator may ask for. `auto`: CUDA where this ONNX Runtime has it, else the CPU."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

CHAINS: dict[ProviderChoice, tuple[str, ...]] = {
    # TensorRT builds its engines at the first run, which takes minutes: only who asks for it gets it.
    "auto": (CUDA, CPU),
    "cpu": (CPU,),
    "cuda": (CUDA, CPU),
    "tensorrt": (TENSORRT, CUDA, CPU),
    # Another way to run on the CPU.
    "openvino": (OPENVINO, CPU),
    # The stateless graphs beside the Torch engine.
    "torch": (CPU,),
}
"""Providers per choice, the wanted one first. ONNX Runtime gives each node to the first that can run it."""

CUDA_OPTIONS = {
    # TF32 keeps 10 bits of the mantissa: too few for latents that must agree with the CPU's after hundreds of steps.
    "use_tf32": "0",
    # A heuristic choice of convolution algorithm, since an exhaustive search is repeated for every new batch size.
    "cudnn_conv_algo_search": "HEURISTIC",
}


def available_chain(choice: ProviderChoice, available: Sequence[str]) -> list[str]:
    """The providers of a choice that this ONNX Runtime was built with, best first."""
    return [provider for provider in CHAINS[choice] if provider in available]


def fallback_reason(choice: ProviderChoice, available: Sequence[str], running: str) -> str:
    """Why less runs than was asked for; empty when the choice was met.

    Args:
        choice: what the operator asked for.
        available: the providers that this ONNX Runtime was built with.
        running: the first provider that the session reports.
    """
    wanted = available_chain(choice, available)[0] if choice == "auto" else CHAINS[choice][0]
    if running == wanted:
        return ""
    if wanted not in available:
        return f"{wanted} is not in this build of ONNX Runtime (it has {', '.join(available)})"
    return f"{wanted} did not start: {missing_library(wanted)}"


def load_libraries(chain: Sequence[str]) -> None:
    """Load the libraries of CUDA and cuDNN that lie in this environment (`onnxruntime-gpu[cuda,cudnn]`), if need be."""
    if CUDA in chain or TENSORRT in chain:
        ort.preload_dlls()


def missing_library(provider: str, folder: Path = Path(ort.__file__).parent / "capi") -> str:
    """What the provider's own library misses, in the words of the system.

    Args:
        provider: CUDA, TensorRT or OpenVINO.
        folder: that the libraries of ONNX Runtime's providers lie in.
    """
    library = folder / f"libonnxruntime_providers_{provider.removesuffix('ExecutionProvider').lower()}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return "its libraries are there, but no device or driver that they can use"


def device_type(provider: str) -> str:
    """Where a provider keeps its tensors, in ONNX Runtime's words."""
    return "cuda" if provider in (CUDA, TENSORRT) else "cpu"
