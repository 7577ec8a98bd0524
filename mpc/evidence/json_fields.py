"""Fields of JSON that others wrote: each has to be there, of its type, in its range, or it refuses by its name.

What reads the JSON itself is ``mpc.evidence.loose_json``. Nothing is guessed and nothing has a default here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from mpc.errors import Malformed

AnyField = TypeVar("AnyField", str, int, bool, list[Any], dict[str, Any])
_WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


def field_of(holder: Mapping[str, Any], name: str, kind: type[AnyField], what: str) -> AnyField:
    """Return the field ``name``, which has to be there and to be a ``kind``; true is no number."""
    if name not in holder:
        refuse_field(what, "missing field", name, _WORDS[kind], "nothing")
    value = holder[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        refuse_field(what, "wrong type", name, _WORDS[kind], type(value).__name__)
    return value


def number_of(holder: Mapping[str, Any], name: str, what: str, *, maximum: int) -> int:
    """Return the whole number ``name``, from 0 to ``maximum``."""
    value = field_of(holder, name, int, what)
    if not 0 <= value <= maximum:
        refuse_field(what, "value out of range", name, f"0 to {maximum}", "another number")
    return value


def texts_of(holder: Mapping[str, Any], name: str, what: str) -> tuple[str, ...]:
    """Return the list of texts ``name``."""
    return texts_in(field_of(holder, name, list, what), name, what)


def texts_in(values: Sequence[Any], name: str, what: str) -> tuple[str, ...]:
    """Return ``values``, which have to be texts."""
    for value in values:
        if not isinstance(value, str):
            refuse_field(what, "wrong type", name, "a list of texts", type(value).__name__)
    return tuple(values)


def time_of(holder: Mapping[str, Any], name: str, what: str) -> datetime:
    """Return the UTC time ``name``, as ISO 8601 with a zone spells it."""
    text = field_of(holder, name, str, what)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        refuse_field(what, "malformed date", name, "YYYY-MM-DDTHH:MM:SSZ", repr(text[:32]))
    return time.astimezone(UTC)


def hex_of(holder: Mapping[str, Any], name: str, what: str, *, count: int) -> bytes:
    """Return the ``count`` bytes that the text ``name`` spells in hex."""
    text = field_of(holder, name, str, what)
    value = hex_bytes(text)
    if value is None or len(value) != count:
        refuse_field(what, "malformed hex", name, f"{count} bytes in hex", f"{len(text)} characters")
    return value


def hex_bytes(text: str) -> bytes | None:
    """Return the bytes that ``text`` spells in hex without any blanks, or None."""
    try:
        return bytes.fromhex(text) if text.isalnum() or not text else None
    except ValueError:
        return None


def refuse_field(what: str, why: str, name: str, expected: str, found: object) -> NoReturn:
    """Raise the ``Malformed`` that a field is."""
    raise Malformed(
        "evidence.field", f"{what} is malformed", why=why, remedy="give the file as its maker wrote it, unchanged",
        field=name[:64], expected=expected, found=str(found),
    )  # fmt: skip
