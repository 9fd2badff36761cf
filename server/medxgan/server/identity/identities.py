"""The file of identities: who there is, what shows that it is they, and which roles they have."""

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from medxgan.server.addresses import is_loopback
from medxgan.server.identity.reloading import SecurityFileError
from medxgan.server.identity.roles import Role
from medxgan.server.settings import describe


@dataclass(frozen=True)
class Identity:
    """Who calls.

    Attributes:
        name: for the log and for sharing the server among callers; of an issuer's subject it holds a hash.
        roles: that it has.
    """

    name: str
    roles: frozenset[Role]


def _source(address: str) -> str:
    url = urlsplit(address)
    if not url.scheme or (url.scheme == "https" and url.hostname):
        return address
    if url.scheme == "http" and url.hostname and is_loopback(url.hostname):
        return address
    raise ValueError("expected a file, an https:// address, or an http:// one on loopback")


# Names go into the log: nothing in them can break a line.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
CertificateName = Annotated[str, StringConstraints(pattern=r"^(dns|uri|email|subject):\S.*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones alone: with a symmetric one, who can check a token can make it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnownIdentity(_Part):
    """One identity that the file names: `[identities.NAME]`.

    Attributes:
        roles: that it has.
        certificates: names of its client certificates: `dns:`, `uri:` or `email:` with an alternative name, or
            `subject:` with the whole subject as in RFC 2253.
        tokens: SHA-256 of each of its tokens, as hexadecimal digits.
    """

    roles: frozenset[Role]
    certificates: frozenset[CertificateName] = frozenset()
    tokens: frozenset[Digest] = frozenset()


class Issuer(_Part):
    """One issuer of JSON Web Tokens, such as an OpenID provider: `[issuers.NAME]`.

    Attributes:
        issuer: the tokens' `iss`.
        audience: what their `aud` has to name.
        keys: its JSON Web Key Set: a file (beside the file of identities, where the path is relative) or an address.
        algorithms: by which a token may be signed.
        roles_claim: where a token says the roles: names of claims, each within the one before.
        roles: from what it says there to our roles; other values say nothing.
        leeway_seconds: by which its clock and ours may differ.
        refresh_seconds: that pass at least between two downloads of the keys for the sake of an unknown one.
    """

    issuer: Annotated[str, StringConstraints(min_length=1)]
    audience: Annotated[str, StringConstraints(min_length=1)]
    keys: Annotated[str, StringConstraints(min_length=1), AfterValidator(_source)]
    algorithms: Annotated[frozenset[Algorithm], Field(min_length=1)] = frozenset({"RS256", "ES256"})
    roles_claim: Annotated[tuple[str, ...], Field(min_length=1)] = ("roles",)
    roles: dict[str, Role]
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30.0
    refresh_seconds: Annotated[float, Field(ge=0)] = 30.0


class Identities(_Part):
    """The file as a whole."""

    identities: dict[Name, KnownIdentity] = {}
    issuers: dict[Name, Issuer] = {}

    @model_validator(mode="after")
    def _told_apart(self) -> "Identities":
        shown = Counter(
            proof for known in self.identities.values() for proof in (*known.certificates, *known.tokens)
        ) + Counter(issuer.issuer for issuer in self.issuers.values())
        if shown and max(shown.values()) > 1:
            raise ValueError("a certificate, a token or an issuer stands there twice")
        return self


def read_identities(file: Path) -> Identities:
    """Read the file.

    Raises:
        OSError: it can't be read.
        SecurityFileError: it is not TOML, or not as it has to be; the text names the places, and quotes no value.
    """
    try:
        read = Identities.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityFileError(f"{file}: not a TOML file") from error
    except ValidationError as error:
        raise SecurityFileError(f"{file}: {describe(error).removeprefix(': ')}") from error
    # A path is meant from where the file stands, whatever the working folder.
    issuers = {
        name: each if "://" in each.keys else each.model_copy(update={"keys": str(file.parent / each.keys)})
        for name, each in read.issuers.items()
    }
    return read.model_copy(update={"issuers": issuers})
