"""Client certificates, as gRPC has checked them, and whose they are."""

from collections.abc import Iterable, Mapping

from medxgan.server.errors import UnauthenticatedError
from medxgan.server.identity.identities import Identities, Identity

_PROPERTIES = {"dns": "peer_dns", "uri": "peer_uri", "email": "peer_email", "subject": "x509_subject"}
"""From the kind of a name to the property of gRPC's authentication context that holds names of that kind."""


class Certificates:
    """The client certificates that the file of identities names."""

    def __init__(self, identities: Identities) -> None:
        self._identities = {
            certificate: Identity(name, known.roles)
            for name, known in identities.identities.items()
            for certificate in known.certificates
        }

    def identity(self, authentication: Mapping[str, Iterable[bytes]]) -> Identity | None:
        """Whose certificate a connection came with, None where it came with none.

        Raises:
            UnauthenticatedError: its authority is ours, but no identity has it, or several have.
        """
        names = {
            f"{kind}:{name.decode(errors='replace')}"
            for kind, held in _PROPERTIES.items()
            for name in authentication.get(held, ())
        }
        if not names:
            return None
        found = {self._identities[name] for name in names & self._identities.keys()}
        if len(found) != 1:
            raise UnauthenticatedError("expected a client certificate of one identity that this server knows")
        return found.pop()
