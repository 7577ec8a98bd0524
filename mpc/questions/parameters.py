"""Parameters of a run: an adversary's input, so each value has to lie in the domain that the contract declares."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mpc.errors import Forbidden
from mpc.questions.terms import Parameter
from mpc.table.schema import ColumnType

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,28})(\.[0-9]{1,9})?")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_TEXT_MAX_CHARACTERS = 1_000


def check_parameters(parameters: tuple[Parameter, ...], values: Mapping[str, str]) -> Mapping[str, object]:
    """Return the typed value of every parameter, or raise ``Forbidden`` (``parameters.…``).

    Exactly the declared ones must be given, each spelled as its type is (``12``, ``0.5``, ``true``, ``2026-01-31``,
    ``2026-01-31T00:00:00Z``), and each out of ``allowed`` or within ``minimum`` and ``maximum``, both inclusive.
    """
    declared = {parameter.name for parameter in parameters}
    for name in sorted(declared ^ set(values)):
        missing = name in declared
        raise Forbidden(
            f"parameters.{'missing' if missing else 'unknown'}",
            "the parameters are not those that the computation declares",
            why="every declared parameter is given, and no other", field=name if missing else None,
            remedy=f"give exactly these: {', '.join(sorted(declared)) or 'none'}",
        )  # fmt: skip
    return MappingProxyType({parameter.name: _value(parameter, values[parameter.name]) for parameter in parameters})


def _value(parameter: Parameter, text: str) -> object:
    try:
        value = _READ[parameter.type](text)
    except (ValueError, ArithmeticError):
        raise Forbidden(
            "parameters.type", "a parameter's value is not of its type", why="it cannot be read as one",
            remedy="spell it as its type is", field=parameter.name, expected=parameter.type, found="something else",
        ) from None  # fmt: skip
    if not _is_allowed(parameter, text, value):
        raise Forbidden(
            "parameters.domain", "a parameter's value lies outside of its declared domain",
            why="the parties agreed on a domain", remedy=f"choose {_domain(parameter)}", field=parameter.name,
        )  # fmt: skip
    return value


def _is_allowed(parameter: Parameter, text: str, value: object) -> bool:
    if parameter.allowed is not None:
        return text in parameter.allowed
    if parameter.type == "boolean":
        return True
    if parameter.minimum is None or parameter.maximum is None or not isinstance(value, int | float | Decimal):
        return False
    return Decimal(parameter.minimum) <= Decimal(text) <= Decimal(parameter.maximum)


def _domain(parameter: Parameter) -> str:
    if parameter.allowed is not None:
        return "one of " + ", ".join(parameter.allowed)
    if parameter.minimum is None or parameter.maximum is None:
        return "nothing: the contract declares no domain for it, so amend the contract"
    return f"a value from {parameter.minimum} to {parameter.maximum}"


def _whole(text: str) -> int:
    number = int(_spelled(_WHOLE, text))
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[_spelled(re.compile("true|false"), text)]


def _text(text: str) -> str:
    if len(text) > _TEXT_MAX_CHARACTERS or "\x00" in text:
        raise ValueError
    return text


def _timestamp(text: str) -> datetime:
    return datetime.strptime(_spelled(_TIMESTAMP, text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _spelled(form: re.Pattern[str], text: str) -> str:
    if not form.fullmatch(text):
        raise ValueError
    return text


_READ: dict[ColumnType, Callable[[str], Any]] = {
    "integer": _whole,
    "float": lambda text: float(_spelled(_FRACTION, text)),
    "decimal": lambda text: Decimal(_spelled(_FRACTION, text)),
    "boolean": _boolean,
    "text": _text,
    "category": _text,
    "date": lambda text: date.fromisoformat(_spelled(re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), text)),
    "timestamp": _timestamp,
}
