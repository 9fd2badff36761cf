"""Training of the classifier."""

from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import seed_everything
from rich.progress import track
from torchmetrics.functional.classification import binary_auroc

from medxgan.training import processes
from medxgan.training.augmentation import blur, dim, mirror, noise, shift
from medxgan.training.checkpoint import save_checkpoint
from medxgan.training.configuration import TrainingConfig
from medxgan.training.dataset import preprocess_images
from medxgan.training.networks.classifier import probability
from medxgan.training.runs import Run, RunError, RunLog, build_classifier, build_preprocess
from medxgan.training.train_familiarity import train_familiarity


def train_classifier(configuration: TrainingConfig, data_root: Path, out: Path) -> Run:
    """Train C with AdamW and a one-cycle schedule on the training split; report its AUC on the test split.

    The familiarity measures are fitted along, which see the same films.

    Args:
        configuration: the whole configuration; its `classifier` section is used here.
        data_root: folder that relative paths of the `data` section start from.
        out: the run folder.

    Raises:
        RunError: the configuration names an external classifier.
        ProcessesError: the batch can't be shared out over the processes that are running.
    """
    if configuration.external_classifier is not None:
        raise RunError(
            f"external_classifier: {configuration.external_classifier.source} is trained already; "
            "go on with `medxgan train generator`, or leave the section out to train a classifier"
        )
    settings, augmentation = configuration.classifier, configuration.augmentation
    fabric = processes.launch()
    seed_everything(configuration.seed, verbose=False)
    run = Run.create(out, configuration)
    log = RunLog(out / "classifier")

    # --- Data ---
    split = configuration.data.load(data_root)
    preprocess = build_preprocess(configuration)
    train, test = (preprocess_images(preprocess, part) for part in (split.train, split.test))
    x, label = fabric.to_device(train.x), fabric.to_device(train.label)

    # --- Network and optimizer ---
    classifier = build_classifier(configuration)
    processes.over_whole_batch(classifier)
    fabric.to_device(classifier)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=settings.weight_decay)
    batch_size = min(settings.batch_size, len(x))
    processes.check_batch_size("classifier.batch_size", batch_size)
    batches = len(x) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )

    # --- Training ---
    for epoch in track(range(settings.epochs), "classifier", disable=not fabric.is_global_zero):
        losses = []
        for batch in torch.randperm(len(x))[: batches * batch_size].view(batches, batch_size):
            rows = processes.own_rows(batch)
            picture = x[rows]
            if augmentation.mirror:
                (picture,) = mirror(picture)
            seen = dim(blur(shift(picture, augmentation.shift), augmentation.blur)).clamp(-1, 1)
            logit = classifier(noise(seen, augmentation.noise))
            loss = F.binary_cross_entropy_with_logits(logit, label[rows])
            optimizer.zero_grad()
            fabric.backward(loss)
            processes.average_gradients(classifier)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        log.write(epoch + 1, {"loss": processes.mean(torch.stack(losses).mean()).item()})

    # --- Result ---
    classifier.eval()
    score = probability(classifier, fabric.to_device(test.x)).cpu()
    log.write(settings.epochs, {"test_auc": binary_auroc(score, test.label.long()).item()})
    log.close()
    if fabric.is_global_zero:
        save_checkpoint(run.checkpoint("classifier"), settings.epochs, {"classifier": classifier})
        train_familiarity(run, split)
    fabric.barrier()
    return run
