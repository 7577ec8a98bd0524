"""A dataset of patients, and tables of it out of plain rows."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject

Row = tuple[Any, ...]


def column(name: str, kind: Any, **terms: Any) -> Column:
    plain: dict[str, Any] = {
        "description": name, "precision": None, "scale": None, "unit": None, "nullable": True, "missing": (),
        "minimum": None, "maximum": None, "codes": (), "filterable": True, "identifier": False,
    }  # fmt: skip
    return Column(name=name, type=kind, **{**plain, **terms})


@pytest.fixture(scope="session")
def patients() -> Callable[..., Dataset]:
    """Make the dataset: ``pid``, ``grade`` (1, 2, 3), ``treated``, ``age`` in years, ``price``, ``town``."""

    def make(
        *,
        identity: Any = "disjoint",
        rows: Any = "one",
        owners: Sequence[str] = ("north", "south"),
        public: bool = False,
    ) -> Dataset:
        codes = tuple(Code(value=value, label=value) for value in "123")
        return Dataset(
            name="patients", description="patients", owners=tuple(owners),
            columns=(
                column("pid", "text", nullable=False, identifier=True), column("grade", "category", codes=codes),
                column("treated", "boolean"), column("age", "float", unit="years"),
                column("price", "decimal", precision=12, scale=2, unit="EUR"), column("town", "text"),
            ),
            subject=Subject(
                domain="person", column=None if public else "pid", identity="none" if public else identity,
                normalisation="trim_casefold", rows=rows,
            ),
            keys=(), freshness=Freshness(refreshes=0, until=None),
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def table() -> Callable[..., Table]:
    """Make one owner's table out of batches of rows ``(pid, grade, treated, age, price, town)``; it is streamed."""

    def make(dataset: Dataset, owner: str, batches: Iterable[Sequence[Row]]) -> Table:
        schema = arrow_schema(dataset)
        made = [
            pa.record_batch(
                [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)], schema=schema
            )
            for rows in batches
        ]
        return loaded_table(dataset, owner, lambda: made)

    return make
