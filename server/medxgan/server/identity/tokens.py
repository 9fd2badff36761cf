"""Bearer tokens: those that the file of identities lists by hash, and JSON Web Tokens of the issuers that it names."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from medxgan.server.errors import UnauthenticatedError
from medxgan.server.identity.identities import Identities, Identity, Issuer
from medxgan.server.identity.keys import KeyAddress, KeyFile, KeySource
from medxgan.server.identity.roles import Role

MINIMUM_LENGTH = 32
"""Characters of a listed token: a shorter one could be guessed, and its hash undone."""

_SUBJECT_DIGITS = 16
_REFUSED = "the token is not one that this server takes"


def digest(token: str) -> str:
    """What the file of identities lists of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class ListedTokens:
    """The tokens that the file lists."""

    def __init__(self, identities: Identities) -> None:
        # Looked up by hash: how long that takes tells nothing of a token.
        self._identities = {
            listed: Identity(name, known.roles)
            for name, known in identities.identities.items()
            for listed in known.tokens
        }

    def knows(self, token: str) -> bool:
        """Whether it is somebody's."""
        return len(token) >= MINIMUM_LENGTH and digest(token) in self._identities

    def identity(self, token: str) -> Identity:
        """Whose token it is.

        Raises:
            UnauthenticatedError: nobody's.
        """
        found = self._identities.get(digest(token)) if len(token) >= MINIMUM_LENGTH else None
        if found is None:
            raise UnauthenticatedError(_REFUSED)
        return found


class IssuedTokens:
    """JSON Web Tokens of the issuers that the file names.

    Raises:
        SecurityFileError: the file of an issuer's keys can't be used.
    """

    def __init__(self, identities: Identities) -> None:
        self._issuers = {issuer.issuer: (name, issuer, _keys(issuer)) for name, issuer in identities.issuers.items()}

    async def identity(self, token: str) -> Identity:
        """Whose token it is, and the roles that it states.

        Raises:
            UnauthenticatedError: it is no token of an issuer that is named here, or is out of date.
            IssuerAwayError: the issuer's keys could not be had yet.
        """
        try:
            # What is read here only says which key to check with; nothing of it is believed.
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, RecursionError) as error:
            raise UnauthenticatedError(_REFUSED) from error
        name, issuer, keys = self._issuer(unverified["payload"].get("iss"))
        algorithm = unverified["header"].get("alg")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise UnauthenticatedError(f"expected a token signed by one of {', '.join(sorted(issuer.algorithms))}")
        key = await keys.key(unverified["header"].get("kid", ""))
        if key is None or key.get("alg", algorithm) != algorithm:
            raise UnauthenticatedError(_REFUSED)
        claims = _checked(token, key, algorithm, issuer)
        subject = hashlib.sha256(claims["sub"].encode()).hexdigest()[:_SUBJECT_DIGITS]
        return Identity(f"{name}/{subject}", _roles(claims, issuer))

    def _issuer(self, stated: object) -> tuple[str, Issuer, KeySource]:
        found = self._issuers.get(stated) if isinstance(stated, str) else None
        if found is None:
            raise UnauthenticatedError("expected a token of an issuer that this server knows")
        return found


def _keys(issuer: Issuer) -> KeySource:
    if "://" in issuer.keys:
        return KeyAddress(issuer.keys, issuer.refresh_seconds)
    return KeyFile(Path(issuer.keys))


def _checked(token: str, key: Mapping[str, Any], algorithm: str, issuer: Issuer) -> dict[str, Any]:
    """The claims of a token whose signature, issuer, audience and times hold."""
    try:
        return jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm),
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_seconds,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError as error:
        raise UnauthenticatedError("the token has expired") from error
    except jwt.InvalidAudienceError as error:
        raise UnauthenticatedError("the token is for another audience") from error
    except jwt.PyJWTError as error:
        raise UnauthenticatedError(_REFUSED) from error


def _roles(claims: Mapping[str, Any], issuer: Issuer) -> frozenset[Role]:
    """The roles that a token states; a string states several, as OAuth's `scope` does, with blanks between them."""
    stated: object = claims
    for name in issuer.roles_claim:
        stated = stated.get(name) if isinstance(stated, Mapping) else None
    if isinstance(stated, str):
        stated = stated.split()
    values = stated if isinstance(stated, list) else []
    return frozenset(issuer.roles[value] for value in values if isinstance(value, str) and value in issuer.roles)
