"""Numbers for groups of rows: each batch's keys become codes, the same for every batch of a pass."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.errors import Exhausted
from mpc.questions.statistics.method import levels
from mpc.table.schema import Dataset

Codes = npt.NDArray[np.int64]

GROUPS_MAX = 1_000_000


class Grouper:
    """Numbers the combinations of ``keys`` in ``dataset``.

    When the contract declares every value of every key, all combinations have numbers from the start, so that a group
    with nobody in it is a group. Else groups are numbered as they first come. Keys among ``present`` are never NULL.
    ``known`` are the values of keys that are no columns of the dataset, None where they are not known either.
    """

    def __init__(
        self,
        dataset: Dataset,
        keys: tuple[str, ...],
        present: tuple[str, ...],
        known: Mapping[str, tuple[Any, ...] | None] | None = None,
    ) -> None:
        self._keys = keys
        columns = {key: dataset.column(key) for key in keys}
        declared = [(known or {}).get(key) if column is None else levels(column) for key, column in columns.items()]
        self.complete = (
            all(each is not None for each in declared) and prod(map(len, filter(None, declared))) <= GROUPS_MAX
        )
        self._columns = [
            _Levels([level for level in each or () if level is not None or key not in present])
            for key, each in zip(keys, declared, strict=True)
        ]
        self._numbers: dict[tuple[int, ...], int] = {}
        self._sizes = [len(column.values) for column in self._columns]
        if self.complete:
            self._numbers = {combination: i for i, combination in enumerate(np.ndindex(*self._sizes))}

    @property
    def count(self) -> int:
        """How many groups have numbers."""
        return len(self._numbers)

    @property
    def groups(self) -> tuple[tuple[Any, ...], ...]:
        """The keys' values of every group, by number."""
        return tuple(
            tuple(column.values[code] for column, code in zip(self._columns, combination, strict=True))
            for combination in self._numbers
        )

    def codes(self, batch: pa.RecordBatch, constant: Mapping[str, Any] | None = None) -> Codes:
        """Return the group's number for each row of ``batch``, whose ``constant`` keys have one value throughout."""
        if not self._keys:
            return np.zeros(batch.num_rows, np.int64)
        same = constant or {}
        each = [
            column.number(same[key]) if key in same else column.codes(batch.column(key))
            for key, column in zip(self._keys, self._columns, strict=True)
        ]
        if self.complete and 0 not in self._sizes and [len(each.values) for each in self._columns] == self._sizes:
            # Every combination has its number already, with the last key fastest.
            numbers = np.zeros(batch.num_rows, np.int64)
            for size, added in zip(self._sizes, each, strict=True):
                numbers *= size
                numbers += added
            return numbers
        # Two keys at a time, made dense again after each, so that many keys cannot outgrow 64 bits.
        combinations: list[tuple[int, ...]] = [()]
        codes = np.zeros(batch.num_rows, np.int64)
        for column, added in zip(self._columns, each, strict=True):
            size = len(column.values)
            paired = pa.array(codes * size + added).dictionary_encode()
            combinations = [(*combinations[pair // size], pair % size) for pair in paired.dictionary.to_pylist()]
            codes = np.asarray(paired.indices).astype(np.int64)
        numbers = np.array([self._number(combination) for combination in combinations], np.int64)
        return numbers[codes]

    def _number(self, combination: tuple[int, ...]) -> int:
        number = self._numbers.setdefault(combination, len(self._numbers))
        if number >= GROUPS_MAX:
            raise Exhausted(
                "statistics.groups", "a question makes too many groups", why="each holds memory of its own",
                remedy="group by fewer or coarser columns", expected=f"at most {GROUPS_MAX}", found="more",
            )  # fmt: skip
        return number


class _Levels:
    """The values of one key by number: those that the contract declares, then others as they come."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self._numbers = {value: i for i, value in enumerate(values)}

    def codes(self, column: pa.Array) -> Codes:
        encoded = column.dictionary_encode(null_encoding="encode")
        numbers = np.array([self.number(value) for value in encoded.dictionary.to_pylist()], np.int64)
        codes: Codes = numbers[np.asarray(pc.cast(encoded.indices, pa.int64()))]
        return codes

    def number(self, value: object) -> int:
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number
