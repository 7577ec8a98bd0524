"""The form in which a batch travels: whole numbers as what they exceed its least by, and few texts as codes.

    integer, timestamp, date   uint8, uint16 or uint32, where the span of the batch fits; the field's ``base`` is added
    text, category             dictionary<uint8, utf8>, where the batch has at most 256 texts
    all others                 as they are; so are these, where no smaller form holds them

Everything that an upload costs is counted in bytes: hashing, encryption, copies, the network, the disk and the memory
that rows are kept in. So they stay packed until they are read, column by column, and texts stay codes for an engine
that groups by them. What a batch has decoded is told by ``decoded_bytes`` before anything is decoded, as few codes may
stand for much text.
"""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.errors import Malformed

CODES_MAX = 256
_TRIED_ROWS = 2048
_BASE: Final = b"base"
_DECIMAL = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_CODED: Final = pa.dictionary(pa.uint8(), pa.utf8())
Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class _Whole:
    """A type that is whole numbers: of which width, and between which bounds."""

    storage: pa.DataType
    least: int
    greatest: int


_INT64 = _Whole(pa.int64(), -(1 << 63), (1 << 63) - 1)
_INT32 = _Whole(pa.int32(), -(1 << 31), (1 << 31) - 1)
_WIDTHS: Final = {pa.uint8(): (1 << 8) - 1, pa.uint16(): (1 << 16) - 1, pa.uint32(): (1 << 32) - 1}


