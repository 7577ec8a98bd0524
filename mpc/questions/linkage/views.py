"""Linked rows as a dataset: the columns of both sides, with the owners and subjects of one of them."""

from collections.abc import Mapping
from typing import Literal

from mpc.errors import Forbidden
from mpc.questions.linkage.link import NAME_CHARACTERS, linked_name
from mpc.table.schema import Dataset, Freshness

LINKED = "linked"
"""What questions about linked rows call them."""


def linked_columns(left: Dataset, right: Dataset) -> Mapping[str, tuple[str, str]]:
    """Return, for each column of linked rows, the dataset and the column that it is; ``Forbidden`` if two are alike."""
    names: dict[str, tuple[str, str]] = {}
    for dataset in (left, right):
        for column in dataset.columns:
            name = linked_name(dataset.name, column.name)
            if name in names or len(name) > NAME_CHARACTERS:
                raise Forbidden(
                    "linkage.name", "columns of linked rows have no names of their own",
                    why=f"{name} is too long, or means two columns", field=name,
                    remedy="give one of the datasets another, short name",
                )  # fmt: skip
            names[name] = (dataset.name, column.name)
    return names


def view_of(
    side: Dataset,
    names: Mapping[str, tuple[str, str]],
    sides: tuple[Dataset, Dataset],
    *,
    left_rows: Literal["one", "many"],
) -> Dataset:
    """Return linked rows as rows of ``side``'s owners and subjects.

    A row of the right may be linked to many of the left, if ``left_rows`` is ``many``: then its subject has many rows.
    """
    by_name = {dataset.name: dataset for dataset in sides}
    columns = []
    for name, (dataset, column) in names.items():
        found = by_name[dataset].column(column)
        assert found is not None  # noqa: S101 - the names were made of these columns
        columns.append(found.model_copy(update={"name": name}))
    subject = side.subject
    repeated = side.name == sides[1].name and left_rows == "many"
    return Dataset(
        name=LINKED,
        description=f"linked rows of {sides[0].name} and {sides[1].name}",
        owners=side.owners,
        columns=tuple(columns),
        subject=subject.model_copy(
            update={
                "column": None if subject.column is None else linked_name(side.name, subject.column),
                "rows": "many" if repeated else subject.rows,
            }
        ),
        keys=(),
        freshness=Freshness(refreshes=0, until=None),
    )
