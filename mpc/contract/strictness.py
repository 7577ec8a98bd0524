"""Which of several owners' disclosure rules is the strictest: one order for each rule, written in a table."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mpc.contract.terms import Contract, Rules


def _if_any(strict: str, lax: str) -> Callable[[Sequence[str]], str]:
    return lambda values: strict if strict in values else lax


def _common_name(names: Sequence[str]) -> str:
    return names[0] if len(set(names)) == 1 else "strictest"


STRICTEST: Mapping[str, Callable[[Sequence[Any]], Any]] = MappingProxyType({
    "profile": _common_name,
    "threshold": max,
    "coalition": max,
    "zeros": _if_any("withhold", "release"),
    "complementary": _if_any("suppress", "suppress"),
    "significant_digits": min,
})  # fmt: skip
"""For each field of ``Rules``, how the strictest of several values is found. A rule without an entry is an error."""


def strictest(contract: Contract) -> Rules:
    """Return the rules that hold in ``contract``: of each rule, the strictest that any owner states.

    Guarantees: no owner's rule is weakened by another's, for every rule is at least as strict as each owner's own.
    """
    stated = [entry.rules for entry in contract.disclosure]
    return Rules(**{name: STRICTEST[name]([getattr(rules, name) for rules in stated]) for name in Rules.model_fields})
