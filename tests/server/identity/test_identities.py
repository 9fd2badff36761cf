"""The file of identities, and the names of certificates."""

from pathlib import Path

import pytest

from medxgan.server.errors import UnauthenticatedError
from medxgan.server.identity.certificates import Certificates
from medxgan.server.identity.identities import Identities, KnownIdentity, read_identities
from medxgan.server.identity.reloading import Reloading, SecurityFileError
from medxgan.server.identity.roles import Role

HASH = "0123456789abcdef" * 4
ISSUER = '[issuers.a]\nissuer = "https://a.example"\naudience = "medxgan"\nroles = {}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "identities.toml"


def test_all_that_the_file_may_say(file: Path) -> None:
    file.write_text(
        f"""
        [identities.viewer]
        roles = ["explain"]
        certificates = ["dns:viewer.example", "subject:CN=viewer,O=Hospital"]
        tokens = ["{HASH}"]

        [issuers.hospital]
        issuer = "https://login.hospital.example/realms/imaging"
        audience = "medxgan"
        keys = "https://login.hospital.example/keys"
        algorithms = ["ES256"]
        roles_claim = ["realm_access", "roles"]
        roles = {{ imaging = "explain", operators = "admin" }}
        leeway_seconds = 10
        refresh_seconds = 60

        [issuers.other]
        issuer = "other"
        audience = "medxgan"
        keys = "keys.json"
        roles = {{}}
        """
    )
    read = read_identities(file)
    assert read.identities["viewer"].roles == {Role.EXPLAIN}
    assert read.issuers["hospital"].roles == {"imaging": Role.EXPLAIN, "operators": Role.ADMIN}
    assert read.issuers["other"].keys == str(file.parent / "keys.json"), "from where the file stands"
    file.write_text("")
    assert read_identities(file) == Identities(), "nobody may ask for anything"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("identities = 3", "identities: "),
        ("[identities.viewer]", "identities.viewer.roles: "),
        ('[identities.viewer]\nroles = ["root"]', "identities.viewer.roles.0: "),
        ('[identities."a b"]\nroles = []', "identities.a b.[key]: "),
        ('[identities.viewer]\nroles = []\ntokens = ["SECRET"]', "identities.viewer.tokens.0: "),
        ('[identities.viewer]\nroles = []\ncertificates = ["SECRET"]', "identities.viewer.certificates.0: "),
        ('[identities.viewer]\nroles = []\npassword = "SECRET"', "identities.viewer.password: "),
        (ISSUER, "issuers.a.keys: "),
        (f'{ISSUER}keys = "http://keys.example"', "issuers.a.keys: "),
        (f'{ISSUER}keys = "ftp://keys.example"', "issuers.a.keys: "),
        (f'{ISSUER}keys = "k"\nalgorithms = ["none"]', "issuers.a.algorithms.0: "),
        (f'{ISSUER}keys = "k"\nalgorithms = ["HS256"]', "issuers.a.algorithms.0: "),
        (f'{ISSUER}keys = "k"\nalgorithms = []', "issuers.a.algorithms: "),
        (f'{ISSUER}keys = "k"\nleeway_seconds = 86400', "issuers.a.leeway_seconds: "),
        (f'[identities]\na = {{roles = [], tokens = ["{HASH}"]}}\nb = {{roles = [], tokens = ["{HASH}"]}}', "twice"),
        (f'{ISSUER}keys = "k"\n' + ISSUER.replace("rs.a", "rs.b") + 'keys = "k"', "twice"),
        ("identities: {}", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(file: Path, content: str, place: str) -> None:
    file.write_text(content)
    with pytest.raises(SecurityFileError) as refusal:
        read_identities(file)
    assert place in str(refusal.value)
    assert str(file) in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(SecurityFileError, match="not a TOML file"):
        read_identities(file)


def test_a_link_to_other_content_is_a_change(tmp_path: Path) -> None:
    link = tmp_path / "link"
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    link.symlink_to("old")
    text = Reloading([link], link.read_text)
    assert text.current() == "old"
    link.unlink()
    link.symlink_to("new")
    assert text.current() == "new"


def test_names_of_certificates_are_of_a_kind_and_of_one_identity() -> None:
    known = Identities(
        identities={
            "viewer": KnownIdentity(roles={Role.EXPLAIN}, certificates={"dns:a.example", "uri:spiffe://a/b"}),
            "operator": KnownIdentity(roles={Role.ADMIN}, certificates={"subject:CN=a.example", "email:a@a.example"}),
        }
    )
    certificates = Certificates(known)

    def name(**properties: bytes) -> str:
        found = certificates.identity({key: [value, b"other"] for key, value in properties.items()})
        return "" if found is None else found.name

    assert name(transport_security_type=b"ssl", peer_ip=b"127.0.0.1") == ""
    assert name(peer_dns=b"a.example") == "viewer"
    assert name(peer_uri=b"spiffe://a/b") == "viewer"
    assert name(peer_dns=b"a.example", peer_uri=b"spiffe://a/b") == "viewer"
    assert name(peer_email=b"a@a.example", x509_subject=b"CN=a.example") == "operator"
    for properties in (
        {"peer_email": b"a.example"},
        {"x509_subject": b"CN=a.example,O=Other"},
        {"x509_subject": b"\xff"},
        {"peer_dns": b"a.example\x00.evil.example"},
        {"peer_dns": b"a.example", "x509_subject": b"CN=a.example"},
    ):
        with pytest.raises(UnauthenticatedError):
            name(**properties)
