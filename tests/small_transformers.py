"""ViT, Swin and ConvNeXt in small, of the structure that timm gives them; none has a ReLU."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """What a transformer is made of: a norm, fused attention with a class token or without, and a wide layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, count, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width)
        x = x + self.proj(attended)
        return x + self.mlp(self.norm2(x))


class Tokens(nn.Module):
    """ViT; pictures of 24x24 are 6x6 tokens, of `leading` more that are read in the end."""

    def __init__(self, leading: int = 1, width: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, leading, width))
        self.position = nn.Parameter(torch.randn(1, 36 + leading, width))
        self.blocks = nn.Sequential(Attention(width), Attention(width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)
        self.leading = leading

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1) + self.position
        tokens = self.norm(self.blocks(tokens))
        logits: Tensor = self.head(tokens[:, 0] if self.leading else tokens.mean(1))
        return logits


class ChannelsLast(nn.Module):
    """ConvNeXt's block and Swin's shifted windows, with a layer scale; pictures of 24x24 are 6x6 places."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 4, 4)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.scale = nn.Parameter(torch.full((width,), 0.7))
        self.window = Attention(width)
        self.last = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = x.permute(0, 2, 3, 1) + self.scale * self.wide(self.norm(y))
        batch, width = y.shape[0], y.shape[3]
        y = y.roll((-1, -1), (1, 2)).reshape(batch, 2, 3, 2, 3, width).permute(0, 1, 3, 2, 4, 5)
        y = self.window(y.reshape(-1, 9, width)).reshape(batch, 2, 2, 3, 3, width).permute(0, 1, 3, 2, 4, 5)
        y = self.last(y.reshape(batch, 6, 6, width).roll((1, 1), (1, 2)))
        logits: Tensor = self.head(y.mean((1, 2)))
        return logits


class NormOverChannels(nn.LayerNorm):
    """A norm of [B, C, H, W] over C, computed with the channels last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """[B, C, H, W] to the same; inside, the channels come last, and what it gives has them last in memory."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gamma = nn.Parameter(torch.full((width,), 0.7))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x + y * self.gamma.reshape(1, -1, 1, 1)


class ConvNext(nn.Module):
    """ConvNeXt; pictures of 24x24 are 6x6 places, then 3x3. Its head averages before it norms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 4, 4), NormOverChannels(8))
        self.stages = nn.Sequential(ConvNextBlock(8), NormOverChannels(8), nn.Conv2d(8, 12, 2, 2), ConvNextBlock(12))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), NormOverChannels(12), nn.Flatten(), nn.Linear(12, 2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


def _lively(make: Callable[[], nn.Module]) -> nn.Module:
    """Frozen, with random weights that are large enough for every layer to count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = make()
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


def vit(leading: int = 1) -> nn.Module:
    """A factory, as a configuration names it."""
    return _lively(lambda: Tokens(leading))


def swin() -> nn.Module:
    """Another."""
    return _lively(ChannelsLast)


def convnext() -> nn.Module:
    """Another."""
    return _lively(ConvNext)
