"""Whether a receipt is genuine, and since when: every link of its chain, checked offline.

Each part that does not hold refuses with a code of its own, ``receipt.<part>``; ``PARTS`` names them in the order in
which they are checked, because each relies on those before it.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from mpc.canonical import format_time, parse_json, parse_time, sha256
from mpc.contract.consent import check_signed
from mpc.contract.document import parse_contract, read_question
from mpc.contract.statements import Activation, Permit
from mpc.contract.terms import Computation, Contract
from mpc.errors import Forbidden, Malformed, Refusal, Untrusted
from mpc.evidence import Attestation, AttestedKey, Check, Exceptions, appraise_attestation, parse_transcript
from mpc.evidence.checks import NotWanted
from mpc.receipts.leaves import ReleaseLeaf, RunLeaf, leaf_bytes, parse_leaf
from mpc.receipts.log import SignedCheckpoint, verify_checkpoint, verify_consistency, verify_inclusion
from mpc.receipts.receipt import RECEIPT_MAX_BYTES, LeafShown, Predicate, parse_statement
from mpc.sealing.stream import parse_header, read_commitment
from mpc.signing import Purpose, VerifyingKey, envelope_of, open_envelope, read_unverified

PARTS = (
    "signature", "contract", "checkpoint", "run", "release", "permits", "countersignatures",
    "consents", "parties", "evidence", "activations", "inputs",
)  # fmt: skip

_DO_NOT_RELY = "do not rely on this receipt; ask another party for its copy"
_UNACCEPTED = "receipt.unaccepted"
_UNKNOWN = "receipt.party_unknown"
_UP_TO_THE_READER = frozenset({_UNACCEPTED, _UNKNOWN})
"""What says nothing against the receipt: its reader has not said something yet, and the remedy is theirs."""
_EXCEPTION_OPTIONS = {"self_measured": "--accept-self-measured", "visible_memory": "--accept-visible-memory"}
"""How a verifier makes each exception, by the check that fails without it."""


@dataclass(frozen=True)
class VerifiedReceipt:
    """A receipt whose every part holds; made only by ``verify_receipt``.

    ``release`` is the 32-byte commitment that ``release_in`` takes; ``judged_at`` the time at which evidence and
    contract were judged; ``time_shown`` is None unless a party other than the beneficiary countersigned.
    """

    contract: Contract
    contract_digest: bytes
    computation: Computation
    run: int
    parameters: Mapping[str, str]
    outcome: Literal["released", "failed"]
    release: bytes
    attested: AttestedKey
    judged_at: datetime
    time_shown: datetime | None
    countersigners: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """The one sentence that a person needs."""
        if self.time_shown is None:
            return "genuine, time not shown"
        return f"genuine, shown at {format_time(self.time_shown)} by {', '.join(self.countersigners)}"


def verify_receipt(
    raw: bytes,
    *,
    known: Mapping[str, str] | None,
    exceptions: Exceptions,
    at: datetime | None = None,
    beneficiary: str | None = None,
) -> VerifiedReceipt:
    """Return the receipt when every part holds, or raise the first ``Untrusted`` with code ``receipt.<part>``.

    ``known`` maps party names to fingerprints confirmed out of band (None compares none, and the check says so);
    ``exceptions`` are the verifier's own. ``beneficiary`` is the party that a wrong time would serve, by default
    every recipient of the computation. Evidence and contract are judged ``at``, by default at the time shown, and
    where none is, at the latest time that an owner signed in a permit.
    """
    statement = parse_statement(read_unverified(raw, max_bytes=RECEIPT_MAX_BYTES)[0])
    shown, parts = statement.predicate, _Parts()
    with parts.part("signature"):
        key = _receipt_key(shown)
        open_envelope(raw, Purpose.STATEMENT, (key,), max_bytes=RECEIPT_MAX_BYTES)
    with parts.part("contract"):
        about = _About(parse_contract(_bytes(shown.contract)), sha256(_bytes(shown.contract)), key)
    with parts.part("checkpoint"):
        state = about.checkpoint(_bytes(shown.checkpoint), (key,))
    with parts.part("run"):
        run = _run_leaf(shown.run, state)
        computation = _computation(about.contract, run)
        sources = _sources(about.contract, computation)
    with parts.part("release"):
        release = _release_leaf(shown.release, state, run, statement.subject[0].digest.sha256)
    with parts.part("permits"):
        permitted_at = _permits(shown, about, state, run, {owner for _, owner in sources})
    with parts.part("countersignatures"):
        time_shown, signers = _countersigned(shown, about, state, computation, beneficiary)
    judged_at = at or time_shown or permitted_at
    with parts.part("consents"):
        check_signed(about.contract, _bytes(shown.contract), _consents(shown), at=judged_at)
    with parts.part("parties", "compared" if known is not None else "not compared: no known parties were given"):
        _known_parties(about, known)
    with parts.part("evidence"):
        attested = _evidence(shown, about, run, exceptions, judged_at)
    with parts.part("activations"):
        _activations(shown, about)
    with parts.part("inputs"):
        _inputs(shown, about, run, sources)
    return VerifiedReceipt(
        about.contract, about.digest, computation, run.run, run.parameters, release.outcome,
        bytes.fromhex(release.release), attested, judged_at, time_shown, signers, tuple(parts.checks),
    )  # fmt: skip


@dataclass
class _Parts:
    """Records each part that holds, and gives a refusal the name of the part that does not."""

    checks: list[Check] = field(default_factory=list)

    @contextmanager
    def part(self, name: str, found: str = "holds") -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            raise Untrusted(
                f"receipt.{name}", f"the receipt's {name} cannot be believed", why=f"{refusal.what}: {refusal.why}",
                remedy=refusal.remedy if refusal.code in _UP_TO_THE_READER else _DO_NOT_RELY,
                field=refusal.field or name, expected=refusal.expected, found=refusal.found,
            ) from refusal  # fmt: skip
        self.checks.append(Check(name, "holds", found, passed=True))


@dataclass(frozen=True)
class _About:
    """What every part has to be about: one contract and one instance."""

    contract: Contract
    digest: bytes
    receipt_key: VerifyingKey

    @property
    def instance(self) -> str:
        return self.receipt_key.keyid

    @cached_property
    def keys(self) -> Mapping[str, VerifyingKey]:
        return {party.name: VerifyingKey(bytes.fromhex(party.signing_key)) for party in self.contract.parties}

    def name_of(self, key: VerifyingKey) -> str:
        return next(name for name, known in self.keys.items() if known == key)

    def checkpoint(self, envelope: bytes, keys: tuple[VerifyingKey, ...]) -> SignedCheckpoint:
        return verify_checkpoint(envelope, contract=self.digest.hex(), instance=self.instance, keys=keys)


def _receipt_key(shown: Predicate) -> VerifyingKey:
    """Return the key that the transcript binds; that the evidence binds the transcript is checked with the evidence."""
    return VerifyingKey(parse_transcript(_bytes(shown.attestation.transcript)).receipt_key)


def _included(leaf: LeafShown, state: SignedCheckpoint) -> bytes:
    raw = _bytes(leaf.leaf)
    proof = [bytes.fromhex(node) for node in leaf.inclusion]
    verify_inclusion(raw, leaf.index, state.checkpoint.size, proof, bytes.fromhex(state.checkpoint.root))
    return raw


def _run_leaf(shown: LeafShown, state: SignedCheckpoint) -> RunLeaf:
    leaf = parse_leaf(_included(shown, state))
    if not isinstance(leaf, RunLeaf):
        raise _other("leaf", "run", leaf.leaf)
    return leaf


def _release_leaf(shown: LeafShown, state: SignedCheckpoint, run: RunLeaf, subject: str) -> ReleaseLeaf:
    leaf = parse_leaf(_included(shown, state))
    if not isinstance(leaf, ReleaseLeaf):
        raise _other("leaf", "release", leaf.leaf)
    _same("run", str(run.run), str(leaf.run))
    _same("subject", leaf.release, subject)
    return leaf


def _computation(contract: Contract, run: RunLeaf) -> Computation:
    computation = contract.computation(run.computation)
    if computation is None:
        raise _other("computation", "one that the contract lists", run.computation)
    if run.requester not in computation.recipients:
        raise _other("requester", " or ".join(computation.recipients), run.requester)
    return computation


def _permits(shown: Predicate, about: _About, state: SignedCheckpoint, run: RunLeaf, owners: set[str]) -> datetime:
    """Check one permit of every owner, each given at a log that held the run; return the latest time in them."""
    keys = {name: key for name, key in about.keys.items() if name in owners}
    times: dict[str, datetime] = {}
    for given in shown.permits:
        opened = open_envelope(_bytes(given.permit), Purpose.PERMIT, tuple(keys.values()))
        permit = parse_json(Permit, opened.body, what="the permit")
        for name, expected, found in (
            ("party", about.name_of(opened.key), permit.party),
            ("contract", about.digest.hex(), permit.contract),
            ("instance", about.instance, permit.instance),
            ("run", str(run.run), str(permit.run)),
            ("computation", run.computation, permit.computation),
        ):
            _same(name, expected, found)
        if permit.parameters != run.parameters:
            raise _other("parameters", "those of the run", "others")
        if permit.log_size <= shown.run.index:
            raise _other("log_size", "a log that holds the run", "an earlier one")
        verify_consistency(
            permit.log_size, bytes.fromhex(permit.log_root), state.checkpoint.size,
            bytes.fromhex(state.checkpoint.root), [bytes.fromhex(node) for node in given.consistency],
        )  # fmt: skip
        times[permit.party] = parse_time(permit.time)
    _everybody("permit", owners, set(times))
    return max(times.values())


def _countersigned(
    shown: Predicate, about: _About, state: SignedCheckpoint, computation: Computation, beneficiary: str | None
) -> tuple[datetime | None, tuple[str, ...]]:
    """Check every countersignature; return the earliest time by others than the beneficiary, and all their names."""
    gaining = set(computation.recipients) if beneficiary is None else {beneficiary}
    times: dict[str, datetime] = {}
    for envelope in shown.countersignatures:
        countersigned = about.checkpoint(_bytes(envelope), tuple(about.keys.values()))
        _same("size", str(state.checkpoint.size), str(countersigned.checkpoint.size))
        _same("root", state.checkpoint.root, countersigned.checkpoint.root)
        signer = about.name_of(countersigned.signer)
        time = parse_time(countersigned.checkpoint.time)
        if signer not in gaining:
            times[signer] = min(time, times.get(signer, time))
    return min(times.values(), default=None), tuple(sorted(times))


def _consents(shown: Predicate) -> list[bytes]:
    return [envelope_of(Purpose.CONTRACT, _bytes(shown.contract), signature) for signature in shown.consents]


def _known_parties(about: _About, known: Mapping[str, str] | None) -> None:
    for name, key in about.keys.items() if known is not None else ():
        fingerprint = (known or {}).get(name)
        if fingerprint is None:
            raise Untrusted(
                _UNKNOWN, f"you gave no fingerprint of {name}", why="its key was never confirmed",
                remedy=f"ask {name} for it on another channel; write it into known_parties, or give --known {name}=…",
                field=f"known_parties.{name}", expected="a fingerprint", found=key.keyid,
            )  # fmt: skip
        _same(f"known_parties.{name}", fingerprint, key.keyid)


def _evidence(shown: Predicate, about: _About, run: RunLeaf, exceptions: Exceptions, at: datetime) -> AttestedKey:
    """Appraise evidence that was made for this very run: its nonce is the digest of the run's leaf."""
    given = shown.attestation
    transcript = parse_transcript(_bytes(given.transcript))
    _same("nonce", sha256(leaf_bytes(run)).hex(), transcript.nonce.hex())
    _same("contract", about.digest.hex(), (transcript.contract or b"").hex())
    attestation = Attestation(
        given.format, _bytes(given.evidence), tuple(map(_bytes, given.endorsements)), _bytes(given.transcript)
    )
    try:
        return appraise_attestation(
            attestation, about.contract.enclaves, transcript, hpke_public_key=_bytes(given.hpke_public_key),
            exceptions=exceptions, at=at, lifetime=timedelta(seconds=about.contract.attested_key_seconds),
        )  # fmt: skip
    except NotWanted as refusal:
        raise _unaccepted(refusal, given.format) or refusal from None


