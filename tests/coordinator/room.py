"""A coordinator in this process behind real gRPC, and parties of the test's own that keep a ledger of what they saw."""

import base64
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from mpc.attesters import Attester, choose
from mpc.canonical import canonical_json, sha256
from mpc.contract.consent import Agreement, agree, sign_consent
from mpc.contract.document import contract_bytes
from mpc.contract.statements import (
    Activation,
    ChallengeAnswer,
    Checkpoint,
    Inherited,
    Permit,
    Replaced,
    RunRequest,
    Withdrawal,
)
from mpc.contract.terms import Contract
from mpc.coordinator.admission import DoorLimits
from mpc.coordinator.instance import Instance
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.service import Serving, serve
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry
from mpc.disclosure import Release
from mpc.errors import Refusal
from mpc.evidence.appraisal import AttestedKey, Exceptions
from mpc.messages import (
    Chunk,
    RewrapRequest,
    StatusReply,
    UploadCommitment,
    UploadOpen,
    UploadPart,
    UploadReply,
)
from mpc.receipts.leaves import RunLeaf, parse_leaf
from mpc.receipts.log import EMPTY_ROOT, verify_checkpoint, verify_consistency
from mpc.receipts.receipt import release_in
from mpc.receipts.verification import VerifiedReceipt, verify_receipt
from mpc.sealing.hpke import PublicSealingKey, SealedFor, SealingKey, open_sealed, seal
from mpc.sealing.secret_state import inheritance_context
from mpc.sealing.stream import ChunkSealer, ChunkTally, DataKey, Header, new_upload, sign_commitment
from mpc.signing import Purpose, SigningKey, VerifyingKey
from mpc.table.batches import arrow_schema, schema_digest
from parties.channel import Channel

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
LATER = "2027-03-01T12:00:00Z"
CODE = bytes(range(32))
EXCEPTIONS = Exceptions(frozenset({"simulated"}), frozenset({"simulated"}))
WAIT_SECONDS = 30


@dataclass
class Member:
    """A party of the test, with the ledger that a daemon would keep."""

    name: str
    signing: SigningKey = field(default_factory=SigningKey.generate)
    sealing: SealingKey = field(default_factory=SealingKey.generate)
    channel: Channel | None = None
    attested: AttestedKey | None = None
    instance: str | None = None
    head: tuple[int, str] = (0, EMPTY_ROOT.hex())
    share: bytes | None = None
    uploads: dict[bytes, tuple[Header, DataKey, bytes]] = field(default_factory=dict)
    before: "Before | None" = None

    @property
    def at(self) -> Channel:
        assert self.channel is not None
        return self.channel


@dataclass(frozen=True)
class Before:
    """What a party remembers of the contract whose history is taken over."""

    contract: bytes
    head: tuple[int, str]
    share: bytes | None


def column(name: str, kind: str = "integer", **marks: object) -> dict[str, object]:
    return {
        "name": name, "description": name, "type": kind, "precision": None, "scale": None, "unit": None,
        "nullable": False, "missing": [], "minimum": None, "maximum": None, "codes": [], "filterable": False,
        "identifier": False, **marks,
    }  # fmt: skip


def rules(threshold: int = 10) -> dict[str, object]:
    return {
        "profile": "standard", "threshold": threshold, "coalition": 1, "zeros": "withhold",
        "complementary": "suppress", "significant_digits": 6,
    }  # fmt: skip


def computation(name: str, text: str, **terms: object) -> dict[str, object]:
    return {
        "name": name, "purpose": "to test", "question": {"kind": "sql", "text": text}, "parameters": [],
        "recipients": ["university"], "runs": 5, "unattended": 5, **terms,
    }  # fmt: skip


COUNT = "SELECT grp, count(*) AS patients, sum(amount) AS total FROM patients GROUP BY grp"


