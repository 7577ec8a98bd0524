"""Floats of a release keep the contract's significant digits.

Guarantees: a released float has at most that many significant decimal digits, is finite, and never a negative zero.
Sums are not bit-stable between two runs over the same rows; rounding comes before digest and cache, so that what is
compared is what was told. Integers and decimals are exact and stay so.
"""

import math

import pyarrow as pa


def rounded(values: pa.ChunkedArray, digits: int) -> pa.ChunkedArray:
    """Return ``values`` with floats at ``digits`` significant digits and NULL in place of NaN and infinity."""
    if not pa.types.is_floating(values.type):
        return values
    return pa.chunked_array([[_rounded(value, digits) for value in values.to_pylist()]], pa.float64())


def _rounded(value: float | None, digits: int) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    # Adding zero turns -0.0 into 0.0; the largest doubles may round up to infinity.
    near = float(f"{value:.{digits - 1}e}") + 0.0
    return near if math.isfinite(near) else None
