"""The command `medxgan sign`."""

from pathlib import Path
from typing import Annotated

import typer

from medxgan.bundle.errors import BundleError
from medxgan.bundle.reading import load_bundle
from medxgan.bundle.signatures import read_private_key, sign_bundle


def sign(
    bundle: Annotated[Path, typer.Argument(help="Folder NAME/VERSION of a bundle.")],
    key: Annotated[Path, typer.Option(help="PEM file of an ed25519 private key, without a passphrase.")],
) -> None:
    """Sign a bundle for servers that ask for it by --require-signature.

    The bundle is checked first. The signature goes into signatures.json beside its description, with those by other
    keys; it covers every file but the model card.
    """
    try:
        signed = load_bundle(bundle)
        signer = sign_bundle(signed, read_private_key(key))
    except (BundleError, OSError) as error:
        typer.echo(f"medxgan sign: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{signed.name} {signed.sha256} signed by {signer}")
