"""The DICOM node, called by a node of pynetdicom and by dcmtk's commands."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from tests.gateway.conftest import RULE, wait_until
from tests.gateway.dcmtk import command, needs_dcmtk
from tests.gateway.films import content, film
from tests.gateway.sending import associate, leaves_sockets, send

from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.intake.scp import STATUS, VERIFICATION, DicomNode
from medxgan.gateway.journal.commitments import Commitments
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.rules import Rule
from medxgan.gateway.settings import DicomSettings, TlsFiles
from medxgan.gateway.telemetry.metrics import Metrics
from medxgan.gateway.tls import requestor

pytestmark = leaves_sockets

Listen = Callable[..., DicomNode]
ECHO = (VERIFICATION, ExplicitVRLittleEndian)


@pytest.fixture
def listen(receiver: Receiver, database: Database, metrics: Metrics) -> Iterator[Listen]:
    """Starts a node; keyword arguments are its settings."""
    with ExitStack() as running:

        def start(receiver: Receiver = receiver, **settings: Any) -> DicomNode:
            plain = {"address": "127.0.0.1:0", "peers": [{"ae_title": "SENDER"}]}
            node = DicomNode(DicomSettings.model_validate(plain | settings), receiver, Commitments(database), metrics)
            running.callback(node.stop)
            return node

        yield start


def test_every_reception_has_a_status() -> None:
    assert set(STATUS) == set(Reception)
    assert {reception for reception, status in STATUS.items() if status == 0} == {
        Reception.TAKEN,
        Reception.REPEATED,
        Reception.IGNORED,
    }


def test_a_film_is_answered_with_success(listen: Listen, journal: Journal) -> None:
    sent = film()
    assert send(listen().port, content(sent)) == 0x0000
    assert journal.known(sent.SOPInstanceUID) is not None


def test_the_same_uid_with_other_pixels_is_refused(listen: Listen) -> None:
    port, first = listen().port, film(seed=1)
    assert send(port, content(first)) == 0x0000
    assert send(port, content(film(seed=2, SOPInstanceUID=first.SOPInstanceUID))) == 0xC111
    assert send(port, content(first)) == 0x0000


def test_a_film_without_the_pixels_that_it_states_is_refused(listen: Listen) -> None:
    assert send(listen().port, content(film(Rows=65))) == 0xC000


def test_a_film_under_another_name_than_announced_is_refused(listen: Listen) -> None:
    sent = film()
    association = associate(listen().port, (sent.SOPClassUID, ExplicitVRLittleEndian))
    sent.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    # pynetdicom announces what the data set says; the command is changed on its way.
    plain = association.dimse.send_msg

    def changed(primitive: Any, context: int) -> None:
        primitive._affected_sop_instance_uid = generate_uid()
        plain(primitive, context)

    association.dimse.send_msg = changed  # type: ignore[method-assign]
    assert association.send_c_store(sent).Status == 0xA900
    association.dimse.send_msg = plain  # type: ignore[method-assign]
    association.release()


def test_a_full_disk_is_answered_as_out_of_resources(
    listen: Listen, journal: Journal, films: FileStore, metrics: Metrics
) -> None:
    full = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=2**60, metrics=metrics)
    assert send(listen(full).port, content(film())) == 0xA700


def test_an_object_that_is_too_large_is_refused_and_a_much_larger_one_not_even_received(
    listen: Listen, journal: Journal, films: FileStore, metrics: Metrics
) -> None:
    picky = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=0, largest_bytes=100_000, metrics=metrics)
    port = listen(picky).port
    assert send(port, content(film(side=250))) == 0xC112
    much_larger = film(side=1000)
    association = associate(port, (much_larger.SOPClassUID, ExplicitVRLittleEndian))
    assert "Status" not in association.send_c_store(much_larger)
    wait_until(lambda: association.is_aborted)
    # A message is counted by itself, and not what came before on its association.
    association = associate(port, (much_larger.SOPClassUID, ExplicitVRLittleEndian))
    assert {int(association.send_c_store(film(side=200, seed=seed)).Status) for seed in range(4)} == {0x0000}
    association.release()
    labels = {"source": "dicom", "reception": "too_large"}
    assert metrics.registry.get_sample_value("medxgan_gateway_objects_total", labels) == 2


class Failing(Receiver):
    """Fails as nothing should."""

    def receive(self, content: bytes, source: str, announced: tuple[str, str] | None = None) -> Reception:
        raise RuntimeError("a fault")


def test_a_fault_is_answered_and_promises_nothing(
    listen: Listen, journal: Journal, films: FileStore, metrics: Metrics
) -> None:
    failing = Failing(journal, films, (Rule.model_validate(RULE),), free_bytes=0, metrics=metrics)
    assert send(listen(failing).port, content(film())) == 0x0110
    assert metrics.registry.get_sample_value("medxgan_gateway_faults_total", {"part": "dicom"}) == 1


def test_who_is_not_on_the_list_is_rejected(listen: Listen, metrics: Metrics) -> None:
    port = listen().port
    for strangers in ({"title": "STRANGER"}, {"called": "ANOTHER"}):
        association = associate(port, ECHO, **strangers)
        assert association.is_rejected
    wait_until(lambda: metrics.registry.get_sample_value("medxgan_gateway_associations_rejected_total") == 2)


def test_a_flood_of_associations_is_rejected_as_transient_and_leaves_the_others(listen: Listen) -> None:
    port = listen(maximum_associations=3).port
    held = [associate(port, ECHO) for _ in range(3)]
    assert all(each.is_established for each in held)
    flood = [associate(port, ECHO) for _ in range(10)]
    assert all(each.is_rejected for each in flood)
    # Rejected by the presentation layer, for now: local limit exceeded (PS3.8, 9.3.4).
    answers = {
        (each.acceptor.primitive.result, each.acceptor.primitive.result_source, each.acceptor.primitive.diagnostic)
        for each in flood
    }
    assert answers == {(2, 3, 2)}
    assert held[0].send_c_echo().Status == 0
    for each in held:
        each.release()
    wait_until(lambda: send(port, content(film())) == 0x0000)


def test_who_says_nothing_is_left(listen: Listen) -> None:
    association = associate(listen(idle_s=0.5).port, ECHO)
    wait_until(lambda: association.is_aborted)


def test_garbage_is_no_harm(listen: Listen) -> None:
    port = listen().port
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\xff\xff\xff\xff" + b"\0" * 100, b""):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(garbage)
    assert send(port, content(film())) == 0x0000


def test_an_object_of_another_class_is_ignored_and_answered_with_success(listen: Listen, journal: Journal) -> None:
    sent = film(SOPClassUID=CTImageStorage, Modality="CT")
    assert send(listen().port, content(sent)) == 0x0000
    assert journal.known(sent.SOPInstanceUID).reason == "no rule takes it (chest films: other Modality)"  # type: ignore[union-attr]


@needs_dcmtk
@pytest.mark.parametrize("syntax", ["-xe", "-xb", "-xi"])
def test_dcmtk_sends_in_each_encoding(listen: Listen, journal: Journal, tmp_path: Path, syntax: str) -> None:
    port, sent = str(listen().port), film()
    (tmp_path / "film.dcm").write_bytes(content(sent))
    called = ["-aet", "SENDER", "-aec", "MEDXGAN", "127.0.0.1", port]
    subprocess.run([command("echoscu"), *called], check=True)
    subprocess.run([command("storescu"), syntax, *called, tmp_path / "film.dcm"], check=True)
    assert journal.known(sent.SOPInstanceUID) is not None


@needs_dcmtk
def test_dcmtk_hears_that_it_is_not_let_in(listen: Listen) -> None:
    called = ["-aet", "STRANGER", "-aec", "MEDXGAN", "127.0.0.1", str(listen().port)]
    outcome = subprocess.run([command("echoscu"), *called], check=False, capture_output=True, text=True)
    assert outcome.returncode != 0
    assert "Calling AE Title Not Recognized" in outcome.stderr


def certificates(folder: Path, name: str, authority: trustme.CA) -> dict[str, str]:
    issued = authority.issue_cert("localhost", common_name=name)
    paths = {part: str(folder / f"{name}-{part}.pem") for part in ("certificate", "key", "authority")}
    issued.cert_chain_pems[0].write_to_path(paths["certificate"])
    issued.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["authority"])
    return paths


def answer_to(port: int, tls: ssl.SSLContext | None) -> bytes:
    """The first byte that is answered to who asks for an association; empty where the connection is ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        try:
            with plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.sendall(bytes.fromhex("0100000000440001") + b"\0" * 66)
                return stream.recv(1)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_tls_takes_who_shows_a_certificate_and_nobody_else(listen: Listen, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    port = listen(tls=certificates(tmp_path, "gateway", authority)).port
    known = requestor(TlsFiles.model_validate(certificates(tmp_path, "known", authority)))
    association = associate(port, ECHO, tls=known)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()
    # A certificate of another authority; the gateway's own is trusted.
    files = certificates(tmp_path, "stranger", other) | {"authority": str(tmp_path / "gateway-authority.pem")}
    assert answer_to(port, requestor(TlsFiles.model_validate(files))) == b""
    # No TLS at all: what is answered is an alert of TLS, or nothing.
    assert answer_to(port, None) in (b"", b"\x15")
    # Whoever is known hears a PDU of DICOM, if only that the request was no good.
    assert answer_to(port, known) in (b"\x03", b"\x07")


# Where a connection has said nothing when the node is stopped, pynetdicom's thread of it fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_says_nothing_over_tls_holds_nobody_up(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medxgan.gateway.tls.RECEIVE_S", 3600.0)  # so that nobody is let go before the test has ended
    authority = trustme.CA()
    port = listen(tls=certificates(tmp_path, "gateway", authority)).port
    known = requestor(TlsFiles.model_validate(certificates(tmp_path, "known", authority)))
    with ExitStack() as silent:
        for begun in (b"", b"\x16\x03\x01"):
            stranger = silent.enter_context(socket.create_connection(("127.0.0.1", port)))
            stranger.sendall(begun)
        association = associate(port, ECHO, tls=known)
        assert association.is_established
        association.release()
