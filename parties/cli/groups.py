"""Command groups that load when they are named.

Other layers add commands through the entry-point group ``sealroom.commands``: a new name becomes a new command,
a name that stands here already gets the other's commands merged in. Nothing of it is imported before it is asked
for, so that `sealroom --version` does not pay for an engine.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context

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
        own = super().get_command(ctx, cmd_name)
        entry = provided().get(cmd_name)
        if entry is None:
            return own
        if isinstance(own, TyperGroup):
            own.commands = {**get_group(entry.load()).commands, **own.commands}
            return own
        return named(entry.load(), cmd_name)


def named(app: typer.Typer, name: str) -> "Command":
    """Return ``app`` as a command called ``name``."""
    command: Command = get_command(app)
    command.name = name
    return command
