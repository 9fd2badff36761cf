"""How much a graph is tried, and with what: rows of the same draws, and steps that PyTorch has taken once."""

import pytest
import torch
from torch import nn

from medxgan.export.freezing import frozen
from medxgan.export.step_verification import Course, Inverted
from medxgan.export.trials import SPARING, THOROUGH, Effort, Trials, effort
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExternalClassifier
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_ATTRIBUTION, GRAPH_ROLE_OPEN


def network(width: int) -> ExternalClassifier:
    """Of 2 * 9 * width^2 operations a pixel, and some."""
    return ExternalClassifier(
        nn.Sequential(
            nn.Conv2d(1, width, 1), nn.Conv2d(width, width, 3, padding=1), nn.Flatten(2), nn.AdaptiveAvgPool1d(1)
        ).append(nn.Flatten()),
        64,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("width", "expected"), [(8, THOROUGH), (160, Effort(3, THOROUGH.batches)), (512, SPARING)])
def test_a_large_network_is_tried_with_fewer_pictures(width: int, expected: Effort) -> None:
    assert effort(network(width), 64) == expected


@pytest.mark.parametrize("role", [GRAPH_ROLE_OPEN, GRAPH_ROLE_ATTRIBUTION])
def test_a_smaller_batch_is_the_first_rows_of_the_largest(tiny_model: TrainedModel, role: int) -> None:
    trials = Trials(tiny_model, role, Effort(2, (1, 3)))
    for small, large in zip(trials.inputs(1), trials.inputs(3), strict=True):
        for name, value in small.items():
            torch.testing.assert_close(value, large[name][:1], rtol=0, atol=0)
    for small, large in zip(trials.expected(1), trials.expected(3), strict=True):
        assert small["logit"].shape == (1,)
        assert float(small["logit"]) == float(large["logit"][0])
        if role == GRAPH_ROLE_OPEN:
            assert torch.equal(small["box"], large["box"])


def test_each_step_of_a_course_goes_on_from_the_one_before(tiny_model: TrainedModel) -> None:
    assert tiny_model.generator is not None
    assert tiny_model.inversion is not None
    course = Course(Inverted(frozen(tiny_model.generator), frozen(tiny_model.classifier), tiny_model.inversion), 2, 3)
    assert len(course.states) == len(course.results) == 3
    for before, result, after in zip(course.states, course.results, course.states[1:], strict=False):
        assert torch.equal(after.z, result.tensors["next_z"])
        assert not torch.equal(after.z, before.z)
    assert course.losses.shape == (2, 3)
    # In double precision it is the same, to rounding.
    torch.testing.assert_close(course.losses.double(), course.exact_losses, rtol=1e-3, atol=0)
    for result, exact in zip(course.results, course.exact, strict=True):
        found, wanted = (each["reconstruction_loss"] for each in (result.tensors, exact))
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=0)
