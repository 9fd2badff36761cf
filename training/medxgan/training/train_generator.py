"""Training of the generator against the frozen classifier."""

import copy
from pathlib import Path

import torch
from lightning_fabric import Fabric, seed_everything
from rich.progress import track
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medxgan.training import objective
from medxgan.training.augmentation import brighten, dim, mirror, noise, shift
from medxgan.training.checkpoint import resume, save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.dataset import preprocess_images
from medxgan.training.focus import classifier_focus
from medxgan.training.networks import Discriminator, Encoder, Generator
from medxgan.training.objective import Batch
from medxgan.training.runs import Run, RunLog, build_encoder, build_generator, build_preprocess
from medxgan.training.sample_grid import SampleGrid
from medxgan.training.trap import TrapGuard


def train_generator(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train G, D and, where configured, E; goes on from the last checkpoint of the run folder.

    Args:
        configuration: the whole configuration; its `generator` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder, which holds a trained classifier.

    Raises:
        RunError: the run folder holds no classifier.
    """
    settings, augmentation = configuration.generator, configuration.augmentation
    weights = settings.weights
    fabric = Fabric(accelerator="auto", devices=1)
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    log = RunLog(out / "generator")

    # --- Data, as the frozen classifier sees it ---
    classifier = run.classifier()
    fabric.to_device(classifier)
    images = configuration.data.load(data_root).train
    x = fabric.to_device(preprocess_images(build_preprocess(configuration), images).x)
    decision, focus = classifier_focus(classifier, x, configuration.classes.decision_threshold)

    # --- Networks and optimizers ---
    generator = build_generator(settings)
    discriminator = Discriminator(settings.discriminator_channels, settings.conditional)
    encoder = build_encoder(configuration)
    generating = _together(generator, encoder)
    if settings.initial_deviation is not None:
        for network in (generating, discriminator):
            _initialize(network, settings.initial_deviation)
    fabric.to_device(generating)
    fabric.to_device(discriminator)
    average_generator, average_encoder = copy.deepcopy(generator), copy.deepcopy(encoder)
    average = _together(average_generator, average_encoder).eval().requires_grad_(False)
    betas = (settings.beta1, settings.beta2)
    optimizer_g = torch.optim.Adam(generating.parameters(), settings.learning_rate, betas)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), settings.learning_rate, betas)
    modules: dict[str, nn.Module] = {"live": generating, "average": average, "discriminator": discriminator}
    optimizers = {"optimizer_g": optimizer_g, "optimizer_d": optimizer_d}
    first = resume(run.checkpoint("generator"), modules, optimizers)
    grid = SampleGrid(average_generator, average_encoder, x, decision, configuration.seed)
    guard = TrapGuard(average_generator, average_encoder, x, focus)

    # --- What D and C are shown ---
    def seen_by_discriminator(picture: Tensor) -> Tensor:
        return shift(brighten(picture), augmentation.shift) if settings.augment else picture

    def seen_by_classifier(picture: Tensor) -> Tensor:
        return noise(dim(shift(picture, augmentation.shift)), augmentation.noise) if settings.augment else picture

    # --- Training ---
    kind = settings.adversarial_loss
    for step in track(range(first + 1, settings.steps + 1), "generator", disable=not fabric.is_global_zero):
        rows = torch.randint(0, len(x), (settings.batch_size,))
        pictures, where = x[rows], focus[rows]
        if augmentation.mirror:
            pictures, where = mirror(pictures, where)
        batch = Batch(pictures, decision[rows], where)
        samples, realizations = objective.generate(generator, encoder, batch)
        generated = objective.judged(samples, realizations, batch)

        discriminator.requires_grad_(True)
        loss_d = objective.discriminator_loss(discriminator, batch, generated, seen_by_discriminator, kind)
        optimizer_d.zero_grad()
        fabric.backward(loss_d)
        optimizer_d.step()

        # G's loss goes through D and leaves it as it is: its weights' gradients would be thrown away.
        discriminator.requires_grad_(False)
        terms = {
            "adversarial": objective.adversarial(discriminator, generated, seen_by_discriminator, kind),
            "class_of_sample": objective.class_of_sample(classifier, samples, seen_by_classifier),
        }
        if encoder is not None and realizations is not None:
            terms |= {
                "reconstruction": objective.reconstruction(batch, realizations),
                "features": objective.features(classifier, batch, realizations),
                "class_of_negative": objective.class_of_negative(classifier, realizations, seen_by_classifier),
                "sparsity": objective.sparsity(batch, realizations),
                "outside": objective.outside(batch, realizations),
                "prior": objective.prior(realizations),
                "cycle": objective.cycle(encoder, generator, samples),
            }
        loss_g = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        optimizer_g.zero_grad()
        fabric.backward(loss_g)
        optimizer_g.step()
        _update_average(average, generating, min(settings.average_decay, step / (step + 10)))

        if step % settings.checkpoint_interval == 0 or step == settings.steps:
            losses = {"discriminator": loss_d.item()} | {name: term.item() for name, term in terms.items()}
            log.write(step, losses | guard.figures())
            grid.write(out / "generator" / "samples" / f"step-{step:06d}.png")
            save_checkpoint(run.checkpoint("generator"), step, modules, optimizers)
    log.close()
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


@torch.no_grad()
def _update_average(average: nn.Module, live: nn.Module, decay: float) -> None:
    """Move the averaged parameters towards the live ones, and the batch statistics with them."""
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    blend(list(average.parameters()), list(live.parameters()), 0)
    for ours, theirs in zip(average.buffers(), live.buffers(), strict=True):
        if theirs.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)
