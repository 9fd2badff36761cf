"""Which bundles a server takes that was given keys, when it starts and while it runs."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from medxgan.bundle import BundleError, load_bundle
from medxgan.bundle.signatures import key_id, sign_bundle
from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import InvalidRequestError
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.control import ModelControl
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.server.open_inference.descriptions import model_configuration
from medxgan.server.open_inference.models import Catalogue
from medxgan.server.settings import ServerSettings, describe

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
Put = Callable[[str, Ed25519PrivateKey | None], Path]


@pytest.fixture
def put(several_folder: Path, tmp_path: Path) -> Put:
    """Puts a bundle into the folder of models, signed by a key or not at all."""

    def put_bundle(identity: str, key: Ed25519PrivateKey | None) -> Path:
        name, version = identity.split("/")
        folder = shutil.copytree(several_folder, tmp_path / "models" / name / version)
        description = json.loads((folder / "bundle.json").read_text()) | {"name": name, "version": version}
        (folder / "bundle.json").write_text(json.dumps(description))
        if key is not None:
            sign_bundle(load_bundle(folder), key)
        return folder

    return put_bundle


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder that holds the one trusted key."""
    folder = tmp_path / "keys"
    folder.mkdir()
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "hospital.pem").write_bytes(pem)
    return folder


def loader(keys: Path | None, *, required: bool = True) -> ModelLoader:
    return ModelLoader(Replication(EngineSettings("cpu", 1)), ModelCapacity(maximum_rows=1), keys, required)


def repository(folder: Path, using: ModelLoader, *, strict: bool = False) -> ModelRepository:
    return ModelRepository.load(ModelFolder(folder), using, strict=strict)


def test_a_server_that_requires_signatures_serves_what_is_signed(
    put: Put, keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "medxgan")
    put("signed/1", KEY)
    put("unsigned/1", None)
    put("strange/1", STRANGER)
    served = repository(tmp_path / "models", loader(keys))
    assert served.names() == ["signed/1"]
    reasons = {each.name: each.reason for each in served.statuses() if each.name != "signed"}
    assert reasons == {
        "unsigned": "unsigned/1: signatures.json: missing, and a signature by a trusted key is required",
        "strange": f"strange/1: signatures.json: signed by {key_id(STRANGER.public_key())}, none of them trusted",
    }
    lines = [record.msg for record in caplog.records]
    assert {line["reason"] for line in lines if line["event"] == "bundle_refused"} == set(reasons.values())
    (checked,) = [line for line in lines if line["event"] == "signature_checked"]
    assert (checked["bundle"], checked["key"]) == ("signed/1", key_id(KEY.public_key()))
    model = Catalogue(served).find("signed", "")
    assert model_configuration(model).parameters["signed_by"].string_value == key_id(KEY.public_key())
    with pytest.raises(BundleError, match="none of them trusted"):
        repository(tmp_path / "models", loader(keys), strict=True)


def test_a_server_that_was_only_given_keys_takes_the_unsigned_and_says_so(
    put: Put, keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put("unsigned/1", None)
    put("strange/1", STRANGER)
    folder = put("moved/1", KEY)
    changed = (folder / "bundle.json").read_text().replace("Apache-2.0", "Apache-2.1")
    (folder / "bundle.json").write_text(changed)
    served = repository(tmp_path / "models", loader(keys, required=False))
    assert served.names() == ["strange/1", "unsigned/1"]
    assert [record.msg["bundle"] for record in caplog.records if record.msg["event"] == "not_signed"] == [
        "strange/1",
        "unsigned/1",
    ]
    (refused,) = [each for each in served.statuses() if each.name == "moved"]
    assert refused.reason.startswith("moved/1: signatures.json: signs another bundle")
    assert not model_configuration(Catalogue(served).find("unsigned", "")).parameters["signed_by"].string_value


def test_without_keys_no_signature_is_looked_at(put: Put, tmp_path: Path) -> None:
    (put("strange/1", STRANGER) / "signatures.json").write_text("{}")
    assert repository(tmp_path / "models", loader(None, required=False)).names() == ["strange/1"]


def test_keys_that_can_not_be_read_serve_nothing(put: Put, keys: Path, tmp_path: Path) -> None:
    put("signed/1", KEY)
    (keys / "other.pem").write_text("no key")
    with pytest.raises(BundleError, match=r"trusted keys: other\.pem: expected public keys in PEM form"):
        repository(tmp_path / "models", loader(keys))


def test_a_running_server_asks_for_signatures_too_and_reads_the_keys_anew(put: Put, keys: Path, tmp_path: Path) -> None:
    put("lung/1", KEY)

    async def check() -> None:
        served = repository(tmp_path / "models", loader(keys))
        control = ModelControl(served, ModelFolder(tmp_path / "models"), loader(keys))
        await control.start()
        try:
            folder = put("lung/2", None)
            with pytest.raises(InvalidRequestError, match="a signature by a trusted key is required"):
                await control.load("lung")
            assert served.names() == ["lung/1"]
            sign_bundle(load_bundle(folder), STRANGER)
            with pytest.raises(InvalidRequestError, match="none of them trusted"):
                await control.load("lung")
            pem = STRANGER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (keys / "stranger.pem").write_bytes(pem)
            await control.load("lung")
            assert served.names() == ["lung/1", "lung/2"]
        finally:
            await control.stop()

    asyncio.run(check())


def test_signatures_are_required_by_known_keys(keys: Path) -> None:
    for given in ({"require_signature": True}, {"trusted_keys": keys / "missing.pem"}):
        with pytest.raises(ValidationError) as refusal:
            ServerSettings(**given)
        assert describe(refusal.value).partition(":")[0] == next(iter(given))
    assert ServerSettings(trusted_keys=keys, require_signature=True).require_signature
