"""Arrow batches that were held against what their dataset promises.

``BatchChecker`` sees every batch of one upload once and in order. Its order of work is a safety property: a
column whose offsets point outside of its buffers crashes whatever touches it, so ``validate(full=True)`` comes
before anything that reads a value (``validate()`` and ``read_all`` accept such a column). Texts may be codes, as they
travel (``mpc.table.packing``); whoever asks a ``Table`` for batches gets the texts.

Refusals name the column and the rule; no value, count or position enters them, as they travel outside.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.canonical import canonical_cbor, sha256
from mpc.errors import Exhausted, Forbidden, Malformed
from mpc.table.packing import check_form, decoded, is_coded, is_same_but_for_codes, unpacked, with_codes
from mpc.table.schema import Column, Dataset

KEPT_WHILE_ORDERED = 1 << 20
"""Keys that are kept while they have come in strictly increasing order; past it, order itself is the proof."""

_ASCII_END = 0x80

UNIQUE_MAX_BYTES = 1 << 30
"""Bytes of keys that a check of uniqueness may keep when they come in no order."""

_ARROW_TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.utf8(),
    "category": pa.utf8(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}

_BOUNDS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
}


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """Return the one Arrow schema that batches of ``dataset`` have: its columns, in order, with nullability."""
    return pa.schema([pa.field(column.name, _arrow_type(column), column.nullable) for column in dataset.columns])


def schema_digest(dataset: Dataset) -> bytes:
    """Return the SHA-256 digest that names the dataset's schema: columns, subject and keys, but not its owners."""
    terms = dataset.model_dump(mode="json", include={"name", "columns", "subject", "keys"})
    return sha256(canonical_cbor(["sealroom schema v1", terms]))


def _arrow_type(column: Column) -> pa.DataType:
    if column.type == "decimal":
        return pa.decimal128(column.precision or 38, column.scale or 0)
    return _ARROW_TYPES[column.type]


def normalised(subjects: pa.Array | pa.ChunkedArray, normalisation: str) -> pa.Array | pa.ChunkedArray:
    """Return subject identifiers as they are compared: unchanged, or trimmed and in Unicode lower case."""
    if normalisation == "exact" or not pa.types.is_string(subjects.type):
        return subjects
    return pc.utf8_lower(pc.utf8_trim_whitespace(subjects))


