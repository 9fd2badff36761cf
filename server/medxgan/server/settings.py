"""The settings of a server, each in one place with its meaning, unit and default."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from medxgan.server.engine.providers import ProviderChoice

Address = Annotated[str, StringConstraints(pattern=r"^\S+:\d{1,5}$")]
LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class ServerSettings(BaseSettings):
    """Settings of a server: command line over environment (`MEDXGAN_*`) over configuration file over default."""

    model_config = SettingsConfigDict(env_prefix="MEDXGAN_", extra="forbid", frozen=True)

    config: FilePath | None = Field(None, description="TOML file with any of these settings, by the same names.")
    models: Path = Field(Path("models"), description="Folder that holds the bundles, NAME/VERSION/.")
    address: Address = Field("127.0.0.1:50051", description="HOST:PORT to listen on; port 0 takes a free one.")
    provider: ProviderChoice = Field("auto", description="What runs the gradient steps.")
    threads: int = Field(0, ge=0, description="CPU threads of one model; 0 takes as many as there are cores.")
    maximum_batch: int = Field(8, ge=1, description="Inversions of one model that advance together.")
    maximum_waiting: int = Field(
        64, ge=0, description="Requests that may wait beside one full batch; a further one is refused as busy."
    )
    retry_delay_seconds: float = Field(
        2.0, gt=0, description="Seconds after which a caller that was refused as busy is asked to try again."
    )
    maximum_message_bytes: int = Field(64 * 2**20, ge=1024, description="Bytes of the largest request.")
    maximum_side: int = Field(16_384, ge=1, description="Pixels along the longest side of the largest image.")
    maximum_pixels: int = Field(50_000_000, ge=1, description="Pixels (height times width) of the largest image.")
    maximum_decompressed_bytes: int = Field(
        256 * 2**20, ge=1, description="Bytes that a compressed image may unfold to."
    )
    shutdown_grace_seconds: float = Field(
        30.0, ge=0, description="Seconds that running requests have to finish once the server is told to stop."
    )
    log_format: LogFormat = Field("console", description="How log lines are written to standard error.")
    log_level: LogLevel = Field("info", description="Least level of the log lines.")

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
