"""Which JSON Web Tokens are believed: every algorithm that may be stated, and nothing else, whatever is sent."""

import asyncio
import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.errors import UnauthenticatedError
from medxgan.server.identity.authentication import Authentication
from medxgan.server.identity.identities import Identities, Issuer
from medxgan.server.identity.keys import key_set
from medxgan.server.identity.reloading import SecurityFileError
from medxgan.server.identity.roles import Role
from medxgan.server.identity.tokens import IssuedTokens

RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
CLAIMS = {"iss": "hospital", "aud": "medxgan", "sub": "somebody", "groups": {"roles": "imaging"}}


def stated(algorithm: str, key: Any, **other: str) -> dict[str, Any]:
    """A JSON Web Key."""
    maker = jwt.get_algorithm_by_name(algorithm)
    return maker.to_jwk(key.public_key(), as_dict=True) | {"kid": algorithm} | other


def issued(folder: Path, keys: list[dict[str, Any]], algorithms: set[str]) -> IssuedTokens:
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": keys}))
    issuer = Issuer(
        issuer="hospital",
        audience="medxgan",
        keys=str(file),
        algorithms=algorithms,
        roles_claim=("groups", "roles"),
        roles={"imaging": Role.EXPLAIN},
    )
    return IssuedTokens(Identities(issuers={"hospital": issuer}))


def signed(algorithm: str, key: Any, key_id: str | None = None) -> str:
    claims = CLAIMS | {"exp": datetime.now(UTC) + timedelta(hours=1)}
    return jwt.encode(claims, key, algorithm, {"kid": algorithm if key_id is None else key_id})


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_algorithm_that_is_stated_is_taken_and_no_other(algorithm: str, tmp_path: Path) -> None:
    key = KEYS[algorithm]
    token = signed(algorithm, key)
    identity = asyncio.run(issued(tmp_path, [stated(algorithm, key)], {algorithm}).identity(token))
    assert identity.roles == {Role.EXPLAIN}
    assert "somebody" not in identity.name
    with pytest.raises(UnauthenticatedError, match="signed by one of RS384"):
        asyncio.run(issued(tmp_path, [stated(algorithm, key)], {"RS384"}).identity(token))


def test_a_key_is_for_its_own_kind_of_signature(tmp_path: Path) -> None:
    every = set(KEYS)
    token = signed("RS256", RSA, "key")
    for key in (
        stated("ES256", KEYS["ES256"], kid="key"),
        stated("RS256", RSA, kid="key", alg="RS512"),
        stated("RS256", RSA, kid="key", use="enc"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "key"},
        {"kty": "RSA", "n": "!", "e": "!", "kid": "key"},
        {"kty": "EC", "crv": "P-999", "kid": "key"},
    ):
        with pytest.raises(UnauthenticatedError):
            asyncio.run(issued(tmp_path, [key], every).identity(token))


def test_a_short_key_signs_nothing_that_is_believed(tmp_path: Path) -> None:
    short = rsa.generate_private_key(65537, 1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signed("RS256", short)
    with pytest.raises(UnauthenticatedError):
        asyncio.run(issued(tmp_path, [stated("RS256", short)], {"RS256"}).identity(token))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"keys": 3}', b'{"keys": [{}]}', b'{"keys": ["RSA"]}', b"\xff"]
)
def test_what_is_no_key_set_is_refused_by_the_name_of_its_source(content: bytes) -> None:
    with pytest.raises(SecurityFileError, match="there: expected a JSON Web Key Set"):
        key_set(content, "there")


@pytest.fixture(scope="module")
def authentication(tmp_path_factory: pytest.TempPathFactory) -> Authentication:
    folder = tmp_path_factory.mktemp("identities")
    (folder / "keys.json").write_text(json.dumps({"keys": [stated("RS256", RSA)]}))
    file = folder / "identities.toml"
    file.write_text('[issuers.a]\nissuer = "hospital"\naudience = "medxgan"\nkeys = "keys.json"\nroles = {}')
    return Authentication(file)


def test_a_listed_token_may_look_like_an_issued_one(tmp_path: Path) -> None:
    token = "abcdefgh.ijklmnopqrstuvw.xyz0123456789abc"
    hashed = hashlib.sha256(token.encode()).hexdigest()
    file = tmp_path / "identities.toml"
    file.write_text(f'[identities.viewer]\nroles = ["explain"]\ntokens = ["{hashed}"]\n')
    found = asyncio.run(Authentication(file).identity([("authorization", f"Bearer {token}")], {}))
    assert found.name == "viewer"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={"alg": st.sampled_from(["RS256", "none", "HS256"]) | JSON, "kid": st.just("RS256") | JSON, "crit": JSON},
)
BODIES = st.fixed_dictionaries({}, optional={"iss": st.just("hospital") | JSON, "exp": JSON, "aud": JSON, "sub": JSON})


def encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


TOKENS = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.builds(
    lambda header, body, signature: f"{encoded(header)}.{encoded(body)}.{signature}",
    HEADERS | JSON,
    BODIES | JSON,
    st.sampled_from(["", "AA", "A" * 342]),
)


@given(token=TOKENS, scheme=st.sampled_from(["Bearer ", "bearer ", "", "Basic "]))
def test_whatever_is_sent_is_refused_in_words(authentication: Authentication, token: str, scheme: str) -> None:
    with pytest.raises(UnauthenticatedError) as refusal:
        asyncio.run(authentication.identity([("authorization", scheme + token)], {}))
    assert len(token) < 12 or token not in str(refusal.value)
