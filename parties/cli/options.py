"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print data for programs.")]

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="SEALROOM_CONFIG", help="The party's settings, party.toml."),
]

PartyFile = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="SEALROOM_CONFIG", help="The party's settings."),
]

SelfMeasured = Annotated[
    list[str] | None, typer.Option(metavar="FORMAT", help="Believe this attester although it measures itself.")
]

VisibleMemory = Annotated[
    list[str] | None, typer.Option(metavar="FORMAT", help="Believe it although its host can read its memory.")
]

HERE = Path("party.toml")
