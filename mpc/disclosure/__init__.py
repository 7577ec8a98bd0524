"""Disclosure control: a ``RawResult`` goes in, a ``Release`` comes out, and nothing else does."""

from mpc.disclosure.control import control
from mpc.disclosure.history import History, question_digest
from mpc.disclosure.release import Release, ReleasedMeasure, ReleasedTable, Withheld, failed_release

__all__ = [
    "History",
    "Release",
    "ReleasedMeasure",
    "ReleasedTable",
    "Withheld",
    "control",
    "failed_release",
    "question_digest",
]
