"""The settings of a gateway: one TOML file, each setting with its meaning, unit and default."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    StringConstraints,
    ValidationError,
    model_validator,
)

from medxgan.client.loopback import is_loopback, keeps_films_private
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.rules import Rule


class SettingsError(Exception):
    """The file of settings can't be used; the text names the places, and quotes no value."""


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _address(address: str) -> str:
    matched = re.fullmatch(r"\S+:(\d{1,5})", address)
    if matched is None or int(matched[1]) > 65_535:
        raise ValueError("expected HOST:PORT with a port from 0 to 65535")
    return address


def _on_loopback(address: str) -> str:
    if not is_loopback(host_and_port(_address(address))[0]):
        raise ValueError("expected an address of the loopback interface: the page asks nobody who they are")
    return address


def _http(url: str) -> str:
    if not keeps_films_private(url):
        raise ValueError("expected an https:// address, or an http:// one on loopback: films are patient data")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
LoopbackAddress = Annotated[str, AfterValidator(_on_loopback)]
Url = Annotated[str, AfterValidator(_http)]
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\x21-\x5b\x5d-\x7e ]{1,16}$")]
# Names go into the log and into labels: nothing in them can break a line.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsFiles(_Part):
    """PEM files of TLS between DICOM nodes; each side shows a certificate.

    Attributes:
        certificate: of this gateway, with those between it and its authority.
        key: of that certificate, without a passphrase.
        authority: that the other side's certificate comes from.
    """

    certificate: FilePath
    key: FilePath
    authority: FilePath


class ServerSettings(_Part):
    """The medxgan server that explains: `[server]`. Film bytes go nowhere else.

    Attributes:
        address: HOST:PORT of the server.
        tls: whether to speak TLS by the authorities that gRPC trusts; any of the next three brings TLS.
        authority: PEM file of the authority of the server's certificate.
        certificate: PEM file of this gateway's certificate, for a server that asks for one.
        key: PEM file of its key.
        token_file: file with a bearer token.
        timeout_s: seconds that one explanation may take.
        workers: films that are explained at once.
        de_identify: whether only the pixels, and what says how to read them, leave this machine; else the whole film.
    """

    address: Address = "localhost:50051"
    tls: bool = False
    authority: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    token_file: FilePath | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    de_identify: bool = True


class DicomPeer(_Part):
    """A DICOM node that speaks to this one: `[[dicom.peers]]`.

    Attributes:
        ae_title: by which it calls.
        address: HOST:PORT where it hears of storage commitment; none: it may not ask for it.
    """

    ae_title: AETitle
    address: Address | None = None


class _DicomNode(_Part):
    """A DICOM address: spoken to in the clear on this machine alone, unless that is said."""

    address: Address
    tls: TlsFiles | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _said_beyond_loopback(self) -> Self:
        if self.tls is None and not self.insecure and not is_loopback(host_and_port(self.address)[0]):
            raise ValueError("expected tls for an address beyond loopback, or insecure to be said")
        return self


class DicomSettings(_DicomNode):
    """The DICOM node that this gateway is, C-STORE and C-ECHO: `[dicom]`.

    Attributes:
        address: HOST:PORT to listen on; port 0 takes a free one.
        ae_title: by which it is called; another is rejected.
        peers: who may call; others are rejected.
        tls: files of TLS; none speaks in the clear.
        insecure: whether to do without TLS beyond loopback.
        maximum_associations: associations at once; a further one is rejected as transient.
        idle_s: seconds without a message after which an association is ended.
        storage_commitment: whether to take responsibility for films when asked to. Such films are never deleted.
    """

    address: Address = "127.0.0.1:11112"
    ae_title: AETitle = "MEDXGAN"
    peers: Annotated[tuple[DicomPeer, ...], Field(min_length=1)]
    maximum_associations: Annotated[int, Field(ge=1)] = 10
    idle_s: Annotated[float, Field(gt=0)] = 60.0
    storage_commitment: bool = False


class FolderSettings(_Part):
    """A watched folder: `[[folders]]`. Films that are taken are removed; others go to its `ignored` or `refused`.

    Attributes:
        path: of the folder; subfolders are not looked into.
        settle_s: seconds without a change after which a file counts as written.
    """

    path: Path
    settle_s: Annotated[float, Field(ge=0)] = 5.0


class DicomwebSettings(_Part):
    """An archive that is asked for new films: `[[dicomweb]]`.

    Attributes:
        name: of the archive; where it was left off is kept under this name.
        url: of DICOMweb; of Orthanc's own interface where `changes` is "orthanc".
        changes: "query" searches the studies of the last days, "orthanc" follows Orthanc's feed of changes.
        modalities: of the series that are looked into.
        days: of studies that are searched.
        interval_s: seconds between two looks.
        user: for HTTP's basic authentication; none asks without.
        password_file: file with the password.
        timeout_s: seconds for each answer.
    """

    name: Name
    url: Url
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    changes: Literal["query", "orthanc"] = "query"
    modalities: Annotated[tuple[str, ...], Field(min_length=1)] = ("CR", "DX")
    days: Annotated[int, Field(ge=1)] = 2
    interval_s: Annotated[float, Field(gt=0)] = 10.0
    user: str | None = None
    password_file: FilePath | None = None


