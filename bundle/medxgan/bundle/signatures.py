"""Who vouches for a bundle: ed25519 signatures of its hash, in a file beside its description.

The hash is that of `bundle.json`, which holds the hash of every other file but the model card. What is signed are the
bytes `medxgan bundle`, a line feed, the hash in hexadecimal and a line feed: no signature for another purpose is one.
"""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from medxgan.bundle.errors import BundleError
from medxgan.bundle.reading import LoadedBundle
from medxgan.bundle.schema import SIGNATURES_FILE

LARGEST_FILE = 64 * 2**10
"""Bytes of a file of signatures or keys."""

_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TrustedKeys:
    """The keys whose signatures count.

    Attributes:
        keys: by id, see `key_id`.
    """

    keys: Mapping[str, Ed25519PublicKey]

    @classmethod
    def read(cls, path: Path) -> "TrustedKeys":
        """Read public keys in PEM form: of a file that holds one or several, or of a folder's files `*.pem`.

        Raises:
            BundleError: there is none, or one that is no ed25519 key; the message names the file, without its folder.
        """
        files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
        keys = [key for file in files for key in _public_keys(file)]
        if not keys:
            raise BundleError("trusted keys: expected PEM files of public keys in the folder, found none")
        return cls({key_id(key): key for key in keys})


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of a public key in DER form, in hexadecimal: what `openssl pkey -pubin -outform DER | sha256sum` says."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Read the key to sign with.

    Raises:
        BundleError: it is no ed25519 private key in PEM form without a passphrase.
    """
    try:
        key = load_pem_private_key(_content(file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{file.name}: expected a private key in PEM form, without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{file.name}: expected a key for ed25519")
    return key


def sign_bundle(bundle: LoadedBundle, key: Ed25519PrivateKey) -> str:
    """Sign a bundle. Signatures by other keys stay beside this one, unless they are of other content.

    Returns:
        The key's id.

    Raises:
        BundleError: the file of signatures that is there can't be read.
    """
    file = bundle.folder / SIGNATURES_FILE
    signatures: dict[str, bytes] = {}
    if file.exists():
        stated, found = _parsed(_content(file))
        signatures = found if stated == bundle.sha256 else {}
    signer = key_id(key.public_key())
    signatures[signer] = key.sign(_message(bundle.sha256))
    content = {
        "bundle_sha256": bundle.sha256,
        "signatures": [
            {"algorithm": "ed25519", "key_id": each, "signature": b64encode(signatures[each]).decode()}
            for each in sorted(signatures)
        ],
    }
    # Beside the version's folder, in which a server may look at any moment.
    with NamedTemporaryFile("w", dir=bundle.folder.parent, prefix=".signing-", delete=False) as written:
        written.write(json.dumps(content, indent=2) + "\n")
    Path(written.name).chmod(0o644)
    Path(written.name).replace(file)
    return signer


def check_signatures(bundle: LoadedBundle, trusted: TrustedKeys, *, required: bool) -> str:
    """See that what trusted keys are said to have signed is this bundle.

    Args:
        bundle: the bundle.
        trusted: the keys that count; signatures by others say nothing.
        required: whether one of them has to have signed.

    Returns:
        The id of a trusted key that signed it; empty where none has to, and none did.

    Raises:
        BundleError: a trusted key did not sign this, or none did and one has to.
    """
    try:
        return _checked(bundle, trusted, required=required)
    except BundleError as error:
        raise BundleError(f"{bundle.name}: {error}") from error


def _checked(bundle: LoadedBundle, trusted: TrustedKeys, *, required: bool) -> str:
    file = bundle.folder / SIGNATURES_FILE
    if not file.exists():
        if required:
            raise BundleError(f"{SIGNATURES_FILE}: missing, and a signature by a trusted key is required")
        return ""
    stated, signatures = _parsed(_content(file))
    if stated != bundle.sha256:
        raise BundleError(f"{SIGNATURES_FILE}: signs another bundle, whose SHA-256 is {stated}")
    known = {signer: signature for signer, signature in signatures.items() if signer in trusted.keys}
    for signer, signature in known.items():
        try:
            trusted.keys[signer].verify(signature, _message(bundle.sha256))
        except InvalidSignature:
            raise BundleError(f"{SIGNATURES_FILE}: the signature by {signer} is wrong") from None
    if required and not known:
        others = f" and {len(signatures) - 1} more" if len(signatures) > 1 else ""
        raise BundleError(f"{SIGNATURES_FILE}: signed by {min(signatures)}{others}, none of them trusted")
    return min(known, default="")


def _message(sha256: str) -> bytes:
    return f"medxgan bundle\n{sha256}\n".encode()


def _parsed(content: bytes) -> tuple[str, dict[str, bytes]]:
    """The hash that is stated, and the signatures by the ids of their keys."""
    try:
        fields = json.loads(content)
        stated = fields["bundle_sha256"]
        signatures = {
            each["key_id"]: b64decode(each["signature"], validate=True)
            for each in fields["signatures"]
            if each["algorithm"] == "ed25519"
        }
        hashes = all(_HASH.fullmatch(each) for each in (stated, *signatures))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(f"{SIGNATURES_FILE}: expected what `medxgan sign` writes") from error
    if not hashes or not signatures or len(signatures) != len(fields["signatures"]):
        raise BundleError(f"{SIGNATURES_FILE}: expected a bundle's SHA-256, and ed25519 signatures by different keys")
    return stated, signatures


def _public_keys(file: Path) -> list[Ed25519PublicKey]:
    blocks = _PUBLIC_KEY.findall(_content(file))
    if not blocks:
        raise BundleError(f"trusted keys: {file.name}: expected public keys in PEM form")
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BundleError(f"trusted keys: {file.name}: expected public keys in PEM form") from error
        if not isinstance(key, Ed25519PublicKey):
            raise BundleError(f"trusted keys: {file.name}: expected keys for ed25519")
        keys.append(key)
    return keys


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            read = content.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BundleError(f"{file.name}: can't be read ({error.strerror})") from error
    if len(read) > LARGEST_FILE:
        raise BundleError(f"{file.name}: expected at most {LARGEST_FILE} bytes")
    return read
