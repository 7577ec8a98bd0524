"""The evidence in a coordinator's own TLS certificate, written and read: for other verifiers, and for looking at.

It is not fresh: whoever reads it sent no nonce. No party relies on it; each asks for fresh evidence on the channel.

Evidence of SGX and TDX stands in the interoperable form. All other evidence stands in a Conceptual Message Wrapper,
whose record holds deterministic CBOR::

    [ "sealroom certificate evidence", 1, format, evidence, [endorsement, …], transcript ]

The transcript is that of the purpose ``boot`` with ``NOT_FRESH`` in place of a nonce, so that it passes for no answer.
"""

from dataclasses import fields
from typing import Self

from cryptography import x509

from mpc.canonical import labelled_cbor, parse_labelled_cbor, sha256
from mpc.errors import Malformed
from mpc.evidence.binding import VERSION, Transcript
from mpc.evidence.claims import Attestation
from mpc.evidence.ratls.interoperable import (
    EXTENSION_MAX_BYTES,
    claims_for_digest,
    read_wrapped,
    report_data_for,
    wrapped_extension,
)

LABEL = "sealroom certificate evidence"
MEDIA_TYPE = "application/vnd.sealroom.certificate-evidence+cbor"
NOT_FRESH = sha256(b"sealroom certificate evidence is not fresh")


class InteroperableTranscript(Transcript):
    """The transcript of a certificate in the interoperable form: its report data carries claims of the TLS key only.

    So it names no purpose, nonce or receipt key, and passes for the answer to no party.
    """

    @classmethod
    def of(cls, transcript: Transcript) -> Self:
        """Return the like of ``transcript`` for its TLS key."""
        return cls(*(getattr(transcript, field.name) for field in fields(Transcript)))

    @property
    def claims(self) -> bytes:
        """What stands beside the quote, in CBOR."""
        return claims_for_digest(self.spki)

    def report_data(self) -> bytes:
        """Return the 64 bytes that carry ``claims``."""
        return report_data_for(self.claims)


def certificate_transcript(spki: bytes, receipt_key: bytes) -> Transcript:
    """Return what the evidence in a certificate binds; ``spki`` is the DER SubjectPublicKeyInfo."""
    return Transcript(VERSION, "boot", NOT_FRESH, None, sha256(spki), None, receipt_key)


def attestation_extension(attestation: Attestation) -> x509.UnrecognizedExtension:
    """Return the extension that carries an attestation of ``certificate_transcript``, in a wrapper."""
    record = labelled_cbor(
        LABEL, 1, attestation.format, attestation.evidence, list(attestation.endorsements), attestation.transcript
    )
    return wrapped_extension(MEDIA_TYPE, record)


def read_attestation_extension(value: bytes) -> Attestation:
    """Return the attestation that such an extension holds, or raise ``Malformed``; nothing of it is believed."""
    media_type, record = read_wrapped(value)
    if media_type != MEDIA_TYPE:
        raise _malformed("no evidence in the certificate: the wrapper holds another thing", MEDIA_TYPE, media_type[:64])
    values = parse_labelled_cbor(record, LABEL, 1, what="the certificate's evidence", max_bytes=EXTENSION_MAX_BYTES)
    match values:
        case [str() as name, bytes() as evidence, list() as endorsements, bytes() as transcript] if all(
            isinstance(endorsement, bytes) for endorsement in endorsements
        ):
            return Attestation(name, evidence, tuple(endorsements), transcript)
        case _:
            raise _malformed("malformed message wrapper", "format, evidence, endorsements, transcript", "other values")


def _malformed(why: str, expected: str, found: str) -> Malformed:
    return Malformed(
        "evidence.ra_tls", "the RA-TLS certificate is malformed", why=why,
        remedy="give the certificate as the enclave presented it", field="wrapper", expected=expected, found=found,
    )  # fmt: skip
