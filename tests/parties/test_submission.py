"""An upload against an enclave that acknowledges late, forgets, breaks off and lies."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest

from mpc.canonical import sha256
from mpc.contract.consent import Agreement, agree, sign_consent
from mpc.contract.document import contract_bytes
from mpc.contract.terms import Contract
from mpc.errors import Forbidden, Refusal, Unavailable
from mpc.evidence.appraisal import AttestedKey
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Claims
from mpc.messages import Chunk, UploadCommitment, UploadOpen, UploadPart, UploadReply
from mpc.sealing.hpke import SealedFor, SealingKey, open_sealed
from mpc.sealing.stream import (
    ChunkOpener,
    ChunkTally,
    DataKey,
    Header,
    new_upload,
    parse_header,
    sign_commitment,
    verify_commitment,
)
from mpc.signing import SigningKey
from mpc.table.batches import arrow_schema, schema_digest
from mpc.table.packing import read_batches, unpacked
from mpc.table.schema import Dataset
from parties.submission import CHUNK_BYTES, OUTBOX_MAX_BYTES, Outbox, Progress, Submission

AT = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Enclave:
    """Keeps what it took across connections and instances; ``break_after`` chunks it ends the call."""

    key: SealingKey = field(default_factory=SealingKey.generate)
    kept: list[bytes] = field(default_factory=list)
    break_after: int | None = None
    behave: Callable[[int], None] = lambda _: None
    commitment: bytes = b""
    header: bytes = b""
    sealed_key: bytes = b""
    calls: int = 0

    def upload(self, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        self.calls += 1
        opening = next(parts)
        assert isinstance(opening, UploadOpen)
        self.header, self.sealed_key = opening.header, opening.sealed_key
        yield UploadReply(len(self.kept), loaded=False)
        for taken, part in enumerate(parts, start=1):
            if isinstance(part, UploadCommitment):
                self.commitment = part.envelope
                yield UploadReply(len(self.kept), loaded=True)
                return
            assert isinstance(part, Chunk)
            self.kept.append(bytes(part.sealed))
            if taken == self.break_after:
                raise Unavailable("channel.unavailable", "gone", why="the connection was lost", remedy="try again")
            yield UploadReply(len(self.kept), loaded=False)

    def rows(self, dataset: Dataset) -> list[dict[str, object]]:
        header = parse_header(self.header)
        opener = ChunkOpener(
            header, DataKey(open_sealed(SealedFor.UPLOAD_KEY, header.digest, self.key, self.sealed_key))
        )
        found: list[dict[str, object]] = []
        for index, sealed in enumerate(self.kept):
            plaintext, _ = opener.open(index, sealed)
            for sent in read_batches(plaintext):
                found += unpacked(sent, arrow_schema(dataset)).to_pylist()
        opener.finish()
        return found

    def attested(self, digest: bytes) -> AttestedKey:
        public = self.key.public.raw
        transcript = Transcript(1, "contract", bytes(32), digest, bytes(32), sha256(public), bytes(32))
        claims = Claims("simulated", bytes(64), {}, "self", memory_protected=False, debug=False, verified_at=AT)
        return AttestedKey(transcript, transcript.instance, public, AT + timedelta(hours=1), claims, ())


@pytest.fixture
def agreement(contract: Contract, member: Callable[..., Any]) -> Agreement:
    raw = contract_bytes(contract)
    members = [member(party.name) for party in contract.parties]
    return agree(raw, [sign_consent(raw, each.keys.signing) for each in members], at=AT)


@pytest.fixture
def dataset(contract: Contract) -> Dataset:
    return contract.datasets[0]


def batch(dataset: Dataset, start: int, rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "pid": list(range(start, start + rows)), "age": [44] * rows, "grade": ["1"] * rows, "weight": [70.5] * rows,
        },
        schema=arrow_schema(dataset),
    )  # fmt: skip


KEY = SigningKey(bytes(range(32)))


def commit(header: Header, tally: ChunkTally) -> bytes:
    return sign_commitment(header, tally, KEY)


def submission(
    agreement: Agreement, dataset: Dataset, batches: Iterable[pa.RecordBatch], **options: object
) -> Submission:
    header, data_key = new_upload(
        contract=agreement.digest, dataset=dataset.name, sender="north", schema_digest=schema_digest(dataset),
        mapping_digest=bytes(32), random=bytes,
    )  # fmt: skip
    return Submission(dataset, header, data_key, batches, commit=commit, **({"chunk_bytes": 1} | options))


@pytest.mark.parametrize(("chunk_bytes", "chunks"), [(1, 12), (200_000, 3), (CHUNK_BYTES, 1)])
def test_small_batches_go_together_into_chunks(
    agreement: Agreement, dataset: Dataset, chunk_bytes: int, chunks: int
) -> None:
    enclave, sent = Enclave(), [batch(dataset, start, 10) for start in range(0, 120, 10)]
    upload = submission(agreement, dataset, sent, chunk_bytes=chunk_bytes)
    upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    assert len(enclave.kept) == chunks
    assert [row["pid"] for row in enclave.rows(dataset)] == list(range(120))


def test_what_arrives_is_what_was_sent_and_committed_to(agreement: Agreement, dataset: Dataset) -> None:
    enclave, seen = Enclave(), list[Progress]()
    sent = [batch(dataset, start, 1000) for start in range(0, 5000, 1000)]
    upload = submission(agreement, dataset, sent, progress=seen.append)
    upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    assert enclave.rows(dataset) == [row for each in sent for row in each.to_pylist()]
    verify_commitment(enclave.commitment, upload.header, ChunkTally.of(enclave.kept), KEY.public)
    assert seen[-1] == Progress("patients", 5, sum(map(len, enclave.kept)), 5, loaded=True)


@pytest.mark.parametrize("rows", [0, 1])
def test_the_smallest_uploads_are_whole_as_well(agreement: Agreement, dataset: Dataset, rows: int) -> None:
    enclave = Enclave()
    submission(agreement, dataset, [batch(dataset, 0, rows)]).send(
        agreement, enclave.attested(agreement.digest), enclave.upload
    )
    assert len(enclave.rows(dataset)) == rows


@pytest.mark.parametrize("break_after", [1, 2, 3])
def test_it_goes_on_where_the_connection_was_lost_at_an_instance_with_another_key(
    agreement: Agreement, dataset: Dataset, break_after: int
) -> None:
    sent = [batch(dataset, start, 100) for start in range(0, 600, 100)]
    upload, enclave = submission(agreement, dataset, sent), Enclave(break_after=break_after)
    while True:
        try:
            upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
            break
        except Unavailable:
            enclave.key = SealingKey.generate()  # restarted: the ciphertext stays, the key does not
    assert enclave.calls == 1 + (6 - 1) // break_after + (6 % break_after == 0)
    assert [row["pid"] for row in enclave.rows(dataset)] == list(range(600))
    verify_commitment(enclave.commitment, upload.header, ChunkTally.of(enclave.kept), KEY.public)


def test_chunks_that_were_acknowledged_and_are_lost_end_the_upload(agreement: Agreement, dataset: Dataset) -> None:
    upload, enclave = submission(agreement, dataset, [batch(dataset, n, 1) for n in range(4)]), Enclave(break_after=3)
    with pytest.raises(Unavailable):
        upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    enclave.kept = enclave.kept[:1]
    with pytest.raises(Unavailable) as refusal:
        upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    assert refusal.value.code == "upload.position"
    upload.stop()


@pytest.mark.parametrize("durable", [5, 2**40])
def test_an_enclave_that_acknowledges_what_was_not_sent_is_not_believed(
    agreement: Agreement, dataset: Dataset, durable: int
) -> None:
    def lying(parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        next(parts)
        yield UploadReply(durable, loaded=False)

    upload = submission(agreement, dataset, [batch(dataset, 0, 1)])
    with pytest.raises(Unavailable, match=r"upload\.position"):
        upload.send(agreement, Enclave().attested(agreement.digest), lying)
    upload.stop()


def test_a_rule_that_a_row_breaks_is_what_is_raised_and_the_stream_ends(agreement: Agreement, dataset: Dataset) -> None:
    spoilt = pa.RecordBatch.from_pydict(
        {"pid": [1], "age": [17], "grade": ["1"], "weight": [1.0]}, schema=arrow_schema(dataset)
    )
    upload, enclave = submission(agreement, dataset, [batch(dataset, 5, 3), spoilt]), Enclave()
    with pytest.raises(Forbidden) as refusal:
        upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    assert (refusal.value.code, refusal.value.field) == ("table.range", "age")
    assert not enclave.commitment
    upload.stop()


def test_a_source_that_fails_in_the_middle_wakes_everybody(agreement: Agreement, dataset: Dataset) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield batch(dataset, 0, 10)
        raise ZeroDivisionError

    upload, enclave = submission(agreement, dataset, failing()), Enclave()
    with pytest.raises(ZeroDivisionError):
        upload.send(agreement, enclave.attested(agreement.digest), enclave.upload)
    upload.stop()


def test_a_refusal_of_the_enclave_comes_out_as_it_is(agreement: Agreement, dataset: Dataset) -> None:
    def refusing(parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        next(parts)
        yield UploadReply(0, loaded=False)
        raise Forbidden("table.range", "no", why="because", remedy="change it", field="age")

    upload = submission(agreement, dataset, [batch(dataset, 0, 1)])
    with pytest.raises(Refusal, match=r"table\.range"):
        upload.send(agreement, Enclave().attested(agreement.digest), refusing)
    upload.stop()


def test_stopping_ends_every_thread_even_while_the_enclave_says_nothing(agreement: Agreement, dataset: Dataset) -> None:
    asked, silent = threading.Event(), threading.Event()

    def mute(parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        next(parts)
        asked.set()
        silent.wait(10)
        yield from ()

    upload = submission(agreement, dataset, (batch(dataset, n * 10, 10) for n in range(10_000)))
    failed: list[BaseException] = []

    def send() -> None:
        try:
            upload.send(agreement, Enclave().attested(agreement.digest), mute)
        except Unavailable as refusal:
            failed.append(refusal)

    sending = threading.Thread(target=send)
    sending.start()
    assert asked.wait(10)
    upload.stop()
    silent.set()
    sending.join(10)
    assert not sending.is_alive()
    assert not any(thread.name.endswith("patients") and thread.is_alive() for thread in threading.enumerate())


def test_the_outbox_holds_no_more_than_its_bytes_until_they_are_durable() -> None:
    box, chunk = Outbox(max_bytes=4000), Chunk(bytes(1000))
    for _ in range(4):
        box.put(chunk)
    putting = threading.Thread(target=box.put, args=(chunk,))
    putting.start()
    putting.join(0.05)
    assert putting.is_alive()
    assert box.sealed == 4
    box.acknowledge(1)
    putting.join(10)
    assert not putting.is_alive()
    assert (box.durable, box.sealed) == (1, 5)
    assert OUTBOX_MAX_BYTES == 64 << 20


def test_a_contract_or_purpose_of_another_kind_is_a_bug_not_an_upload(agreement: Agreement, dataset: Dataset) -> None:
    upload = submission(agreement, dataset, [])
    boot = Enclave().attested(agreement.digest)
    with pytest.raises(ValueError, match="own contract"):
        upload.send(
            agreement,
            AttestedKey(boot.transcript, boot.instance, None, boot.not_after, boot.claims, ()),
            lambda _: iter(()),
        )
