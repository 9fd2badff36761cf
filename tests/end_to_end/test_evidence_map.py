"""The evidence map of a real server, against what the same server says of its two factors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2, status_pb2

from medxgan.server.embedded import EmbeddedServer
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_EVIDENCE_MAP,
    ATTRIBUTION_METHOD_GRADIENT,
    ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_RESIDUAL_MAP,
    AttributeRequest,
    AttributionMethod,
    Image,
    IntegratedGradientsSettings,
    InversionSettings,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

SIZE = 32
WINDOW = 3
"""Side of the smoothing window: the odd number nearest to 32 / 12."""

FEW_STEPS = InversionSettings(steps=20)
CHOSEN = {
    "inversion": InversionSettings(steps=15, learning_rate=0.05, reconstruction_weight=2, restarts=2),
    "integrated_gradients": IntegratedGradientsSettings(steps=7, baseline=0.5),
    "seed": 3,
}


def values(stub: ExplanationServiceStub, image: Image, method: AttributionMethod, **settings: object) -> np.ndarray:
    """The map of one method, from a request of its own."""
    (attribution,) = stub.Attribute(AttributeRequest(image=image, methods=[method], **settings)).attributions
    return np.frombuffer(attribution.values.data, "<f4").reshape(attribution.values.shape)


def refusal(stub: ExplanationServiceStub, **fields: object) -> tuple[str, str]:
    """The field that the server names as wrong, and what it says of it."""
    with pytest.raises(grpc.RpcError) as refused:
        stub.Attribute(AttributeRequest(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    return bad.field_violations[0].field, bad.field_violations[0].description


@pytest.mark.parametrize("settings", [{}, CHOSEN], ids=["defaults", "chosen"])
def test_it_is_the_product_of_its_factors(
    stub: ExplanationServiceStub, images: list[Image], settings: dict[str, object]
) -> None:
    for image in images[:2]:
        residual = values(stub, image, ATTRIBUTION_METHOD_RESIDUAL_MAP, **settings)
        integrated = values(stub, image, ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, **settings)
        found = values(stub, image, ATTRIBUTION_METHOD_EVIDENCE_MAP, **settings)
        magnitude = torch.from_numpy(np.abs(integrated))[None, None]
        expected = residual * torch.nn.functional.avg_pool2d(magnitude, WINDOW, 1, WINDOW // 2)[0, 0].numpy()
        assert found.shape == (SIZE, SIZE)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_array_equal(np.sign(found), np.sign(residual))
        assert (found != 0).any()


def test_the_settings_of_both_factors_change_it(stub: ExplanationServiceStub, image: Image) -> None:
    plain = values(stub, image, ATTRIBUTION_METHOD_EVIDENCE_MAP, inversion=FEW_STEPS)
    for settings in (
        {"inversion": InversionSettings(steps=1)},
        {"inversion": FEW_STEPS, "integrated_gradients": IntegratedGradientsSettings(baseline=1)},
    ):
        changed = values(stub, image, ATTRIBUTION_METHOD_EVIDENCE_MAP, **settings)
        assert np.abs(changed - plain).max() > 0.05 * np.abs(plain).max()


def test_the_answer_states_the_settings_and_the_verdict_of_both_factors(
    stub: ExplanationServiceStub, image: Image
) -> None:
    answer = stub.Attribute(AttributeRequest(image=image, methods=[ATTRIBUTION_METHOD_EVIDENCE_MAP], **CHOSEN))
    residual = stub.Attribute(AttributeRequest(image=image, methods=[ATTRIBUTION_METHOD_RESIDUAL_MAP], **CHOSEN))
    assert (answer.inversion, answer.seed) == (CHOSEN["inversion"], CHOSEN["seed"])
    assert answer.integrated_gradients == CHOSEN["integrated_gradients"]
    assert answer.verdict == residual.verdict
    assert not answer.HasField("occlusion")
    assert not answer.attributions[0].HasField("completeness"), "it is no integral, and need not add up"


def test_it_does_not_depend_on_its_company(stub: ExplanationServiceStub, images: list[Image]) -> None:
    def ask(image: Image) -> np.ndarray:
        return values(stub, image, ATTRIBUTION_METHOD_EVIDENCE_MAP, inversion=FEW_STEPS)

    alone = [ask(image) for image in images]
    with ThreadPoolExecutor(len(images)) as callers:
        together = list(callers.map(ask, images))
    for one, other in zip(alone, together, strict=True):
        # The two factors keep to 1e-4 of their own in any company.
        np.testing.assert_allclose(other, one, atol=1e-3 * np.abs(one).max())


def test_without_a_generator_it_is_refused_as_the_residual_map_is(plain_models: Path, image: Image) -> None:
    with EmbeddedServer(plain_models, "cpu") as server, grpc.insecure_channel(server.address) as channel:
        stub = ExplanationServiceStub(channel)
        evidence, residual = (
            refusal(stub, image=image, methods=[ATTRIBUTION_METHOD_GRADIENT, method])
            for method in (ATTRIBUTION_METHOD_EVIDENCE_MAP, ATTRIBUTION_METHOD_RESIDUAL_MAP)
        )
    assert evidence[0] == residual[0] == "methods[1]"
    assert "ATTRIBUTION_METHOD_EVIDENCE_MAP needs a generator" in evidence[1]
    assert evidence[1].replace("EVIDENCE", "RESIDUAL") == residual[1]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"integrated_gradients": IntegratedGradientsSettings(steps=0)}, "integrated_gradients.steps"),
        ({"integrated_gradients": IntegratedGradientsSettings(baseline=-1.5)}, "integrated_gradients.baseline"),
        ({"inversion": InversionSettings(steps=201)}, "inversion.steps"),
        ({"inversion": InversionSettings(restarts=17)}, "inversion.restarts"),
        ({"target": 1}, "target"),
    ],
)
def test_settings_out_of_range_are_refused_by_field(
    stub: ExplanationServiceStub, image: Image, settings: dict[str, object], field: str
) -> None:
    assert refusal(stub, image=image, methods=[ATTRIBUTION_METHOD_EVIDENCE_MAP], **settings)[0] == field
