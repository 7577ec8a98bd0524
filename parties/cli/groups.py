"""Command groups that load when they are named.

Other layers add commands through the entry-point group ``sealroom.commands``: a new name becomes a new command,
a name that stands here already gets the other's commands merged in. Nothing of it is imported before it is asked
for, so that `sealroom --version` does not pay for an engine.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import cleandoc
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context, Parameter

ENTRY_POINTS = "sealroom.commands"


@cache
def provided() -> Mapping[str, EntryPoint]:
    """Return the commands that other installed layers provide, by name."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


class SealroomGroup(TyperGroup):
    """The top of the command line: its own commands and those that entry points provide."""

    def list_commands(self, ctx: "Context") -> list[str]:
        """Return every command's name, own ones first."""
        return list(dict.fromkeys([*super().list_commands(ctx), *sorted(provided())]))

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":
        """Return one command, merged with what an entry point of its name provides."""
        found = _found(super().get_command(ctx, cmd_name), cmd_name)
        if found is not None:
            tidy_help(found, ctx)
        return found

    def get_params(self, ctx: "Context") -> "list[Parameter]":
        """Return the options, of which flags take no value."""
        params = super().get_params(ctx)
        _tidy_flags(params)
        return params


def _found(own: "Command | None", name: str) -> "Command | None":
    entry = provided().get(name)
    if entry is None:
        return own
    if isinstance(own, TyperGroup):
        own.commands = {**get_group(entry.load()).commands, **own.commands}
        return own
    return named(entry.load(), name)


def tidy_help(command: "Command", ctx: "Context") -> None:
    """Let the help of a command and of all below it be as wide as the screen, and flags take no value.

    Typer breaks every paragraph but the first where its docstring does, and says of a flag that it takes a ``bool``.
    """
    if command.help:
        paragraphs = cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    _tidy_flags(command.get_params(ctx))
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            tidy_help(below, ctx)


def _tidy_flags(params: "Iterable[Parameter]") -> None:
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""


def named(app: typer.Typer, name: str) -> "Command":
    """Return ``app`` as a command called ``name``."""
    command: Command = get_command(app)
    command.name = name
    return command
