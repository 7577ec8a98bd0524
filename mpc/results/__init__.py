"""What an engine hands to disclosure control: every cell with its contributors, and nothing released yet."""

from mpc.results.encoding import from_bytes, to_bytes
from mpc.results.raw import (
    Contributors,
    Counts,
    Largest,
    Measure,
    MeasureKind,
    ModelSize,
    Presentation,
    RawResult,
    RawTable,
)
from mpc.results.shape import check_shape

__all__ = [
    "Contributors", "Counts", "Largest", "Measure", "MeasureKind", "ModelSize", "Presentation", "RawResult",
    "RawTable", "check_shape", "from_bytes", "to_bytes",
]  # fmt: skip
