"""Linkage from sealed uploads of two owners to a verified result: no row meets another outside of the enclave's run."""

from pathlib import Path

import pyarrow as pa

from tests.coordinator.room import column, computation, room_in


def dataset(name: str, owner: str, subject: str, *columns: dict[str, object]) -> dict[str, object]:
    return {
        "name": name, "description": name, "owners": [owner],
        "columns": [column(subject, identifier=True), column("code", "text", identifier=True), *columns],
        "subject": {
            "domain": subject, "column": subject, "identity": "disjoint", "normalisation": "exact", "rows": "one",
        },
        "keys": [{"columns": ["code"], "unique": False}], "freshness": {"refreshes": 0, "until": None},
    }  # fmt: skip


def rows(subject: str, codes: list[str], **columns: list[int]) -> pa.RecordBatch:
    arrays = [pa.array(range(len(codes)), pa.int64()), pa.array(codes, pa.utf8())]
    names = [subject, "code", *columns]
    arrays += [pa.array(values, pa.int64()) for values in columns.values()]
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(names, arrays, strict=True)]
    return pa.record_batch(arrays, schema=pa.schema(fields))


LINK = {
    "left": "bought", "right": "known", "left_rows": "one",
    "passes": [{"columns": [{"left": "code", "right": "code", "normalisation": "name", "country": None}]}],
}  # fmt: skip


def test_an_intersection_with_sum_runs_from_sealed_rows_to_a_verified_result(tmp_path: Path) -> None:
    question = {
        "kind": "linkage", "link": LINK, "method": "totals",
        "arguments": {"columns": ["bought_amount"], "by": ["known_region"]},
    }  # fmt: skip
    datasets = [
        dataset("bought", "north", "buyer", column("amount")),
        dataset("known", "south", "person", column("region", filterable=True)),
    ]
    asked = computation("sold", "", question=question)
    with room_in(tmp_path, datasets=datasets, computations=[asked]) as room:
        room.to_activated()
        # Sixty of ninety are known, thirty in each region, and forty others.
        room.upload("north", [rows("buyer", [f"Ä-{i}" for i in range(90)], amount=list(range(90)))])
        known = [f"a {i}" for i in range(60)] + [f"x{i}" for i in range(40)]
        room.upload("south", [rows("person", known, region=[i % 2 for i in range(100)])])
        release, receipt = room.result(room.run("sold"))
        assert receipt.outcome == "released"
        totals, *_ = release.tables
        assert totals.data.to_pylist() == [
            {
                "known_region": region, "n": 30, "subjects_bought": 30,
                "bought_amount_sum": float(sum(range(region, 60, 2))), "subjects_known": 30,
            }
            for region in (0, 1)
        ]  # fmt: skip
        quality = {table.name: table.data.to_pylist() for table in release.tables[1:]}
        assert set(quality) == {"match_bought", "match_known"}
        assert {"outcome": "pass 1", "rows": 60} in quality["match_bought"]
        assert not any(
            "Ä" in str(row) or "a 1" in str(row) for table in release.tables for row in table.data.to_pylist()
        )
