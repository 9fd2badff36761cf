"""A folder from which a hospital's integration engine takes FHIR bundles."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from medxgan.client import Explanation
from medxgan.gateway.fhir.bundle import fhir_bundle


class FhirFolder:
    """Writes one file for each film and bundle; a repeat writes the same file again.

    Args:
        folder: made where it is not there.
        dicomweb: address of the DICOMweb service that will have the results; empty to name them by their UIDs.
    """

    def __init__(self, folder: Path, dicomweb: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._dicomweb = folder, dicomweb

    def write(self, film: Dataset, explanation: Explanation, results: Sequence[Dataset]) -> None:
        """Write what an explanation says; whoever looks sees the whole file or none.

        Raises:
            OSError: it can't be written.
        """
        named = f"{film.SOPInstanceUID}/{explanation.model.bundle_sha256}"
        name = f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.json"
        unfinished = self._folder / f".{name}.part"
        bundle = fhir_bundle(film, explanation, results, dicomweb=self._dicomweb)
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(bundle), encoding="utf-8")
        unfinished.replace(self._folder / name)
