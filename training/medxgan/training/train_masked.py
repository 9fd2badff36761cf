"""Training of the masked form of the generator: the pathology first, then the anatomy."""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric, seed_everything
from rich.progress import track
from torch import Tensor, nn

from medxgan.training import masked_objective, objective, processes
from medxgan.training.augmentation import blur, brighten, dim, mirror, noise, shift, warp
from medxgan.training.averaging import remaining, update_average
from medxgan.training.checkpoint import holds, load_weights, resume, save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import lesion_masks, preprocess_images
from medxgan.training.focus import classifier_focus, masked_focus
from medxgan.training.networks import MaskedGenerator
from medxgan.training.objective import Batch, Judged
from medxgan.training.runs import (
    Run,
    RunError,
    RunLog,
    build_discriminator,
    build_feature_encoder,
    build_generator,
    build_preprocess,
)
from medxgan.training.sample_grid import SampleGrid
from medxgan.training.sampling import balancing_weights, draw_batch
from medxgan.training.style import expose, shade

SAMPLED = 4
"""One sample of the prior for so many real images: this form explains, and is seldom sampled."""


def train_masked_generator(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train G, its encoder and D in two stages; each goes on from the last checkpoint of its folder of the run.

    A run of which the averaged weights alone were kept goes on from these, with a new optimizer, in the second stage.

    Args:
        configuration: the whole configuration; its `generator` section, of the form "masked", is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder, which holds a trained classifier.

    Raises:
        RunError: the run folder holds no classifier, or the images come from shards.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    settings = configuration.generator
    fabric = processes.launch(settings.precision, configuration.patience)
    processes.check_batch_size("generator.batch_size", settings.batch_size)
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    training = MaskedTraining(run, fabric, data_root)
    if run.has("pathology") or not run.has("generator"):
        training.learn_pathology()
    training.learn_anatomy()
    return run


class MaskedTraining:
    """What both stages share: the data as C sees them, the networks, and their moving averages.

    Args:
        run: holds the classifier.
        fabric: the device and its autocast.
        data_root: folder that relative paths of the `data` section start from.
    """

    def __init__(self, run: Run, fabric: Fabric, data_root: Path) -> None:
        self.run, self.fabric = run, fabric
        self.configuration = configuration = run.configuration
        self.settings = settings = configuration.generator

        # --- Data, as the frozen classifier sees it ---
        if isinstance(configuration.data, ShardsData):
            raise RunError('data.kind: "shards" can\'t feed generator.form = "masked", which holds all images')
        self.classifier = run.classifier()
        fabric.to_device(self.classifier)
        split = configuration.data.load(data_root)
        split.check_training()
        images = split.train
        self.x = fabric.to_device(preprocess_images(build_preprocess(configuration), images).x)
        threshold = configuration.classes.decision_threshold
        if settings.focus == "masks":
            masks = fabric.to_device(lesion_masks(images, self.x.shape[-1]))
            self.decision, self.focus, known = masked_focus(self.classifier, self.x, masks, threshold)
            # Where C is wrong nobody has marked why, and where it is negative there is nothing to mark.
            self.placed = torch.where(self.decision > 0, known, 1.0)
        else:
            self.decision, self.focus = classifier_focus(self.classifier, self.x, threshold)
            self.placed = torch.ones_like(self.decision)
        names = images.strata or ("",) * len(images)
        self.strata = sorted(set(names))
        self.stratum = torch.tensor([self.strata.index(name) for name in names], device=self.x.device)
        labels = torch.from_numpy(images.labels)
        self.share = balancing_weights(labels, images.strata) if images.strata else None

        # --- Networks ---
        generator = build_generator(configuration)
        if not isinstance(generator, MaskedGenerator):
            raise ValueError(f'generator.form: expected "masked", found "{settings.form}"')
        encoder = build_feature_encoder(configuration, generator)
        encoder.classifier.load_state_dict(self.classifier.state_dict())
        self.generator, self.encoder = generator, encoder
        self.live = nn.ModuleDict({"generator": generator, "encoder": encoder})
        processes.over_whole_batch(self.live)
        fabric.to_device(self.live)
        self.average = copy.deepcopy(self.live).eval().requires_grad_(False)
        for module in (self.classifier, self.live, self.average):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batches(self, first: int, steps: int, name: str) -> Iterator[tuple[int, Batch]]:
        """The steps from `first` on, counted from 1, and for each a batch of changed real images."""
        settings, augmentation = self.settings, self.configuration.augmentation
        for step in track(range(first + 1, steps + 1), name, disable=not self.fabric.is_global_zero):
            rows = processes.own_rows(draw_batch(self.share, len(self.x), settings.batch_size))
            pictures, where = self.x[rows], self.focus[rows]
            if augmentation.mirror:
                pictures, where = mirror(pictures, where)
            pictures, where = warp(pictures, where, turn=augmentation.turn, zoom=augmentation.zoom)
            if augmentation.exposure:
                pictures = shade(expose(pictures, augmentation.exposure), augmentation.exposure)
            yield step, Batch(pictures, self.decision[rows], where, self.stratum[rows], self.placed[rows])

    def seen_by_classifier(self, picture: Tensor) -> Tensor:
        """A copy that C judges through: shifted, blurred, dimmed and noised."""
        augmentation = self.configuration.augmentation
        return noise(dim(blur(shift(picture, augmentation.shift), augmentation.blur)), augmentation.noise)

    def seen_by_discriminator(self, picture: Tensor) -> Tensor:
        """A copy that D judges: smaller, brighter or darker, and shifted."""
        reduction = self.settings.judged_reduction
        return shift(brighten(F.avg_pool2d(picture, reduction)), self.configuration.augmentation.shift // reduction)

    def optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Adam:
        """Adam as configured."""
        settings = self.settings
        return torch.optim.Adam(parameters, settings.learning_rate, (settings.beta1, settings.beta2))

    def slow_down(self, progress: float, *optimizers: torch.optim.Optimizer) -> None:
        """Set the learning rates for a share of the stage's steps."""
        for optimizer in optimizers:
            rate = self.settings.learning_rate * remaining(progress, self.settings.decay)
            optimizer.param_groups[0]["lr"] = rate

    def update(self, step: int) -> None:
        """Move the average towards the live weights."""
        update_average(self.average, self.live, min(self.settings.average_decay, step / (step + 10)))

    def learn_pathology(self) -> None:
        """First stage: what is to be taken away from an image, judged by C, by D, and by where it lies."""
        settings, fabric = self.settings, self.fabric
        generator, encoder = self.generator, self.encoder
        log = RunLog(self.run.folder / "pathology")
        checkpoint = self.run.checkpoint("pathology")
        discriminator = build_discriminator(self.configuration, len(self.strata))
        fabric.to_device(discriminator)
        trained = [*generator.pathology_parameters(), *encoder.pathology_parameters()]
        optimizer_g, optimizer_d = self.optimizer(trained), self.optimizer(list(discriminator.parameters()))
        modules: dict[str, nn.Module] = {"live": self.live, "average": self.average, "discriminator": discriminator}
        optimizers: dict[str, torch.optim.Optimizer] = {"optimizer_g": optimizer_g, "optimizer_d": optimizer_d}
        first = resume(checkpoint, modules, optimizers)
        processes.check_step(first)
        kind = settings.adversarial_loss

        for step, batch in self.batches(first, settings.pathology_steps, "pathology"):
            self.slow_down(step / settings.pathology_steps, optimizer_g, optimizer_d)
            with fabric.autocast():
                code = encoder.pathology_code(batch.x)
                added, mask = generator.pathology(code)
                applied = masked_objective.applied_negative(batch.x, added)
                healthy = batch.condition(torch.zeros_like(batch.label))
                judged = [Judged(applied, healthy, batch.label)]
                discriminator.requires_grad_(True)
                loss_d = objective.discriminator_loss(discriminator, batch, judged, self.seen_by_discriminator, kind)
            optimizer_d.zero_grad()
            fabric.backward(loss_d)
            processes.average_gradients(discriminator)
            optimizer_d.step()

            discriminator.requires_grad_(False)
            with fabric.autocast():
                seen = self.seen_by_classifier
                terms = {
                    "adversarial": objective.adversarial(discriminator, judged, self.seen_by_discriminator, kind),
                    "class_of_applied": masked_objective.class_of_applied(self.classifier, batch, applied, seen),
                    "place": masked_objective.place(batch, mask),
                    "sparsity": masked_objective.sparsity(batch, added),
                    "transfer": masked_objective.transfer(encoder, generator, batch, added),
                    "prior": masked_objective.prior(code),
                }
            self._step(optimizer_g, terms)
            self.update(step)
            if step % settings.checkpoint_interval == 0 or step == settings.pathology_steps:
                self._keep(log, checkpoint, step, terms | {"discriminator": loss_d}, modules, optimizers)
        log.close()
        processes.barrier()

    def learn_anatomy(self) -> None:
        """Second stage: the pathology stays, and the anatomy learns to be the image without it."""
        settings, fabric = self.settings, self.fabric
        generator, encoder = self.generator, self.encoder
        log = RunLog(self.run.folder / "generator")
        checkpoint = self.run.checkpoint("generator")
        load_weights(
            self.run.checkpoint("generator" if self.run.has("generator") else "pathology"), {"average": self.live}
        )
        frozen = [*generator.pathology_parameters(), *encoder.pathology_parameters()]
        for parameter in frozen:
            parameter.requires_grad_(False)
        optimizer = self.optimizer([each for each in self.live.parameters() if each.requires_grad])
        modules: dict[str, nn.Module] = {"live": self.live, "average": self.average}
        optimizers: dict[str, torch.optim.Optimizer] = {"optimizer": optimizer}
        self.average.load_state_dict(self.live.state_dict())
        if holds(checkpoint, "live"):
            first = resume(checkpoint, modules, optimizers)
        else:
            first = load_weights(checkpoint, {"average": self.average}) if checkpoint.exists() else 0
        processes.check_step(first)
        grid = SampleGrid(
            self.average["generator"],  # type: ignore[arg-type]
            self.average["encoder"],  # type: ignore[arg-type]
            self.x,
            self.decision,
            self.configuration.seed,
        )

        for step, batch in self.batches(first, settings.steps, "anatomy"):
            self.slow_down(step / settings.steps, optimizer)
            with fabric.autocast():
                with torch.no_grad():
                    added, _ = generator.pathology(encoder.pathology_code(batch.x))
                    added = added * batch.label[:, None, None, None]
                    negative = masked_objective.applied_negative(batch.x, added)
                code = encoder.anatomy_code(batch.x)
                drawn = processes.drawn_rows(
                    torch.randn, len(code) // SAMPLED, generator.z1_size, device=code.device, dtype=code.dtype
                )
                anatomy, sampled = torch.split(
                    generator.draw_anatomy(torch.cat([code, drawn])), [len(code), len(drawn)]
                )
                # C sees half of the rows as reconstructions, the other half as negative realizations.
                half = len(code) // 2
                got = torch.cat([(anatomy + added)[:half], anatomy[half:]])
                wanted = torch.cat([batch.x[:half], negative[half:]])
                terms = {
                    "reconstruction": masked_objective.reconstruction(batch, anatomy, negative),
                    "features": masked_objective.features(self.classifier, got, wanted),
                    "class_of_negative": masked_objective.class_of_negative(
                        self.classifier, batch, anatomy, self.seen_by_classifier
                    ),
                    "class_of_sample": masked_objective.class_of_sample(
                        self.classifier, sampled, self.seen_by_classifier
                    ),
                    "prior": masked_objective.prior(code),
                }
            self._step(optimizer, terms)
            self.update(step)
            if step % settings.checkpoint_interval == 0 or step == settings.steps:
                self._keep(log, checkpoint, step, terms, modules, optimizers)
                if fabric.is_global_zero:
                    grid.write(self.run.folder / "generator" / "samples" / f"step-{step:06d}.png")
        log.close()
        processes.barrier()

    def _step(self, optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]) -> None:
        """One step down the weighted sum of the terms."""
        weights = self.settings.weights
        loss = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        optimizer.zero_grad()
        self.fabric.backward(loss)
        processes.average_gradients(self.live)
        optimizer.step()

    def _keep(
        self,
        log: RunLog,
        checkpoint: Path,
        step: int,
        terms: dict[str, Tensor],
        modules: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
    ) -> None:
        """Write the figures and the checkpoint."""
        figures = {name: processes.mean(term.detach().float()).item() for name, term in terms.items()}
        if self.fabric.is_global_zero:
            save_checkpoint(checkpoint, step, modules, optimizers)
            log.write(step, figures)
