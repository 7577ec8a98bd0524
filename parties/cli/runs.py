"""`sealroom status`, `run`, `permit`, `results`, `withdraw`: what a party does while a contract lives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from parties.cli import files
from parties.cli.daemon import connected, current_contract
from parties.cli.options import HERE, Json, PartyFile
from parties.cli.screen import PASSED, grid, plain, show, show_data, tell, typed, working
from parties.cli.standing import show_overview

if TYPE_CHECKING:
    from parties.client import Client

Format = Literal["table", "json", "csv", "arrow"]

WAIT_SECONDS = 20
TYPED_DIGITS = 8


def status(
    config: PartyFile = HERE,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens next, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how things stand: what is awaited from whom, what awaits you, runs, uploads, and any trouble."""
    with connected(config) as daemon:
        overview = daemon.status()
        if as_json:
            show_data(overview)
        else:
            show_overview(overview)
        if follow:
            last = max((event["number"] for event in daemon.events()), default=0)
            for event in daemon.follow(last):
                told = ", ".join(f"{name} {value}" for name, value in event["data"].items())
                show(f"{event['time'][:19]}Z  {plain(event['kind'])}  {plain(told)}")


def run(
    computation: Annotated[str, typer.Argument(help="The computation's name in the contract.")],
    *,
    config: PartyFile = HERE,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter's value.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and show it.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for one run of an agreed computation; the owners of its rows have to permit it."""
    with connected(config) as daemon:
        number = daemon.run(computation, files.pairs(parameter or [], "--parameter"))
        if not as_json:
            tell(f"[green]{PASSED}[/] asked for: run {number} of {plain(computation)}")
        if wait:
            with working(f"waiting for the owners and for run {number}"):
                _await_result(daemon, number)
            _show_result(daemon, config, number, "json" if as_json else "table")
        elif as_json:
            show_data({"run": number})


def permit(
    number: Annotated[int, typer.Argument(metavar="RUN", help="The run's number; `sealroom status` shows it.")],
    config: PartyFile = HERE,
) -> None:
    """Permit one run, as an owner of its rows. The daemon signs when the enclave's log agrees with its own copy."""
    with connected(config) as daemon:
        daemon.permit(number)
    tell(f"[green]{PASSED}[/] permitted: run {number}")


def results(
    number: Annotated[int | None, typer.Argument(metavar="RUN", help="The run to show; a list if left out.")] = None,
    *,
    config: PartyFile = HERE,
    form: Annotated[Format, typer.Option("--format", help="How to print the result.")] = "table",
    out: Annotated[
        Path | None, typer.Option(help="Write page, data and receipts of the run, or of all, into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the results that came, show one, or write a folder with an HTML report. Receipts are verified first."""
    with connected(config) as daemon:
        held = daemon.results()
        if out is not None:
            _write(daemon, config, [number] if number is not None else [each["run"] for each in held], out)
        elif number is not None:
            _show_result(daemon, config, number, "json" if as_json else form)
        elif as_json:
            show_data(held)
        elif not held:
            show("No result has come yet. What is awaited, and from whom: sealroom status")
        else:
            rows = [
                (
                    str(each["run"]), each["computation"], f"{each['time'][:19]}Z",
                    f"{each['shown'][:19]}Z" if each["shown"] else "nobody yet",
                )
                for each in held
            ]  # fmt: skip
            show(grid(None, ("run", "computation", "came", "vouched for by others"), rows))


def withdraw(
    reason: Annotated[str, typer.Option(help="Why; it is signed, and stands in the coordinator's folder.")],
    config: PartyFile = HERE,
    *,
    yes_digest: Annotated[str | None, typer.Option(help="The digest's first eight characters, for scripts.")] = None,
) -> None:
    """Leave the contract: no further run is permitted, and keys are dropped. Results cannot be called back."""
    with connected(config) as daemon:
        digest = current_contract(daemon)
        if yes_digest is None:
            tell("No run will be permitted any more, and your keys of this contract are destroyed.")
            tell("Results that were released stay with their recipients.")
            tell(f"Digest  [bold]{digest[:TYPED_DIGITS]}[/]{digest[TYPED_DIGITS:]}")
            yes_digest = typed(
                f"Type its first {TYPED_DIGITS} characters to withdraw", what="nothing is withdrawn",
                instead="--yes-digest",
            )  # fmt: skip
        daemon.withdraw(reason, yes_digest.strip().lower())
    tell(f"[green]{PASSED}[/] withdrawn")


def _await_result(daemon: "Client", number: int) -> None:
    last = 0
    while not any(each["run"] == number for each in daemon.results()):
        events = daemon.events(last, wait_seconds=WAIT_SECONDS)
        last = max((event["number"] for event in events), default=last)


def _show_result(daemon: "Client", config: Path, number: int, form: Format) -> None:
    import sys

    from parties.cli.answers import answer
    from parties.config import load_config
    from parties.report.data import arrow_file, csv_table, json_report
    from parties.report.terminal import terminal

    report, _ = answer(daemon, load_config(config), number)
    if form == "table":
        show(terminal(report))
    elif form == "json":
        sys.stdout.write(json_report(report))
    else:
        table = _only_table(report.tables)
        if form == "csv":
            sys.stdout.write(csv_table(table))
        else:
            sys.stdout.buffer.write(arrow_file(table))


def _only_table(tables: tuple[Any, ...]) -> Any:  # noqa: ANN401 - ReportTable, imported late
    from mpc.errors import Forbidden

    if len(tables) != 1:
        raise Forbidden(
            "results.tables", "the result has several tables", why="one stream holds one table",
            remedy="write them to files: sealroom results RUN --out DIR",
        )  # fmt: skip
    return tables[0]


def _write(daemon: "Client", config: Path, runs: list[int], out: Path) -> None:
    from mpc.errors import OutOfOrder
    from parties.cli.answers import answer
    from parties.config import load_config
    from parties.report.folder import write_folder

    if not runs:
        raise OutOfOrder(
            "results.none", "there is nothing to write", why="no result has come yet",
            remedy="see what is awaited: sealroom status",
        )  # fmt: skip
    settings = load_config(config)
    with working("verifying receipts and drawing the report"):
        answers = [answer(daemon, settings, run) for run in runs]
        written = write_folder(out, answers)
    for path in written:
        tell(f"[green]{PASSED}[/] {plain(str(path))}")
