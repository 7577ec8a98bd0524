"""`sealroom evidence`: look into evidence, and judge it, offline, with every check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Json, SelfMeasured, VisibleMemory
from parties.cli.screen import FAILED, PASSED, check_table, grid, plain, show, show_data, tell

if TYPE_CHECKING:
    from mpc.evidence.verdict import Verdict

app = typer.Typer(no_args_is_help=True, help="Look into evidence of an enclave, and judge it offline.")

File = Annotated[Path, typer.Argument(help="The evidence, as it came.")]
Form = Annotated[str | None, typer.Option("--format", metavar="F", help="Its format; recognised when left out.")]
Endorsements = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="A certificate, revocation list or other collateral.")
]


@app.command(name="verify", epilog="Example: sealroom evidence verify quote.bin --reference enclave.json")
def verify_evidence(
    file: File,
    *,
    form: Form = None,
    endorsements: Endorsements = None,
    root: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A certificate that you trust.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Judge as of this time; now when left out.")] = None,
    nonce: Annotated[str | None, typer.Option(metavar="HEX", help="What the evidence's own field has to hold.")] = None,
    bank: Annotated[str | None, typer.Option(metavar="HASH", help="Bank of TPM registers, such as sha256.")] = None,
    certificate_form: Annotated[
        str | None,
        typer.Option("--form", metavar="FORM", help="Form of an RA-TLS certificate: ccc, gramine, …"),
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Reference values to compare with; any one may fit.")
    ] = None,
    accept_self_measured: SelfMeasured = None,
    accept_visible_memory: VisibleMemory = None,
    as_json: Json = False,
) -> None:
    """Parse, verify and appraise evidence, and show every check: expected, found, verdict.

    Without reference values the evidence has to be genuine, current, without debug, and not of a kind that anybody
    could have made. The exit code is that of the refusal.
    """
    from mpc.evidence.appraisal import Exceptions
    from mpc.evidence.claims import Given
    from mpc.evidence.verdict import examine, parse_reference

    verdict = examine(
        files.read(file, "the evidence"),
        at=files.time_or_now(at),
        format=form,
        endorsements=[files.read(path, "the endorsement") for path in endorsements or []],
        roots=[files.read(path, "the root certificate") for path in root or []],
        given=Given(nonce=None if nonce is None else _hex(nonce), bank=bank, form=certificate_form),
        references=[parse_reference(files.read(path, "the reference values")) for path in reference or []],
        exceptions=Exceptions(frozenset(accept_self_measured or ()), frozenset(accept_visible_memory or ())),
    )
    if as_json:
        show_data(verdict.as_data())
        raise typer.Exit(0 if verdict.refusal is None else verdict.refusal.exit_code)
    _show(verdict)


@app.command(name="show", epilog="Example: sealroom evidence show quote.bin")
def show_evidence(file: File, *, form: Form = None, endorsements: Endorsements = None, as_json: Json = False) -> None:
    """Explain the fields of evidence. Nothing is verified: anybody can write such a file."""
    from mpc.evidence.verdict import show as shown

    extra = [files.read(path, "the endorsement") for path in endorsements or []]
    name, fields = shown(files.read(file, "the evidence"), format=form, endorsements=extra)
    if as_json:
        show_data({"format": name, "fields": [vars(field) for field in fields]})
        return
    show(f"[bold]{plain(name)}[/], not verified")
    show(grid(None, ("field", "value", "meaning"), [(field.name, field.value, field.meaning) for field in fields]))


def _show(verdict: "Verdict") -> None:
    if verdict.checks:
        show(check_table(verdict.checks))
    if verdict.refusal is not None:
        tell(f"\n[bold red]{FAILED} Refused[/] at the stage: {verdict.stage}")
        raise verdict.refusal
    tell(f"\n[green]{PASSED} Accepted[/]: {plain(verdict.format or '')}")


def _hex(text: str) -> bytes:
    from mpc.errors import Misconfigured

    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Misconfigured(
            "argument.hex", "the nonce is not understood", why="it is not hexadecimal",
            remedy="write two hex digits for each byte", field="--nonce", expected="hex", found=text[:64],
        ) from None  # fmt: skip
