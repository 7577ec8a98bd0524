"""The receipt: one signed statement from which anybody can check, offline, how a release came about.

A receipt is an in-toto Statement (v1) in a DSSE envelope, signed by the instance's receipt key. Its subject is the
opened result: the SHA-256 of a random salt (32 bytes) followed by the release's bytes, both of which travel only
inside the sealed result. Its predicate holds, as exact bytes, all that the claim rests on:

    envelope ─ signed by ─ receipt key ─ bound in ─ transcript ─ bound in ─ evidence ─ wanted by ─ contract
    contract ─ signed by ─ every party ─ who activated the instance
    run leaf ─ pins ─ uploads ─ committed by their owners;  permitted by ─ every owner, at a log that holds the leaf
    release leaf ─ included in ─ checkpoint ─ signed by ─ the instance, countersigned by ─ parties, at their time

It carries no row count, size or value of the data. A receipt is judged at the earliest time that a party other than
the beneficiary countersigned; without one it is genuine, but shows no time.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from mpc.canonical import Base64, Hex32, Term, Text, canonical_json, parse_json, sha256
from mpc.contract.consent import Agreement
from mpc.contract.statements import Checkpoint, Permit
from mpc.contract.terms import Contract
from mpc.errors import Refusal, Untrusted
from mpc.evidence.claims import Attestation
from mpc.receipts.leaves import ReleaseLeaf, parse_leaf
from mpc.receipts.log import Log
from mpc.signing import Purpose, Signature, SigningKey, VerifyingKey, read_unverified

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:sealroom:receipt:v1"
RECEIPT_MAX_BYTES = 16 << 20
SALT_BYTES = 32

Proof = Annotated[tuple[Hex32, ...], Field(max_length=64)]


class LeafShown(Term):
    """A leaf of the log, and the proof that the checkpoint includes it."""

    leaf: Base64
    index: Annotated[int, Field(ge=0)]
    inclusion: Proof


class InputShown(Term):
    """An upload that the run read: its header, and the owner's commitment."""

    header: Base64
    commitment: Base64


class PermitShown(Term):
    """An owner's permit, and the proof that the checkpoint extends the log that it saw."""

    permit: Base64
    consistency: Proof


class AttestationShown(Term):
    """The instance's evidence for the contract, with transcript, collateral and sealing key."""

    format: Text
    evidence: Base64
    endorsements: Annotated[tuple[Base64, ...], Field(max_length=64)]
    transcript: Base64
    hpke_public_key: Base64


class Predicate(Term):
    """All that a receipt rests on; ``consents`` are the parties' signatures on ``contract`` for that purpose."""

    contract: Base64
    consents: Annotated[tuple[Signature, ...], Field(max_length=256)]
    attestation: AttestationShown
    activations: Annotated[tuple[Base64, ...], Field(max_length=256)]
    run: LeafShown
    inputs: Annotated[tuple[InputShown, ...], Field(max_length=65_536)]
    permits: Annotated[tuple[PermitShown, ...], Field(max_length=256)]
    release: LeafShown
    checkpoint: Base64
    countersignatures: Annotated[tuple[Base64, ...], Field(max_length=256)]


class DigestSet(Term):
    """in-toto's DigestSet, with the one algorithm that is used."""

    sha256: Hex32


class Subject(Term):
    """in-toto's ResourceDescriptor of the opened result."""

    name: Literal["result"]
    digest: DigestSet


class Statement(Term):
    """An in-toto Statement v1 (in-toto/attestation, spec/v1/statement.md)."""

    model_config = ConfigDict(serialize_by_alias=True)

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicateType: Literal["urn:sealroom:receipt:v1"]  # noqa: N815 - in-toto's own name
    predicate: Predicate


def commit_release(salt: bytes, release: bytes) -> bytes:
    """Return the 32-byte commitment to a release: SHA-256 of ``result_bytes``. The salt hides what could be guessed."""
    return sha256(result_bytes(salt, release))


def result_bytes(salt: bytes, release: bytes) -> bytes:
    """Return what is sealed to a recipient: the 32-byte salt, then the release."""
    if len(salt) != SALT_BYTES:
        raise ValueError("the salt of a release is 32 random bytes")
    return salt + release


