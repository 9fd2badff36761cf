"""Training of the generator against the frozen classifier."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import seed_everything
from rich.progress import track
from torch import Tensor, nn

from medxgan.training import objective, processes
from medxgan.training.augmentation import blur, brighten, dim, mirror, noise, shift, warp
from medxgan.training.averaging import remaining, update_average
from medxgan.training.checkpoint import resume, save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import DataSplit
from medxgan.training.examples import Examples
from medxgan.training.networks import Encoder, Generator
from medxgan.training.runs import (
    Run,
    RunLog,
    build_discriminator,
    build_encoder,
    build_generator,
)
from medxgan.training.sample_grid import SampleGrid
from medxgan.training.train_familiarity import train_familiarity
from medxgan.training.train_masked import train_masked_generator
from medxgan.training.trap import TrapGuard


def train_generator(
    configuration: TrainingConfig,
    data_root: Path,
    out: Path,
    *,
    split: DataSplit | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Run:
    """Train G, D and, where configured, E; goes on from the last checkpoint of the run folder.

    Args:
        configuration: the whole configuration; its `generator` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder, which holds a trained classifier.
        split: the images, where they are at hand; None, and always for the masked form, loads what `data` names.
        after_step: called with the number of every step that is done, but not by the masked form.

    Raises:
        RunError: the run folder holds no classifier.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    settings, augmentation = configuration.generator, configuration.augmentation
    if settings.form == "masked":
        return train_masked_generator(configuration, data_root, out)
    weights = settings.weights
    fabric = processes.launch(settings.precision, configuration.patience)
    processes.check_batch_size("generator.batch_size", settings.batch_size)
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    log = RunLog(out / "generator")

    # --- Data, as the frozen classifier sees it ---
    classifier = run.classifier()
    fabric.to_device(classifier)
    examples = Examples(configuration, data_root, classifier, fabric, split)
    known = examples.known

    # --- Networks and optimizers ---
    generator = build_generator(configuration)
    discriminator = build_discriminator(configuration, len(examples.strata))
    encoder: Encoder | None = None
    if settings.encoder_channels:
        encoder = build_encoder(settings.encoder_channels, generator)
    generating = _together(generator, encoder)
    if settings.initial_deviation is not None:
        for network in (generating, discriminator):
            _initialize(network, settings.initial_deviation)
    processes.over_whole_batch(generating)
    fabric.to_device(generating)
    fabric.to_device(discriminator)
    average_generator, average_encoder = copy.deepcopy(generator), copy.deepcopy(encoder)
    average = _together(average_generator, average_encoder).eval().requires_grad_(False)
    betas = (settings.beta1, settings.beta2)
    optimizer_g = torch.optim.Adam(generating.parameters(), settings.learning_rate, betas)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), settings.learning_rate, betas)
    for module in (classifier, generating, average, discriminator):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    modules: dict[str, nn.Module] = {"live": generating, "average": average, "discriminator": discriminator}
    optimizers = {"optimizer_g": optimizer_g, "optimizer_d": optimizer_d}
    first = resume(run.checkpoint("generator"), modules, optimizers)
    processes.check_step(first)
    grid = SampleGrid(average_generator, average_encoder, known.x, known.label, configuration.seed)
    guard = TrapGuard(average_generator, average_encoder, known.x, known.focus)

    # --- What D and C are shown ---
    def seen_by_discriminator(picture: Tensor) -> Tensor:
        return shift(brighten(picture), augmentation.shift) if settings.augment else picture

    def seen_by_classifier(picture: Tensor) -> Tensor:
        if not settings.augment:
            return picture
        return noise(dim(blur(shift(picture, augmentation.shift), augmentation.blur)), augmentation.noise)

    # --- Training ---
    kind = settings.adversarial_loss
    batches = examples.batches(first)
    for step in track(range(first + 1, settings.steps + 1), "generator", disable=not fabric.is_global_zero):
        drawn = next(batches)
        pictures, where = drawn.x, drawn.focus
        if augmentation.mirror:
            pictures, where = mirror(pictures, where)
        pictures, where = warp(pictures, where, turn=augmentation.turn, zoom=augmentation.zoom)
        batch = replace(drawn, x=pictures, focus=where)
        for optimizer in optimizers.values():
            optimizer.param_groups[0]["lr"] = settings.learning_rate * remaining(step / settings.steps, settings.decay)
        with fabric.autocast():
            samples, realizations = objective.generate(generator, encoder, batch)
            generated = objective.judged(samples, realizations, batch, settings.judge_applied)

            discriminator.requires_grad_(True)
            loss_d = objective.discriminator_loss(discriminator, batch, generated, seen_by_discriminator, kind)
        optimizer_d.zero_grad()
        fabric.backward(loss_d)
        processes.average_gradients(discriminator)
        optimizer_d.step()

        # G's loss goes through D and leaves it as it is: its weights' gradients would be thrown away.
        discriminator.requires_grad_(False)
        with fabric.autocast():
            terms = {
                "adversarial": objective.adversarial(discriminator, generated, seen_by_discriminator, kind),
                "class_of_sample": objective.class_of_sample(classifier, samples, seen_by_classifier),
            }
            if encoder is not None and realizations is not None:
                seen = seen_by_classifier
                terms |= {
                    "reconstruction": objective.reconstruction(batch, realizations),
                    "features": objective.features(classifier, batch, realizations),
                    "class_of_negative": objective.class_of_negative(classifier, realizations, seen),
                    "class_of_applied": objective.class_of_applied(classifier, batch, realizations, seen),
                    "sparsity": objective.sparsity(batch, realizations),
                    "outside": objective.outside(batch, realizations),
                    "prior": objective.prior(realizations),
                    "cycle": objective.cycle(encoder, generator, samples),
                }
        loss_g = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        optimizer_g.zero_grad()
        fabric.backward(loss_g)
        processes.average_gradients(generating)
        optimizer_g.step()
        update_average(average, generating, min(settings.average_decay, step / (step + 10)))

        if after_step is not None:
            after_step(step)
        if step % settings.checkpoint_interval == 0 or step == settings.steps:
            losses = {
                name: processes.mean(loss.detach()).item() for name, loss in ({"discriminator": loss_d} | terms).items()
            }
            if fabric.is_global_zero:
                log.write(step, losses | guard.figures())
                grid.write(out / "generator" / "samples" / f"step-{step:06d}.png")
                save_checkpoint(run.checkpoint("generator"), step, modules, optimizers)
    log.close()
    if fabric.is_global_zero and not run.has("familiarity"):
        # The classifier was trained elsewhere, so that nothing has seen the films before.
        train_familiarity(run, examples.split)
    processes.barrier()
    return run


def _together(generator: Generator, encoder: Encoder | None) -> nn.ModuleDict:
    return nn.ModuleDict({"generator": generator} | ({} if encoder is None else {"encoder": encoder}))


def _initialize(network: nn.Module, deviation: float) -> None:
    """Weights of convolutions ~ N(0, deviation), of batch norm ~ N(1, deviation), as DCGAN (Radford et al., 2016)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, deviation)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, deviation)
