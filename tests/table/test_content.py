"""Rows are known by their content: not by their batches, nor by what lies under a NULL; and by every value of it."""

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.table.batches import arrow_schema
from mpc.table.content import ContentDigest
from mpc.table.packing import Packer, held, held_schema, unpacked
from mpc.table.schema import Column, Dataset

KINDS: dict[str, tuple[Any, Any]] = {
    "integer": (7, 8), "float": (1.5, -1.5), "decimal": (Decimal("1.25"), Decimal("1.26")), "boolean": (True, False),
    "text": ("höhe", "hohe"), "category": ("x", "y"), "date": (date(2026, 1, 2), date(2026, 1, 3)),
    "timestamp": (datetime(2026, 1, 2, 3, tzinfo=UTC), datetime(2026, 1, 2, 4, tzinfo=UTC)),
}  # fmt: skip


def dataset(**changes: Any) -> Dataset:
    columns = tuple(
        Column.model_validate({
            "name": kind, "description": kind, "type": kind, "unit": None, "nullable": True, "missing": (),
            "precision": 9 if kind == "decimal" else None, "scale": 2 if kind == "decimal" else None,
            "minimum": None, "maximum": None, "codes": (), "filterable": False, "identifier": False,
        })
        for kind in KINDS
    )  # fmt: skip
    return Dataset.model_validate(
        {
            "name": "visits", "description": "visits", "owners": ("north",), "columns": columns, "keys": (),
            "subject": {
                "domain": "d", "column": None, "identity": "none", "normalisation": "exact", "rows": "many",
            },
            "freshness": {"refreshes": 0, "until": None}, **changes,
        }
    )  # fmt: skip


DATASET = dataset()
SCHEMA = arrow_schema(DATASET)
ROW = st.fixed_dictionaries({kind: st.sampled_from([*values, None]) for kind, values in KINDS.items()})


def rows(*given: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(given), schema=SCHEMA)


def digest(*batches: pa.RecordBatch, terms: Dataset = DATASET) -> bytes:
    content = ContentDigest(terms)
    for batch in batches:
        content.update(batch)
    return content.digest()


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_batches_and_their_offsets_do_not_count(given: list[dict[str, Any]], cuts: list[int]) -> None:
    whole = rows(*given)
    places = sorted({0, len(given), *(min(cut, len(given)) for cut in cuts)})
    pieces = [whole.slice(start, end - start) for start, end in itertools.pairwise(places)]
    assert digest(*pieces) == digest(whole) == digest(rows(), *(rows(row) for row in given))


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=20), st.integers(1, 30))
def test_the_form_that_batches_travel_and_are_kept_in_does_not_count(given: list[dict[str, Any]], times: int) -> None:
    plain = rows(*given * times)
    sent = unpacked(Packer().pack(plain), SCHEMA)
    assert digest(sent) == digest(held(sent, held_schema(sent))) == digest(plain)
    assert digest(sent, plain) == digest(plain, sent)


@settings(deadline=None)
@given(st.lists(ROW, max_size=5), st.lists(ROW, max_size=5))
def test_rows_are_the_same_exactly_when_every_value_is(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (digest(rows(*one)) == digest(rows(*other))) == (one == other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_a_null_and_their_order_count(kind: str) -> None:
    first, second = ({kind: value} for value in KINDS[kind])
    told = {digest(rows(*given)) for given in ([first, second], [second, first], [first, {}], [{}, first], [first])}
    assert len(told) == 5


def test_where_one_text_ends_counts() -> None:
    assert digest(rows({"text": "ab"}, {"text": "c"})) != digest(rows({"text": "a"}, {"text": "bc"}))


def test_what_lies_under_a_null_does_not_count() -> None:
    valid = pa.py_buffer(np.packbits([1, 0], bitorder="little"))
    other = {
        "integer": pa.array([7, 99], pa.int64()), "text": pa.array(["a", "secret"], pa.utf8()),
        "boolean": pa.array([True, True]), "float": pa.array([1.5, 9.0]),
    }  # fmt: skip
    plain = rows({name: array[0].as_py() for name, array in other.items()}, {})
    arrays = [
        pa.Array.from_buffers(other[field.name].type, 2, [valid, *other[field.name].buffers()[1:]])
        if field.name in other
        else plain.column(field.name)
        for field in SCHEMA
    ]
    dirty = pa.record_batch(arrays, schema=SCHEMA)
    assert dirty.to_pylist() == plain.to_pylist()
    assert digest(dirty) == digest(plain)


def test_what_the_contract_says_of_the_rows_counts_and_who_owns_them_does_not() -> None:
    row = rows({"integer": 7})
    named = {"domain": "other", "column": None, "identity": "none", "normalisation": "exact", "rows": "many"}
    assert digest(row, terms=dataset(subject=named)) != digest(row)
    assert digest(row, terms=dataset(owners=("north", "south"))) == digest(row)
    assert digest(row, terms=dataset(freshness={"refreshes": 2, "until": "2027-01-01T00:00:00Z"})) == digest(row)
