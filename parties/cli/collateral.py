"""`sealroom collateral`: what vouches for hardware, fetched where a network is, carried to where none is."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Json
from parties.cli.screen import FAILED, PASSED, check_table, grid, plain, show, show_data, tell

if TYPE_CHECKING:
    from datetime import datetime

    from mpc.errors import Misconfigured
    from mpc.evidence.collateral_bundle import Bundle, Expiry
    from parties.collateral import Services, Wanted
    from parties.config import CollateralSettings

WARN_DAYS = 14
EXPIRES_SOON, EXPIRED = 10, 11

app = typer.Typer(
    no_args_is_help=True, help="Certificates, revocation lists and the like that hardware evidence is verified with."
)

Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the bundle.")]
At = Annotated[str | None, typer.Option(metavar="TIME", help="Judge as of this time; now when left out.")]
Warn = Annotated[int | None, typer.Option("--warn", metavar="DAYS", min=0, help="Warn so many days ahead.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="party.toml, for its section [collateral].")]


@app.command(epilog="Example: sealroom collateral fetch --for quote.bin -o machine.collateral")
def fetch(
    *,
    output: Output,
    evidence: Annotated[
        Path | None, typer.Option("--for", metavar="FILE", help="Evidence of the machine: a quote or a report.")
    ] = None,
    tee: Annotated[str, typer.Option(help="With --fmspc: sgx or tdx.")] = "tdx",
    fmspc: Annotated[str | None, typer.Option(metavar="HEX", help="Intel: the kind of machine.")] = None,
    authority: Annotated[str, typer.Option(help="Intel: who certifies its keys, platform or processor.")] = "platform",
    product: Annotated[str | None, typer.Option(help="AMD, under a VLEK: Milan, Genoa or Turin.")] = None,
    config: Config = None,
    intel: Annotated[str | None, typer.Option(metavar="URL", help="Intel's service, or a caching one.")] = None,
    amd: Annotated[str | None, typer.Option(metavar="URL", help="AMD's service, or a caching one.")] = None,
) -> None:
    """Fetch the collateral of one kind of machine, and pack it: the one command that asks a network."""
    from mpc.evidence.collateral_bundle import pack, parse_bundle
    from parties import collateral

    wanted = _wanted(evidence, tee, fmspc, authority, product)
    services = _services(config, intel, amd)
    with collateral.new_client() as client:
        found = collateral.fetch(wanted, services, client)
    raw = pack(found, at=files.now())
    files.write(output, raw, "the bundle")
    tell(f"[green]{PASSED}[/] {len(parse_bundle(raw).parts)} parts in {plain(str(output))}")


@app.command(epilog="Example: sealroom collateral pack tcb_info.json chain.pem root.crl -o machine.collateral")
def pack(
    given: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Collateral as it was served, or bundles.")],
    *,
    output: Output,
) -> None:
    """Pack files of collateral of one kind of machine into a bundle."""
    from mpc.evidence.collateral_bundle import pack as packed

    raw = packed([(path.name, files.read(path, "the collateral")) for path in given], at=files.now())
    files.write(output, raw, "the bundle")
    tell(f"[green]{PASSED}[/] {plain(str(output))}")


@app.command(name="show", epilog="Example: sealroom collateral show machine.collateral --warn 14")
def show_bundle(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    *,
    at: At = None,
    warn: Warn = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show what a bundle holds and when it ends. Exit code 10 when something ends soon, 11 when something has ended."""
    from mpc.canonical import format_time
    from mpc.evidence.collateral_bundle import expiries

    read, time = _bundle(bundle), files.time_or_now(at)
    ends = expiries(read)
    days = _warn_days(warn, config)
    states = ["ended" if end.is_over(time) else f"ends within {days} days" if end.is_near(time, days) else "in date"
              for end in ends]  # fmt: skip
    if as_json:
        show_data({
            "parts": [{"source": part.source, "sha256": part.sha256} for part in read.parts],
            "expiries": [{"what": end.what, "until": format_time(end.until), "source": end.source, "state": state}
                         for end, state in zip(ends, states, strict=True)],
        })  # fmt: skip
    else:
        rows = [(end.what, format_time(end.until), state) for end, state in zip(ends, states, strict=True)]
        show(grid(None, ("what", "until", "state"), rows))
    raise typer.Exit(_exit_code(states))