class BatchChecker:
    """Holds the batches of one upload against ``dataset``; ``finish`` tells what only the whole upload shows."""

    def __init__(self, dataset: Dataset, *, unique_max_bytes: int = UNIQUE_MAX_BYTES) -> None:
        self._schema = arrow_schema(dataset)
        subject = dataset.subject
        self._rules = tuple(_ColumnRules(column, subject.column) for column in dataset.columns)
        unique = {(key.columns, "exact") for key in dataset.keys if key.unique}
        if subject.column is not None and subject.rows == "one":
            unique.add(((subject.column,), subject.normalisation))
        self._distinct = [_Distinct(columns, form, unique_max_bytes) for columns, form in sorted(unique)]

    def check(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return ``batch``, safe to read and within the dataset's terms.

        Raises ``Malformed`` for another schema or a broken layout, ``Forbidden`` for a broken rule, ``Exhausted``
        when unordered keys outgrow the bytes that their check may keep.
        """
        well_formed(batch, self._schema)
        for rules, column in zip(self._rules, batch.columns, strict=True):
            rules.check(column)
        for distinct in self._distinct:
            distinct.update(batch)
        return batch

    def finish(self) -> None:
        """Raise ``Forbidden`` when a subject with one row, or a unique key, occurred more than once."""
        for distinct in self._distinct:
            distinct.finish()


def well_formed(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    """Raise ``Malformed`` unless ``batch`` has ``schema``, texts or their codes, and a layout that is safe to read."""
    _require_schema(batch.schema, schema)
    _require_layout(batch)


def packed_well(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    """Raise ``Malformed`` unless ``batch`` is what is packed of rows of ``schema``, and its layout is safe to read."""
    try:
        check_form(batch, schema)
    except pa.ArrowInvalid:
        raise _broken_layout() from None
    _require_layout(batch)


def _require_layout(batch: pa.RecordBatch) -> None:
    try:
        batch.validate()
        for column in batch.columns:
            if not (pa.types.is_string(column.type) and _is_plain_ascii(column)):
                column.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError):
        raise _broken_layout() from None
    if any(is_coded(column.type) and column.dictionary.null_count for column in batch.columns):
        raise _broken_layout()  # a NULL has no code: there is one way to spell it


def _is_plain_ascii(texts: pa.Array) -> bool:
    """Tell whether ``texts`` lie in their buffers in order and are ASCII: then full validation would pass them.

    Full validation decodes text by text, which for short ones takes longer than all other checks together. Bytes
    below 128 are UTF-8 wherever they are cut, so the buffer is looked at as a whole. False sends it there.
    """
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or texts.null_count or offsets is None:
        return False
    if offsets.size < 4 * (texts.offset + len(texts) + 1):
        return False
    places = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    size = 0 if data is None else data.size
    if places[0] < 0 or places[-1] > size or not (places[1:] >= places[:-1]).all():
        return False
    used = np.frombuffer(data, np.uint8, int(places[-1] - places[0]), int(places[0])) if size else places[:0]
    return len(used) == 0 or int(used.max()) < _ASCII_END


def _broken_layout() -> Malformed:
    return Malformed(
        "table.layout", "a batch has a broken layout", why="its buffers do not hold what they claim",
        remedy="write the batch again with an unmodified Arrow library",
    )  # fmt: skip


def _require_schema(found: pa.Schema, expected: pa.Schema) -> None:
    absent = pa.field("absent", pa.null())
    for want, have in itertools.zip_longest(expected, found, fillvalue=absent):
        if want is absent or not is_same_but_for_codes(have, want):
            raise Malformed(
                "table.schema", "a batch has another schema than its dataset", why="names, types or nullability differ",
                remedy="map the source to the columns of the contract, in their order",
                field=None if want is absent else want.name,
            )  # fmt: skip


class _ColumnRules:
    """The rules of one column, with its bounds and codes parsed once."""

    def __init__(self, column: Column, subject: str | None) -> None:
        is_subject = column.name == subject
        self._name = column.name
        self._may_be_null = column.nullable and not is_subject
        self._null_rule = "subject" if is_subject else "null"
        self._is_float = column.type == "float"
        self._minimum = _bound(column, column.minimum)
        self._maximum = _bound(column, column.maximum)
        self._codes = pa.array([code.value for code in column.codes], pa.utf8()) if column.type == "category" else None

    def check(self, values: pa.Array) -> None:
        if values.null_count and not self._may_be_null:
            raise _broken(self._name, self._null_rule, "a value is missing where the contract wants one")
        present = values.drop_null() if values.null_count else values
        if len(present) == 0:
            return
        texts = present.dictionary if is_coded(present.type) else present
        if self._codes is not None and not pc.all(pc.is_in(texts, value_set=self._codes)).as_py():
            raise _broken(self._name, "code", "a value is none of the category's codes")
        if self._is_float or self._minimum is not None or self._maximum is not None:
            self._check_range(present)

    def _check_range(self, present: pa.Array) -> None:
        low, high = _extent(present)
        # NaN and infinity reach the extent: numpy's min and max hand NaN on.
        if self._is_float and not (np.isfinite(low) and np.isfinite(high)):
            raise _broken(self._name, "finite", "a value is not a finite number")
        if (self._minimum is not None and low < self._minimum) or (self._maximum is not None and high > self._maximum):
            raise _broken(self._name, "range", "a value lies outside of the column's range")


def _bound(column: Column, text: str | None) -> Any:  # noqa: ANN401 - of the column's own type
    if text is None:
        return None
    parse = _BOUNDS.get(column.type)
    try:
        bound = None if parse is None else parse(text)
    except (ValueError, ArithmeticError):
        bound = None
    if bound is None or (isinstance(bound, datetime) and bound.tzinfo is None):
        raise Malformed(
            "dataset.bound", "a column's range cannot be read", why="the bound is not of the column's type",
            remedy="write bounds as values of the column's type; text, categories and booleans have none",
            field=column.name,
        )  # fmt: skip
    return bound


def _extent(present: pa.Array) -> tuple[Any, Any]:
    if pa.types.is_int64(present.type) or pa.types.is_float64(present.type):
        values = present.to_numpy()  # no copy: nulls are gone
        return values.min(), values.max()
    extent = pc.min_max(present)
    return extent["min"].as_py(), extent["max"].as_py()


class _Distinct:
    """Tells whether a tuple of columns repeats within one upload.

    Rows that come in strictly increasing order prove it as they pass. Until ``KEPT_WHILE_ORDERED`` rows the keys
    are kept all the same, so that small uploads may come in any order; a larger one that breaks its order after
    that is asked to come sorted. Rows with a NULL among the columns join nothing and are left out.
    """

    def __init__(self, columns: tuple[str, ...], normalisation: str, max_bytes: int) -> None:
        self._columns = columns
        self._normalisation = normalisation
        self._max_bytes = max_bytes
        self._ordered = True
        self._last: pa.Table | None = None
        self._kept: list[pa.Table] = []
        self._kept_all = True
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        keys = self._keys(batch)
        if keys.num_rows == 0:
            return
        self._rows += keys.num_rows
        if self._ordered:
            self._ordered = _strictly_increasing(keys) and (
                self._last is None or _strictly_increasing(pa.concat_tables([self._last, keys.slice(0, 1)]))
            )
            # A slice would keep its whole batch alive.
            self._last = keys.take([keys.num_rows - 1])
        self._keep(keys)

    def _keys(self, batch: pa.RecordBatch) -> pa.Table:
        columns = [normalised(decoded(batch.column(name)), self._normalisation) for name in self._columns]
        keys = pa.table(columns, names=[f"k{i}" for i in range(len(columns))])
        return keys.drop_null() if any(column.null_count for column in columns) else keys

    def _keep(self, keys: pa.Table) -> None:
        if self._ordered and self._rows > KEPT_WHILE_ORDERED:
            self._kept, self._kept_all = [], False
        elif self._kept_all:
            # Copied, as a column of a batch would keep the whole message that it came in.
            self._kept.append(keys.take(pa.array(np.arange(keys.num_rows))))
        if not self._ordered and (not self._kept_all or sum(kept.nbytes for kept in self._kept) > self._max_bytes):
            raise Exhausted(
                "table.unique.order", "an upload is too large to be checked for repeated keys in this order",
                why="its keys come in no order", remedy="sort the source by the key or subject and upload again",
                field=", ".join(self._columns),
            )  # fmt: skip

    def finish(self) -> None:
        if self._ordered or not self._kept:
            return
        if _repeats(pa.concat_tables(self._kept)):
            raise _broken(", ".join(self._columns), "unique", "a value that must occur once occurs again")


def _strictly_increasing(keys: pa.Table) -> bool:
    if keys.num_rows <= 1:
        return True
    if _is_one_integer(keys):
        column = keys.column(0)
        # A single chunk is read in place, several would be copied together.
        values = (column.chunk(0) if column.num_chunks == 1 else column).to_numpy()
        return bool((values[1:] > values[:-1]).all())
    greater: Any = pa.scalar(value=False)
    equal: Any = pa.scalar(value=True)
    for column in keys.columns:
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        greater = pc.or_(greater, pc.and_(equal, pc.greater(after, before)))
        equal = pc.and_(equal, pc.equal(after, before))
    return bool(pc.all(greater).as_py())


def _repeats(keys: pa.Table) -> bool:
    if _is_one_integer(keys):
        values = np.sort(keys.column(0).to_numpy())
        return bool((values[1:] == values[:-1]).any())
    return bool(keys.group_by(keys.column_names, use_threads=False).aggregate([]).num_rows != keys.num_rows)


def _is_one_integer(keys: pa.Table) -> bool:
    return bool(keys.num_columns == 1 and pa.types.is_int64(keys.column(0).type))


def _broken(column: str, rule: str, why: str) -> Forbidden:
    return Forbidden(
        f"table.{rule}", "an upload breaks a rule of its dataset", why=why,
        remedy="correct the source or its mapping; `sealroom party check` shows its owner where", field=column,
    )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """The rows of one owner in one dataset, of the dataset's schema and safe to read; made by ``loaded_table``.

    ``batches`` may be asked for again for every pass. ``resident`` are all of them, packed, when they are in memory;
    None when each pass streams them anew.
    """

    dataset: str
    owner: str
    schema: pa.Schema
    resident: tuple[pa.RecordBatch, ...] | None
    _source: Callable[[], Iterable[pa.RecordBatch]]

    def batches(self, names: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield every batch, in all columns or those of ``names``."""
        return self._read(self._schema_of(self.schema.names if names is None else names))

    def reader(self, names: Sequence[str]) -> pa.RecordBatchReader:
        """Return what reads the columns of ``names`` once; texts are codes where all batches have codes for them."""
        schema = self._schema_of(names)
        kept = schema if self.resident is None else with_codes(schema, self.resident)
        return pa.RecordBatchReader.from_batches(kept, self._read(kept))

    def whole(self) -> pa.Table:
        """Return all rows at once."""
        return pa.Table.from_batches(self.batches(), self.schema)

    def _schema_of(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in names])

    def _read(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        return (unpacked(batch, wanted) for batch in self._checked())

    def _checked(self) -> Iterator[pa.RecordBatch]:
        if self.resident is not None:
            yield from self.resident
            return
        for batch in self._source():
            packed_well(batch, self.schema)
            yield batch


def loaded_table(
    dataset: Dataset, owner: str, source: Iterable[pa.RecordBatch] | Callable[[], Iterable[pa.RecordBatch]]
) -> Table:
    """Return the proof that rows are of ``dataset`` and safe to read, or raise ``Malformed``.

    ``source`` are all batches, or what opens them anew for a pass; either way packed, or as they were before. Layout
    and schema are checked here again, as a loader child may have been taken over by the rows that it opened. The rules
    on values are not: by breaking them an owner gains nothing that it could not as well upload.
    """
    schema = arrow_schema(dataset)
    if callable(source):
        return Table(dataset.name, owner, schema, None, source)
    resident = tuple(source)
    for batch in resident:
        packed_well(batch, schema)
    return Table(dataset.name, owner, schema, resident, lambda: resident)


def checked_table(dataset: Dataset, owner: str, batches: Iterable[pa.RecordBatch]) -> Table:
    """Return the resident table of ``batches`` after the whole check of an upload; for dry runs and small tables."""
    checker = BatchChecker(dataset)
    kept = [checker.check(batch) for batch in batches]
    checker.finish()
    return loaded_table(dataset, owner, kept)
