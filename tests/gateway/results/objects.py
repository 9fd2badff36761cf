"""The results as files, and one of them by its class."""

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from medxgan.gateway.results.outputs import Outputs

EVERYTHING = Outputs(presentation_state=True, blending=True)


def saved(results: Sequence[Dataset], folder: Path) -> list[Path]:
    """The results as files, in their order."""
    files = [folder / f"{number}.dcm" for number in range(len(results))]
    for file, result in zip(files, results, strict=True):
        result.save_as(file, enforce_file_format=True)
    return files


def of_class(results: Sequence[Dataset], sop_class: str) -> Dataset:
    """The one result of a SOP class."""
    (found,) = [result for result in results if result.SOPClassUID == sop_class]
    return found