def contract_of(members: Mapping[str, Member], **changes: object) -> bytes:
    """The contract of two owners and one recipient, over one union table."""
    parties = [
        {
            "name": name, "label": name, "signing_key": member.signing.public.raw.hex(),
            "sealing_key": base64.b64encode(member.sealing.public.raw).decode(),
        }
        for name, member in sorted(members.items())
    ]  # fmt: skip
    dataset = {
        "name": "patients", "description": "patients", "owners": ["north", "south"],
        "columns": [
            column("pid", identifier=True), column("grp", filterable=True, minimum="0", maximum="9"),
            column("amount"),
        ],
        "subject": {
            "domain": "patient", "column": "pid", "identity": "disjoint", "normalisation": "exact", "rows": "one",
        },
        "keys": [], "freshness": {"refreshes": 0, "until": None},
    }  # fmt: skip
    terms = {
        "format": "sealroom.contract", "version": 1, "title": "A test", "purpose": "to test", "parties": parties,
        "datasets": [dataset], "computations": [computation("by_group", COUNT)],
        "disclosure": [{"party": owner, "rules": rules()} for owner in ("north", "south")],
        "enclaves": [
            {"format": "simulated", "code_digest": CODE.hex(), "measured_by": "self", "memory_protected": False}
        ],
        "attested_key_seconds": 600,
        "limits": {"upload_mib": 64, "resident_mib": 64, "run_memory_mib": 256, "run_seconds": 30},
        "valid_from": "2027-01-01T00:00:00Z", "valid_until": "2028-01-01T00:00:00Z", "supersedes": None, **changes,
    }  # fmt: skip
    return contract_bytes(Contract.model_validate_json(__import__("json").dumps(terms)))


def rows_of(start: int, count: int, marked: int = 1) -> pa.RecordBatch:
    pids = list(range(start, start + count))
    return pa.record_batch(
        [
            pa.array(pids, pa.int64()),
            pa.array([pid % 3 for pid in pids], pa.int64()),
            pa.array([marked] * count, pa.int64()),
        ],
        schema=pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("pid", "grp", "amount")]),
    )


