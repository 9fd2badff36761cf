"""Networks as they are exported: copied, frozen, with batch norm folded into the convolutions before it."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.frozen_batch_norm import FrozenBatchNorm
from medxgan.training.networks.layers import out_of_place

Module = TypeVar("Module", bound=nn.Module)


def frozen(module: Module) -> Module:
    """A copy on the CPU, in evaluation mode, whose weights take no gradient and whose modules don't work in place."""
    copied = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    out_of_place(copied)
    return copied


def folded(module: Module) -> Module:
    """A frozen copy in which a convolution followed by a batch norm in an `nn.Sequential` is one convolution.

    In evaluation mode both are linear. The graph, and above all that of its gradient, loses a third of its nodes.
    A batch norm that stands elsewhere becomes a product and a sum. Layers keep their names, and the one that a
    classifier's attribution looks at gives what it gave.
    """
    copied = frozen(module)
    looked_at = copied.body.get_submodule(copied.layer) if isinstance(copied, ExplainedClassifier) else None
    for layers in [each for each in copied.modules() if isinstance(each, nn.Sequential)]:
        for index in reversed(range(1, len(layers))):
            convolution, norm = layers[index - 1], layers[index]
            if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or convolution is looked_at:
                continue
            if isinstance(convolution, nn.Conv2d):
                layers[index - 1] = fuse_conv_bn_eval(convolution, norm)
            elif isinstance(convolution, nn.ConvTranspose2d) and convolution.groups == 1:
                layers[index - 1] = fuse_conv_bn_eval(convolution, norm, transpose=True)
            else:
                continue
            layers[index] = nn.Identity()
    for parent in list(copied.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm) is nn.BatchNorm2d and norm.running_var is not None:
                setattr(parent, name, FrozenBatchNorm.of(norm))
    return copied.eval().requires_grad_(False)
