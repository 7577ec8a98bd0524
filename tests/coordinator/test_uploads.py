import os
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from mpc.errors import Exhausted, Forbidden, Malformed, Refusal, Untrusted
from mpc.messages import Chunk, UploadCommitment
from mpc.sealing.stream import ChunkTally, sign_commitment
from tests.coordinator.room import Member, Room, contract_of, ipc, room_in, rows_of


def _refused(room: Room, plaintexts: list[bytes], **how: bool) -> Refusal:
    header, key, chunks, commitment = room.sealed_upload("north", plaintexts, **how)
    with pytest.raises(Refusal) as refused:
        room.send("north", [room.opening("north", header, key), *map(Chunk, chunks), UploadCommitment(commitment)])
    return refused.value


def _broken_offsets() -> bytes:
    schema = pa.schema([pa.field("pid", pa.int64(), nullable=False)])
    batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int64())], schema=schema)
    return ipc(batch)[:-40]


@pytest.fixture
def room(tmp_path: Path):
    with room_in(tmp_path) as opened:
        opened.to_activated()
        yield opened


def test_bytes_that_are_no_arrow_are_refused_and_a_new_upload_is_taken(room: Room) -> None:
    assert isinstance(_refused(room, [b"no arrow at all"]), Malformed)
    assert isinstance(_refused(room, [_broken_offsets()]), Malformed)
    room.upload("north", [rows_of(0, 50)])


def test_a_broken_rule_names_the_column_to_its_owner_alone(room: Room) -> None:
    batch = rows_of(0, 50).set_column(1, rows_of(0, 1).schema.field(1), pa.array([99] * 50, pa.int64()))
    refusal = _refused(room, [ipc(batch)])
    assert (refusal.kind, refusal.code, refusal.field) == ("forbidden", "table.range", "grp")
    assert "99" not in str(refusal)
    own = room.members["north"].at.status().uploads[0]
    other = room.members["south"].at.status().uploads[0]
    assert (own.state, own.code, other.state, other.code) == ("refused", "table.range", "refused", "")


def test_a_decompression_bomb_is_refused(room: Room) -> None:
    rows = 12_000_000
    zeros = pa.array(np.zeros(rows, np.int64))
    bomb = ipc(pa.record_batch([zeros, zeros, zeros], schema=rows_of(0, 1).schema), compression="zstd")
    assert len(bomb) < 4 << 20
    refusal = _refused(room, [bomb])
    assert isinstance(refusal, Exhausted)
    assert refusal.code == "upload.too_large"


def test_an_upload_whose_last_chunk_is_not_marked_is_refused(room: Room) -> None:
    assert isinstance(_refused(room, [ipc(rows_of(0, 50))], mark_last=False), Untrusted)


def test_a_commitment_to_other_chunks_is_refused(room: Room) -> None:
    header, key, chunks, _ = room.sealed_upload("north", [ipc(rows_of(0, 50))])
    lie = sign_commitment(header, ChunkTally.of([b"other"]), room.members["north"].signing)
    with pytest.raises(Forbidden) as refused:
        room.send("north", [room.opening("north", header, key), *map(Chunk, chunks), UploadCommitment(lie)])
    assert refused.value.code == "commitment.chunks"


def test_another_partys_dataset_and_key_are_refused(room: Room) -> None:
    header, key, *_ = room.sealed_upload("north", [ipc(rows_of(0, 50))])
    with pytest.raises(Forbidden):
        room.send("south", [room.opening("south", header, key)])
    _, other, *_ = room.sealed_upload("north", [ipc(rows_of(0, 50))])
    with pytest.raises(Untrusted):
        room.send("north", [room.opening("north", header, other)])


def test_a_killed_loader_ends_that_upload_only(room: Room) -> None:
    header, key, chunks, commitment = room.sealed_upload("north", [ipc(rows_of(n * 99, 60)) for n in range(3)])

    def parts():
        yield room.opening("north", header, key)
        yield Chunk(chunks[0])
        opened.wait(30)  # the upload has its loader by the time it is first answered
        for template in psutil.Process().children():
            if "loader" in template.cmdline():
                for child in template.children():
                    os.kill(child.pid, signal.SIGKILL)
        yield from map(Chunk, chunks[1:])
        yield UploadCommitment(commitment)

    opened = threading.Event()
    replies = iter(room.members["north"].at.upload(parts()))
    next(replies)
    opened.set()
    with pytest.raises(Exhausted) as refused:
        list(replies)
    assert refused.value.code == "child.ended"
    room.upload("south", [rows_of(0, 50)])
    assert room.upload("north", [rows_of(0, 50)])


def test_rows_above_the_resident_limit_are_streamed_from_the_vault(tmp_path: Path) -> None:
    limits = {"upload_mib": 64, "resident_mib": 1, "run_memory_mib": 256, "run_seconds": 30}
    with room_in(tmp_path, limits=limits) as room:
        room.to_loaded()
        instance = room.instance
        assert instance is not None
        assert instance._agreed is not None
        assert all(
            held.rows is not None and held.rows.resident is None for held in instance._agreed.intake._held.values()
        )
        release, _ = room.result(room.run())
        assert release.tables[0].data.to_pydict()["patients"] == [80, 80, 80]


def test_contract_helper_is_canonical() -> None:
    members = {name: Member(name) for name in ("north", "south", "university")}
    assert contract_of(members) == contract_of(members)


def test_what_was_reserved_for_an_upload_is_given_back_once_it_is_loaded(room: Room) -> None:
    room.upload("north", [rows_of(0, 50)])
    (chunks,) = room.folder.glob("vault/*/chunks")
    assert chunks.stat().st_size < 1 << 20
