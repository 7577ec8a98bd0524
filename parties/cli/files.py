"""Files and times that a user names on the command line, and the refusals when they are not usable."""

from datetime import UTC, datetime
from pathlib import Path

from mpc.errors import Malformed, Misconfigured

MOST_BYTES = 64 << 20


def read(path: Path, what: str) -> bytes:
    """Return the bytes of ``path``; ``Misconfigured`` when it cannot be read, ``Malformed`` when it is huge."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(
            "file.unreadable", f"{what} cannot be read", why=error.strerror or "it cannot be opened",
            remedy="correct the path", field=str(path),
        ) from None  # fmt: skip
    if len(raw) > MOST_BYTES:
        raise Malformed(
            "file.size", f"{what} is too long", why="it is over the limit of size", remedy="name the right file",
            field=str(path), expected=f"at most {MOST_BYTES} bytes", found="more",
        )  # fmt: skip
    return raw


def write(path: Path, data: bytes | str, what: str) -> None:
    """Write a new file; an existing one is never written over."""
    raw = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(raw)
    except OSError as error:
        raise Misconfigured(
            "file.unwritable", f"{what} cannot be written", why=error.strerror or "it cannot be created",
            remedy="name another file; nothing is written over", field=str(path),
        ) from None  # fmt: skip


def now() -> datetime:
    """Return this machine's time, in UTC: the one place of the command line that looks at the clock."""
    return datetime.now(UTC)


def time_or_now(text: str | None) -> datetime:
    """Return the time that a user typed (``YYYY-MM-DDTHH:MM:SSZ``), or now."""
    from mpc.canonical import parse_time

    if text is None:
        return now()
    try:
        return parse_time(text)
    except ValueError:
        raise Misconfigured(
            "argument.time", "the time is not understood", why="it is not written as expected",
            remedy="write it as 2026-11-23T14:30:00Z", field="--at", expected="YYYY-MM-DDTHH:MM:SSZ", found=text,
        ) from None  # fmt: skip


def pairs(given: list[str], option: str) -> dict[str, str]:
    """Return ``NAME=VALUE`` arguments as a mapping; a name given twice or without value refuses."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals) or name in found:
            raise Misconfigured(
                "argument.pair", f"{option} {text} is not understood",
                why="the name is given twice" if name in found else "it is not NAME=VALUE",
                remedy=f"write {option} NAME=VALUE, once for each name", field=option,
            )  # fmt: skip
        found[name] = value
    return found
