"""From a bundle's folder to a model that can be started."""

from dataclasses import dataclass
from pathlib import Path

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.replication import Replication, open_engines
from medxgan.server.explanation.opening import reduction_of
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel


@dataclass(frozen=True)
class ModelLoader:
    """Makes models of bundles. It takes seconds: not for the event loop of a server that answers.

    Attributes:
        replication: what runs each model.
        capacity: how much each model takes on.
    """

    replication: Replication
    capacity: ModelCapacity

    def read(self, folder: Path) -> LoadedBundle:
        """Read and check the bundle in the folder NAME/VERSION/.

        Raises:
            BundleError: it can't be served.
        """
        return load_bundle(folder)

    def open(self, bundle: LoadedBundle) -> ServedModel:
        """Open the engines of a bundle.

        Raises:
            BundleError: an engine can't run it.
            UnsupportedError: this installation has not what the provider needs.
        """
        engines = open_engines(bundle, self.replication)
        return ServedModel(bundle, engines, self.capacity, reduction_of(bundle.description, engines[0]))