def _unaccepted(refusal: NotWanted, attester: str) -> Refusal | None:
    """Return the refusal of evidence that lacks nothing but the verifier's own exceptions; it names each of them."""
    failed = [check for check in refusal.checks if not check.passed]
    if not all(check.name in _EXCEPTION_OPTIONS for check in failed):
        return None
    options = " ".join(f"{_EXCEPTION_OPTIONS[check.name]} {attester}" for check in failed)
    return Forbidden(
        _UNACCEPTED, f"it is {attester} evidence, which you have not accepted",
        why="; ".join(check.why for check in failed),
        remedy=f"if you accept that, say so: {options}, or under [trust] in your party.toml; else do not rely on it",
        field=failed[0].name, expected=failed[0].expected, found=failed[0].found,
    )  # fmt: skip


def _activations(shown: Predicate, about: _About) -> None:
    keys = about.keys
    activated: set[str] = set()
    for envelope in shown.activations:
        opened = open_envelope(_bytes(envelope), Purpose.ACTIVATION, tuple(keys.values()))
        activation = parse_json(Activation, opened.body, what="the activation")
        _same("party", about.name_of(opened.key), activation.party)
        _same("contract", about.digest.hex(), activation.contract)
        _same("instance", about.instance, activation.instance)
        activated.add(activation.party)
    _everybody("activation", set(keys), activated)


