"""Where the settings of a server come from."""

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer import Typer
from typer.testing import CliRunner

from medxgan.server.command import serve
from medxgan.server.misspelt import misspelt_variables
from medxgan.server.models.repository import ModelRepository
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings, describe


@pytest.fixture
def app() -> Typer:
    """`serve` as the one command of a program."""
    app = Typer()
    app.command()(serve)
    return app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "server.toml"
    file.write_text('maximum_batch = 3\nthreads = 3\naddress = "127.0.0.3:3"\n')
    return file


def test_command_line_over_environment_over_file_over_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDXGAN_MAXIMUM_BATCH", "2")
    monkeypatch.setenv("MEDXGAN_THREADS", "2")
    settings = ServerSettings(config=config, maximum_batch=1)
    assert settings.maximum_batch == 1
    assert settings.threads == 2
    assert settings.address == "127.0.0.3:3"
    assert settings.maximum_waiting == ServerSettings.model_fields["maximum_waiting"].default


def test_the_environment_may_name_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDXGAN_CONFIG", str(config))
    assert ServerSettings().threads == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", "no-port"),
        ("provider", "abacus"),
        ("threads", -1),
        ("maximum_batch", 0),
        ("maximum_message_bytes", 0),
        ("log_format", "poem"),
        ("config", "no/such/file.toml"),
        ("tls_certificate", "no/such/file.pem"),
        ("tls_key", __file__),
        ("tls_client_authority", __file__),
        ("reflection", "perhaps"),
        ("maximum_rate_per_caller", -1),
        ("deadline_ceiling_seconds", 0),
        ("version_policy", "newest"),
        ("model_control", "perhaps"),
        ("model_poll_seconds", 0),
        ("load_models", "chest"),
        ("maximum_bach", 4),
        # gRPC counts in 32 bits, and milliseconds.
        ("maximum_message_bytes", 2**31),
        ("maximum_connections", 2**31),
        ("maximum_requests_per_caller", 2**30),
        ("connection_age_seconds", 3e6),
        ("connection_idle_seconds", float("inf")),
        ("deadline_ceiling_seconds", 3e6),
        ("upload_timeout_seconds", float("nan")),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        ServerSettings(**{name: value})
    assert describe(refusal.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"tls_certificate": __file__}, "tls_key"),
        ({"tls_certificate": __file__, "tls_key": __file__, "tls_client_authority": __file__}, "identities"),
        ({"address": "0.0.0.0:1"}, "insecure"),
        ({"address": "[::]:1"}, "insecure"),
        ({"address": "127.evil.example:1"}, "insecure"),
        ({"address": "10.0.0.1:1", "identities": __file__}, "insecure"),
    ],
)
def test_settings_that_go_together_are_asked_for_by_name(given: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ServerSettings(**given)
    assert describe(refusal.value).startswith(f"{wrong}: ")


@pytest.mark.parametrize("address", ["localhost:1", "127.9.9.9:1", "[::1]:1", "unix:/run/medxgan.sock"])
def test_this_machine_needs_no_tls(address: str) -> None:
    assert ServerSettings(address=address).address == address
    assert ServerSettings(address="0.0.0.0:1", insecure=True).insecure
    assert ServerSettings(address="0.0.0.0:1", tls_certificate=__file__, tls_key=__file__).tls_key


def test_a_misspelt_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("maximum_bach = 4\n")
    with pytest.raises(ValidationError, match="maximum_bach"):
        ServerSettings(config=file)


@pytest.mark.parametrize("bound", ["maximum_message_bytes", "connection_age_seconds", "maximum_requests_per_caller"])
def test_a_server_starts_with_the_most_that_a_setting_takes(bound: str) -> None:
    most = next(each.le for each in ServerSettings.model_fields[bound].metadata if hasattr(each, "le"))

    async def listen() -> None:
        server = Server(ServerSettings(address="127.0.0.1:0", **{bound: most}), ModelRepository([]))
        await server.listen()
        await server.stop()

    asyncio.run(listen())


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MEDXGAN_IDENTITES", "MEDXGAN_IDENTITIES"),
        ("MEDXGAN_ADRESS", "MEDXGAN_ADDRESS"),
        ("MEDXGAN_REQUIRE_SIGNATURES", "MEDXGAN_REQUIRE_SIGNATURE"),
    ],
)
def test_a_misspelt_variable_is_refused(app: Typer, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str) -> None:
    monkeypatch.setenv(variable, "x")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert f"{variable}: no setting" in result.output
    assert meant in result.output


def test_variables_of_others_are_let_be() -> None:
    others = [
        *("MEDXGAN_TOKEN", "MEDXGAN_TOKEN_FILE", "MEDXGAN_SERVER", "MEDXGAN_TLS", "MEDXGAN_AUTHORITY"),
        *("MEDXGAN_CLIENT_CERTIFICATE", "MEDXGAN_CLIENT_KEY", "MEDXGAN_WEB_ADDRESS", "MEDXGAN_GATEWAY_CONFIG"),
        # What Kubernetes sets in every pod beside a service named medxgan.
        *("MEDXGAN_SERVICE_HOST", "MEDXGAN_SERVICE_PORT", "MEDXGAN_PORT", "MEDXGAN_PORT_50051_TCP_ADDR"),
        *("PATH", "MEDXGAN_MODELS"),
    ]
    assert not misspelt_variables(others, ServerSettings.model_fields)


def test_every_setting_says_what_it_means_and_is_an_option_of_the_command() -> None:
    assert all(field.description for field in ServerSettings.model_fields.values())
    assert set(serve.__annotations__) - {"return"} == set(ServerSettings.model_fields)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--maximum-batch", "0"], "maximum_batch: "),
        (["--config", "no-such-file.toml"], "config: "),
    ],
)
def test_the_command_refuses_a_wrong_setting_by_name(app: Typer, options: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 2
    assert expected in result.output.replace("\n", " ")


def test_the_command_refuses_a_file_that_is_not_toml(app: Typer, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("maximum_batch: 3")
    result = CliRunner().invoke(app, ["--config", str(file)])
    assert result.exit_code == 2
    assert "not a TOML file" in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"address": "127.0.0.1:50051"}, "all addresses"),
        ({"address": "[::]:0"}, "all addresses"),
        ({"telemetry": "0.0.0.0:8002"}, "telemetry"),
        ({"audit": Path("trail")}, "audit"),
        ({"model_control": "explicit"}, "model_control"),
        ({"devices": "0,1"}, "ray_gpus"),
        ({"provider": "cuda"}, "ray_gpus"),
        ({"ray_models": 1, "model_control": "poll"}, "ray_models"),
        ({"ray_minimum_replicas": 3, "ray_maximum_replicas": 2}, "ray_minimum_replicas"),
        ({"insecure": False}, "insecure"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_ray_cannot_do_is_refused_by_name(wrong: dict[str, object], expected: str) -> None:
    right = {"address": "0.0.0.0:50051", "insecure": True, "ray": "local"}
    ServerSettings(**right)
    with pytest.raises(ValidationError, match=expected):
        ServerSettings(**right | wrong)


def test_ray_speaks_no_tls(tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).touch()
    files = {"tls_certificate": tmp_path / "certificate", "tls_key": tmp_path / "key"}
    with pytest.raises(ValidationError, match="plaintext"):
        ServerSettings(address="0.0.0.0:50051", insecure=True, ray="local", **files)
