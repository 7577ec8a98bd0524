"""Keys as they are compared: one spelling for what people write in several. Vectorised; NULL is no key."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.questions.terms import MatchedColumns

_LETTERS = {
    "ß": "ss", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th",
}  # fmt: skip
"""Letters that Unicode does not take apart into a plain one and an accent, in lower case."""

_DATES = (
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3"),
    (r"^([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})$", r"\3-\2-\1"),
    (r"^([0-9]{4})-([0-9])-", r"\1-0\2-"),
    (r"^([0-9]{4}-[0-9]{2})-([0-9])$", r"\1-0\2"),
)
"""What dates are written like, in this order, and what becomes of them."""

_MONTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAY_US = 86_400_000_000

_SPACE, _ASCII_END = 0x20, 0x80

PHONE_DIGITS = (7, 15)
"""Digits of an international number: ITU-T E.164 allows 15; fewer than 7 reach nobody from abroad."""


def compared(column: pa.Array, pair: MatchedColumns) -> pa.Array:
    """Return the keys of ``column`` as ``pair`` compares them; NULL where nothing is left to compare."""
    if pair.normalisation == "exact":
        return _or_nothing(column) if pa.types.is_string(column.type) else column
    if pair.normalisation == "phone":
        return _or_nothing(_phone(column, pair.country or ""))
    return _or_nothing(_MADE[pair.normalisation](column))


def _or_nothing(texts: pa.Array) -> pa.Array:
    # A key that is blank on both sides would link whoever left it blank.
    blank = pc.equal(texts, "")
    if (_bytes(texts) <= _SPACE).any() or not _is_ascii(texts):
        blank = pc.or_(blank, pc.utf8_is_space(texts))
    return pc.if_else(blank, None, texts) if pc.any(blank).as_py() else texts


def _folded(texts: pa.Array) -> pa.Array:
    """Return texts in lower case, in Unicode's compatibility form, without accents."""
    if _is_ascii(texts):
        return pc.ascii_lower(texts)
    texts = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKD"))
    texts = pc.replace_substring_regex(texts, pattern=r"\p{Mn}+", replacement="")
    if pc.any(pc.match_substring_regex(texts, f"[{''.join(_LETTERS)}]")).as_py():
        for letter, plain in _LETTERS.items():
            texts = pc.replace_substring(texts, letter, plain)
    return texts


def _text(texts: pa.Array) -> pa.Array:
    texts = _folded(texts)
    if _is_ascii(texts):
        space = _bytes(texts) <= _SPACE
        if not space.any():
            return texts
        texts = pc.ascii_trim_whitespace(texts)
        # Regular expressions are slow, and most texts have no space that one is needed for.
        if not (space[1:] & space[:-1]).any() and not (_bytes(texts) < _SPACE).any():
            return texts
    return pc.replace_substring_regex(
        pc.utf8_trim_whitespace(texts), pattern=r"[\s\v\p{Z}]+", replacement=" "
    )  # fmt: skip


def _is_ascii(texts: pa.Array) -> bool:
    return not (_bytes(texts) >= _ASCII_END).any()


def _bytes(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of all texts, one after the other; what NULLs hide may be among them."""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset)
    first, end = int(places[0]), int(places[-1])
    return np.frombuffer(data, np.uint8, end - first, first) if end > first else np.zeros(0, np.uint8)


def _name(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(_folded(texts), pattern=r"[^\p{L}\p{N}]+", replacement="")


def _digits(column: pa.Array) -> pa.Array:
    texts = pc.utf8_normalize(column.cast(pa.utf8()), form="NFKC")
    return pc.replace_substring_regex(texts, pattern=r"[^0-9]+", replacement="")


def _phone(column: pa.Array, country: str) -> pa.Array:
    """Return international numbers without their plus; a number without a calling code gets ``country``.

    ``+31 (0)6 …``, ``0031 6 …`` and ``06 …`` are one number in the country 31.
    """
    texts = pc.utf8_normalize(column.cast(pa.utf8()), form="NFKC")
    texts = pc.replace_substring_regex(texts, pattern=r"\(\s*0\s*\)", replacement="")
    texts = pc.replace_substring_regex(texts, pattern=r"[^0-9+]+", replacement="")
    abroad = pc.replace_substring_regex(texts, pattern=r"^(\+|00)", replacement="")
    home = pc.binary_join_element_wise(country, pc.replace_substring_regex(texts, pattern=r"^0", replacement=""), "")
    numbers = pc.if_else(pc.match_substring_regex(texts, r"^(\+|00)"), abroad, home)
    least, most = PHONE_DIGITS
    return pc.if_else(pc.match_substring_regex(numbers, f"^[0-9]{{{least},{most}}}$"), numbers, None)


def _date(column: pa.Array) -> pa.Array:
    """Return days as ``YYYY-MM-DD``; texts are like ``2026-01-31``, ``20260131``, or day first, ``31.1.2026``."""
    if pa.types.is_timestamp(column.type):
        # By hand: Arrow's own way asks the system for time zones, and in a run there is no system.
        moments = np.asarray(column.cast(pa.int64()).fill_null(0))
        column = pa.array((moments // _DAY_US).astype(np.int32), mask=np.asarray(column.is_null())).cast(pa.date32())
    if pa.types.is_date(column.type):
        return column.cast(pa.utf8())
    texts = pc.utf8_trim_whitespace(column)
    for written, iso in _DATES:
        texts = pc.replace_substring_regex(texts, pattern=written, replacement=iso)
    shaped = pc.match_substring_regex(texts, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    parts = pc.if_else(shaped, texts, "0000-00-00").fill_null("0000-00-00")
    year, month, day = (
        np.asarray(pc.utf8_slice_codeunits(parts, start, stop).cast(pa.int64()))
        for start, stop in ((0, 4), (5, 7), (8, 10))
    )
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _MONTHS[np.minimum(month, 12)] + (leap & (month == 2))  # noqa: PLR2004 - February
    is_day = (month >= 1) & (month < len(_MONTHS)) & (day >= 1) & (day <= last)
    return pc.if_else(pa.array(is_day), texts, None)


_MADE: dict[str, Callable[[pa.Array], pa.Array]] = {
    "text": _text, "name": _name, "digits": _digits, "date": _date,
}  # fmt: skip
