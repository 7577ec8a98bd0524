"""How many digits of a certified value a computed one has."""

import math

MOST = 15
"""NIST gives so many."""


def lre(value: float | None, certified: str) -> float:
    """Return the log relative error, of 0 the log absolute one; 15 if all certified digits agree, 0 without a value."""
    if value is None or not math.isfinite(value):
        return 0.0
    exact = float(certified)
    digits = len(certified.lower().split("e")[0].replace("-", "").replace(".", "").lstrip("0"))
    if value == exact or (digits > 1 and float(f"{value:.{digits - 1}e}") == exact):
        return float(MOST)
    error = abs(value - exact) / (abs(exact) or 1.0)
    return float(min(MOST, max(0.0, -math.log10(error))))
