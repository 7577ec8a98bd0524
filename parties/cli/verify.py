"""`sealroom verify`: whether a receipt is genuine, and since when; offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Config, Json, SelfMeasured, VisibleMemory
from parties.cli.screen import PASSED, check_data, check_table, plain, show, show_data, tell

if TYPE_CHECKING:
    from mpc.receipts.verification import VerifiedReceipt


def verify(
    receipt: Annotated[Path, typer.Argument(help="The receipt, as it came with a result.")],
    *,
    config: Config = None,
    known: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FINGERPRINT", help="A party's key, confirmed out of band.")
    ] = None,
    accept_self_measured: SelfMeasured = None,
    accept_visible_memory: VisibleMemory = None,
    beneficiary: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom a wrong time would serve; every recipient if left out.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Judge as of this time, not the one shown.")] = None,
    as_json: Json = False,
) -> None:
    """Check every link of a receipt: contract, signatures, evidence, permits, inputs, log. No network is used.

    With --config, your party.toml says whose keys you know and which weak evidence you accept.
    """
    from mpc.evidence.appraisal import Exceptions
    from mpc.receipts.verification import verify_receipt
    from parties.cli.answers import known_parties
    from parties.config import load_config

    settings = load_config(config) if config else None
    trust = settings.trust if settings else None
    keys = {**(known_parties(settings) if settings else {}), **files.pairs(known or [], "--known")}
    verified = verify_receipt(
        files.read(receipt, "the receipt"),
        known=keys or None,
        exceptions=Exceptions(
            frozenset(accept_self_measured or ()) | (trust.accept_self_measured if trust else frozenset()),
            frozenset(accept_visible_memory or ()) | (trust.accept_visible_memory if trust else frozenset()),
        ),
        at=files.time_or_now(at) if at else None,
        beneficiary=beneficiary,
    )
    if as_json:
        show_data(receipt_data(verified))
        return
    show(check_table(verified.checks))
    tell(f"\n[green]{PASSED}[/] [bold]{plain(verified.verdict)}[/]")
    tell(
        f"  {plain(verified.computation.name)}, run {verified.run}, {verified.outcome}; "
        f"contract {verified.contract_digest.hex()[:8]}… ({plain(verified.contract.title)})"
    )
    if verified.time_shown is None and beneficiary is None:
        tell("  Whoever receives the answer vouches for no time. If a wrong one would serve one party only, name it:")
        tell("  --beneficiary NAME; what the others countersigned then counts.")
    for trusted in _trust(verified):
        tell(trusted)


def receipt_data(verified: "VerifiedReceipt") -> dict[str, object]:
    """Return a verified receipt as plain data."""
    from mpc.canonical import format_time

    return {
        "verdict": verified.verdict,
        "time_shown": format_time(verified.time_shown) if verified.time_shown else None,
        "countersigners": list(verified.countersigners),
        "contract": verified.contract_digest.hex(),
        "computation": verified.computation.name,
        "run": verified.run,
        "parameters": dict(verified.parameters),
        "outcome": verified.outcome,
        "release": verified.release.hex(),
        "instance": verified.attested.instance.hex(),
        "checks": check_data(verified.checks),
        "appraisal": check_data(verified.attested.checks),
    }


def _trust(verified: "VerifiedReceipt") -> list[str]:
    from parties.report.view import trust_of

    return [f"  [red]{plain(said.headline)}.[/]" for said in trust_of(verified.contract) if said.severity == "none"]
