r"""Simulated evidence: ANYBODY CAN FORGE IT. For trying things out on machines without any hardware.

It is signed by a test key whose secret is published in this very file, so it proves nothing about who made it: not
the code, not the debug flag, nothing. A contract has to list it with ``measured_by = "self"`` and
``memory_protected = false``, and a party has to name it in both of its own exceptions, or it is refused.

Format: deterministic CBOR of ``["sealroom simulated evidence", 1, body, signature]``; ``body`` is the deterministic
CBOR of ``[code_digest (32 bytes), debug (bool), report_data (64 bytes)]``; ``signature`` is the Ed25519 signature
(64 bytes) over ``"sealroom simulated evidence\0" + body``. Every byte is covered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc.canonical import canonical_cbor, labelled_cbor, parse_cbor, parse_labelled_cbor, sha256
from mpc.errors import Malformed
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Claims, Shown, SimulatedReference

FORMAT = "simulated"
LABEL = "sealroom simulated evidence"
VERSION = 1
MAX_BYTES = 1024
CODE_DIGEST_BYTES = 32
REPORT_DATA_BYTES = 64
SIGNATURE_BYTES = 64

# Published on purpose: whoever reads this line can sign any "evidence" that this format accepts.
_PUBLISHED_TEST_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"anybody can forge simulated evidence"))


@dataclass(frozen=True)
class SimulatedEvidence:
    """What simulated evidence says; ``body`` are the bytes under the signature."""

    code_digest: bytes
    debug: bool
    report_data: bytes
    body: bytes
    signature: bytes


def parse(raw: bytes) -> SimulatedEvidence:
    """Return the evidence that ``raw`` spells, or raise ``Malformed``."""
    match parse_labelled_cbor(raw, LABEL, VERSION, what="the simulated evidence", max_bytes=MAX_BYTES):
        case [bytes(body), bytes(signature)] if len(signature) == SIGNATURE_BYTES:
            pass
        case _:
            raise _malformed("it does not consist of body and signature")
    match parse_cbor(body, what="the body of the simulated evidence", max_bytes=MAX_BYTES):
        case [bytes(code), bool(debug), bytes(data)] if (
            len(code) == CODE_DIGEST_BYTES and len(data) == REPORT_DATA_BYTES
        ):
            return SimulatedEvidence(code, debug, data, body, signature)
    raise _malformed("its body is not a list of code digest, debug flag and report data")


def verify(
    evidence: SimulatedEvidence, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime
) -> Claims:
    """Return the claims when the published test key signed them; neither endorsements nor roots exist for it."""
    del endorsements, roots
    checks = Checks("the simulated evidence is not believed")
    checks.require(
        "signature", expected="a signature of the published test key", passed=_is_signed(evidence),
        found="a signature of the published test key" if _is_signed(evidence) else "another signature",
        why="signature does not verify", remedy="ask the enclave for fresh evidence",
    )  # fmt: skip
    return Claims(
        format=FORMAT,
        bound=evidence.report_data,
        measurements={"code": evidence.code_digest},
        measured_by="self",
        memory_protected=False,
        debug=evidence.debug,
        verified_at=at,
        facts={"forgeable_by": "anybody"},
        checks=checks.made,
    )


def compare(claims: Claims, reference: SimulatedReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how they compare with what the contract wants."""
    found = claims.measurements["code"].hex()
    return claims, (
        Check(
            "code", reference.code_digest, found, reference.code_digest == found,
            why="it runs other code than the contract accepts",
            remedy="start the version that the contract names, or agree on a contract that names this one",
        ),
    )  # fmt: skip


def describe(evidence: SimulatedEvidence) -> tuple[Shown, ...]:
    """Return every field for a person to read; nothing of it is believed."""
    return (
        Shown("code digest", evidence.code_digest.hex(), "SHA-256 that the enclave says of its own code"),
        Shown("debug", "on" if evidence.debug else "off", "whether the host could change the enclave"),
        Shown("report data", evidence.report_data.hex(), "64 bytes: SHA-512 of the transcript"),
        Shown("signature", evidence.signature.hex(), "Ed25519, by a published key: anybody can make it"),
    )


def forge(code_digest: bytes, *, debug: bool, report_data: bytes) -> bytes:
    """Return simulated evidence of whatever is asked: this is all that "attesting" means here."""
    body = canonical_cbor([code_digest, debug, report_data])
    return labelled_cbor(LABEL, VERSION, body, _PUBLISHED_TEST_KEY.sign(_signed_bytes(body)))


def _is_signed(evidence: SimulatedEvidence) -> bool:
    try:
        _PUBLISHED_TEST_KEY.public_key().verify(evidence.signature, _signed_bytes(evidence.body))
    except InvalidSignature:
        return False
    return True


def _signed_bytes(body: bytes) -> bytes:
    return LABEL.encode() + b"\0" + body


def _malformed(why: str) -> Malformed:
    return Malformed(
        "evidence.malformed",
        "the simulated evidence is malformed",
        why=why,
        remedy="let both sides run the same version",
    )
