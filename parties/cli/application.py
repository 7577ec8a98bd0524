"""The command line put together."""

from importlib import metadata
from typing import Annotated

import typer

from parties.cli import contract, keys
from parties.cli.groups import SealroomGroup

app = typer.Typer(
    cls=SealroomGroup,
    name="sealroom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="One answer from everybody's data, and nobody sees another's rows.",
    epilog="Start with: sealroom demo",
)

app.add_typer(keys.app, name="keys")
app.add_typer(contract.app, name="contract")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sealroom {metadata.version('sealroom')}")
        raise typer.Exit


@app.callback()
def sealroom(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """One answer from everybody's data, and nobody sees another's rows."""
