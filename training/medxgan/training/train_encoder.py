"""Training of an encoder alone, against the frozen generator and classifier."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric, seed_everything
from rich.progress import track
from torch import Tensor

from medxgan.training import processes
from medxgan.training.checkpoint import save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import preprocess_images
from medxgan.training.objective import draw_codes
from medxgan.training.runs import Run, RunLog, build_encoder, build_preprocess
from medxgan.training.streaming import ShardStream

LOG_INTERVAL = 50


def train_encoder(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train E so that G(E(x)) is x for real images and E(G(z)) is z for samples; it starts the inversion well.

    Args:
        configuration: the whole configuration; its `encoder` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder, which holds a trained classifier and generator.

    Raises:
        RunError: the run folder lacks one of the two.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    settings = configuration.encoder
    fabric = processes.launch(patience=configuration.patience)
    processes.check_batch_size("encoder.batch_size", settings.batch_size)
    seed_everything(configuration.seed, verbose=False)
    generator, _ = Run.open(out).generator()
    fabric.to_device(generator)
    run = Run.create(out, configuration)
    log = RunLog(out / "encoder")

    # --- Data and network ---
    pictures_of_steps = _pictures(configuration, data_root, fabric)
    encoder = build_encoder(settings.channels, generator)
    processes.over_whole_batch(encoder)
    fabric.to_device(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), settings.learning_rate)

    # --- Training ---
    for step in track(range(1, settings.steps + 1), "encoder", disable=not fabric.is_global_zero):
        pictures = next(pictures_of_steps)
        with torch.no_grad():
            z, _ = draw_codes(generator, len(pictures), pictures.device)
            sample = generator(z)
        reconstruction = F.mse_loss(generator(encoder(pictures)), pictures)
        code = F.mse_loss(encoder(sample), z)
        optimizer.zero_grad()
        fabric.backward(10 * reconstruction + code)
        processes.average_gradients(encoder)
        optimizer.step()
        if step % LOG_INTERVAL == 0 or step == settings.steps:
            losses = {"reconstruction": reconstruction, "code": code}
            log.write(step, {name: processes.mean(loss.detach()).item() for name, loss in losses.items()})
    log.close()
    if fabric.is_global_zero:
        save_checkpoint(run.checkpoint("encoder"), settings.steps, {"encoder": encoder})
    processes.barrier()
    return run


def _pictures(configuration: TrainingConfig, data_root: Path, fabric: Fabric) -> Iterator[Tensor]:
    """This process's pictures of every step, without end."""
    preprocess, size = build_preprocess(configuration), configuration.encoder.batch_size
    if isinstance(configuration.data, ShardsData):
        for rows in ShardStream(configuration.data, data_root, preprocess).batches(size, field="encoder.batch_size"):
            yield fabric.to_device(rows.x)
    split = configuration.data.load(data_root)
    split.check_training()
    x = fabric.to_device(preprocess_images(preprocess, split.train).x)
    while True:
        yield x[processes.own_rows(torch.randint(0, len(x), (size,)))]
