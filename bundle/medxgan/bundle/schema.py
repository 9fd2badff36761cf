"""The description of a bundle as a file: `bundle.json`, the JSON form of `bundle.proto`."""

import json

import protovalidate
from google.protobuf import json_format

from medxgan.bundle.errors import BundleError
from medxgan.v1.bundle_pb2 import Bundle

SCHEMA_VERSION = 2
"""The version that is written, and the only one that is read. It rises when the meaning of a field changes; a field
that is added does not raise it, since readers ignore what they do not know.

1: graphs preprocess, encoder, classifier, generator, inversion step and attribution, each with its own weights.
2: graphs that follow a request, weights in data files, classes by name, doubles, familiarity.
"""

DESCRIPTION_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"
SIGNATURES_FILE = "signatures.json"
WEIGHTS_FILE = "weights.bin"

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_PATTERN = r"[1-9][0-9]{0,8}"


def parse_description(content: bytes) -> Bundle:
    """Read the content of `bundle.json`. Fields may have their names in the .proto or their canonical JSON names.

    Raises:
        BundleError: it is not JSON, of another schema version, or breaks a rule of bundle.proto.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{DESCRIPTION_FILE}: not JSON ({error})") from error
    # Looked at before the rest: what another version means can't be told by this one's rules.
    version = fields.get("schema_version", fields.get("schemaVersion")) if isinstance(fields, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{DESCRIPTION_FILE}: schema_version: expected an integer")
    if version != SCHEMA_VERSION:
        hint = "a newer medxgan reads it" if version > SCHEMA_VERSION else "export it again"
        raise BundleError(f"{DESCRIPTION_FILE}: schema_version: expected {SCHEMA_VERSION}, got {version}; {hint}")
    try:
        description = json_format.ParseDict(fields, Bundle(), ignore_unknown_fields=True)
        validate_description(description)
    except (json_format.ParseError, protovalidate.ValidationError) as error:
        raise BundleError(f"{DESCRIPTION_FILE}: {error}") from error
    return description


def validate_description(description: Bundle) -> None:
    """Check a description against the rules that bundle.proto states.

    Raises:
        protovalidate.ValidationError: it breaks one.
    """
    protovalidate.validate(description)


def description_json(description: Bundle) -> str:
    """The content of `bundle.json`, the same for the same description."""
    stored = json_format.MessageToJson(description, preserving_proto_field_name=True, indent=2, sort_keys=True)
    return stored + "\n"
