"""The help of the lent commands, as a terminal shows it."""

import inspect
import re
from importlib.metadata import entry_points
from typing import Any, get_args, get_type_hints

import pytest
import typer

LENT = sorted(entry_points(group="medxgan.commands"), key=lambda each: each.name)


def functions(command: Any) -> list[Any]:
    if isinstance(command, typer.Typer):
        return [each.callback for each in command.registered_commands]
    return [command]


@pytest.mark.parametrize("lent", LENT, ids=[each.name for each in LENT])
def test_no_help_text_has_square_brackets_which_rich_takes_for_markup(lent: Any) -> None:
    for function in functions(lent.load()):
        hints = get_type_hints(function, include_extras=True)
        texts = [inspect.getdoc(function) or ""]
        texts += [note.help or "" for hint in hints.values() for note in get_args(hint)[1:] if hasattr(note, "help")]
        assert len(texts) > 1
        assert not [text for text in texts if re.search(r"\[[a-z]", text)]
