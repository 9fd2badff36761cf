"""What a bundle is: its schema, its graphs and their tensors, and how it is read, hashed and written."""

from medxgan.bundle.errors import BundleError
from medxgan.bundle.reading import LoadedBundle, load_bundle

__all__ = ["BundleError", "LoadedBundle", "load_bundle"]
