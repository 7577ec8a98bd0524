"""What `sealroom status` shows: how far this party is, what is awaited from whom, and what stands in the way."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from parties.cli.screen import grid, plain, print_refusal, show, tell

MIB = 1 << 20

Overview = dict[str, Any]
"""What the daemon tells: ``parties.overview``."""


def show_overview(overview: Overview) -> None:
    """Print the daemon's state: first what it means, last what was refused."""
    show(*_parts(overview))
    _show_troubles(overview)


def _parts(overview: Overview) -> Iterator[RenderableType]:
    for part in (_head, _awaits_you, _awaited, _runs, _sending, _uploads, _results):
        yield from part(overview)


def _head(overview: Overview) -> Iterator[RenderableType]:
    contract = overview["contract"]
    yield f"[bold]{plain(overview['label'])}[/]   {plain(overview['stage'])}   coordinator {overview['coordinator']}"
    yield f"[dim]{plain(overview['meaning'])}[/]"
    if contract is not None:
        signed = f"signed {contract['signed'][:19]}Z" if contract["signed"] else "[yellow]not signed by you[/]"
        yield f"{plain(contract['title'])}   {contract['digest'][:8]}…   {signed}   until {contract['valid_until']}"
    if (log := overview["log"]) is not None:
        yield f"[dim]log as you last saw it signed: {log['size']} entries, root {log['root'][:16]}…[/]"
    if overview["ended"] is not None and overview["stage"] == "ended":
        how = f"The contract is over: {overview['ended']['sentence']}; the log that the enclave signed says so"
        yield f"[bold yellow]{plain(how)}[/]"


def _awaits_you(overview: Overview) -> Iterator[RenderableType]:
    if overview["awaits_you"]:
        yield "\n[bold yellow]Awaits you[/]"
    for waiting in overview["awaits_you"]:
        yield f"  • {plain(waiting['what'])} {plain(str(waiting.get('subject', '')))}"
        if "remedy" in waiting:
            yield f"    {plain(waiting['remedy'])}"


def _awaited(overview: Overview) -> Iterator[RenderableType]:
    rows = [(each["party"], each["what"], each["subject"]) for each in overview["awaited"]]
    yield from _table("Awaited", ("from", "what", "of"), rows)


def _runs(overview: Overview) -> Iterator[RenderableType]:
    rows = [
        (str(each["number"]), each["computation"], each["requester"], _state(each), ", ".join(each["missing"]))
        for each in overview["runs"]
    ]
    yield from _table("Runs", ("run", "computation", "asked by", "state", "permits missing"), rows)


def _state(run: dict[str, Any]) -> str:
    return f"{run['state']} ({run['code']})" if run["code"] else str(run["state"])


def _sending(overview: Overview) -> Iterator[RenderableType]:
    rows = [
        (
            each["dataset"],
            f"{each['bytes_sealed'] / MIB:.1f} MiB",
            f"{each['chunks_durable']} of {each['chunks_sealed']}",
        )
        for each in overview["sending"]
        if not each["loaded"]
    ]  # fmt: skip
    yield from _table("Your rows on their way", ("dataset", "sealed", "chunks that arrived"), rows)


def _uploads(overview: Overview) -> Iterator[RenderableType]:
    rows = [(each["dataset"], each["owner"], each["state"]) for each in overview["uploads"]]
    yield from _table("Uploads", ("dataset", "owner", "state"), rows)


def _results(overview: Overview) -> Iterator[RenderableType]:
    if overview["results"]:
        yield f"\nResults are here of run {', '.join(map(str, overview['results']))}: sealroom results RUN"


def _table(title: str, columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
    if rows:
        yield Text(f"\n{title}", "bold")
        yield grid(None, columns, rows)


def _show_troubles(overview: Overview) -> None:
    from parties.client import refusal_of

    refusals = [waiting["refusal"] for waiting in overview["awaits_you"] if "refusal" in waiting]
    trouble = overview["trouble"]
    for data in [*refusals, *([trouble] if trouble and trouble not in refusals else [])]:
        print_refusal(refusal_of(data), as_json=False)
    if refusals:
        tell("Your daemon goes on with it when you say that it is corrected: sealroom party retry")
