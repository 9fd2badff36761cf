"""The whole explanation of a bundle as one ONNX file, the inversion a loop in it."""

from medxgan.export.one_file.file import write_one_file

__all__ = ["write_one_file"]
