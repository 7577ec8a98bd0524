"""What two contracts differ in, one change at a time and in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mpc.canonical import sha256
from mpc.contract.terms import Contract

_NAMED_BY = ("name", "party", "value")
_KINDS = {
    "parties": "party",
    "datasets": "dataset",
    "columns": "column",
    "computations": "computation",
    "parameters": "parameter",
    "disclosure": "disclosure rules of",
    "codes": "code",
    "enclaves": "enclave",
}
_LONGEST_WORD = 200


@dataclass(frozen=True)
class Change:
    """One difference: ``path`` is dotted, with names in place of positions; None stands for what is not there."""

    path: str
    old: str | None
    new: str | None

    @property
    def area(self) -> str:
        """The first part of the path: ``enclaves``, ``computations``, ..."""
        return self.path.partition(".")[0]

    @property
    def words(self) -> str:
        """The change as a sentence."""
        subject = _spoken(self.path)
        if self.old is None:
            return f"{subject} is new: {self.new}"
        if self.new is None:
            return f"{subject} is gone: {self.old}"
        return f"{subject} was {self.old} and is now {self.new}"

    def as_data(self) -> dict[str, str | None]:
        """Return the change as plain data."""
        return {"path": self.path, "old": self.old, "new": self.new, "words": self.words}


def diff(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return every difference between two contracts, in the order of the terms; equal contracts give none."""
    return tuple(_changes("", old.model_dump(mode="json"), new.model_dump(mode="json")))


def only_enclaves_differ(old: Contract, new: Contract) -> bool:
    """Tell whether ``new`` differs from ``old`` in its accepted enclaves and its place in the chain alone."""
    changes = diff(old, new)
    return any(change.area == "enclaves" for change in changes) and all(
        change.area in {"enclaves", "supersedes"} for change in changes
    )


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:  # noqa: ANN401 - plain JSON of any shape
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _changes(f"{path}.{name}".lstrip("."), old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(path, old, new)
    else:
        yield Change(path, _side(old), _side(new))


def _list_changes(path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    before, after = _by_name(old), _by_name(new)
    for name in dict.fromkeys((*before, *after)):
        if name in before and name in after:
            yield from _changes(f"{path}.{name}", before[name], after[name])
        else:
            yield Change(f"{path}.{name}", _side(before.get(name)), _side(after.get(name)))
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield Change(f"{path}.order", ", ".join(before), ", ".join(after))


def _by_name(members: list[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for member in members:
        name = next((member[key] for key in _NAMED_BY if key in member), None) if isinstance(member, dict) else None
        named[_side(member) or "" if name is None else str(name)] = member
    return named


def _side(value: Any) -> str | None:  # noqa: ANN401 - plain JSON of any shape
    """Return one side of a change in words. Text stands whole: what is cut off is where a change would hide."""
    if value is None or value == "":
        return None
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')} {_side(part) or 'none'}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(_side(part) or "none" for part in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    spelled = str(value)
    return _shortened(spelled) if len(spelled) > _LONGEST_WORD and " " not in spelled else spelled


def _shortened(word: str) -> str:
    """Return a key or certificate as its beginning and its digest, which tells it from every other."""
    return f"{word[:16]}… (SHA-256 {sha256(word.encode()).hex()})"


def _spoken(path: str) -> str:
    parts = path.split(".")
    words: list[str] = []
    while parts:
        part = parts.pop(0)
        if part in _KINDS and parts:
            words.append(f"{_KINDS[part]} {parts.pop(0)}")
        else:
            words.append(part.replace("_", " "))
    return ": ".join(words)