def ipc(batch: pa.RecordBatch, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


@dataclass
class Room:
    """A coordinator on a folder, which can be ended and started again, and its parties."""

    folder: Path
    members: dict[str, Member]
    raw: bytes
    log: io.StringIO = field(default_factory=io.StringIO)
    instance: Instance | None = None
    serving: Serving | None = None
    telemetry: Telemetry | None = None
    keys: InstanceKeys | None = None
    ended: list[bool] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    limits: DoorLimits | None = None
    attester: Attester = field(default_factory=lambda: choose("simulated"))
    predecessor: Path | None = None

    @property
    def digest(self) -> bytes:
        return sha256(self.raw)

    @property
    def agreement(self) -> Agreement:
        consents = [sign_consent(self.raw, member.signing) for member in self.members.values()]
        return agree(self.raw, consents, at=NOW)

    @property
    def contract(self) -> Contract:
        return self.agreement.contract

    def start(self) -> None:
        """Boot a new instance on the folder."""
        self.attester.measure(CODE)
        self.keys = InstanceKeys.generate()
        self.telemetry = Telemetry(self.log)
        state = StateFolder(self.folder)
        try:
            self.instance = Instance(
                state, self.keys, self.attester, clock=self.clock, telemetry=self.telemetry,
                on_end=lambda: self.ended.append(True), predecessor=self.predecessor,
            )  # fmt: skip
        except Refusal:
            state.close()
            raise
        self.serving = serve(self.instance, self.keys.tls, "127.0.0.1:0", telemetry=self.telemetry, limits=self.limits)

    def stop(self) -> None:
        for member in self.members.values():
            if member.channel is not None:
                member.channel.close()
                member.channel = None
        if self.serving is not None:
            self.serving.stop(0.2)
            self.serving = None
        if self.instance is not None:
            self.instance.close()
            self.instance = None

    def restart(self) -> None:
        self.stop()
        self.start()

    # What parties do

    @property
    def address(self) -> str:
        assert self.serving is not None
        return f"127.0.0.1:{self.serving.port}"

    def connect(self, name: str) -> Channel:
        member = self.members[name]
        member.channel = Channel.connect(self.address, clock=lambda: NOW)
        return member.channel

    def agree(self) -> None:
        for name, member in self.members.items():
            channel = self.connect(name)
            channel.attest(self.contract, self.digest, "boot", EXCEPTIONS)
            channel.agree(self.raw, (sign_consent(self.raw, member.signing),))

    def appraise(self, name: str) -> None:
        member = self.members[name]
        if member.channel is None:
            self.connect(name)
        member.attested, _ = member.at.attest(self.contract, self.digest, "contract", EXCEPTIONS)

    def authenticate(self, name: str, **lies: str) -> None:
        member = self.members[name]
        challenge = member.at.challenge(self.digest, name)
        answer = {
            "label": "sealroom channel v1", "contract": self.digest.hex(), "party": name,
            "challenge": challenge.hex(), "spki": member.at.certificate.spki.hex(), **lies,
        }  # fmt: skip
        body = canonical_json(ChallengeAnswer.model_validate(answer))
        member.at.authenticate(member.signing.envelope(Purpose.CHALLENGE, body))

    def activate(self, name: str, **lies: object) -> None:
        member = self.members[name]
        assert member.attested is not None
        instance = member.attested.instance.hex()
        replaces = None
        if member.instance not in {None, instance}:
            replaces = Replaced(instance=member.instance or "", log_size=member.head[0], log_root=member.head[1])
        activation = Activation(
            contract=self.digest.hex(), party=name, instance=instance, replaces=replaces, inherits=_seen(member),
            time=LATER,
        ).model_copy(update=lies)  # fmt: skip
        self.note(member, member.at.activate(member.signing.envelope(Purpose.ACTIVATION, canonical_json(activation))))
        member.instance = instance

    def enter(self, name: str) -> None:
        """Everything between a connection and an activation."""
        self.appraise(name)
        self.authenticate(name)
        self.activate(name)

    def note(self, member: Member, envelope: bytes) -> Checkpoint:
        """Verify a checkpoint and that it extends what this member saw last, then keep it."""
        assert member.attested is not None
        keys = (VerifyingKey(member.attested.transcript.receipt_key),)
        checkpoint = verify_checkpoint(
            envelope, contract=self.digest.hex(), instance=member.attested.instance.hex(), keys=keys
        ).checkpoint
        reply = member.at.log(member.head[0])
        latest = verify_checkpoint(
            reply.checkpoint, contract=self.digest.hex(), instance=member.attested.instance.hex(), keys=keys
        ).checkpoint
        verify_consistency(
            member.head[0], bytes.fromhex(member.head[1]), latest.size, bytes.fromhex(latest.root), reply.consistency
        )
        member.head = (latest.size, latest.root)
        return checkpoint

    def shares(self) -> None:
        for name in ("north", "south"):
            self.take_share(name)

    def take_share(self, name: str) -> None:
        member = self.members[name]
        sealed = member.at.take_share()
        member.share = open_sealed(SealedFor.STATE_SHARE, self.digest, member.sealing, sealed)

    def return_share(self, name: str) -> StatusReply:
        member = self.members[name]
        assert member.share is not None
        return member.at.return_share(
            seal(SealedFor.RETURNED_SHARE, self.digest, self.enclave_key(member), member.share)
        )

    def hand_down(self, name: str, **lies: bytes) -> StatusReply:
        member = self.members[name]
        assert member.before is not None
        assert member.before.share is not None
        told = {"predecessor": member.before.contract, "successor": self.digest, "share": member.before.share, **lies}
        context = inheritance_context(told["predecessor"], told["successor"])
        sealed = seal(SealedFor.INHERITED_SHARE, context, self.enclave_key(member), told["share"])
        return member.at.hand_down_share(sealed)

    def enclave_key(self, member: Member) -> PublicSealingKey:
        assert member.attested is not None
        assert member.attested.hpke_public_key is not None
        return PublicSealingKey(member.attested.hpke_public_key)

    def sealed_upload(
        self, name: str, plaintexts: list[bytes], *, mark_last: bool = True
    ) -> tuple[Header, DataKey, list[bytes], bytes]:
        member = self.members[name]
        dataset = next(each for each in self.contract.datasets if name in each.owners)
        header, key = new_upload(
            contract=self.digest, dataset=dataset.name, sender=name, schema_digest=schema_digest(dataset),
            mapping_digest=sha256(b"mapping"), random=os.urandom,
        )  # fmt: skip
        sealer = ChunkSealer(header, key)
        end = len(plaintexts) - 1
        chunks = [
            sealer.seal(index, plaintext, last=mark_last and index == end) for index, plaintext in enumerate(plaintexts)
        ]
        commitment = sign_commitment(header, ChunkTally.of(chunks), member.signing)
        member.uploads[header.upload_id] = (header, key, commitment)
        return header, key, chunks, commitment

    def opening(self, name: str, header: Header, key: DataKey) -> UploadOpen:
        sealed = seal(SealedFor.UPLOAD_KEY, header.digest, self.enclave_key(self.members[name]), key.raw)
        return UploadOpen(header.to_bytes(), sealed)

    def send(self, name: str, parts: list[UploadPart] | Iterator[UploadPart]) -> list[UploadReply]:
        return list(self.members[name].at.upload(iter(parts)))

    def upload(self, name: str, batches: list[pa.RecordBatch], *, in_one_chunk: bool = False) -> Header:
        streams = [ipc(batch) for batch in batches]
        header, key, chunks, commitment = self.sealed_upload(name, [b"".join(streams)] if in_one_chunk else streams)
        replies = self.send(name, [self.opening(name, header, key), *map(Chunk, chunks), UploadCommitment(commitment)])
        assert replies[-1] == UploadReply(len(chunks), loaded=True)
        return header

    def rewrap(self, name: str) -> None:
        member = self.members[name]
        for upload, (header, key, commitment) in member.uploads.items():
            sealed = self.opening(name, header, key).sealed_key
            assert member.at.rewrap(RewrapRequest(upload, sealed, commitment)).loaded

    def request(self, name: str = "university", which: str = "by_group", **parameters: str) -> int:
        member = self.members[name]
        assert member.attested is not None
        request = RunRequest(
            contract=self.digest.hex(), party=name, instance=member.attested.instance.hex(), computation=which,
            parameters=parameters, time=LATER,
        )  # fmt: skip
        return member.at.request_run(member.signing.envelope(Purpose.REQUEST, canonical_json(request)))

    def permit(self, name: str, run: int, which: str = "by_group", **lies: object) -> None:
        member = self.members[name]
        assert member.attested is not None
        self.note(member, member.at.status().checkpoint)
        permit = Permit(
            contract=self.digest.hex(), party=name, instance=member.attested.instance.hex(), run=run,
            computation=which, parameters={}, log_size=member.head[0], log_root=member.head[1], time=LATER,
        ).model_copy(update=lies)  # fmt: skip
        member.at.permit(member.signing.envelope(Purpose.PERMIT, canonical_json(permit)))

    def wait(self, name: str, until: Callable[[StatusReply], bool]) -> StatusReply:
        """Follow the status until something holds; no clock is polled, the coordinator tells of each change."""
        seen, deadline = 0, time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status = self.members[name].at.status(seen=seen, wait_milliseconds=2000)
            if until(status):
                return status
            seen = status.change
        raise AssertionError("what was awaited did not happen")

    def wait_for_run(self, run: int, name: str = "university") -> str:
        status = self.wait(name, lambda status: status.runs[run - 1].state in {"released", "failed"})
        return status.runs[run - 1].state

    def run(self, which: str = "by_group") -> int:
        number = self.request(which=which)
        for owner in ("north", "south"):
            self.permit(owner, number, which)
        self.wait_for_run(number)
        return number

    def result(self, run: int, name: str = "university") -> tuple[Release, VerifiedReceipt]:
        member = self.members[name]
        receipt, sealed = member.at.result(run)
        known = {name: each.signing.public.keyid for name, each in self.members.items()}
        verified = verify_receipt(receipt, known=known, exceptions=EXCEPTIONS, at=NOW)
        leaf = next(
            raw for raw in member.at.log(0).leaves if isinstance(found := parse_leaf(raw), RunLeaf) and found.run == run
        )
        opened = open_sealed(SealedFor.RESULT, sha256(leaf), member.sealing, sealed)
        return Release.from_bytes(release_in(opened, verified.release)), verified

    def withdraw(self, name: str) -> None:
        member = self.members[name]
        withdrawal = Withdrawal(contract=self.digest.hex(), party=name, reason="enough", time=LATER)
        member.at.withdraw(member.signing.envelope(Purpose.WITHDRAWAL, canonical_json(withdrawal)))

    # Whole stretches of the way

    def to_activated(self) -> None:
        self.agree()
        for name in self.members:
            self.enter(name)
        self.shares()

    def to_loaded(self) -> None:
        self.to_activated()
        self.to_loaded_from_activated()

    def to_loaded_from_activated(self) -> None:
        for start, name in ((0, "north"), (10_000, "south")):
            self.upload(name, [rows_of(start, 60), rows_of(start + 100, 60)])

    def back_after_restart(self) -> None:
        for name in self.members:
            self.enter(name)
        status = self.members["north"].at.status()
        for awaited in status.awaited:
            if awaited.what == "share" and awaited.subject == "return":
                self.return_share(awaited.party)
            elif awaited.what == "share":
                self.take_share(awaited.party)
        for name in ("north", "south"):
            self.rewrap(name)


@contextmanager
def room_in(
    folder: Path,
    *,
    clock: Callable[[], float] = time.monotonic,
    limits_of_door: DoorLimits | None = None,
    attester: Attester | None = None,
    names: tuple[str, ...] = ("north", "south", "university"),
    **changes: object,
) -> Iterator[Room]:
    """A started coordinator in ``folder`` with parties of these names; ``changes`` are of the contract."""
    members = {name: Member(name) for name in names}
    room = Room(folder, members, contract_of(members, **changes), clock=clock, limits=limits_of_door)
    room.attester = attester or room.attester
    room.start()
    try:
        yield room
    finally:
        room.stop()


def _seen(member: Member) -> Inherited | None:
    before = member.before
    if before is None:
        return None
    return Inherited(contract=before.contract.hex(), log_size=before.head[0], log_root=before.head[1])


def schema() -> pa.Schema:
    return rows_of(0, 1).schema


__all__ = ["arrow_schema"]
