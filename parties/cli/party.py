"""`sealroom party`: the daemon beside the data, and a look at the data before anything leaves."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parties.cli import files
from parties.cli.options import HERE, Json, PartyFile
from parties.cli.screen import FAILED, PASSED, grid, plain, show, show_data, tell, working

if TYPE_CHECKING:
    from parties.config import Config

app = typer.Typer(no_args_is_help=True, help="Run this party's daemon, and check its data.")


@app.callback()
def _party() -> None:
    """Run this party's daemon, and check its data."""


@app.command(epilog="Example: sealroom party serve --config party.toml")
def serve(config: PartyFile = HERE) -> None:
    """Run the daemon: it appraises, uploads, permits and fetches, as far as your settings allow it alone."""
    from parties.config import load_config
    from parties.service import serve as run

    settings = load_config(config)

    def ready(_: object) -> None:
        tell(f"[green]{PASSED}[/] {plain(settings.party.label)} serves; coordinator {settings.coordinator.address}")
        tell(f"  Ctrl-C ends it, nothing signed is lost. Look: sealroom status -c {plain(str(config))}")

    # uvicorn takes the signal, ends, and raises it again: dying of it then would leave ledger and socket as they are.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run(settings, ready=ready)


@app.command(epilog="Example: sealroom party check --config party.toml --contract contract.json")
def check(
    config: PartyFile = HERE,
    contract: Annotated[
        Path | None, typer.Option(help="The contract to hold the data against; the daemon's own if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read your own rows as they would be uploaded and hold them against the contract. Nothing leaves.

    This is the one command that shows values of your data, to you.
    """
    from parties.config import load_config

    settings = load_config(config)
    profiles = _local(settings, contract) if contract is not None else _by_daemon(config)
    if as_json:
        show_data(profiles)
    else:
        for found in profiles:
            _show(found)
        if not profiles:
            tell(f"{plain(settings.party.label)} owns no dataset of this contract: there are no rows to check.")
    if not all(found["passed"] for found in profiles):
        from mpc.errors import Forbidden

        raise Forbidden(
            "party.check", "the rows would be refused", why="some break a rule of the contract",
            remedy="correct the rows, or how party.toml maps them",
        )  # fmt: skip


@app.command(epilog="Example: sealroom party refresh patients --config party.toml")
def refresh(
    dataset: Annotated[str, typer.Argument(help="The dataset whose rows have changed.")],
    config: PartyFile = HERE,
) -> None:
    """Send the rows of a dataset anew, where the contract lets them be refreshed; later runs read the new ones."""
    from parties.cli.daemon import connected

    with connected(config) as daemon:
        daemon.refresh(dataset)
    tell(f"[green]{PASSED}[/] your daemon sends the rows of {plain(dataset)} anew: [bold]sealroom status[/]")


@app.command(epilog="Example: sealroom party retry --config party.toml")
def retry(config: PartyFile = HERE) -> None:
    """Let the daemon try again what was refused, because you corrected what it named."""
    from parties.cli.daemon import connected

    with connected(config) as daemon:
        daemon.retry()
    tell(f"[green]{PASSED}[/] your daemon tries again: [bold]sealroom status[/]")


def _local(settings: "Config", contract: Path) -> list[dict[str, Any]]:
    from mpc.contract.document import parse_contract
    from parties.profile import profile

    parsed = parse_contract(files.read(contract, "the contract"))
    found = []
    for dataset in parsed.datasets:
        if settings.party.name in dataset.owners:
            with working(f"reading the rows of {dataset.name}"):
                found.append(profile(dataset, _source(settings, dataset.name)).as_data())
    return found


def _source(settings: "Config", dataset: str) -> Any:  # noqa: ANN401 - DatasetSettings, imported late
    from mpc.errors import Misconfigured

    if dataset not in settings.datasets:
        raise Misconfigured(
            "config.dataset", f"party.toml does not say where the rows of {dataset} are",
            why="you own rows of it under this contract", remedy=f"write [datasets.{dataset}] with its source",
            field=f"datasets.{dataset}",
        )  # fmt: skip
    return settings.datasets[dataset]


def _by_daemon(config: Path) -> list[dict[str, Any]]:
    from mpc.contract.document import parse_contract
    from parties.cli.daemon import connected, current_contract

    with connected(config) as daemon, working("reading your rows"):
        parsed = parse_contract(daemon.contract(current_contract(daemon)))
        own = daemon.status()["party"]
        return [daemon.check(dataset.name) for dataset in parsed.datasets if own in dataset.owners]


def _show(found: dict[str, Any]) -> None:
    mark = f"[green]{PASSED} would be accepted[/]" if found["passed"] else f"[bold red]{FAILED} would be refused[/]"
    show(f"\n[bold]{plain(found['dataset'])}[/]: {found['rows']} rows, {mark}")
    rows = [
        (
            column["name"], column["type"], column["source"], str(column["nulls"]), column["minimum"] or "",
            column["maximum"] or "", f"{FAILED} {len(column['problems'])}" if column["problems"] else PASSED,
        )
        for column in found["columns"]
    ]  # fmt: skip
    show(grid(None, ("column", "type", "from", "missing", "least", "greatest", ""), rows))
    for column in found["columns"]:
        for problem in column["problems"]:
            shown = ", ".join(repr(value) for value in problem["examples"])
            show(f"[red]{FAILED} {plain(column['name'])}[/]: {problem['rows']} rows: {plain(problem['meaning'])}")
            show(f"    for instance {plain(shown)}")
    for key in found["repeated"]:
        show(f"[red]{FAILED} {plain(key)}[/]: occurs more than once, and may not")
