"""Holds a link against its datasets: keys that both declare, compared in a way that means something for them."""

from collections.abc import Mapping

from mpc.errors import Forbidden
from mpc.questions.terms import Link, LinkPass, MatchedColumns, Normalisation
from mpc.table.schema import Column, ColumnType, Dataset

TEXTS: frozenset[ColumnType] = frozenset({"text", "category"})
_FITS: Mapping[Normalisation, frozenset[ColumnType]] = {
    "text": TEXTS,
    "name": TEXTS,
    "digits": TEXTS | {"integer"},
    "phone": TEXTS | {"integer"},
    "date": TEXTS | {"date", "timestamp"},
}
"""What a normalisation is of; ``exact`` is of two columns of one type that is not ``float``."""

NAME_CHARACTERS = 63


def linked_name(dataset: str, column: str) -> str:
    """Return what linked rows call the ``column`` of ``dataset``."""
    return f"{dataset}_{column}"


def check_link(link: Link, datasets: Mapping[str, Dataset]) -> tuple[Dataset, Dataset]:
    """Return the left and the right dataset, or raise ``Forbidden`` (``linkage.…``)."""
    left, right = (_dataset(name, datasets) for name in (link.left, link.right))
    if left.name == right.name:
        raise _refused(
            "itself", f"{left.name} is linked with itself", "two datasets are linked", "name two of the contract"
        )
    for each in link.passes:
        _check_pass(each, left, right)
    if len(set(link.passes)) != len(link.passes):
        raise _refused("repeated", "a link has a pass twice", "the second links nobody", "leave it out")
    return left, right


def _check_pass(each: LinkPass, left: Dataset, right: Dataset) -> None:
    for pair in each.columns:
        _check_pair(pair, left, right)
    for dataset, names in ((left, [p.left for p in each.columns]), (right, [p.right for p in each.columns])):
        declared = any(set(key.columns) == set(names) for key in dataset.keys)
        if not declared or len(set(names)) != len(names):
            raise _refused(
                "key", f"{', '.join(sorted(names))} is no declared key of {dataset.name}",
                "rows are linked by keys that everybody agreed on", "declare it among the keys of the dataset",
                field=dataset.name,
            )  # fmt: skip


def _check_pair(pair: MatchedColumns, left: Dataset, right: Dataset) -> None:
    columns = (_column(left, pair.left), _column(right, pair.right))
    kinds = {column.type for column in columns}
    fits = _FITS.get(pair.normalisation)
    # Doubles that are printed alike may differ; decimals of different scales are different types to an engine.
    exact = len(kinds) == 1 and "float" not in kinds and columns[0].scale == columns[1].scale
    if not (exact if fits is None else kinds <= fits):
        raise _refused(
            "type", f"{pair.left} and {pair.right} cannot be compared as {pair.normalisation}",
            "the normalisation has no meaning for their types",
            "declare both with one type, or choose another normalisation", field=pair.left,
            expected="two columns of one type" if fits is None else " or ".join(sorted(fits)),
            found=" and ".join(sorted(kinds)),
        )  # fmt: skip
    if (pair.normalisation == "phone") != (pair.country is not None):
        raise _refused(
            "country", "a calling code stands beside a key that is no telephone number, or is missing beside one",
            "numbers without one are completed with it", 'write country, such as "31", for phone and null for all else',
            field=pair.left,
        )  # fmt: skip


def _dataset(name: str, datasets: Mapping[str, Dataset]) -> Dataset:
    dataset = datasets.get(name)
    if dataset is None:
        raise _refused(
            "dataset", f"there is no dataset {name}", "the contract does not declare it",
            "name a dataset of the contract",
        )  # fmt: skip
    return dataset


def _column(dataset: Dataset, name: str) -> Column:
    column = dataset.column(name)
    if column is None:
        raise _refused(
            "column", f"{dataset.name} has no column {name}", "the dataset does not declare it",
            "name a column of the dataset",
        )  # fmt: skip
    return column


def _refused(  # noqa: PLR0917 - what, why and remedy, as everywhere
    code: str, what: str, why: str, remedy: str, field: str | None = None, expected: str | None = None,
    found: str | None = None,
) -> Forbidden:  # fmt: skip
    return Forbidden(f"linkage.{code}", what, why=why, remedy=remedy, field=field, expected=expected, found=found)
