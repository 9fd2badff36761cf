"""Who vouches for a bundle: what counts as a signature, and everything that does not."""

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from medxgan.bundle import BundleError, LoadedBundle, load_bundle
from medxgan.bundle.command import sign
from medxgan.bundle.schema import SIGNATURES_FILE
from medxgan.bundle.signatures import TrustedKeys, check_signatures, key_id, read_private_key, sign_bundle


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


KEY, NEXT_KEY, STRANGER = (Ed25519PrivateKey.generate() for _ in range(3))
TRUSTED = TrustedKeys({key_id(key.public_key()): key.public_key() for key in (KEY, NEXT_KEY)})
SIGNER, NEXT_SIGNER = (key_id(key.public_key()) for key in (KEY, NEXT_KEY))


@pytest.fixture
def bundle(folder: Path) -> LoadedBundle:
    return load_bundle(folder)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    fields = json.loads((folder / SIGNATURES_FILE).read_bytes())
    change(fields)
    (folder / SIGNATURES_FILE).write_text(json.dumps(fields))


def refusal(bundle: LoadedBundle, *, required: bool = True) -> str:
    with pytest.raises(BundleError) as refused:
        check_signatures(bundle, TRUSTED, required=required)
    said = str(refused.value)
    assert said.startswith("tiny/1: signatures.json: ")
    return said.removeprefix("tiny/1: signatures.json: ")


def test_a_signed_bundle_is_signed_and_is_still_a_bundle(bundle: LoadedBundle) -> None:
    assert sign_bundle(bundle, KEY) == SIGNER
    assert load_bundle(bundle.folder) == bundle, "the file of signatures belongs to a bundle, and changes no hash"
    assert check_signatures(bundle, TRUSTED, required=True) == SIGNER
    assert [file.name for file in bundle.folder.parent.iterdir()] == ["1"], "nothing is left beside it"


def test_a_bundle_without_signature_is_refused_where_one_is_required(bundle: LoadedBundle) -> None:
    assert refusal(bundle) == "missing, and a signature by a trusted key is required"
    assert check_signatures(bundle, TRUSTED, required=False) == ""


def test_a_signature_by_a_stranger_says_nothing(bundle: LoadedBundle) -> None:
    stranger = sign_bundle(bundle, STRANGER)
    assert refusal(bundle) == f"signed by {stranger}, none of them trusted"
    assert check_signatures(bundle, TRUSTED, required=False) == ""


@pytest.mark.parametrize("required", [True, False])
def test_a_wrong_signature_is_refused_in_any_case(bundle: LoadedBundle, required: bool) -> None:
    sign_bundle(bundle, KEY)

    def forge(fields: dict[str, Any]) -> None:
        fields["signatures"][0]["signature"] = b64encode(STRANGER.sign(b"medxgan bundle\n")).decode()

    rewrite(bundle.folder, forge)
    assert refusal(bundle, required=required) == f"the signature by {SIGNER} is wrong"


@pytest.mark.parametrize("required", [True, False])
def test_the_signature_of_another_bundle_is_refused(bundle: LoadedBundle, tmp_path: Path, required: bool) -> None:
    other = shutil.copytree(bundle.folder, tmp_path / "other" / "tiny" / "1")
    description = json.loads((other / "bundle.json").read_text())
    description["provenance"]["limitations"] = ["another"]
    (other / "bundle.json").write_text(json.dumps(description))
    signed = load_bundle(other)
    sign_bundle(signed, KEY)
    shutil.copy(other / SIGNATURES_FILE, bundle.folder)
    assert refusal(bundle, required=required) == f"signs another bundle, whose SHA-256 is {signed.sha256}"
    rewrite(bundle.folder, lambda fields: fields.update(bundle_sha256=bundle.sha256))
    assert refusal(bundle, required=required) == f"the signature by {SIGNER} is wrong"