def release_in(opened: bytes, commitment: bytes) -> bytes:
    """Return the release in an opened result; ``Untrusted`` when it is not the one that the receipt commits to."""
    if len(opened) < SALT_BYTES or not hmac.compare_digest(sha256(opened), commitment):
        raise Untrusted(
            "receipt.result", "the result is not the one of the receipt", why="the receipt commits to another release",
            remedy="ask for result and receipt of the same run", field="release",
        )  # fmt: skip
    return opened[SALT_BYTES:]


def build_receipt(
    *,
    agreement: Agreement,
    attestation: Attestation,
    hpke_public_key: bytes,
    activations: Sequence[bytes],
    inputs: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]],
    permits: Sequence[bytes],
    log: Log,
    run_index: int,
    release_index: int,
    checkpoint: bytes,
    countersignatures: Sequence[bytes],
    key: SigningKey,
) -> bytes:
    """Return the envelope of the receipt of one run, signed by the instance's receipt key ``key``.

    ``attestation`` binds the contract; ``inputs`` are (header, commitment envelope) of each pinned upload;
    ``permits``, ``activations`` and ``countersignatures`` are envelopes; ``run_index`` and ``release_index`` say
    where the run's leaves stand in ``log``. ``checkpoint`` is the instance's envelope of a state of the log that
    holds both; every countersignature is on that same state. Everything given is relied on: it was verified when
    it came.
    """
    size = parse_json(Checkpoint, read_unverified(checkpoint)[0], what="the checkpoint").size
    release = parse_leaf(log.leaves(release_index, release_index + 1)[0])
    if not isinstance(release, ReleaseLeaf):
        raise TypeError("a receipt is about a release")
    pairs = inputs.items() if isinstance(inputs, Mapping) else inputs
    predicate = Predicate(
        contract=_text(agreement.raw),
        consents=tuple(read_unverified(consent)[1][0] for consent in agreement.consents),
        attestation=AttestationShown(
            format=attestation.format, evidence=_text(attestation.evidence), transcript=_text(attestation.transcript),
            endorsements=tuple(map(_text, attestation.endorsements)), hpke_public_key=_text(hpke_public_key),
        ),
        activations=tuple(map(_text, activations)),
        run=_leaf_shown(log, run_index, size),
        inputs=tuple(InputShown(header=_text(header), commitment=_text(signed)) for header, signed in pairs),
        permits=tuple(_permit_shown(log, permit, size) for permit in permits),
        release=_leaf_shown(log, release_index, size),
        checkpoint=_text(checkpoint),
        countersignatures=tuple(map(_text, countersignatures)),
    )  # fmt: skip
    statement = Statement(
        _type=STATEMENT_TYPE, subject=(Subject(name="result", digest=DigestSet(sha256=release.release)),),
        predicateType=PREDICATE_TYPE, predicate=predicate,
    )  # fmt: skip
    return key.envelope(Purpose.STATEMENT, canonical_json(statement))


def parse_statement(body: bytes) -> Statement:
    """Return the statement that ``body`` canonically spells, or raise ``Malformed``."""
    return parse_json(Statement, body, what="the receipt", max_bytes=RECEIPT_MAX_BYTES)


def countersigners(raw: bytes, contract: Contract) -> tuple[str, ...]:
    """Return the parties that a receipt names as its countersigners, sorted; none of what cannot be read.

    Nothing is verified: it only tells what is worth asking for.
    """
    try:
        statement = parse_statement(read_unverified(raw, max_bytes=RECEIPT_MAX_BYTES)[0])
        signed = {
            signature.keyid
            for envelope in statement.predicate.countersignatures
            for signature in read_unverified(base64.b64decode(envelope))[1]
        }
    except (Refusal, ValueError):
        return ()
    parties = ((party.name, VerifyingKey(bytes.fromhex(party.signing_key))) for party in contract.parties)
    return tuple(sorted(name for name, key in parties if key.keyid in signed))


def _leaf_shown(log: Log, index: int, size: int) -> LeafShown:
    return LeafShown(
        leaf=_text(log.leaves(index, index + 1)[0]), index=index, inclusion=_hex(log.inclusion(index, size))
    )


def _permit_shown(log: Log, permit: bytes, size: int) -> PermitShown:
    seen = parse_json(Permit, read_unverified(permit)[0], what="the permit").log_size
    return PermitShown(permit=_text(permit), consistency=_hex(log.consistency(seen, size)))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _hex(proof: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(node.hex() for node in proof)
