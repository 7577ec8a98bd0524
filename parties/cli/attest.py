"""`sealroom attest`: ask a coordinator for fresh evidence and show every check, passed or not."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Config, Json
from parties.cli.screen import FAILED, PASSED, check_data, check_table, show, show_data, tell, working

if TYPE_CHECKING:
    from mpc.evidence.appraisal import Exceptions

SELF = "Accept this attester although the program measures itself: finds accidents, not adversaries."
VISIBLE = "Accept this attester although whoever runs the machine can read its memory."


def attest(
    address: Annotated[str, typer.Argument(help="The coordinator's HOST:PORT.", metavar="HOST:PORT")],
    *,
    contract: Annotated[Path, typer.Option(help="The contract whose accepted enclaves are compared with.")],
    config: Config = None,
    accept_self_measured: Annotated[list[str] | None, typer.Option(metavar="FORMAT", help=SELF)] = None,
    accept_visible_memory: Annotated[list[str] | None, typer.Option(metavar="FORMAT", help=VISIBLE)] = None,
    as_json: Json = False,
) -> None:
    """Appraise a coordinator now: each check, what the contract expects, what the evidence says, the verdict.

    Nothing is activated and nothing is sent. Exceptions come from your party.toml when --config is given.
    """
    from mpc.contract.document import parse_contract
    from parties.channel import Channel

    parsed = parse_contract(files.read(contract, "the contract"))
    exceptions = _exceptions(config, accept_self_measured or [], accept_visible_memory or [])
    with working(f"asking {address} for evidence"), closing(Channel.connect(address, clock=files.now)) as channel:
        assessed = channel.inspect(parsed, exceptions)
    if as_json:
        refusal = assessed.refusal.as_data() if assessed.refusal else None
        show_data({"passed": assessed.passed, "checks": check_data(assessed.checks), "refusal": refusal})
    else:
        show(check_table(assessed.checks))
    if assessed.refusal is not None:
        if as_json:
            raise typer.Exit(assessed.refusal.exit_code)
        tell(f"\n[bold red]{FAILED} This is not an enclave that the contract accepts.[/]")
        raise assessed.refusal
    if not as_json:
        tell(f"\n[green]{PASSED} This is an enclave that the contract accepts, as far as its evidence goes.[/]")


def _exceptions(config: Path | None, self_measured: list[str], visible: list[str]) -> "Exceptions":
    from mpc.evidence.appraisal import Exceptions
    from parties.config import load_config

    if config is None:
        return Exceptions(frozenset(self_measured), frozenset(visible))
    trust = load_config(config).trust
    return Exceptions(
        trust.accept_self_measured | frozenset(self_measured), trust.accept_visible_memory | frozenset(visible)
    )