def test_no_file_that_is_named_can_be_changed_under_a_signature(bundle: LoadedBundle) -> None:
    sign_bundle(bundle, KEY)
    described = bundle.folder / "bundle.json"
    described.write_text(described.read_text().replace("Apache-2.0", "Apache-2.1"))
    changed = load_bundle(bundle.folder)
    assert refusal(changed) == f"signs another bundle, whose SHA-256 is {bundle.sha256}"
    (bundle.folder / "open.onnx").write_bytes(b"another graph")
    with pytest.raises(BundleError, match=r"open\.onnx: SHA-256 is"):
        load_bundle(bundle.folder)


def test_keys_are_rotated_by_two_signatures(bundle: LoadedBundle) -> None:
    sign_bundle(bundle, KEY)
    sign_bundle(bundle, NEXT_KEY)
    sign_bundle(bundle, NEXT_KEY)
    assert len(json.loads((bundle.folder / SIGNATURES_FILE).read_bytes())["signatures"]) == 2
    for keys, signer in (([KEY], SIGNER), ([NEXT_KEY], NEXT_SIGNER), ([KEY, NEXT_KEY], min(SIGNER, NEXT_SIGNER))):
        trusted = TrustedKeys({key_id(key.public_key()): key.public_key() for key in keys})
        assert check_signatures(bundle, trusted, required=True) == signer

    def spoil(fields: dict[str, Any]) -> None:
        for each in fields["signatures"]:
            if each["key_id"] == NEXT_SIGNER:
                each["signature"] = b64encode(bytes(64)).decode()

    rewrite(bundle.folder, spoil)
    assert refusal(bundle) == f"the signature by {NEXT_SIGNER} is wrong", "a right one makes no wrong one good"


def test_signing_changed_content_drops_what_signed_it_before(bundle: LoadedBundle) -> None:
    sign_bundle(bundle, KEY)
    described = bundle.folder / "bundle.json"
    described.write_text(described.read_text().replace("Apache-2.0", "Apache-2.1"))
    changed = load_bundle(bundle.folder)
    sign_bundle(changed, NEXT_KEY)
    assert check_signatures(changed, TRUSTED, required=True) == NEXT_SIGNER
    assert len(json.loads((bundle.folder / SIGNATURES_FILE).read_bytes())["signatures"]) == 1


SIGNATURE = {"algorithm": "ed25519", "key_id": SIGNER, "signature": ""}
HASH = "0" * 64


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        "[" * 20_000,
        json.dumps({"bundle_sha256": HASH, "signatures": []}),
        json.dumps({"bundle_sha256": HASH, "signatures": ["x"]}),
        json.dumps({"bundle_sha256": HASH, "signatures": [SIGNATURE, SIGNATURE]}),
        json.dumps({"bundle_sha256": HASH, "signatures": [SIGNATURE | {"algorithm": "none"}]}),
        json.dumps({"bundle_sha256": HASH, "signatures": [SIGNATURE | {"signature": "*"}]}),
        json.dumps({"bundle_sha256": HASH, "signatures": [SIGNATURE | {"key_id": "../key"}]}),
        json.dumps({"bundle_sha256": 7, "signatures": [SIGNATURE]}),
        json.dumps({"bundle_sha256": HASH, "signatures": [SIGNATURE]}) + " " * 2**16,
    ],
)
def test_what_is_no_file_of_signatures_is_refused(bundle: LoadedBundle, content: str) -> None:
    (bundle.folder / SIGNATURES_FILE).write_text(content)
    assert refusal(bundle, required=False).startswith("expected ")


