"""Training of the classifier."""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import seed_everything
from rich.progress import track
from torch import Tensor, nn

from medxgan.training import processes
from medxgan.training.augmentation import blur, dim, mirror, noise, shift, warp
from medxgan.training.averaging import update_average
from medxgan.training.checkpoint import save_checkpoint
from medxgan.training.configuration import AugmentationConfig, TrainingConfig
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import lesion_masks, preprocess_images
from medxgan.training.discrimination import area_under_curve
from medxgan.training.networks.classifier import probability
from medxgan.training.networks.residual_classifier import ResidualClassifier, lesion_loss
from medxgan.training.preprocessing import Preprocess
from medxgan.training.runs import Run, RunError, RunLog, build_classifier, build_preprocess
from medxgan.training.sampling import balancing_weights, draw_epoch
from medxgan.training.streaming import Pictures, ShardStream
from medxgan.training.style import restyle
from medxgan.training.train_familiarity import train_familiarity


def train_classifier(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train C with AdamW and a one-cycle schedule on the training split; report its AUC on patients kept apart.

    These are of the calibration part where there is one, so that nobody chooses by the test split, else of the test
    split; the AUC is null where they are of one class.

    The familiarity measures are fitted along, which see the same films.

    Args:
        configuration: the whole configuration; its `classifier` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder.

    Raises:
        RunError: the configuration names an external classifier.
        DataError: the images can't be read, or there are none of a class to train on.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    if configuration.external_classifier is not None:
        raise RunError(
            f"external_classifier: {configuration.external_classifier.source} is trained already; "
            "go on with `medxgan train generator`, or leave the section out to train a classifier"
        )
    settings, augmentation = configuration.classifier, configuration.augmentation
    fabric = processes.launch(settings.precision, configuration.patience)
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    log = RunLog(out / "classifier")

    # --- Data ---
    split = configuration.data.load(data_root)
    split.check_training(both_classes=True)
    preprocess = build_preprocess(configuration)
    kept, part = (split.test, "test") if split.calibration is None else (split.calibration, "calibration")
    other = preprocess_images(preprocess, kept)
    wants_masks = settings.localisation > 0
    train: _Held | ShardStream
    if isinstance(configuration.data, ShardsData):
        train = ShardStream(configuration.data, data_root, preprocess, masks=wants_masks)
    else:
        train = _Held(split.train, preprocess, wants_masks, fabric.device)

    # --- Network and optimizer ---
    classifier = build_classifier(configuration)
    processes.over_whole_batch(classifier)
    fabric.to_device(classifier)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(classifier).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=settings.weight_decay)
    batch_size = min(settings.batch_size, train.rows)
    processes.check_batch_size("classifier.batch_size", batch_size)
    batches = train.rows // batch_size
    drawn = train.batches(batch_size, field="classifier.batch_size")
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )

    # --- Training ---
    for epoch in track(range(settings.epochs), "classifier", disable=not fabric.is_global_zero):
        losses: list[Tensor] = []
        for _ in range(batches):
            rows = next(drawn).to(fabric.device)
            picture, where = _augmented(rows.x, rows.mask, augmentation)
            with fabric.autocast():
                loss = _loss(classifier, picture, rows.label, where, settings.localisation)
            optimizer.zero_grad()
            fabric.backward(loss)
            processes.average_gradients(classifier)
            optimizer.step()
            schedule.step()
            step = epoch * batches + len(losses) + 1
            update_average(average, classifier, min(settings.average_decay, step / (step + 10)))
            losses.append(loss.detach())
        log.write(epoch + 1, {"loss": processes.mean(torch.stack(losses).mean()).item()})
        if fabric.is_global_zero:
            save_checkpoint(run.checkpoint("classifier"), epoch + 1, {"classifier": average})

    # --- Result ---
    score = probability(average, fabric.to_device(other.x)).cpu()
    log.write(settings.epochs, {f"{part}_auc": area_under_curve(score, other.label)})
    log.close()
    if fabric.is_global_zero:
        train_familiarity(run, split)
    processes.barrier()
    return run


class _Held:
    """The training images in memory, a batch after the other, without end.

    An epoch has each row once or, where there are strata, as many rows drawn so that these are balanced.
    """

    def __init__(self, images: LabelledImages, preprocess: Preprocess, masks: bool, device: torch.device) -> None:
        known = preprocess_images(preprocess, images)
        self.rows = len(known.x)
        self._weights = None if images.strata is None else balancing_weights(known.label, images.strata)
        mask = lesion_masks(images, known.x.shape[-1]) if masks else None
        self._pictures = Pictures(known.x, known.label, mask, torch.zeros(self.rows, dtype=torch.long)).to(device)

    def batches(self, batch_size: int, *, field: str) -> Iterator[Pictures]:  # noqa: ARG002 - every size fits
        """This process's rows of every batch; what is left of an epoch is passed over."""
        batches = self.rows // batch_size
        while True:
            drawn = draw_epoch(self._weights, self.rows)
            for batch in drawn[: batches * batch_size].view(batches, batch_size):
                yield self._pictures.rows(processes.own_rows(batch))


def _augmented(picture: Tensor, where: Tensor | None, augmentation: AugmentationConfig) -> tuple[Tensor, Tensor | None]:
    """What C is shown of pictures [B, 1, S, S], and where the lesions then lie."""
    images: tuple[Tensor, ...] = (picture,) if where is None else (picture, where)
    if augmentation.mirror:
        images = mirror(*images)
    if augmentation.style:
        images = warp(*images, turn=augmentation.turn, zoom=augmentation.zoom)
        picture = restyle(images[0], augmentation.style)
    else:
        picture = dim(blur(shift(images[0], augmentation.shift), augmentation.blur)).clamp(-1, 1)
    return noise(picture, augmentation.noise), images[1] if len(images) > 1 else None


def _loss(classifier: nn.Module, picture: Tensor, label: Tensor, where: Tensor | None, weight: float) -> Tensor:
    """Cross-entropy of the label and, where lesions are known, of their places."""
    if where is None or not isinstance(classifier, ResidualClassifier):
        return F.binary_cross_entropy_with_logits(classifier(picture), label)
    logit, lesions = classifier.with_lesions(picture)
    return F.binary_cross_entropy_with_logits(logit, label) + weight * lesion_loss(lesions, where)
