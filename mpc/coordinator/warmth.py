"""What a child does before it is handed anything: the whole way once, over made-up rows of every column type.

Libraries load parts of themselves when they are first used. After the sandbox is entered no file opens, so whatever
is to be used is used here; it also is time that no upload and no run waits for.
"""

import io
from typing import Any

import numpy.ma  # noqa: F401 - pyarrow asks for it by name, late
import pyarrow as pa

from mpc.table.batches import BatchChecker, arrow_schema
from mpc.table.packing import Packer, check_form, decoded_bytes, read_batches, unpacked, with_codes, write_batches
from mpc.table.schema import Dataset

_VALUES: dict[str, list[Any]] = {
    "integer": [2, 1],
    "float": [1.5, 2.5],
    "decimal": [1, 2],
    "boolean": [True, False],
    "text": ["b", "a"],
    "category": ["x", "x"],
    "date": [1, 2],
    "timestamp": [1, 2],
}
_BOUNDS: dict[str, tuple[str, str]] = {
    "integer": ("0", "9"),
    "float": ("0", "9"),
    "decimal": ("0", "9"),
    "date": ("1970-01-01", "2000-01-01"),
    "timestamp": ("1970-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
}


def made_up_dataset() -> Dataset:
    """Return a dataset with a column of every type, a subject that occurs once, and a unique key of text."""
    columns = []
    for name in _VALUES:
        low, high = _BOUNDS.get(name, (None, None))
        codes = [{"value": "x", "label": "x"}] if name == "category" else []
        precision, scale = (9, 0) if name == "decimal" else (None, None)
        columns.append({
            "name": name, "description": name, "type": name, "precision": precision, "scale": scale, "unit": None,
            "nullable": name != "text", "missing": (), "minimum": low, "maximum": high, "codes": codes,
            "identifier": name == "text", "filterable": name == "category",
        })  # fmt: skip
    subject = {
        "domain": "d", "column": "text", "identity": "shared", "normalisation": "trim_casefold", "rows": "one",
    }  # fmt: skip
    return Dataset.model_validate(
        {
            "name": "made_up", "description": "made up", "owners": ["nobody"], "columns": columns, "subject": subject,
            "keys": [{"columns": ["integer", "text"], "unique": True}], "freshness": {"refreshes": 0, "until": None},
        },
        strict=False,
    )  # fmt: skip


def made_up_rows(dataset: Dataset) -> list[pa.RecordBatch]:
    """Return two rows of it, packed, that have gone the whole way; in no order, so that order is looked at too."""
    schema = arrow_schema(dataset)
    batch = pa.record_batch([pa.array(_VALUES[field.name], field.type) for field in schema], schema=schema)
    sink = io.BytesIO()
    write_batches([Packer().pack(batch)], sink)
    read = list(read_batches(memoryview(sink.getvalue())))
    checker = BatchChecker(dataset)
    for each in read:
        check_form(each, schema)
        checker.check(unpacked(each, with_codes(schema, [each])))
        decoded_bytes(each)
    checker.finish()
    return read
