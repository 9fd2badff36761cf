"""What a newer server sends that this client does not know never loses an answer."""

import copy
import pickle

import numpy as np
import pytest

from medxgan.client import Client, MapKind, Unrecognised, VerdictReasonCode
from medxgan.client.geometry import GeometryError
from medxgan.v1 import explanation_pb2

NEW = 17_000
"""A number that no enumeration of the contract has."""
NEW_FIELD = b"\xfa\x7f\x03new"
"""Field 2047 of any message, as bytes: "new"."""


@pytest.fixture
def client(service):
    with Client(service.address, timeout=60) as client:
        yield client


def test_it_reads_as_what_it_is() -> None:
    assert str(Unrecognised(17)) == Unrecognised(17).value == "unrecognised (17)"
    assert Unrecognised(17) == Unrecognised(17) != Unrecognised(18)
    assert pickle.loads(pickle.dumps(Unrecognised(17))).number == copy.deepcopy(Unrecognised(17)).number == 17


@pytest.mark.parametrize("status", [0, NEW])
def test_a_verdict(service, client, grey, status) -> None:
    service.answer.verdict.status = status
    verdict = client.explain(grey).verdict
    assert verdict.status == f"unrecognised ({status})"


def test_a_reason(service, client, grey) -> None:
    reasons = service.answer.verdict.reasons
    reasons.add(code=NEW, measured=2, threshold=1, sentence="It is upside down.")
    reasons.add(code=explanation_pb2.VERDICT_REASON_CODE_IMAGE_UNFAMILIAR)
    new, known = client.explain(grey).verdict.reasons
    assert (new.code, new.sentence) == (Unrecognised(NEW), "It is upside down.")
    assert known.code is VerdictReasonCode.IMAGE_UNFAMILIAR


def test_a_map(service, client, grey) -> None:
    service.answer.maps.add(kind=NEW, tensor=service.tensor(service.maps[service.number("gradient")]))
    service.answer.maps.add(kind=NEW + 1, tensor=service.tensor(service.maps[service.number("occlusion")]))
    explanation = client.explain(grey)
    np.testing.assert_array_equal(explanation[Unrecognised(NEW)], service.maps[service.number("gradient")])
    np.testing.assert_array_equal(explanation[Unrecognised(NEW + 1)], service.maps[service.number("occlusion")])
    np.testing.assert_array_equal(explanation.difference, service.maps[service.number("difference")])


def test_a_map_of_the_models_table_may_be_asked_for(service, client, grey) -> None:
    service.new_maps.append(explanation_pb2.MapDescription(kind=NEW, name="shapley", title="Shapley", needs=[NEW]))
    entry = client.model().maps[-1]
    assert (entry.kind, entry.name, entry.needs) == (Unrecognised(NEW), "shapley", (Unrecognised(NEW),))
    explanation = client.explain(grey, maps=[entry.kind])
    assert service.requests[-1].maps[0].kind == NEW
    assert list(explanation.maps) == [Unrecognised(NEW)]


def test_the_data_type_of_a_map(service, client, grey) -> None:
    data = explanation_pb2.Tensor(shape=[2, 2], data_type=NEW, data=b"12345678")
    service.answer.maps.add(kind=service.number("occlusion"), tensor=data)
    explanation = client.explain(grey)
    assert explanation.original.shape == (16, 16)
    with pytest.raises(LookupError, match="'occlusion' came in a form that this client does not recognise"):
        _ = explanation[MapKind.OCCLUSION]


def test_the_form_of_a_map_and_of_a_frame(service, client, grey) -> None:
    # A new member of the oneof is an unknown field to this client.
    service.answer.maps.add(kind=service.number("occlusion")).MergeFromString(NEW_FIELD)
    service.answer.trajectory.add(position=1).MergeFromString(NEW_FIELD)
    explanation = client.explain(grey)
    assert explanation.original.shape == (16, 16)
    with pytest.raises(LookupError, match="does not recognise"):
        _ = explanation[MapKind.OCCLUSION]
    with pytest.raises(LookupError, match="does not recognise"):
        explanation.trajectory[0].array()


def test_the_orientation(service, client, grey) -> None:
    service.answer.geometry.orientation = NEW
    explanation = client.explain(grey)
    assert explanation.geometry.orientation == Unrecognised(NEW)
    assert explanation.difference.shape == (16, 16)
    with pytest.raises(GeometryError, match=r"unrecognised \(17000\)"):
        explanation.on_film(MapKind.DIFFERENCE)


def test_the_phase_and_the_kind_of_an_event(service, client, grey) -> None:
    new_event = explanation_pb2.ExplainStreamResponse.FromString(NEW_FIELD)
    progress = explanation_pb2.Progress(phase=NEW, steps_taken=1, steps_total=2)
    service.events = [
        explanation_pb2.ExplainStreamResponse(progress=progress),
        new_event,
        explanation_pb2.ExplainStreamResponse(result=service.answer),
    ]
    heard = []
    explanation = client.explain_stream(grey, on_progress=heard.append)
    assert [progress.phase for progress in heard] == [Unrecognised(NEW)]
    assert explanation.model.name == "chest"


def test_fields(service, client, grey) -> None:
    for message in (service.answer, service.answer.scores, service.answer.geometry, service.answer.verdict):
        message.MergeFromString(NEW_FIELD)
    assert client.explain(grey).scores.original.probability == 0.9


def test_the_form_of_an_image(service, client) -> None:
    service._server = lambda: explanation_pb2.ServerDescription(image_forms=[NEW])
    assert client.server().image_forms == (Unrecognised(NEW),)
