"""``sealroom tpm``: a party's certificate authority for attestation keys, and the enrolment of a machine with it."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from mpc import measurement
from mpc.attesters import Settings, tpm
from mpc.errors import Misconfigured
from mpc.evidence.certificate import certificates_of, fingerprint, parse_certificate
from mpc.evidence.enrolment import (
    Authority,
    challenge,
    issue,
    parse_challenge,
    parse_pending,
    parse_request,
)

tpm_app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Enrol a machine's TPM with a party, so that its quotes are believed.",
)
ca_app = typer.Typer(no_args_is_help=True, help="A party's own authority, which vouches for attestation keys.")
tpm_app.add_typer(ca_app, name="ca")

Tcti = Annotated[str, typer.Option(help="How the TPM is reached, as tpm2-tss spells it.")]
Roots = Annotated[
    list[Path], typer.Option("--root", help="Root certificate of a TPM maker that you trust; repeatable.")
]
Bridges = Annotated[
    list[Path] | None,
    typer.Option("--endorsement", help="Certificate between the TPM's and the root; no anchor; repeatable."),
]
EndorsementCertificate = Annotated[
    Path | None, typer.Option("--ek-certificate", help="The TPM's own certificate, where the TPM holds none.")
]
Prefix = Annotated[Path, typer.Option("--ca", help="The authority: PREFIX.key and PREFIX.pem.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write the result.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate is valid.")]

DEFAULT_TCTI = Settings().tcti


@ca_app.command(epilog="Example: sealroom tpm ca new 'Hospital A, attestation keys' -o hospital_a_ca")
def new(
    name: Annotated[str, typer.Argument(help="What people will read as the issuer of the certificates.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PREFIX of the two files, .key and .pem.")],
) -> None:
    """Make an authority: PREFIX.key is secret and stays with the party, PREFIX.pem goes into the contract."""
    authority = Authority.create(name, at=_now())
    _write(output.with_suffix(".key"), authority.key_pem(), secret=True)
    _write(output.with_suffix(".pem"), _pem(authority.certificate))
    typer.echo(f"{output.with_suffix('.pem')}  SHA-256 {fingerprint(parse_certificate(authority.certificate))}")


@tpm_app.command(epilog="Example: sealroom tpm enrol --ca hospital_a_ca --root maker_root.pem -o attestation_key.pem")
def enrol(
    *,
    ca: Prefix,
    root: Roots,
    output: Output,
    endorsement: Bridges = None,
    ek_certificate: EndorsementCertificate = None,
    tcti: Tcti = DEFAULT_TCTI,
    days: Days = 365,
) -> None:
    """Enrol this machine's TPM in one step, where the party's authority is at hand.

    Where it is not - and who runs the machine should not hold it - use the four steps: request (machine), challenge
    (party), activate (machine), issue (party).
    """
    asked, pending = challenge(
        tpm.enrolment_request(tcti, _given(ek_certificate)),
        roots=_certificates(root), endorsements=_certificates(endorsement or ()), at=_now(), random=os.urandom,
    )  # fmt: skip
    certificate = issue(pending, tpm.answer(tcti, asked), _authority(ca), at=_now(), lifetime=timedelta(days=days))
    for check in pending.checks:
        typer.echo(f"ok  {check.name}: {check.found}")
    _write(output, _pem(certificate))


@tpm_app.command(epilog="Example: sealroom tpm request -o machine.request")
def request(output: Output, ek_certificate: EndorsementCertificate = None, tcti: Tcti = DEFAULT_TCTI) -> None:
    """On the machine, first: write its endorsement certificate and its attestation key, for the party."""
    _write(output, tpm.enrolment_request(tcti, _given(ek_certificate)).to_bytes())


@tpm_app.command(epilog="Example: sealroom tpm measure --tcti device:/dev/tpmrm0")
def measure(
    *,
    code_pcr: Annotated[int, typer.Option(help="The register for the code: 8, or 10 to 15.")] = Settings().code_pcr,
    tcti: Tcti = DEFAULT_TCTI,
) -> None:
    """In a measured image, before the coordinator starts: extend the digest of its code, once a boot."""
    digest = measurement.measure().code_digest
    tpm.extend_once(tcti, code_pcr, digest)
    typer.echo(f"PCR {code_pcr} holds the code {digest.hex()}")


@tpm_app.command(
    "challenge",
    epilog="Example: sealroom tpm challenge machine.request --root maker_root.pem -o machine.challenge",
)
def challenge_machine(
    wanted: Annotated[Path, typer.Argument(metavar="REQUEST", help="What the machine wrote.")],
    root: Roots,
    output: Output,
    endorsement: Bridges = None,
) -> None:
    """At the party, second: check the machine's certificates, write a challenge, and what to keep beside it."""
    asked, pending = challenge(
        parse_request(_read(wanted)),
        roots=_certificates(root), endorsements=_certificates(endorsement or ()), at=_now(), random=os.urandom,
    )  # fmt: skip
    for check in pending.checks:
        typer.echo(f"ok  {check.name}: {check.found}")
    _write(output, asked.to_bytes())
    _write(output.with_name(f"{output.name}.pending"), pending.to_bytes(), secret=True)


