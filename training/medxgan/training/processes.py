"""One training shared out over processes: on several GPUs, several machines, or the cores of one.

The batch that is configured is the batch of all processes together. Each draws every random number of the whole batch
from the same seed and keeps those of its own rows, so that the training is the same, but for the rounding of sums, on
however many processes it runs. Whatever is a mean over rows (a loss, a gradient, the statistics of batch norm) is the
mean of the processes' means, as every process has equally many rows. With one process, nothing here changes anything.

`torchrun` starts the processes; see the room's README.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

logger = logging.getLogger(__name__)


class ProcessesError(Exception):
    """A training can't be shared out as it is, or another process is lost; the message says what to do."""


class Draw(Protocol):
    """Such as `torch.rand`."""

    def __call__(self, *size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """A tensor [size...] of random numbers."""
        ...


def launch(precision: Literal["32-true", "bf16-mixed"] = "32-true", patience: float = 30) -> Fabric:
    """This process's device, connected with the other processes where `torchrun` has started any.

    Args:
        patience: minutes that this process waits for the others before it gives them up.
        precision: of Fabric's autocast. A processor that only imitates bfloat16 takes ten times as long with it: such a
            one trains in float32, and says so.
    """
    devices, machines = 1, 1
    if are_started():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // devices
    fabric = _fabric(devices, machines, precision, patience)
    if precision == "bf16-mixed" and fabric.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        logger.warning("this processor has no arithmetic for bfloat16 (bf16-mixed): training goes on in float32")
        fabric = _fabric(devices, machines, "32-true", patience)
    with _reaching_others() if devices * machines > 1 else nullcontext():
        fabric.launch()
    return fabric


def _fabric(devices: int, machines: int, precision: Literal["32-true", "bf16-mixed"], patience: float) -> Fabric:
    shared = devices * machines > 1
    strategy = DDPStrategy(timeout=timedelta(minutes=patience)) if shared else "auto"
    return Fabric(accelerator="auto", strategy=strategy, devices=devices, num_nodes=machines, precision=precision)


def are_started() -> bool:
    """Whether `torchrun` has started this process, with others or alone."""
    return bool(TorchElasticEnvironment.detect())


def leave() -> None:
    """Take leave of the other processes: a thread of gloo's that is still at work when Python ends aborts it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def count() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes the files."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process has come here.

    Raises:
        ProcessesError: one of them is lost.
    """
    if count() > 1:
        with _reaching_others():
            distributed.barrier()


def check_batch_size(name: str, batch_size: int) -> None:
    """Refuse a batch that can't be shared out.

    Raises:
        ProcessesError: it is not a multiple of the number of processes; `name` is the field that states it.
    """
    if batch_size % count():
        raise ProcessesError(f"{name}: expected a multiple of the number of processes, {count()}, found {batch_size}")


def check_step(step: int) -> None:
    """Refuse to go on from another step than the other processes do.

    Raises:
        ProcessesError: they do not see the same checkpoint.
    """
    steps: list[int] = [step] * count()
    if count() > 1:
        with _reaching_others():
            distributed.all_gather_object(steps, step)
    if len(set(steps)) > 1:
        found = ", ".join(map(str, sorted(set(steps))))
        raise ProcessesError(f"--out: expected one folder for all processes, found checkpoints of steps {found}")


def own_rows(batch: Tensor) -> Tensor:
    """This process's rows [B / processes, ...] of the whole batch [B, ...]."""
    return batch.chunk(count())[rank()] if count() > 1 else batch


def drawn_rows(draw: Draw, rows: int, *size: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random numbers [rows, size...] for this process's rows, out of those drawn for the rows of all."""
    return own_rows(draw(rows * count(), *size, device=device, dtype=dtype))


def mean(share: Tensor) -> Tensor:
    """The mean over all processes of a tensor of one shape; gradients flow to the share of each."""
    result: Tensor = _Mean.apply(share) if count() > 1 else share  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def average_gradients(network: nn.Module) -> None:
    """Give every process the gradient of the whole batch: the mean of all, in one reduction."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    averages = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, average in zip(gradients, torch.split(averages, [each.numel() for each in gradients]), strict=True):
        gradient.copy_(average.view_as(gradient))


def over_whole_batch(network: nn.Module) -> None:
    """Make batch norm and dropout of a network, in place, what they are in a network that sees the whole batch."""
    if count() == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, WholeBatchNorm.of(child))
            elif isinstance(child, nn.Dropout):
                setattr(parent, name, WholeBatchDropout(child.p))


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of the rows of all processes.

    `torch.nn.SyncBatchNorm` does the same on GPUs only.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "WholeBatchNorm":
        """The same weights and running statistics."""
        ours = cls(norm.num_features, norm.eps, norm.momentum)
        ours.load_state_dict(norm.state_dict())
        return ours

    def forward(self, x: Tensor) -> Tensor:
        """[B / processes, C, H, W] to the same."""
        if not self.training:
            return super().forward(x)
        # In float32, as PyTorch's own under autocast. The mean first: E[x²] - E[x]² cancels where it is large.
        values = x.float()
        centre = mean(values.mean((0, 2, 3)))
        centred = values - centre[:, None, None]
        variance = mean(centred.square().mean((0, 2, 3)))
        self._follow(centre.detach(), variance.detach(), x.numel() // self.num_features * count())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _follow(self, centre: Tensor, variance: Tensor, values: int) -> None:
        """Move the running statistics; the variance is, as PyTorch has it, without bias here."""
        for running, current in ((self.running_mean, centre), (self.running_var, variance * values / (values - 1))):
            if running is not None and self.momentum is not None:
                running.lerp_(current, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


class WholeBatchDropout(nn.Dropout):
    """Dropout that draws for the rows of all processes and drops those of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """[B / processes, ...] to the same."""
        if not self.training:
            return x
        whole = torch.ones(len(x) * count(), *x.shape[1:], device=x.device, dtype=x.dtype)
        return x * own_rows(F.dropout(whole, self.p))


class _Mean(torch.autograd.Function):
    """The mean over processes. What one process puts in reaches every other's loss, by the same mean."""

    @staticmethod
    def forward(ctx: Any, share: Tensor) -> Tensor:  # noqa: ARG004
        whole = share.clone()
        with _reaching_others():
            distributed.all_reduce(whole)
        return whole / count()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Mean.forward(ctx, gradient)


@contextmanager
def _reaching_others() -> Iterator[None]:
    """Say in plain words that another process is lost: gloo and NCCL raise RuntimeError for it."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ProcessesError(
            "another process of this training has ended or can't be reached; what it said, or its machine, tells why. "
            f"Start all of them again: the training goes on from its last checkpoint ({reason})"
        ) from error
