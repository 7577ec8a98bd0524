"""`sealroom attest`: ask a coordinator for fresh evidence and show every check, passed or not."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parties.cli import files
from parties.cli.options import HERE, Config, Json
from parties.cli.screen import FAILED, PASSED, check_data, check_table, show, show_data, tell, working

if TYPE_CHECKING:
    from mpc.errors import Misconfigured
    from mpc.evidence.appraisal import Assessment, Exceptions

SELF = "Accept this attester although the program measures itself: finds accidents, not adversaries."
VISIBLE = "Accept this attester although whoever runs the machine can read its memory."


def attest(
    address: Annotated[
        str | None, typer.Argument(help="The coordinator; your daemon's own if left out.", metavar="[HOST:PORT]")
    ] = None,
    *,
    contract: Annotated[
        Path | None, typer.Option(help="The contract whose accepted enclaves are compared with.")
    ] = None,
    config: Config = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Agree that this instance takes the active one's place: it was restarted.")
    ] = False,
    accept_self_measured: Annotated[list[str] | None, typer.Option(metavar="FORMAT", help=SELF)] = None,
    accept_visible_memory: Annotated[list[str] | None, typer.Option(metavar="FORMAT", help=VISIBLE)] = None,
    as_json: Json = False,
) -> None:
    """Appraise a coordinator now: each check, what the contract expects, what the evidence says, the verdict.

    Without --replace nothing is activated and nothing is sent. Exceptions come from your party.toml when --config is
    given. Without HOST:PORT and --contract your running daemon asks its own coordinator about its own contract.
    """
    by_daemon = address is None and contract is None
    accepted = (accept_self_measured or [], accept_visible_memory or [])
    if by_daemon and not any(accepted):
        _by_daemon(config or HERE, replace=replace, as_json=as_json)
        return
    if address is None or contract is None or replace:
        raise _unclear(replace=replace)
    _check_address(address)
    with working(f"asking {address} for evidence"):
        assessed = _asked_here(address, contract, _exceptions(config, *accepted))
    _show(assessed, as_json=as_json)


def _asked_here(address: str, contract: Path, exceptions: "Exceptions") -> "Assessment":
    from mpc.contract.document import parse_contract
    from parties.channel import Channel

    parsed = parse_contract(files.read(contract, "the contract"))
    with closing(Channel.connect(address, clock=files.now)) as channel:
        return channel.inspect(parsed, exceptions)


def _by_daemon(config: Path, *, replace: bool, as_json: bool) -> None:
    from parties.cli.daemon import connected

    with connected(config) as daemon:
        with working("your daemon asks its coordinator for evidence"):
            assessed = _assessment(daemon.attest())
        replaced = daemon.status()["activated"]
        if replace and assessed.passed:
            daemon.replace_instance()
    _show(assessed, as_json=as_json)
    if replace and not as_json:
        tell(f"[green]{PASSED}[/] It takes the place of instance {replaced[:16]}…; your daemon activates it now.")


def _assessment(told: dict[str, Any]) -> "Assessment":
    from mpc.evidence.appraisal import Assessment
    from mpc.evidence.claims import Check
    from parties.client import refusal_of

    checks = tuple(Check(**check) for check in told["checks"])
    return Assessment(checks, None, refusal_of(told["refusal"]) if told["refusal"] else None)


def _show(assessed: "Assessment", *, as_json: bool) -> None:
    if as_json:
        refusal = assessed.refusal.as_data() if assessed.refusal else None
        show_data({"passed": assessed.passed, "checks": check_data(assessed.checks), "refusal": refusal})
        if assessed.refusal is not None:
            raise typer.Exit(assessed.refusal.exit_code)
        return
    show(check_table(assessed.checks))
    if assessed.refusal is not None:
        tell(f"\n[bold red]{FAILED} This is not an enclave that the contract accepts.[/]")
        raise assessed.refusal
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


def _check_address(address: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from mpc.errors import Misconfigured
    from parties.config import Address

    try:
        TypeAdapter(Address).validate_python(address)
    except ValidationError:
        raise Misconfigured(
            "argument.address", "the coordinator's address is not understood", why="it is not a host and a port",
            remedy="write it as enclave.example:7443", field="HOST:PORT", expected="HOST:PORT", found=address[:64],
        ) from None  # fmt: skip


def _unclear(*, replace: bool) -> "Misconfigured":
    from mpc.errors import Misconfigured

    if replace:
        return Misconfigured(
            "argument.replace", "only your daemon replaces an instance",
            why="it is the one that activates, and it judges by your party.toml",
            remedy="write: sealroom attest --replace --config party.toml", field="--replace",
        )  # fmt: skip
    return Misconfigured(
        "argument.coordinator", "it is not clear what is compared with what",
        why="a coordinator and a contract are given together",
        remedy="give HOST:PORT and --contract FILE, or neither, and your daemon asks its own",
    )  # fmt: skip
