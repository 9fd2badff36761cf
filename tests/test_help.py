"""The help of the subcommands of other rooms, as a terminal shows it."""

import inspect
import re
from typing import Any, get_args, get_type_hints

import pytest
import typer

from medxgan.client.command.rooms import SUBCOMMANDS, Subcommand, load


def functions(command: Any) -> list[Any]:
    if isinstance(command, typer.Typer):
        return [each.callback for each in command.registered_commands]
    return [command]


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda each: each.name)
def test_no_help_text_has_square_brackets_which_rich_takes_for_markup(subcommand: Subcommand) -> None:
    for function in functions(load(subcommand.target, purpose="this test", extra=subcommand.extra)):
        hints = get_type_hints(function, include_extras=True)
        texts = [inspect.getdoc(function) or ""]
        texts += [note.help or "" for hint in hints.values() for note in get_args(hint)[1:] if hasattr(note, "help")]
        assert len(texts) > 1
        assert not [text for text in texts if re.search(r"\[[a-z]", text)]