@settings(max_examples=200)
@given(st.data())
def test_no_changed_signature_counts(bundle: LoadedBundle, data: st.DataObject) -> None:
    """A single byte of the file, at any place."""
    (bundle.folder / SIGNATURES_FILE).unlink(missing_ok=True)
    sign_bundle(bundle, KEY)
    content = bytearray((bundle.folder / SIGNATURES_FILE).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    (bundle.folder / SIGNATURES_FILE).write_bytes(content)
    before = json.dumps({"bundle_sha256": bundle.sha256, "id": SIGNER})
    try:
        signer = check_signatures(bundle, TRUSTED, required=True)
    except BundleError:
        return
    fields = json.loads(content)
    assert signer == SIGNER
    assert json.dumps({"bundle_sha256": fields["bundle_sha256"], "id": fields["signatures"][0]["key_id"]}) == before
    KEY.public_key().verify(
        b64decode(fields["signatures"][0]["signature"]), f"medxgan bundle\n{bundle.sha256}\n".encode()
    )


def test_keys_are_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    several = tmp_path / "keys.pem"
    several.write_bytes(b"# this year's\n" + public_pem(KEY) + public_pem(NEXT_KEY))
    assert TrustedKeys.read(several).keys.keys() == {SIGNER, NEXT_SIGNER}
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "one.pem").write_bytes(public_pem(KEY))
    (folder / "README.md").write_text("not a key")
    assert TrustedKeys.read(folder).keys.keys() == {SIGNER}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected public keys in PEM form"),
        (private_pem(KEY), "expected public keys in PEM form"),
        (public_pem(KEY).replace(b"MC", b"M!"), "expected public keys in PEM form"),
        (public_pem(generate_private_key(SECP256R1())), "expected keys for ed25519"),
        (public_pem(KEY) + b" " * 2**16, "expected at most 65536 bytes"),
        (None, "can't be read"),
    ],
)
def test_what_are_no_keys_is_refused_without_the_folder(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "keys.pem").write_bytes(content)
    with pytest.raises(BundleError) as refused:
        TrustedKeys.read(tmp_path / "keys.pem")
    assert said in str(refused.value)
    assert "keys.pem" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="found none"):
        TrustedKeys.read(tmp_path)


@pytest.fixture
def command() -> Typer:
    app = Typer()
    app.command()(sign)
    return app


def test_the_command_signs(folder: Path, tmp_path: Path, command: Typer) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    done = CliRunner().invoke(command, [str(folder), "--key", str(tmp_path / "key.pem")])
    assert (done.exit_code, done.output) == (0, f"tiny/1 {load_bundle(folder).sha256} signed by {SIGNER}\n")
    assert check_signatures(load_bundle(folder), TRUSTED, required=True) == SIGNER


@pytest.mark.parametrize("content", [b"", public_pem(KEY), private_pem(generate_private_key(SECP256R1()))])
def test_the_command_takes_no_other_key(folder: Path, tmp_path: Path, command: Typer, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    done = CliRunner().invoke(command, [str(folder), "--key", str(tmp_path / "key.pem")])
    assert done.exit_code == 1
    assert "medxgan sign: key.pem: expected a" in done.output
    assert not (folder / SIGNATURES_FILE).exists()


def test_the_command_signs_no_damaged_bundle(folder: Path, tmp_path: Path, command: Typer) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    (folder / "open.onnx").write_bytes(b"another graph")
    done = CliRunner().invoke(command, [str(folder), "--key", str(tmp_path / "key.pem")])
    assert done.exit_code == 1
    assert "open.onnx: SHA-256" in done.output


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_makes_the_keys_and_says_the_same(bundle: LoadedBundle, tmp_path: Path) -> None:
    def openssl(*arguments: object, given: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=True).stdout

    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    signer = sign_bundle(bundle, read_private_key(key))
    assert list(TrustedKeys.read(public).keys) == [signer]
    digest = openssl("dgst", "-sha256", "-r", given=openssl("pkey", "-pubin", "-in", public, "-outform", "DER"))
    assert digest.split()[0].decode() == signer
    (stated,) = json.loads((bundle.folder / SIGNATURES_FILE).read_bytes())["signatures"]
    (tmp_path / "signature").write_bytes(b64decode(stated["signature"]))
    (tmp_path / "message").write_text(f"medxgan bundle\n{bundle.sha256}\n")
    verified = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", tmp_path / "message", "-sigfile",
        tmp_path / "signature",
    )  # fmt: skip
    assert b"Verified Successfully" in verified
