"""Phantoms: drawn slices that look like axial FLAIR images of brains, with lesions and their exact masks.

They let a test learn something real in a minute, on pictures that anyone may have. The lesions are only a little
brighter than the tissue around them, and scalp, vessels and choroid plexus are as bright or brighter: whoever takes
bright for ill is wrong.
"""

from medxgan.training.data.phantom.slices import phantoms

__all__ = ["phantoms"]
