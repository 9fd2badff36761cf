"""Training of the passes that refine the encoder's guess, against the frozen generator, encoder and classifier."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric, seed_everything
from rich.progress import track
from torch import Tensor, nn

from medxgan.training import processes
from medxgan.training.augmentation import mirror, warp
from medxgan.training.averaging import remaining
from medxgan.training.checkpoint import resume, save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.networks import ExplainedClassifier, MaskedGenerator, ResidualEncoder, TwoBranchGenerator
from medxgan.training.runs import Run, RunError, RunLog, build_residual_encoder
from medxgan.training.unlabelled import pictures

CHECKPOINT_INTERVAL = 100
DECAY = 0.5
"""Share of the steps, the last, that the rate falls to 0 over."""
MARGIN = 2.0
"""Logits by which negatives shall lie below the threshold: those that do add nothing to the loss."""
EXCESS_WEIGHT = 0.1
"""Of a logit above that, against the inversion's own loss."""
STRONGER = 1.5
"""Times the turn and zoom of the configuration: guesses are then as far off as for patients that no encoder saw."""


def train_refinement(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train the passes by the inversion's own loss after each, and by how surely the negatives are negative.

    As in ReStyle, a pass is not told what becomes of it in the next. Goes on from the last checkpoint.

    Args:
        configuration: the whole configuration; its `refinement` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder, which holds a trained classifier and a generator with its encoder.

    Raises:
        RunError: the run folder lacks one of them, or the configuration asks for no passes.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    settings = configuration.refinement
    if not settings.passes:
        raise RunError("refinement.passes: expected at least 1, found 0")
    fabric = processes.launch(patience=configuration.patience)
    processes.check_batch_size("refinement.batch_size", settings.batch_size)
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    log = RunLog(out / "refinement")
    refining = Refining(run, fabric)
    residual = refining.residual
    optimizer = torch.optim.Adam(residual.parameters(), settings.learning_rate)
    first = resume(run.checkpoint("refinement"), {"residual": residual}, {"optimizer": optimizer})
    processes.check_step(first)
    batches = refining.batches(data_root)
    for step in track(range(first + 1, settings.steps + 1), "refinement", disable=not fabric.is_global_zero):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * remaining(step / settings.steps, DECAY)
        losses = refining.losses(next(batches))
        optimizer.zero_grad()
        fabric.backward(torch.stack(losses).mean())
        processes.average_gradients(residual)
        nn.utils.clip_grad_norm_(residual.parameters(), 1.0)
        optimizer.step()
        if step % CHECKPOINT_INTERVAL == 0 or step == settings.steps:
            figures = {f"pass_{number}": processes.mean(loss.detach()).item() for number, loss in enumerate(losses, 1)}
            if fabric.is_global_zero:
                save_checkpoint(run.checkpoint("refinement"), step, {"residual": residual}, {"optimizer": optimizer})
                log.write(step, figures)
    log.close()
    processes.barrier()
    return run


class Refining:
    """The frozen networks, and what is to be minimised.

    Args:
        run: holds them.
        fabric: the device.

    Attributes:
        residual: is trained.
    """

    def __init__(self, run: Run, fabric: Fabric) -> None:
        self._configuration, self._fabric = run.configuration, fabric
        self._weight = run.configuration.inversion.reconstruction_weight
        threshold = run.configuration.classes.decision_threshold
        self._positive = math.log(threshold / (1 - threshold))
        self._classifier: ExplainedClassifier = run.classifier()
        generator, guessing = run.generator()
        if guessing is None or not isinstance(generator, TwoBranchGenerator | MaskedGenerator):
            raise RunError(f"{run.folder}: expected a generator of two branches, with an encoder")
        self._generator = generator
        encoder = run.guessing_encoder(generator, guessing, self._classifier)
        assert encoder is not None  # noqa: S101 - it was, above
        self._encoder = encoder
        self.residual: ResidualEncoder = build_residual_encoder(run.configuration, generator)
        for module in (self._classifier, self._generator, self._encoder, self.residual):
            fabric.to_device(module)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batches(self, data_root: Path) -> Iterator[Tensor]:
        """This process's pictures [B, 1, S, S] of every step, without end."""
        augmentation, size = self._configuration.augmentation, self._configuration.refinement.batch_size
        for x in pictures(self._configuration, data_root, self._fabric, size, "refinement.batch_size"):
            turned = mirror(x) if augmentation.mirror else (x,)
            (moved,) = warp(*turned, turn=STRONGER * augmentation.turn, zoom=STRONGER * augmentation.zoom)
            yield moved

    def losses(self, x: Tensor) -> list[Tensor]:
        """The mean loss of x: [B, 1, S, S] after each pass."""
        with torch.no_grad():
            wanted = self._classifier(x)
            z = self._encoder(x)
            drawn = self._generator(z)
        losses = []
        for _ in range(self._configuration.refinement.passes):
            z = self.residual(x, drawn.detach(), z.detach())
            drawn, negative = self._generator.realize(z)
            losses.append(self._loss(x, wanted, drawn, negative))
        return losses

    def _loss(self, x: Tensor, wanted: Tensor, drawn: Tensor, negative: Tensor) -> Tensor:
        inversion = self._weight * F.mse_loss(drawn, x) + F.binary_cross_entropy_with_logits(
            self._classifier(drawn), wanted.sigmoid()
        )
        negatives = torch.stack([negative, (x - (drawn - negative)).clamp(-1, 1)])
        logits = torch.stack([self._classifier(each) for each in negatives])
        excess = F.relu(logits - (self._positive - MARGIN)).sum(0) * (wanted >= self._positive)
        return inversion + EXCESS_WEIGHT * excess.mean()
