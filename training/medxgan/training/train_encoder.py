"""Training of an encoder alone, against the frozen generator and classifier."""

from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import seed_everything
from rich.progress import track

from medxgan.training import processes
from medxgan.training.checkpoint import save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.objective import draw_codes
from medxgan.training.runs import Run, RunLog, build_encoder
from medxgan.training.unlabelled import pictures

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
    pictures_of_steps = pictures(configuration, data_root, fabric, settings.batch_size, "encoder.batch_size")
    encoder = build_encoder(settings.channels, generator)
    processes.over_whole_batch(encoder)
    fabric.to_device(encoder)
    optimizer = torch.optim.Adam(encoder.parameters(), settings.learning_rate)

    # --- Training ---
    for step in track(range(1, settings.steps + 1), "encoder", disable=not fabric.is_global_zero):
        x = next(pictures_of_steps)
        with torch.no_grad():
            z, _ = draw_codes(generator, len(x), x.device)
            sample = generator(z)
        reconstruction = F.mse_loss(generator(encoder(x)), x)
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
