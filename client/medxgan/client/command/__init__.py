"""The `medxgan` command. It needs the extra `cli`."""

import os
import sys

from medxgan.client.command.huge_pages import start_with_huge_pages


def main() -> None:
    """Run the command."""
    if sys.argv[1:2] == ["serve"]:
        start_with_huge_pages()
    # gRPC's own log tells of every connection that ends; what concerns a user comes as an error of ours.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from medxgan.client.command.app import app
    except ModuleNotFoundError as error:
        # A part of medxgan itself that is missing is a broken installation, which no extra mends.
        if error.name is None or error.name.partition(".")[0] == "medxgan":
            raise
        sys.exit(f"error: the medxgan command needs the cli extra: pip install 'medxgan[cli]' (no module {error.name})")
    app()
