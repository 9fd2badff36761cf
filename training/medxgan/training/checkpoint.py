"""Checkpoints in safetensors: weights, optimizer state, random state and the step, enough to go on exactly."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

RANDOM_STATE = "random_state"
STEP = "step"


def save_checkpoint(
    file: Path, step: int, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer] | None = None
) -> None:
    """Write a checkpoint; the file is replaced whole, so that an interruption leaves the former one."""
    tensors: dict[str, Tensor] = {RANDOM_STATE: torch.get_rng_state()}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in (optimizers or {}).items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    partial = file.with_suffix(".partial")
    # A copy of each: safetensors refuses tensors that share memory.
    save_file(
        {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()},
        partial,
        metadata={STEP: str(step)},
    )
    partial.replace(file)


def load_weights(file: Path, modules: Mapping[str, nn.Module]) -> int:
    """Load the weights of `modules` and return the step at which they were saved.

    Raises:
        RuntimeError: the checkpoint is of a network of another shape; PyTorch names the weights.
    """
    with safe_open(file, framework="pt") as checkpoint:
        for name, module in modules.items():
            module.load_state_dict(_under(checkpoint, name))
        return int(checkpoint.metadata()[STEP])


def keep_weights(file: Path, names: Mapping[str, str], out: Path) -> None:
    """Write the weights of some modules of a checkpoint alone, without what a training goes on with.

    Args:
        file: the checkpoint.
        names: of the modules, and what they are to be called.
        out: the file to write.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with safe_open(file, framework="pt") as checkpoint:
        tensors = {
            f"{called}.{key}": value.contiguous()
            for name, called in names.items()
            for key, value in _under(checkpoint, name).items()
        }
        save_file(tensors, out, metadata={STEP: checkpoint.metadata()[STEP]})


def holds(file: Path, name: str) -> bool:
    """Whether there is such a checkpoint with weights of the module."""
    if not file.exists():
        return False
    with safe_open(file, framework="pt") as checkpoint:
        return bool(_under(checkpoint, name))


def resume(file: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> int:
    """Load weights, optimizers and random state; the step to go on from. 0 where there is no checkpoint yet."""
    if not file.exists():
        return 0
    step = load_weights(file, modules)
    with safe_open(file, framework="pt") as checkpoint:
        for name, optimizer in optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(checkpoint, name).items():
                index, entry = key.split(".", 1)
                state.setdefault(int(index), {})[entry] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(checkpoint.get_tensor(RANDOM_STATE))
    return step


def _under(checkpoint: safe_open, name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    names = [name for name in checkpoint.keys() if name.startswith(prefix)]  # type: ignore[no-untyped-call]  # noqa: SIM118
    return {name[len(prefix) :]: checkpoint.get_tensor(name) for name in names}  # type: ignore[no-untyped-call]