def _inputs(shown: Predicate, about: _About, run: RunLeaf, sources: frozenset[tuple[str, str]]) -> None:
    """Check that the inputs are the uploads that the run pinned, one of each of the ``sources``."""
    keys, missing, uploads = about.keys, set(sources), []
    for given in shown.inputs:
        header = parse_header(_bytes(given.header))
        _same("contract", about.digest.hex(), header.contract.hex())
        if (header.dataset, header.sender) not in missing:
            raise _other("dataset", "one that the computation reads, from its owner", header.dataset)
        missing.remove((header.dataset, header.sender))
        read_commitment(_bytes(given.commitment), header, keys[header.sender])
        uploads.append(header.upload_id.hex())
    if tuple(sorted(uploads)) != run.uploads or missing:
        raise _other("uploads", "those that the run pinned", "others")


def _sources(contract: Contract, computation: Computation) -> frozenset[tuple[str, str]]:
    """Return every (dataset, owner) whose rows the computation reads."""
    read = read_question(contract, computation).datasets
    return frozenset((name, owner) for name in read for owner in contract.dataset(name).owners)  # type: ignore[union-attr]


def _everybody(what: str, expected: set[str], found: set[str]) -> None:
    if found != expected:
        raise _other(what, f"one of each of {', '.join(sorted(expected))}", ", ".join(sorted(found)) or "none")


def _same(name: str, expected: str, found: str) -> None:
    if found != expected:
        raise _other(name, expected, found)


def _other(name: str, expected: str, found: str) -> Untrusted:
    return Untrusted(
        f"receipt.other_{name.partition('.')[0]}", f"its {name} is another", why="the parts do not belong together",
        remedy="do not rely on this receipt", field=name, expected=expected, found=found,
    )  # fmt: skip


def _bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if base64.b64encode(raw).decode() != text:
        raise Malformed(
            "receipt.base64", "the receipt does not decode", why="a field is not canonical base64",
            remedy="use the receipt as it was made",
        )  # fmt: skip
    return raw
