"""The objective of the masked form, term by term, in two stages.

First the pathology: of an image x, what is to be taken away from it. That needs no anatomy, as what is shown and judged
is the applied negative, x less the difference, and the difference is the pathology branch alone. Then the anatomy: with
the pathology as it is, the negative realization of x is known, x less the difference, and A(z1) learns to be that.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training import processes
from medxgan.training.networks import ExplainedClassifier, FeatureEncoder, MaskedGenerator
from medxgan.training.objective import Batch, View

# --- The pathology ---


def applied_negative(x: Tensor, added: Tensor) -> Tensor:
    """The images less their pathology, [B, 1, S, S] each."""
    return (x - added).clamp(-1, 1)


def place(batch: Batch, mask: Tensor) -> Tensor:
    """Cross-entropy of the mask that the pathology is drawn in with the focus: 0 in what C calls negative.

    Args:
        batch: its `placed` says which rows' focus counts.
        mask: [B, 1, s, s] in [0, 1].
    """
    drawn = mask.float().clamp(1e-4, 1 - 1e-4)
    wanted = F.interpolate(batch.focus, drawn.shape[2:], mode="area")
    each = -(wanted * drawn.log() + (1 - wanted) * (1 - drawn).log()).mean((1, 2, 3))
    counts = torch.ones_like(batch.label) if batch.placed is None else batch.placed
    return (each * counts).mean()


def class_of_applied(classifier: ExplainedClassifier, batch: Batch, applied: Tensor, view: View) -> Tensor:
    """-log p_C(0 | applied negative) of positives."""
    return (F.softplus(classifier(view(applied))) * batch.label).mean()


def sparsity(batch: Batch, added: Tensor) -> Tensor:
    """Mean of what the pathology adds to positives, five times heavier outside of the focus."""
    return ((1 + 4 * (1 - batch.focus)) * added).mean((1, 2, 3)).mul(batch.label).mean()


def transfer(encoder: FeatureEncoder, generator: MaskedGenerator, batch: Batch, added: Tensor) -> Tensor:
    """What one patient's pathology adds, added to another's negative image, is found there again, and no more.

    The true difference is known here, as for no patient it is. The donor's difference is not trained by this term.

    Args:
        encoder: finds the codes.
        generator: draws them.
        batch: its positives are the donors.
        added: [B, 1, S, S] their pathology.
    """
    donors, healthy = batch.label.nonzero()[:, 0], (batch.label == 0).nonzero()[:, 0]
    if not len(donors) or not len(healthy):
        return batch.x.new_zeros(())
    chosen = donors[torch.randint(0, len(donors), (len(healthy),), device=donors.device)]
    negative = batch.x[healthy]
    diseased = (negative + added.detach()[chosen]).clamp(-1, 1)
    found, _ = generator.pathology(encoder.pathology_code(diseased))
    return (found - (diseased - negative)).abs().mean()


# --- The anatomy ---


def reconstruction(batch: Batch, anatomy: Tensor, negative: Tensor) -> Tensor:
    """Squared and absolute error of A(z1), up to seven times heavier in the focus.

    Args:
        batch: real images.
        anatomy: [B, 1, S, S] drawn.
        negative: [B, 1, S, S] what they are to be.
    """
    error = anatomy - negative
    return ((1 + 6 * batch.focus) * error**2).mean() + 0.5 * error.abs().mean()


def features(classifier: ExplainedClassifier, drawn: Tensor, wanted: Tensor) -> Tensor:
    """Distance between C's deeper activations of two pictures [B, 1, S, S], relative to their size."""
    with torch.no_grad():
        targets = classifier.deeper_features(wanted)
    pairs = zip(classifier.deeper_features(drawn), targets, strict=True)
    return torch.stack([F.mse_loss(got, want) / processes.mean((want**2).mean()) for got, want in pairs]).mean()


def class_of_negative(classifier: ExplainedClassifier, batch: Batch, anatomy: Tensor, view: View) -> Tensor:
    """-log p_C(0 | A(z1)) for the codes of positives: the pathology leaves some that C still calls positive."""
    return (F.softplus(classifier(view(anatomy))) * batch.label).mean()


def class_of_sample(classifier: ExplainedClassifier, anatomy: Tensor, view: View) -> Tensor:
    """-log p_C(0 | A(z1)) for z1 drawn from the prior."""
    return F.softplus(classifier(view(anatomy))).mean()


def prior(code: Tensor) -> Tensor:
    """Keeps codes [B, D] of real images where z is sampled: half their mean square."""
    return 0.5 * (code**2).mean()
