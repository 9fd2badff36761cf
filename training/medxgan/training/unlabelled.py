"""Training pictures without their labels, for what learns from the pictures alone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from medxgan.training import processes
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import preprocess_images
from medxgan.training.runs import build_preprocess
from medxgan.training.streaming import ShardStream


def pictures(
    configuration: TrainingConfig, data_root: Path, fabric: Fabric, batch_size: int, field: str
) -> Iterator[Tensor]:
    """This process's pictures [B, 1, S, S] of every batch, without end, held in memory or streamed from shards.

    Args:
        configuration: the whole of it.
        data_root: folder that relative paths of the `data` section start from.
        fabric: the device.
        batch_size: pictures of all processes together.
        field: the one that states the size, for messages.
    """
    preprocess = build_preprocess(configuration)
    if isinstance(configuration.data, ShardsData):
        for rows in ShardStream(configuration.data, data_root, preprocess).batches(batch_size, field=field):
            yield fabric.to_device(rows.x)
    split = configuration.data.load(data_root)
    split.check_training()
    x = fabric.to_device(preprocess_images(preprocess, split.train).x)
    while True:
        yield x[processes.own_rows(torch.randint(0, len(x), (batch_size,)))]
