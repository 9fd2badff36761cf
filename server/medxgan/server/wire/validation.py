"""Checks a request against the constraints that its .proto states."""

import protovalidate
from google.protobuf.message import Message

from medxgan.server.errors import InvalidRequestError


def validate(request: Message) -> None:
    """Check every field of a request.

    Raises:
        InvalidRequestError: naming the path of the first field that is wrong: `maps[0].kind`.
    """
    violations = protovalidate.collect_violations(request, fail_fast=True)
    if violations:
        violation = violations[0].proto
        raise InvalidRequestError(_path(violation), violation.message)


def _path(violation: protovalidate.ViolationPb) -> str:
    """The path as written in .proto terms; empty for a rule on the request as a whole."""
    if violation.field is None:
        return ""
    path = ""
    for element in violation.field.elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