class DicomDestination(_DicomNode):
    """A DICOM node that gets results by C-STORE: `[[destinations]]` with `protocol = "dicom"`.

    Attributes:
        name: for the log and the journal.
        address: HOST:PORT.
        ae_title: its title.
        calling: the title by which this gateway calls it.
        tls: files of TLS; none speaks in the clear.
        insecure: whether to do without TLS beyond loopback.
        timeout_s: seconds for each answer.
    """

    protocol: Literal["dicom"]
    name: Name
    ae_title: AETitle
    calling: AETitle = "MEDXGAN"
    timeout_s: Annotated[float, Field(gt=0)] = 30.0


class StowDestination(_Part):
    """An archive that gets results by STOW-RS: `[[destinations]]` with `protocol = "stow"`; see `DicomwebSettings`."""

    protocol: Literal["stow"]
    name: Name
    url: Url
    user: str | None = None
    password_file: FilePath | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0


class ReadingSettings(_Part):
    """What a reading room may have, `medxgan web --gateway`: films and their explanations, at `telemetry`: `[reading]`.

    Attributes:
        token_file: file with the token that it shows; whoever has it can read patient data.
    """

    token_file: FilePath


class FhirSettings(_Part):
    """A folder that FHIR R5 bundles are written to, for an integration engine: `[fhir]`.

    Attributes:
        folder: a file for each film, written when it is explained and before its results are delivered.
        dicomweb: address of the DICOMweb service that will have the results; empty names them by their UIDs.
    """

    folder: Path
    dicomweb: str = ""


Destination = Annotated[DicomDestination | StowDestination, Field(discriminator="protocol")]


class RetrySettings(_Part):
    """What is done again, and when: `[retries]`.

    Attributes:
        first_s: seconds before the first retry; doubled from retry to retry, and shortened by up to a half at random.
        longest_s: seconds between two retries at most.
        give_up_s: seconds from the first failure after which a film is dead, until `medxgan gateway retry`.
    """

    first_s: Annotated[float, Field(gt=0)] = 1.0
    longest_s: Annotated[float, Field(gt=0)] = 120.0
    give_up_s: Annotated[float, Field(gt=0)] = 3 * 86_400.0


class RetentionSettings(_Part):
    """When what is done with is deleted: `[retention]`. What waits, failed or is dead is kept.

    Attributes:
        files_days: days that the files of a delivered film stay, its own and its results.
        rows_days: days that the journal knows of a film that was delivered or ignored; more than those of studies that
            are searched for, or a film is explained again and again.
    """

    files_days: Annotated[float, Field(ge=0)] = 7.0
    rows_days: Annotated[float, Field(ge=0)] = 365.0

    @model_validator(mode="after")
    def _rows_outlive_files(self) -> "RetentionSettings":
        if self.rows_days < self.files_days:
            raise ValueError("expected rows_days of at least files_days")
        return self


class GatewaySettings(_Part):
    """The file as a whole.

    Attributes:
        folder: where films, results and the journal are kept. Who can read it can read patient data.
        free_mb: megabytes of the disk that stay free: below, films are refused until there is room again.
        largest_mb: megabytes of an object at most; a larger one is refused. It is held in memory while it comes.
        telemetry: HOST:PORT on loopback of the status page, the figures and the probes; none: there is no page.
        outputs: which objects are made of an explanation.
        fhir: where FHIR bundles are written to; none writes none.
        reading: who may read films; none: nobody, and no server's answer is kept.
        rules: which film goes to which model; the first that fits decides, and a film that none fits is ignored.
    """

    folder: Path
    free_mb: Annotated[int, Field(ge=0)] = 1024
    largest_mb: Annotated[int, Field(ge=1)] = 512
    telemetry: LoopbackAddress | None = "127.0.0.1:9464"
    server: ServerSettings = ServerSettings()
    dicom: DicomSettings | None = None
    folders: tuple[FolderSettings, ...] = ()
    dicomweb: tuple[DicomwebSettings, ...] = ()
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    outputs: Outputs = Outputs()
    fhir: FhirSettings | None = None
    reading: ReadingSettings | None = None
    retries: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> "GatewaySettings":
        for what, names in (
            ("destinations", [each.name for each in self.destinations]),
            ("dicomweb", [each.name for each in self.dicomweb]),
            ("rules", [each.name for each in self.rules]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"expected {what} of different names")
        if self.dicom is None and not self.folders and not self.dicomweb:
            raise ValueError("expected a way in: dicom, folders or dicomweb")
        searched = max((archive.days for archive in self.dicomweb if archive.changes == "query"), default=-1)
        if self.retention.rows_days < searched + 1:
            raise ValueError("retention.rows_days: expected more than the days of dicomweb")
        if self.reading is not None and self.telemetry is None:
            raise ValueError("reading: expected telemetry, which is where it is answered")
        return self


def read_settings(file: Path) -> GatewaySettings:
    """Read the file; relative paths in it are meant from the working folder.

    Raises:
        SettingsError: it can't be read, is not TOML, or not as it has to be.
    """
    try:
        return GatewaySettings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"{file}: can't be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not a TOML file") from error
    except ValidationError as error:
        places = (f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
        raise SettingsError(f"{file}: {'; '.join(places).removeprefix(': ')}") from error
