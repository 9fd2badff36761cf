"""docs/images.md says what the code reads."""

import inspect
from pathlib import Path

from medxgan.server.images.dicom.syntaxes import CODECS
from medxgan.server.images.workers.pool import DecoderPool

PAGE = (Path(__file__).parents[3] / "docs" / "images.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def test_the_transfer_syntaxes_and_what_reads_them() -> None:
    stated = {uid: reader for uid, _, reader in (row for row in ROWS if row[0].startswith("1.2.840"))}
    assert stated == {str(uid): codec.value for uid, codec in CODECS.items()}


def test_the_settings_of_the_pool_and_their_defaults() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(DecoderPool).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    units = {"GiB": 2**30, "MiB": 2**20}
    stated = {}
    for row in ROWS:
        if row[0].strip("`") in defaults:
            number, _, unit = row[1].partition(" ")
            stated[row[0].strip("`")] = int(number) * units.get(unit, 1)
    assert stated == defaults
