"""`medxgan models`: what a server serves."""

import typer
from rich.console import Console
from rich.table import Table

from medxgan.client.commands.connection import (
    DEFAULT_MODELS,
    ModelsOption,
    Provider,
    ProviderOption,
    ServerOption,
    connect,
)
from medxgan.client.commands.terminal import known_errors


def models(
    context: typer.Context,
    server: ServerOption = None,
    models: ModelsOption = DEFAULT_MODELS,
    provider: ProviderOption = Provider.AUTO,
) -> None:
    """List the models that a server serves."""
    with known_errors(), connect(context, server, models, provider) as client:
        served = client.models()
    table = Table()
    for heading in ("model", "images", "positive", "negative", "licence", "runs on"):
        table.add_column(heading, overflow="fold")
    for entry in served:
        runs_on = entry.execution.provider
        if entry.execution.fallback:
            runs_on += f" ({entry.execution.fallback_reason})"
        table.add_row(
            f"{entry.model.name} {entry.model.version}",
            entry.modality,
            entry.positive_class,
            entry.negative_class,
            entry.license,
            runs_on,
        )
    Console().print(table)
