"""Texts that come as codes: answered over as texts, whatever form a chunk has them in, and never decoded unbounded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mpc.errors import Exhausted, Malformed, Refusal
from mpc.messages import Chunk, UploadCommitment
from mpc.table.packing import Packer
from tests.coordinator.room import Room, column, computation, ipc, room_in

CITIES = ("ams", "ber", "cph")
SCHEMA = pa.schema([
    pa.field("pid", pa.int64(), nullable=False), pa.field("city", pa.utf8(), nullable=False),
    pa.field("note", pa.utf8(), nullable=True),
])  # fmt: skip
DATASET: dict[str, Any] = {
    "name": "visits", "description": "visits", "owners": ["north", "south"], "keys": [],
    "columns": [
        column("pid", identifier=True), column("note", "text", nullable=True),
        column("city", "category", filterable=True, codes=[{"value": city, "label": city} for city in CITIES]),
    ],
    "subject": {"domain": "person", "column": "pid", "identity": "disjoint", "normalisation": "exact", "rows": "one"},
    "freshness": {"refreshes": 0, "until": None},
}  # fmt: skip
BY_CITY = "SELECT city, count(*) AS n, count(note) AS notes FROM visits WHERE city <> 'cph' GROUP BY city ORDER BY city"
NAMES = ("pid", "note", "city")
RESIDENT = {"upload_mib": 64, "resident_mib": 64, "run_memory_mib": 256, "run_seconds": 30}


def rows(start: int, count: int, notes: int) -> pa.RecordBatch:
    """Return visits of which every third, all in one city, has no note, and the others one of so many."""
    pids = range(start, start + count)
    made = {
        "pid": list(pids), "note": [f"note {pid % notes}" if pid % 3 else None for pid in pids],
        "city": [CITIES[pid % 3] for pid in pids],
    }  # fmt: skip
    return pa.RecordBatch.from_pydict(made, schema=pa.schema([SCHEMA.field(name) for name in NAMES]))


def opened(folder: Path, limits: dict[str, int]) -> Any:
    asked = computation("by_city", BY_CITY)
    return room_in(folder, datasets=[DATASET], computations=[asked], limits=limits)


def coded(codes: list[int], texts: list[str]) -> bytes:
    column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.uint8()), pa.array(texts), safe=False)
    cities = pa.array([CITIES[0]] * len(codes))
    batch = Packer().pack(rows(0, len(codes), 2))
    schema = batch.schema.set(1, pa.field("note", column.type)).set(2, SCHEMA.field("city"))
    return ipc(pa.record_batch([batch.column(0), column, cities], schema=schema))


def refused(room: Room, plaintext: bytes) -> Refusal:
    header, key, chunks, commitment = room.sealed_upload("north", [plaintext])
    with pytest.raises(Refusal) as found:
        room.send("north", [room.opening("north", header, key), *map(Chunk, chunks), UploadCommitment(commitment)])
    return found.value


@pytest.mark.parametrize("change", [
    lambda schema: schema.append(pa.field("more", pa.int64())),
    lambda schema: schema.set(0, schema.field(0).with_metadata({"base": "1", "more": "1"})),
    lambda schema: schema.with_metadata({"a": "b"}),
    lambda schema: schema.set(1, schema.field(1).with_nullable(nullable=False)),
])  # fmt: skip
def test_what_is_more_or_other_than_the_dataset_is_refused_by_the_loader(
    tmp_path: Path, change: Callable[[pa.Schema], pa.Schema]
) -> None:
    sent = Packer().pack(rows(0, 50, 2))
    schema = change(sent.schema)
    columns = [*sent.columns, *[pa.array([1] * 50)][: len(schema) - len(sent.columns)]]
    with opened(tmp_path, RESIDENT) as room:
        room.to_activated()
        found = refused(room, ipc(pa.record_batch(columns, schema=schema)))
        assert (type(found), found.code) == (Malformed, "table.schema")


@pytest.mark.parametrize("resident_mib", [64, 1])
@pytest.mark.parametrize("notes", [(2, 5000), (5000, 2)])
def test_texts_that_are_codes_in_some_chunks_only_are_one_column(
    tmp_path: Path, resident_mib: int, notes: tuple[int, int]
) -> None:
    with opened(tmp_path, RESIDENT | {"resident_mib": resident_mib}) as room:
        room.to_activated()
        for place, name in enumerate(("north", "south")):
            sent = [Packer().pack(rows(place * 60_000 + i * 30_000, 30_000, many)) for i, many in enumerate(notes)]
            forms = [pa.types.is_dictionary(batch.schema.field("note").type) for batch in sent]
            assert forms == [many == 2 for many in notes]
            room.upload(name, sent)
        release, _ = room.result(room.run(which="by_city"))
        assert release.tables[0].data.to_pydict() == {
            "city": ["ams", "ber"],
            "n": [40_000] * 2,
            "notes": [None, 40_000],
        }


def test_chunks_whose_texts_come_in_another_order_keep_each_its_own_codes(tmp_path: Path) -> None:
    with opened(tmp_path, RESIDENT) as room:
        room.to_activated()
        for place, name in enumerate(("north", "south")):
            # The first of the texts is another in every chunk, and all lie at the same place in it.
            room.upload(name, [Packer().pack(rows(place * 1000 + i * 100, 100, 2)) for i in range(4)])
        release, _ = room.result(room.run(which="by_city"))
        in_all = [*range(400), *range(1000, 1400)]
        counts = [sum(pid % 3 == city for pid in in_all) for city in (0, 1)]
        assert release.tables[0].data.to_pydict()["n"] == counts


def test_few_codes_for_much_text_and_codes_of_none_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path, RESIDENT) as room:
        room.to_activated()
        bomb = refused(room, coded([0] * 100_000, ["x" * 1_000_000]))
        assert (type(bomb), bomb.code) == (Exhausted, "upload.too_large")
        nowhere = refused(room, coded([0, 1], ["x"]))
        assert (type(nowhere), nowhere.code) == (Malformed, "table.layout")
        room.upload("north", [rows(0, 50, 2)])  # plain texts are taken as well
