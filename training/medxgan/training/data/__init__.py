"""Images to learn from: readers of stored sets, a generator of phantoms, and splitting by patient."""

from medxgan.training.data.errors import DataError
from medxgan.training.data.phantom import phantoms
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.data.source import DataConfig, load
from medxgan.training.data.splitting import split_by_patient

__all__ = ["DataConfig", "DataError", "DataSplit", "LabelledImages", "load", "phantoms", "split_by_patient"]
