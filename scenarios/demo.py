"""`sealroom demo`: two hospitals and a university get one joint answer, as real processes on this machine."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

DEFAULT_OUT = Path("demo-out")


@app.command(epilog="Example: sealroom demo --out demo-out")
def demo(
    out: Annotated[Path, typer.Option(help="Where the reports go.")] = DEFAULT_OUT,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the processes' folders and logs.")] = False,
) -> None:
    """Play the whole story: two hospitals and a university, real processes, real patients, one joint answer.

    Keys, contract, evidence, sealed uploads, permits, runs, results and receipts; then what must fail, failing. Every
    promise is checked: the exit code is not 0 when one is broken. All processes end with the demo.
    """
    from rich.console import Console

    from scenarios.narration import Narrator, promise

    narrator = Narrator(Console(highlight=False, width=None if sys.stdout.isatty() else 110))
    from scenarios.stage import stage
    from scenarios.story import play  # the heavy part: the clock runs already

    with _folder(keep=keep) as folder, stage(folder) as scene:
        play(narrator, scene, out)
    promise(scene.is_empty, "every process has ended")
    if keep:
        narrator.note(f"Folders and logs are kept in {folder}")


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sealroom-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
