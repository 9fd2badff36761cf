"""Who calls: from a bearer token, or else a client certificate, to an identity."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from medxgan.server.errors import ForbiddenError, UnauthenticatedError
from medxgan.server.identity.certificates import Certificates
from medxgan.server.identity.identities import Identities, Identity, read_identities
from medxgan.server.identity.reloading import Reloading
from medxgan.server.identity.roles import role_of

HEADER = "authorization"
_SCHEME = "bearer "


class Authentication:
    """Finds out who calls, by what the file of identities says at that moment.

    Args:
        file: of identities.

    Raises:
        SecurityFileError: it, or a file of keys that it names, can't be used.
    """

    def __init__(self, file: Path) -> None:
        self._proofs = Reloading([file], lambda: _Proofs(read_identities(file)))

    async def identity(
        self, headers: Iterable[tuple[str, str | bytes]], authentication: Mapping[str, Iterable[bytes]]
    ) -> Identity:
        """Who calls. A token that is sent decides, whatever the certificate.

        Args:
            headers: of the call, by lower-case name.
            authentication: what gRPC says of the connection.

        Raises:
            UnauthenticatedError: nobody that this server knows.
            IssuerAwayError: a token can't be checked at the moment.
        """
        proofs = self._proofs.current()
        sent = [value for name, value in headers if name == HEADER]
        if not sent:
            found = proofs.certificates.identity(authentication)
            if found is None:
                raise UnauthenticatedError("expected 'authorization: Bearer TOKEN', or a client certificate")
            return found
        value = sent[0]
        if len(sent) > 1 or not isinstance(value, str) or not value.lower().startswith(_SCHEME):
            raise UnauthenticatedError("expected one 'authorization: Bearer TOKEN'")
        token = value[len(_SCHEME) :].strip()
        # A JSON Web Token has three parts; a listed token is whatever its maker chose, so also that.
        if token.count(".") == 2 and not proofs.listed.knows(token):
            return await proofs.issued.identity(token)
        return proofs.listed.identity(token)


class _Proofs:
    """All by which identities of one state of the file are found."""

    def __init__(self, identities: Identities) -> None:
        # With it come libraries of cryptography, which a server without identities starts without.
        from medxgan.server.identity.tokens import IssuedTokens, ListedTokens

        self.certificates = Certificates(identities)
        self.listed = ListedTokens(identities)
        self.issued = IssuedTokens(identities)


def authorize(identity: Identity, method: str) -> None:
    """Check that an identity may call a method, such as "/medxgan.v1.ExplanationService/Explain".

    Raises:
        ForbiddenError: it has not the role that the method takes.
    """
    role = role_of(method)
    if role is not None and role not in identity.roles:
        raise ForbiddenError(f"{method} takes the role {role}, which {identity.name} does not have")
