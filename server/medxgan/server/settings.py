"""The settings of a server, each in one place with its meaning, unit and default."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FilePath, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from medxgan.server.addresses import Address, OptionalAddress, OptionalCollector, stays_on_this_machine
from medxgan.server.cluster.bounds import beyond_ray
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.models.version_policy import VersionPolicies


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError("expected a file or a folder that exists")
    return path


MOST = 2**31 - 1
"""gRPC counts in 32 bits."""

MOST_SECONDS = MOST / 1000
"""It counts milliseconds."""

ExistingPath = Annotated[Path, AfterValidator(_existing)]
SharedMemoryChoice = Literal["auto", "on", "off"]
LogFormat = Literal["console", "json"]
Reflection = Literal["auto", "on", "off"]
ModelControlMode = Literal["none", "explicit", "poll"]
LogLevel = Literal["debug", "info", "warning", "error"]


class ServerSettings(BaseSettings):
    """Settings of a server: command line over environment (`MEDXGAN_*`) over configuration file over default."""

    model_config = SettingsConfigDict(env_prefix="MEDXGAN_", extra="forbid", frozen=True, allow_inf_nan=False)

    config: FilePath | None = Field(None, description="TOML file with any of these settings, by the same names.")
    models: Path = Field(
        Path("models"),
        description="Folder that holds the bundles, NAME/VERSION/. The command `medxgan` passes the first that holds "
        "any of ./models, the user's and the package medxgan-models.",
    )
    strict: bool = Field(
        False, description="Whether one bundle that can't be served ends the server; else the others are served."
    )
    default_model: str = Field(
        "",
        description="Name of the model that answers a request which names none; empty: the one that the file "
        "default-model of the folder names, else the only one there is.",
    )
    trusted_keys: ExistingPath | None = Field(
        None,
        description="PEM file of ed25519 public keys, or a folder of such files *.pem: a bundle that one of them is "
        "said to have signed is refused where it did not. Read again for every bundle.",
    )
    require_signature: bool = Field(
        False, validate_default=True, description="Whether bundles that no trusted key has signed are refused."
    )
    version_policy: str = Field(
        "all",
        description="Which versions of a bundle are served: all, latest:N or specific:V,V; for some names another, "
        "behind semicolons: latest:1;chest=specific:4,5. Where a request names no version, the highest answers.",
    )
    model_control: ModelControlMode = Field(
        "none",
        description="How the models change while the server runs: none, explicit (by the calls RepositoryModelLoad and "
        "RepositoryModelUnload) or poll (as the folder changes). With SIGHUP the folder is read again in any case.",
    )
    load_models: str = Field(
        "*",
        description="Names of the bundles that --model-control explicit loads at the start, between commas; * all, "
        "empty none.",
    )
    model_poll_seconds: float = Field(
        15.0, gt=0, description="Seconds between two looks at the folder, with --model-control poll."
    )
    address: Address = Field(
        "127.0.0.1:50051", description="HOST:PORT to listen on, port 0 takes a free one; or unix:PATH."
    )
    tls_certificate: FilePath | None = Field(
        None,
        description="PEM file of the server's certificate, with those between it and its authority; TLS is spoken "
        "then. Read again when it changes, as are the key and the authority.",
    )
    tls_key: FilePath | None = Field(
        None, validate_default=True, description="PEM file of the certificate's key, without a passphrase."
    )
    tls_client_authority: FilePath | None = Field(
        None,
        description="PEM file of the authority of the clients' certificates; a client without one is then refused.",
    )
    identities: FilePath | None = Field(
        None,
        validate_default=True,
        description="TOML file that says who may ask for what, by which certificate or token; none: anybody may, for "
        "anything. Read again when it changes.",
    )
    insecure: bool = Field(
        False, validate_default=True, description="Whether to do without TLS beyond loopback, such as behind a proxy."
    )
    reflection: Reflection = Field(
        "auto",
        description="Whether callers may ask for the services' descriptions; auto: where there are no identities.",
    )
    maximum_connections: int = Field(
        2000,
        ge=1,
        le=MOST,
        description="Connections that may be open at once; a further one is closed before it is heard.",
    )
    connection_age_seconds: float = Field(
        3600.0,
        gt=0,
        le=MOST_SECONDS,
        description="Seconds after which a connection is ended, once its calls are answered.",
    )
    connection_idle_seconds: float = Field(
        600.0, gt=0, le=MOST_SECONDS, description="Seconds without a call after which a connection is ended."
    )
    deadline_ceiling_seconds: float = Field(
        900.0, gt=0, le=MOST_SECONDS, description="Seconds that an answer may take, whatever deadline the caller sets."
    )
    maximum_requests_per_caller: int = Field(
        256,
        ge=1,
        le=MOST // 2,
        description="Requests of one caller (an identity, else an address) that are answered at once.",
    )
    maximum_rate_per_caller: float = Field(
        0.0,
        ge=0,
        description="Requests a second of one caller, of which a second's may come together; 0 sets no bound.",
    )
    provider: ProviderChoice = Field("auto", description="What runs the gradient steps.")
    threads: int = Field(
        0, ge=0, description="CPU threads that compute, in all, for all models; 0 takes as many as there are cores."
    )
    devices: str = Field(
        "0",
        pattern=r"^\d+(,\d+)*$",
        description="Accelerators that run every model, by the driver's numbers: 0,1. The CPU is one device.",
    )
    replicas: int = Field(
        0,
        ge=0,
        description="Copies of every model on each device, each with a batch of its own. On the CPU they share the "
        "model's memory, and the threads are shared out among them. 0 takes one for each thread on the CPU, and one on "
        "an accelerator. Under load many copies do more in all; alone, a request takes less with 1, and all threads.",
    )
    half_precision: bool = Field(
        False,
        description="Whether TensorRT may compute in 16 bits; refused for a model whose results are then another's.",
    )
    cache: Path | None = Field(
        None, description="Folder of TensorRT's engines, which `medxgan warm-up` builds; empty: the user's cache."
    )
    maximum_batch: int = Field(
        8, ge=1, description="Inversions of one model that advance together, on each of its copies."
    )
    maximum_waiting: int = Field(
        64,
        ge=0,
        description="Explanations that may wait for one model beside a full batch; a request counts for as many as it "
        "takes steps, in units of the bundle's default. A further one is refused as busy.",
    )
    caller_share: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Part of a model's places that one caller (an identity, else an address) may hold.",
    )
    retry_delay_seconds: float = Field(
        2.0, gt=0, description="Seconds after which a caller that was refused as busy is asked to try again."
    )
    maximum_message_bytes: int = Field(64 * 2**20, ge=1024, le=MOST, description="Bytes of the largest request.")
    maximum_receiving: int = Field(8, ge=1, description="Requests that are received at once.")
    maximum_receiving_per_caller: int = Field(
        4,
        ge=1,
        description="Requests that are received at once from one caller; a further one is begun when the "
        "one before has come or is slow.",
    )
    maximum_held_bytes: int = Field(
        128 * 2**20,
        ge=1024,
        description="Bytes of requests whose image is still to be read; a further one waits to be received.",
    )
    maximum_held_bytes_per_caller: int = Field(32 * 2**20, ge=1024, description="The same of one caller.")
    upload_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds that a request may take to arrive, from when it is received, and that a message of a "
        "stream of answers may take to be taken by its caller.",
    )
    maximum_side: int = Field(16_384, ge=1, description="Pixels along the longest side of the largest image.")
    maximum_pixels: int = Field(50_000_000, ge=1, description="Pixels (height times width) of the largest image.")
    maximum_decompressed_bytes: int = Field(
        256 * 2**20, ge=1, description="Bytes that a compressed image may unfold to."
    )
    decoders: int = Field(2, ge=1, description="Image files that are decoded at a time, each in a process of its own.")
    decoder_memory_bytes: int = Field(
        2 * 2**30, ge=2**26, description="Bytes of memory that decoding one file may take."
    )
    decoder_cpu_seconds: int = Field(20, ge=1, description="Seconds of computing that decoding one file may take.")
    decoder_seconds: float = Field(30.0, gt=0, description="Seconds until a file is decoded or given up.")
    open_inference: bool = Field(
        True, description="Whether the Open Inference Protocol (KServe v2, tritonclient) is answered beside our own."
    )
    shared_memory: SharedMemoryChoice = Field(
        "auto",
        description="Whether its callers may have tensors in shared memory of this host, by names of objects in "
        "/dev/shm; auto: where the address is of the loopback interface or a unix socket.",
    )
    maximum_streams: int = Field(
        16, ge=1, description="Its streams of requests that may be open at once, each with one message that arrives."
    )
    maximum_streams_per_caller: int = Field(8, ge=1, description="The same of one caller.")
    stream_idle_seconds: float = Field(
        600.0,
        gt=0,
        description="Seconds after which a stream of requests is ended that sends none and waits for no answer.",
    )
    maximum_memory_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of memory of the server's process above which new requests are refused; 0: nine tenths of "
        "the limit of its control group (version 2), measured for all processes in it, where there is one.",
    )
    shutdown_grace_seconds: float = Field(
        30.0, ge=0, description="Seconds that running requests have to finish once the server is told to stop."
    )
    telemetry: OptionalAddress = Field(
        "",
        description="HOST:PORT of /metrics (Prometheus), /v2/health/live and /ready, and /v2/models/NAME/ready; "
        "empty: none.",
    )
    traces_endpoint: OptionalCollector = Field(
        "",
        description="URL of an OpenTelemetry collector (OTLP over gRPC, http://HOST:4317) that traces go to; empty: "
        "none are made. The rest, such as the sampler, is as OpenTelemetry's variables OTEL_* say.",
    )
    audit: Path | None = Field(
        None, description="File that who asked for what, and the verdict, are appended to; empty: none is kept."
    )
    ray_minimum_replicas: int = Field(1, ge=1, description="Replicas on Ray at the least.")
    ray_maximum_replicas: int = Field(
        1,
        ge=1,
        validate_default=True,
        description="Replicas on Ray at the most; where it is more than the least, their number follows the requests.",
    )
    ray_target_requests: float = Field(
        2.0,
        gt=0,
        description="Requests under way or waiting, for each replica on Ray, that their number is chosen by.",
    )
    ray_queue: int = Field(
        256, ge=1, description="Requests that wait for a replica in each of Ray's proxies; a further one is refused."
    )
    ray_gpus: float = Field(
        0.0, ge=0, description="GPUs that Ray keeps for each replica; a part lets several share one. 0: none is used."
    )
    ray_models: int = Field(
        0,
        ge=0,
        description="Names of bundles that a replica on Ray has loaded at a time: the others when they are asked for, "
        "in place of those not asked for longest. 0: all.",
    )
    ray: str = Field(
        "",
        validate_default=True,
        description="Address of a cluster of Ray (HOST:PORT, auto or ray://…) whose Ray Serve runs the server, or "
        "local: one of its own on this machine; empty: none. Ray's proxy listens on all addresses, in plaintext.",
    )
    log_format: LogFormat = Field("console", description="How log lines are written to standard error.")
    log_level: LogLevel = Field("info", description="Least level of the log lines.")

    @field_validator("require_signature")
    @classmethod
    def _by_known_keys(cls, required: bool, info: ValidationInfo) -> bool:
        if required and info.data.get("trusted_keys", "wrong") is None:
            raise ValueError("expected together with trusted_keys")
        return required

    @field_validator("version_policy")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        VersionPolicies.parse(text)
        return text

    @field_validator("load_models")
    @classmethod
    def _where_calls_load_the_others(cls, names: str, info: ValidationInfo) -> str:
        if names.strip() != "*" and info.data.get("model_control", "explicit") != "explicit":
            raise ValueError("expected * without model_control explicit, by which the others could be loaded")
        return names

    @field_validator("tls_key")
    @classmethod
    def _with_its_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_certificate" in info.data and (key is None) != (info.data["tls_certificate"] is None):
            raise ValueError("expected together with tls_certificate")
        return key

    @field_validator("tls_client_authority")
    @classmethod
    def _with_tls(cls, authority: Path | None, info: ValidationInfo) -> Path | None:
        if authority is not None and info.data.get("tls_certificate", authority) is None:
            raise ValueError("expected together with tls_certificate")
        return authority

    @field_validator("identities")
    @classmethod
    def _wherever_certificates_are_asked_for(cls, identities: Path | None, info: ValidationInfo) -> Path | None:
        if identities is None and info.data.get("tls_client_authority") is not None:
            raise ValueError("expected together with tls_client_authority: they say whose certificate has which role")
        return identities

    @field_validator("insecure")
    @classmethod
    def _said_beyond_loopback(cls, insecure: bool, info: ValidationInfo) -> bool:
        plain = info.data.get("tls_certificate", "wrong") is None
        if plain and not insecure and not stays_on_this_machine(info.data.get("address", "localhost:0")):
            raise ValueError("expected tls_certificate for an address beyond loopback, or insecure to be said")
        return insecure

    @field_validator("ray_maximum_replicas")
    @classmethod
    def _no_fewer_than_the_least(cls, most: int, info: ValidationInfo) -> int:
        least = info.data.get("ray_minimum_replicas", 1)
        if most < least:
            raise ValueError(f"expected ray_minimum_replicas ({least}) or more")
        return most

    @field_validator("ray")
    @classmethod
    def _as_far_as_rays_proxy_goes(cls, ray: str, info: ValidationInfo) -> str:
        if ray and (wrong := beyond_ray(info.data)):
            raise ValueError(f"expected {wrong}")
        return ray

    @property
    def device_numbers(self) -> tuple[int, ...]:
        """Of `devices`."""
        return tuple(int(number) for number in self.devices.split(","))

    @property
    def names_at_start(self) -> frozenset[str] | None:
        """Of the bundles that are loaded when the server starts; None: all."""
        if self.load_models.strip() == "*":
            return None
        return frozenset(name.strip() for name in self.load_models.split(",")) - {""}

    @property
    def takes_shared_memory(self) -> bool:
        """Whether tensors may be in shared memory."""
        return self.shared_memory == "on" or (self.shared_memory == "auto" and stays_on_this_machine(self.address))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources. Where the file is comes from the command line or the environment; else there is none."""
        config = {**env_settings(), **init_settings()}.get("config")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config)


def describe(error: ValidationError) -> str:
    """What is wrong with which settings, in one line for a person."""
    return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
