"""Programs for the Torch engine: saved without their weights, and put together again."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from medxgan.export.computations import ANY, Computation, tensor
from medxgan.export.programs import export_program, read_program, write_program
from medxgan.export.weight_file import WeightFile
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_CLASSIFIER, Graph


class Layers(nn.Module):
    """A large weight as a parameter, one as a buffer and one as a constant; a small one of each."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(40, 50).requires_grad_(False)
        self.register_buffer("scale", torch.randn(50, 30))
        self.register_buffer("small", torch.randn(30))
        self.constant = torch.randn(30, 20)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return ((self.linear(x) @ self.scale + self.small) @ self.constant,)


def test_a_program_is_small_without_its_weights_and_whole_with_them(tmp_path: Path) -> None:
    torch.manual_seed(4)
    layers = Layers().eval()
    computation = Computation(GRAPH_ROLE_CLASSIFIER, layers, (tensor("x", ANY, 40),), ("y",))
    program, weights = export_program(computation), WeightFile(tmp_path / "weights.bin")
    places = write_program(program, tmp_path / "layers.pt2", weights)

    assert {place.name for place in places} == {"linear.weight", "scale", "constant"}
    stored = sum(4 * int(np.prod(place.shape)) for place in places)
    whole = tmp_path / "whole.pt2"
    torch.export.save(program, whole)
    assert whole.stat().st_size - (tmp_path / "layers.pt2").stat().st_size > 0.95 * stored

    read = read_program(Graph(file="layers.pt2", weights=places), tmp_path).module()
    x = torch.randn(7, 40)
    torch.testing.assert_close(read(x)[0], layers(x)[0], rtol=0, atol=0)
    # Writing leaves the program as it was.
    torch.testing.assert_close(program.module()(x)[0], layers(x)[0], rtol=0, atol=0)


def test_a_blank_program_gives_another_answer(tmp_path: Path) -> None:
    """Whoever forgets the weights sees it: they are zeros, and not what they would have been by chance."""
    computation = Computation(GRAPH_ROLE_CLASSIFIER, Layers().eval(), (tensor("x", ANY, 40),), ("y",))
    write_program(export_program(computation), tmp_path / "layers.pt2", WeightFile(tmp_path / "weights.bin"))
    blank = torch.export.load(tmp_path / "layers.pt2").module()
    assert bool((blank(torch.randn(2, 40))[0] == 0).all())


def test_the_same_content_is_stored_once_at_the_start_of_a_page(tmp_path: Path) -> None:
    weights = WeightFile(tmp_path / "weights.bin")
    offsets = [weights.add(content) for content in (b"a" * 5000, b"b" * 10, b"a" * 5000, b"c")]
    assert offsets == [0, 8192, 0, 12288]
    assert weights.file.read_bytes()[8192:8202] == b"b" * 10
