"""A server that a model of Triton starts: `python -m medxgan.server.triton.child BUNDLES ADDRESS`.

It ends with whoever started it: when its standard input does.
"""

import asyncio
import sys
from pathlib import Path

from medxgan.bundle import BundleError
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.errors import UnsupportedError
from medxgan.server.log import logging_to_standard_error
from medxgan.server.models.repository import ModelRepository
from medxgan.server.services import loaded_models
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings

REQUESTS = 1024
"""Requests and streams at once: who may ask how often, Triton says."""


def child_settings(bundles: Path, address: str) -> ServerSettings:
    """The settings `MEDXGAN_*` of the environment, save for what Triton answers for.

    Args:
        bundles: folder of the bundles.
        address: unix:PATH.
    """
    settings = ServerSettings(
        models=bundles,
        address=address,
        strict=True,
        tls_certificate=None,
        tls_key=None,
        tls_client_authority=None,
        identities=None,
        telemetry="",
        ray="",
        caller_share=1.0,
        maximum_requests_per_caller=REQUESTS,
        maximum_rate_per_caller=0,
        maximum_streams=REQUESTS,
        maximum_streams_per_caller=REQUESTS,
    )
    alone = {
        "maximum_receiving_per_caller": settings.maximum_receiving,
        "maximum_held_bytes_per_caller": settings.maximum_held_bytes,
    }
    return settings.model_copy(update=alone)


async def serve_until_input_ends(settings: ServerSettings, repository: ModelRepository) -> None:
    """Serve as long as standard input is open."""
    server = Server(settings, repository)
    await server.listen()
    await server.warm_up()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await server.stop()


def main(bundles: str, address: str) -> None:
    """Serve a folder of bundles."""
    settings = child_settings(Path(bundles), address)
    with logging_to_standard_error(settings.log_format, settings.log_level):
        share_between_sessions(settings.threads)
        asyncio.run(serve_until_input_ends(settings, loaded_models(settings)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (BundleError, OSError, UnsupportedError) as error:
        sys.exit(f"medxgan: {error}")