@app.command(epilog="Example: sealroom collateral use machine.collateral quote.bin")
def use(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    evidence: Annotated[Path, typer.Argument(help="The evidence, as it came.")],
    *,
    at: At = None,
    warn: Warn = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Verify evidence with a bundle, offline, and tell what of it ends soon.

    The same as `sealroom evidence verify EVIDENCE --endorsements BUNDLE`, which has more options.
    """
    from mpc.evidence.collateral_bundle import expiries
    from mpc.evidence.verdict import examine

    read, time = _bundle(bundle), files.time_or_now(at)
    verdict = examine(
        files.read(evidence, "the evidence"), at=time, endorsements=[files.read(bundle, "the bundle of collateral")]
    )
    _warn(expiries(read), time, _warn_days(warn, config))
    if as_json:
        show_data(verdict.as_data())
        raise typer.Exit(0 if verdict.refusal is None else verdict.refusal.exit_code)
    show(check_table(verdict.checks))
    if verdict.refusal is not None:
        tell(f"\n[bold red]{FAILED} Refused[/] at the stage: {verdict.stage}")
        raise verdict.refusal
    tell(f"\n[green]{PASSED} Accepted[/]: {plain(verdict.format or '')}")


def _bundle(path: Path) -> "Bundle":
    from mpc.evidence.collateral_bundle import parse_bundle

    return parse_bundle(files.read(path, "the bundle of collateral"))


def _exit_code(states: list[str]) -> int:
    if "ended" in states:
        return EXPIRED
    return 0 if all(state == "in date" for state in states) else EXPIRES_SOON


def _warn(ends: "tuple[Expiry, ...]", at: "datetime", days: int) -> None:
    from mpc.canonical import format_time

    for end in ends:
        if end.is_near(at, days):
            tell(f"[yellow]! {plain(end.what)}: until {format_time(end.until)}; fetch it anew[/]")


def _warn_days(given: int | None, config: Path | None) -> int:
    if given is not None:
        return given
    return WARN_DAYS if config is None else _settings(config).warn_days


def _settings(config: Path) -> "CollateralSettings":
    from parties.config import load_config

    return load_config(config).collateral


def _services(config: Path | None, intel: str | None, amd: str | None) -> "Services":
    """Return the addresses: an option before the configuration, and that before the vendors' own."""
    from parties.collateral import AMD, INTEL, INTEL_ROOT_LIST, Services

    settings = None if config is None else _settings(config)
    chosen = intel or (settings and settings.intel) or INTEL
    of_amd = amd or (settings and settings.amd) or AMD
    # A caching service has Intel's root list as well, and may be all that this network reaches.
    return Services(chosen.rstrip("/"), INTEL_ROOT_LIST if chosen == INTEL else None, of_amd.rstrip("/"))


def _wanted(evidence: Path | None, tee: str, fmspc: str | None, authority: str, product: str | None) -> "Wanted":
    from parties.collateral import AmdKey, IntelPlatform, wanted_for

    if [evidence, fmspc, product].count(None) != 2:  # noqa: PLR2004 - two of the three are left out
        raise _misnamed("--for, --fmspc or --product", "exactly one of them")
    if evidence is not None:
        return wanted_for(files.read(evidence, "the evidence"))
    if product is not None:
        if product not in {"Milan", "Genoa", "Turin"}:
            raise _misnamed("--product", "Milan, Genoa or Turin")
        return AmdKey(product)
    if not re.fullmatch(r"[0-9a-fA-F]{12}", fmspc or ""):
        raise _misnamed("--fmspc", "12 hex digits")
    match tee, authority:
        case ("sgx" | "tdx") as chosen, ("platform" | "processor") as issuer:
            return IntelPlatform(chosen, (fmspc or "").lower(), issuer)
    raise _misnamed("--tee and --authority", "sgx or tdx, and platform or processor")


def _misnamed(option: str, expected: str) -> "Misconfigured":
    from mpc.errors import Misconfigured

    return Misconfigured(
        "collateral.machine", "the machine is not named", why="an option is missing, or is not understood",
        remedy="give evidence of the machine with --for, or name its kind", field=option, expected=expected,
        found="something else",
    )  # fmt: skip
