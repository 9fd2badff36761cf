"""Networks as they are exported: copied, frozen, with batch norm folded into the convolutions before it."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


def frozen(module: Module) -> Module:
    """A copy on the CPU, in evaluation mode, whose weights take no gradient."""
    return copy.deepcopy(module).cpu().eval().requires_grad_(False)


def folded(module: Module) -> Module:
    """A frozen copy in which a convolution followed by a batch norm in an `nn.Sequential` is one convolution.

    In evaluation mode both are linear. The graph, and above all that of its gradient, loses a third of its nodes.
    """
    copied = frozen(module)
    for layers in [each for each in copied.modules() if isinstance(each, nn.Sequential)]:
        for index in reversed(range(1, len(layers))):
            convolution, norm = layers[index - 1], layers[index]
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            if isinstance(convolution, nn.Conv2d):
                layers[index - 1] = fuse_conv_bn_eval(convolution, norm)
            elif isinstance(convolution, nn.ConvTranspose2d) and convolution.groups == 1:
                layers[index - 1] = fuse_conv_bn_eval(convolution, norm, transpose=True)
            else:
                continue
            del layers[index]
    return copied.requires_grad_(False)
