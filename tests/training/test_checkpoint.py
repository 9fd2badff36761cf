from pathlib import Path

import torch
from torch import nn

from medxgan.training.checkpoint import resume, save_checkpoint


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()


def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    return model, torch.optim.Adam(model.parameters(), 0.01)


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    model, optimizer = fresh()
    train(model, optimizer, 5)
    save_checkpoint(file, 5, {"model": model}, {"optimizer": optimizer})
    train(model, optimizer, 5)

    again, optimizer_again = fresh()
    torch.manual_seed(99)
    assert resume(file, {"model": again}, {"optimizer": optimizer_again}) == 5
    train(again, optimizer_again, 5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0)


def test_without_a_checkpoint_a_training_starts_at_zero(tmp_path: Path) -> None:
    model, optimizer = fresh()
    assert resume(tmp_path / "none.safetensors", {"model": model}, {"optimizer": optimizer}) == 0