class Packer:
    """Brings the checked batches of one upload into the form that they travel in.

    Texts of one batch are looked for in those of the next first, which takes two thirds of the time of finding them.
    """

    def __init__(self) -> None:
        self._texts: dict[str, pa.Array] = {}

    def pack(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of ``batch``, each column in the smallest of its forms."""
        pairs = [self._packed(field, column) for field, column in zip(batch.schema, batch.columns, strict=True)]
        return pa.record_batch([column for _, column in pairs], schema=pa.schema([field for field, _ in pairs]))

    def _packed(self, field: pa.Field, column: pa.Array) -> tuple[pa.Field, pa.Array]:
        whole = _whole(field.type)
        if whole is not None:
            return _narrowed(field, column, whole)
        if pa.types.is_string(field.type) and (codes := self._codes(field.name, column)) is not None:
            return field.with_type(_CODED), codes
        return field, column

    def _codes(self, name: str, column: pa.Array) -> pa.Array | None:
        known = self._texts.get(name)
        if known is not None:
            places = pc.index_in(column, value_set=known)
            if places.null_count == column.null_count:
                return _coded(places, known)
        tried = column.slice(0, _TRIED_ROWS)
        if pc.count_distinct(tried).as_py() > min(CODES_MAX, len(tried) // 2):
            return None
        codes = column.dictionary_encode()
        if len(codes.dictionary) > CODES_MAX:
            return None
        self._texts[name] = codes.dictionary
        return _coded(codes.indices, codes.dictionary)


def write_batches(batches: Iterable[pa.RecordBatch], sink: pa.NativeFile | IO[bytes]) -> None:
    """Write packed batches to ``sink``, each as one Arrow IPC stream."""
    for batch in batches:
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)


def read_batches(content: memoryview) -> Iterator[pa.RecordBatch]:
    """Yield the packed batch of each stream in ``content``, unchecked; ``ValueError`` where one holds none, or more."""
    source = pa.BufferReader(content)
    while source.tell() < len(content):
        yield _read_batch(source)


def read_pipe(pipe: "io.BufferedReader[Any]") -> Iterator[pa.RecordBatch]:
    """Yield the packed batch of each stream that comes down ``pipe``, as ``read_batches`` does."""
    while pipe.peek(1):
        yield _read_batch(pipe)


def _read_batch(source: "pa.NativeFile | io.BufferedReader[Any]") -> pa.RecordBatch:
    with pa.ipc.open_stream(source) as stream:
        (batch,) = stream
    return batch


def check_form(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    """Raise ``Malformed``, or ``pa.ArrowInvalid``, unless ``batch`` is what is packed of rows of ``schema``.

    Its values are not looked at; of a narrow column there is none that is not right.
    """
    if batch.schema.names != schema.names or batch.schema.metadata is not None:
        raise _other_form("names", "its columns are not the dataset's")
    batch.validate()
    for sent, wanted in zip(batch.schema, schema, strict=True):
        if sent.nullable != wanted.nullable:
            raise _other_form(wanted.name, "its nullability is not the dataset's")
        if (whole := _narrow(sent, wanted)) is not None:
            _base(sent, whole)
        elif sent.metadata is not None:
            raise _other_form(wanted.name, "a field has a note that it should not have")
        elif not is_same_but_for_codes(sent, wanted):
            raise _other_form(wanted.name, "its type is not the dataset's")


def unpacked(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns of a packed batch, whose form was checked, that ``schema`` names, as they were.

    Texts stay codes where ``schema`` says codes.
    """
    columns = [_unpacked(batch.schema.field(wanted.name), wanted, batch.column(wanted.name)) for wanted in schema]
    return pa.record_batch(columns, schema=schema) if columns else batch.select([])


def with_codes(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Schema:
    """Return ``schema`` with codes for the texts that are codes in each of ``batches``."""
    kept = {field.name for field in schema if pa.types.is_string(field.type)}
    for batch in batches:
        kept -= {field.name for field in batch.schema if not is_coded(field.type)}
    return pa.schema([field.with_type(_CODED) if field.name in kept else field for field in schema])


def is_coded(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is texts as codes."""
    return bool(pa.types.is_dictionary(kind))


def is_same_but_for_codes(found: pa.Field, field: pa.Field) -> bool:
    """Tell whether ``found`` is ``field``, or the same with codes for texts."""
    coded = pa.types.is_string(field.type) and found.type == _CODED
    return bool(found.equals(field.with_type(found.type) if coded else field))


def decoded(column: pa.Array) -> pa.Array:
    """Return a column with its texts themselves."""
    return column.dictionary_decode() if is_coded(column.type) else column


def decoded_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of a batch, whose layout was checked, once its texts are no codes."""
    return sum(_coded_bytes(column) if is_coded(column.type) else column.nbytes for column in batch.columns)


def _whole(kind: pa.DataType) -> _Whole | None:
    if pa.types.is_int64(kind) or pa.types.is_timestamp(kind):
        return _INT64
    return _INT32 if pa.types.is_date32(kind) else None


def _coded(places: pa.Array, texts: pa.Array) -> pa.Array:
    """Return codes for the texts at ``places``, each of which was found there: so none is looked at again."""
    return pa.DictionaryArray.from_arrays(places.cast(pa.uint8(), safe=False), texts, safe=False)


def _narrow(sent: pa.Field, wanted: pa.Field) -> _Whole | None:
    """Return what the numbers of the column ``sent`` are once their base is added, or None where none is."""
    return _whole(wanted.type) if sent.type in _WIDTHS else None


def _narrowed(field: pa.Field, column: pa.Array, whole: _Whole) -> tuple[pa.Field, pa.Array]:
    numbers = column.view(whole.storage)
    extent = pc.min_max(numbers)
    base, top = extent["min"].as_py(), extent["max"].as_py()
    if base is None:
        base = top = 0
    for width, greatest in _WIDTHS.items():
        if top - base <= greatest and base + greatest <= whole.greatest and width.bit_width < whole.storage.bit_width:
            above = (_values(numbers, base) - base).astype(width.to_pandas_dtype())
            return field.with_type(width).with_metadata({_BASE: str(base)}), _with_nulls(above, column)
    return field, column


def _values(numbers: pa.Array, instead: int) -> Numbers:
    """Return numbers, with one of them instead of a NULL; without NULL they are read where they lie."""
    return np.asarray(pc.fill_null(numbers, instead) if numbers.null_count else numbers)


def _with_nulls(values: Numbers, like: pa.Array) -> pa.Array:
    return pa.array(values, mask=np.asarray(like.is_null()) if like.null_count else None)


def _unpacked(sent: pa.Field, wanted: pa.Field, column: pa.Array) -> pa.Array:
    if (whole := _narrow(sent, wanted)) is not None:
        numbers = np.add(_values(column, 0), _base(sent, whole), dtype=whole.storage.to_pandas_dtype())
        return _with_nulls(numbers, column).view(wanted.type)
    return column if is_coded(wanted.type) else decoded(column)


def _base(sent: pa.Field, whole: _Whole) -> int:
    """Return what is added to a narrow column; no sum of it is beyond the type, so that none wraps around."""
    note = sent.metadata or {}
    if set(note) != {_BASE} or _DECIMAL.fullmatch(note[_BASE]) is None:
        raise _other_form(sent.name, "a narrow column does not say what is added")
    base = int(note[_BASE])
    if not whole.least <= base <= whole.greatest - _WIDTHS[sent.type]:
        raise _other_form(sent.name, "what is added to a narrow column leads out of its type")
    return base


def _coded_bytes(column: pa.DictionaryArray) -> int:
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return 4 * len(column) + int(pc.sum(lengths, min_count=0).as_py())


def _other_form(name: str, why: str) -> Malformed:
    return Malformed(
        "table.schema", "a batch has another schema than its dataset", why=why,
        remedy="map the source to the columns of the contract, in their order, and send what this project packs",
        field=name,
    )  # fmt: skip
