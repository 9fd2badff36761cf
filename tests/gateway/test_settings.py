"""The file of settings: what is taken, and what is refused by the name of the place."""

from pathlib import Path
from typing import Any

import pytest

from medxgan.gateway.settings import SettingsError, read_settings

LEAST = """
folder = "spool"

[dicom]
peers = [{ ae_title = "CR1" }]

[[destinations]]
protocol = "dicom"
name = "archive"
address = "localhost:4242"
ae_title = "ORTHANC"

[[rules]]
name = "chest films"
model = "chest"
"""


def read(tmp_path: Path, text: str) -> Any:
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    return read_settings(tmp_path / "gateway.toml")


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST)
    assert settings.server.de_identify
    assert settings.dicom.address == "127.0.0.1:11112"
    assert not settings.dicom.storage_commitment
    assert settings.telemetry == "127.0.0.1:9464"
    assert settings.outputs.report
    assert not settings.outputs.show_unreliable


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('[dicom]\npeers = [{ ae_title = "CR1" }]', "", "a way in"),
        ('{ ae_title = "CR1" }', "", "dicom.peers"),
        ('"CR1"', '"SEVENTEEN-LETTERS"', "dicom.peers.0.ae_title"),
        ("[dicom]", '[dicom]\naddress = "0.0.0.0:104"', "dicom: Value error, expected tls"),
        ('"localhost:4242"', '"pacs.hospital.example:104"', "destinations.0.dicom: Value error, expected tls"),
        ('protocol = "dicom"', 'protocol = "ftp"', "destinations.0"),
        ("[dicom]", "[outputs]\nsecond_capture = true\n\n[dicom]", "outputs"),
        ("[dicom]", "[outputs]\ntrajectory = 1\n\n[dicom]", "outputs"),
        ("[dicom]", "[retention]\nfiles_days = 7\nrows_days = 1\n\n[dicom]", "retention"),
        (
            "[dicom]",
            '[retention]\nfiles_days = 1\nrows_days = 2\n\n[[dicomweb]]\nname = "a"\nurl = "https://a"\n\n[dicom]',
            "retention.rows_days",
        ),
        ('folder = "spool"', 'folder = "spool"\ntelemetry = "0.0.0.0:9464"', "telemetry"),
        ("[dicom]", '[[dicomweb]]\nname = "a"\nurl = "http://pacs.example"\n\n[dicom]', "dicomweb.0.url"),
        ('model = "chest"', 'model = "chest"\n\n[[rules]]\nname = "chest films"\nignore = "x"', "different names"),
        ("[[rules]]", "[[rule]]", "rules"),
        ('folder = "spool"', "folder = ", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, place: str) -> None:
    assert before in LEAST
    with pytest.raises(SettingsError, match=place):
        read(tmp_path, LEAST.replace(before, after))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_settings(tmp_path / "none.toml")


def test_a_value_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, LEAST.replace('"CR1"', '"SECRET-SECRET-SECRET"'))
    assert "SECRET" not in str(raised.value)