@tpm_app.command(epilog="Example: sealroom tpm activate machine.challenge -o machine.answer")
def activate(
    asked: Annotated[Path, typer.Argument(metavar="CHALLENGE", help="What the party wrote.")],
    output: Output,
    tcti: Tcti = DEFAULT_TCTI,
) -> None:
    """On the machine, third: answer the challenge, which only the TPM with both keys can."""
    _write(output, tpm.answer(tcti, parse_challenge(_read(asked))), secret=True)


@tpm_app.command(
    "issue",
    epilog="Example: sealroom tpm issue machine.challenge.pending machine.answer --ca hospital_a_ca -o key.pem",
)
def issue_certificate(
    pending: Annotated[Path, typer.Argument(help="What `challenge` kept.")],
    answer: Annotated[Path, typer.Argument(help="What the machine answered.")],
    ca: Prefix,
    output: Output,
    days: Days = 365,
) -> None:
    """At the party, last: compare the answer and write the attestation key's certificate, for the machine."""
    kept, lifetime = parse_pending(_read(pending)), timedelta(days=days)
    _write(output, _pem(issue(kept, _read(answer), _authority(ca), at=_now(), lifetime=lifetime)))


def _now() -> datetime:
    return datetime.now(UTC)


def _authority(prefix: Path) -> Authority:
    (certificate, *_) = certificates_of(_read(prefix.with_suffix(".pem")))
    return Authority.load(_read(prefix.with_suffix(".key")), certificate)


def _given(certificate: Path | None) -> tuple[bytes, ...]:
    return certificates_of(_read(certificate)) if certificate else ()


def _certificates(files: Sequence[Path]) -> tuple[bytes, ...]:
    return tuple(certificate for file in files for certificate in certificates_of(_read(file)))


def _pem(certificate: bytes) -> bytes:
    return load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as failure:
        raise Misconfigured(
            "file.unreadable", f"{file} cannot be read", why=failure.strerror or "it cannot be opened",
            remedy="give the path of the file", field="file", expected="a readable file", found=str(file),
        ) from None  # fmt: skip


def _write(file: Path, data: bytes, *, secret: bool = False) -> None:
    """Write a new file; a secret one is never replaced, since that would lose it."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if secret else os.O_TRUNC)
    try:
        with os.fdopen(os.open(file, flags, 0o600 if secret else 0o644), "wb") as stream:
            stream.write(data)
    except OSError as failure:
        raise Misconfigured(
            "file.unwritable", f"{file} cannot be written", why=failure.strerror or "it cannot be opened",
            remedy="choose a path that is free", field="file", expected="a path that is free", found=str(file),
        ) from None  # fmt: skip
