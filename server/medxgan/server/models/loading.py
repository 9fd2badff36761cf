"""From a bundle's folder to a model that can be started."""

from dataclasses import dataclass, replace
from pathlib import Path

from medxgan.bundle import BundleError, LoadedBundle, load_bundle
from medxgan.server.engine.replication import Replication, open_engines
from medxgan.server.errors import UnsupportedError
from medxgan.server.explanation.opening import reduction_of
from medxgan.server.log import get_logger
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel

_log = get_logger(__name__)


@dataclass(frozen=True)
class ModelLoader:
    """Makes models of bundles. It takes seconds: not for the event loop of a server that answers.

    Attributes:
        replication: what runs each model.
        capacity: how much each model takes on.
        trusted_keys: file or folder of the keys whose signatures are checked, read for every bundle; None: none are.
        requires_signature: whether one of these keys has to have signed.
    """

    replication: Replication
    capacity: ModelCapacity
    trusted_keys: Path | None = None
    requires_signature: bool = False

    def read(self, folder: Path) -> LoadedBundle:
        """Read and check the bundle in the folder NAME/VERSION/.

        Raises:
            BundleError: it can't be served.
        """
        bundle = load_bundle(folder)
        if self.trusted_keys is None:
            return bundle
        # With it come libraries of cryptography, which a server that trusts no keys starts without.
        from medxgan.bundle.signatures import TrustedKeys, check_signatures

        trusted = TrustedKeys.read(self.trusted_keys)
        signer = check_signatures(bundle, trusted, required=self.requires_signature)
        if signer:
            _log.info("signature_checked", bundle=bundle.name, key=signer)
        else:
            _log.warning("not_signed", bundle=bundle.name, reason="no trusted key has signed it")
        return replace(bundle, signed_by=signer)

    def open(self, bundle: LoadedBundle) -> ServedModel:
        """Open the engines of a bundle.

        Raises:
            BundleError: an engine can't run it.
            UnsupportedError: this installation has not what the provider needs.
        """
        try:
            engines = open_engines(bundle, self.replication)
            return ServedModel(bundle, engines, self.capacity, reduction_of(bundle.description, engines[0]))
        except (BundleError, UnsupportedError):
            raise
        except Exception as error:  # of the runtime, which has no error that they all share
            raise BundleError(f"{bundle.name}: it can't be run ({type(error).__name__}: {error})") from error
