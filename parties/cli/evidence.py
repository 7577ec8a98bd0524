"""`sealroom evidence`: look into evidence, and judge it, offline, with every check."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files
from parties.cli.options import Json, SelfMeasured, VisibleMemory
from parties.cli.screen import FAILED, PASSED, check_table, grid, plain, show, show_data, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mpc.evidence.reference_values import ReferenceValues
    from mpc.evidence.verdict import Verdict

app = typer.Typer(no_args_is_help=True, help="Look into evidence of an enclave, and judge it offline.")

File = Annotated[Path, typer.Argument(help="The evidence, as it came.")]
Form = Annotated[str | None, typer.Option("--format", metavar="F", help="Its format; recognised when left out.")]
Endorsements = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", help="A certificate, list, chain, log or other collateral beside it; may be repeated."
    ),
]


@app.command(name="verify", epilog="Example: sealroom evidence verify quote.bin --reference enclave.json")
def verify_evidence(
    file: File,
    *,
    form: Form = None,
    endorsements: Endorsements = None,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A certificate or key that you trust.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Judge as of this time, YYYY-MM-DDTHH:MM:SSZ."),
    ] = None,
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
    ear: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict as an EAT Attestation Result, JSON.")
    ] = None,
    ear_key: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign that result: a private key of P-256, P-384, Ed25519 in PEM."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Parse, verify and appraise evidence, and show every check: expected, found, verdict.

    Without reference values the evidence has to be genuine, current, without debug, and not of a kind that anybody
    could have made. The exit code is that of the refusal.
    """
    from mpc.evidence.appraisal import Exceptions
    from mpc.evidence.claims import Given
    from mpc.evidence.verdict import examine, parse_reference

    raw, time = files.read(file, "the evidence"), files.time_or_now(at)
    given = Given(nonce=None if nonce is None else _hex(nonce), bank=bank, form=certificate_form)
    references = [parse_reference(files.read(path, "the reference values")) for path in reference or []]
    verdict = examine(
        raw,
        at=time,
        format=form,
        endorsements=[files.read(path, "the endorsement") for path in endorsements or []],
        roots=[files.read(path, "the root certificate") for path in root or []],
        given=given,
        references=references,
        exceptions=Exceptions(frozenset(accept_self_measured or ()), frozenset(accept_visible_memory or ())),
    )
    if ear is not None or ear_key is not None:
        _write_result(verdict, raw, time, nonce=given.nonce, references=references, to=ear, key=ear_key)
    if as_json:
        show_data(verdict.as_data())
        raise typer.Exit(0 if verdict.refusal is None else verdict.refusal.exit_code)
    _show(verdict)


@app.command(name="show", epilog="Example: sealroom evidence show quote.bin")
def show_evidence(file: File, *, form: Form = None, endorsements: Endorsements = None, as_json: Json = False) -> None:
    """Explain the fields of evidence. Nothing is verified: anybody can write such a file."""
    from mpc.evidence.verdict import show as shown

    extra = [files.read(path, "the endorsement") for path in endorsements or []]
    raw, now = files.read(file, "the evidence"), files.time_or_now(None)
    name, fields = shown(raw, format=form, endorsements=extra, at=now)
    if as_json:
        show_data({"format": name, "fields": [vars(field) for field in fields]})
        return
    show(f"[bold]{plain(name)}[/], not verified")
    show(grid(None, ("field", "value", "meaning"), [(field.name, field.value, field.meaning) for field in fields]))


def _write_result(
    verdict: "Verdict",
    raw: bytes,
    at: "datetime",
    *,
    nonce: bytes | None,
    references: "Sequence[ReferenceValues]",
    to: Path | None,
    key: Path | None,
) -> None:
    from importlib.metadata import version

    from mpc.errors import Misconfigured
    from mpc.evidence.ear import parse_private_key, sign_token
    from mpc.evidence.result import attestation_result

    if to is None:
        raise Misconfigured(
            "argument.ear", "nothing is there to be signed", why="--ear-key is given without --ear",
            remedy="name the file of the result: --ear FILE", field="--ear-key",
        )  # fmt: skip
    build = f"sealroom {version('sealroom')}"
    result = attestation_result(verdict, raw, at=at, build=build, nonce=nonce, references=references)
    if key is not None:
        result = sign_token(result, parse_private_key(files.read(key, "the key that signs results")))
    files.write(to, result, "the attestation result")


def _show(verdict: "Verdict") -> None:
    if verdict.checks:
        show(check_table(verdict.checks))
    if verdict.refusal is not None:
        tell(f"\n[bold red]{FAILED} Refused[/] at the stage: {verdict.stage}")
        raise verdict.refusal
    show("")
    show(grid(None, ("believed", "value"), _believed(verdict)))
    tell(f"\n[green]{PASSED} {plain(_conclusion(verdict))}[/]; --json tells everything that was read")


def _conclusion(verdict: "Verdict") -> str:
    """Return the verdict in words: of what is no evidence, that it was read, or signed, and proves no enclave."""
    if verdict.document is None:
        return f"Accepted: {verdict.format}"
    unsigned = verdict.document.reaches == "parse" or verdict.document.facts.get("signed") is False
    done = "Read, signed by nobody" if unsigned else "Verified"
    return f"{done}: {verdict.document.kind}, which by itself is evidence of no enclave"


def _believed(verdict: "Verdict") -> list[tuple[str, str]]:
    """Return what a person wants to know of evidence that holds, or what a file says that is no evidence."""
    from mpc.canonical import format_time
    from mpc.evidence.claims import plain_facts

    if verdict.document is not None:
        facts = plain_facts(verdict.document.facts)
        return [("kind", verdict.document.kind), *((name, _line(value)) for name, value in facts.items())]
    claims = verdict.claims
    if claims is None:
        return []
    status, endorsed = (claims.facts.get(name) for name in ("tcb_status", "ak_endorsed"))
    return [
        ("format", claims.format),
        *((name, value.hex()) for name, value in claims.measurements.items() if any(value)),
        ("asked to carry", claims.bound.hex() or "nothing"),
        ("measured by", claims.measured_by),
        ("memory", "hidden from its host" if claims.memory_protected else "visible to its host"),
        *([] if status is None else [("firmware", str(status))]),
        *(
            []
            if endorsed is None
            else [("its key", "certified" if endorsed in {"yes", True} else "certified by nobody")]
        ),
        ("holds until", format_time(claims.valid_until) if claims.valid_until else "nothing in it expires"),
    ]


def _line(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _hex(text: str) -> bytes:
    from mpc.errors import Misconfigured

    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Misconfigured(
            "argument.hex", "the nonce is not understood", why="it is not hexadecimal",
            remedy="write two hex digits for each byte", field="--nonce", expected="hex", found=text[:64],
        ) from None  # fmt: skip
