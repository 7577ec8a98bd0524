"""The command line put together."""

from importlib import metadata
from typing import Annotated

import typer

from parties.cli import collateral, contract, evidence, keys, party, runs
from parties.cli.attest import attest
from parties.cli.groups import SealroomGroup
from parties.cli.keystone import measure_keystone
from parties.cli.references import write_references
from parties.cli.verify import verify

app = typer.Typer(
    cls=SealroomGroup,
    name="sealroom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="One answer from everybody's data, and nobody sees another's rows.",
    epilog="Start with: sealroom demo",
)

evidence.app.command(
    name="reference",
    epilog="Example: sealroom evidence reference ra_config.json --format occlum --minimum-evaluation 19 -o out.json",
)(write_references)
evidence.app.command(
    name="measure-keystone", epilog="Example: sealroom evidence measure-keystone loader.bin eyrie-rt attestor"
)(measure_keystone)
app.add_typer(keys.app, name="keys")
app.add_typer(contract.app, name="contract")
app.add_typer(party.app, name="party")
app.add_typer(evidence.app, name="evidence")
app.add_typer(collateral.app, name="collateral")
app.command(epilog="Example: sealroom attest enclave.example:7443 --contract contract.json -c party.toml")(attest)
app.command(epilog="Example: sealroom status --config party.toml")(runs.status)
app.command(epilog="Example: sealroom run patients_by_grade --wait")(runs.run)
app.command(epilog="Example: sealroom permit 3")(runs.permit)
app.command(epilog="Example: sealroom results 3 --out report")(runs.results)
app.command(epilog="Example: sealroom withdraw --reason 'the study has ended'")(runs.withdraw)
app.command(epilog="Example: sealroom verify patients_by_grade-1.receipt.json --config party.toml")(verify)


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
