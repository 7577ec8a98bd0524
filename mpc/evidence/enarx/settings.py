"""``Enarx.toml``: how a keep is started; arguments, environment, open files in order, and which steward it asks.

A file's ``kind`` says which other keys it has. ``prot`` has no default, whatever Enarx's page says: its reader takes
the protocol to tell the forms apart. Without a table of files a keep gets none; without the whole file, the three
standard ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mpc.evidence.enarx.policy import read_toml
from mpc.evidence.json_fields import field_of, number_of, refuse_field, texts_of

_WHAT: Final = "the keep's settings"
_PORTS: Final[Mapping[str, int]] = MappingProxyType({"tls": 443, "tcp": 80})
_STANDARD: Final = frozenset({"null", "stdin", "stdout", "stderr"})
_KEYS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({
    **{kind: frozenset({"kind", "name"}) for kind in _STANDARD},
    "listen": frozenset({"kind", "prot", "name", "addr", "port"}),
    "connect": frozenset({"kind", "prot", "name", "host", "port"}),
})  # fmt: skip
_PORT_MAX: Final = 0xFFFF
_KNOWN: Final = frozenset({"args", "env", "files", "steward"})


@dataclass(frozen=True)
class KeepFile:
    """One open file, by its place in the list; ``address`` and ``port`` are of sockets alone."""

    kind: str
    name: str
    protocol: str | None = None
    address: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class KeepSettings:
    """How a keep is started; ``ignored`` are keys at the top that Enarx passes over."""

    args: tuple[str, ...]
    env: Mapping[str, str]
    files: tuple[KeepFile, ...]
    steward: str | None
    ignored: tuple[str, ...]


def parse_settings(raw: bytes) -> KeepSettings:
    """Return the settings that ``raw`` spells, or raise ``Malformed``."""
    found = read_toml(raw, what=_WHAT)
    env = field_of(found, "env", dict, _WHAT) if "env" in found else {}
    steward = field_of(found, "steward", str, _WHAT) if "steward" in found else None
    if steward is not None and "://" not in steward:
        refuse_field(_WHAT, "value out of range", "steward", "a URL", repr(steward[:64]))
    files = field_of(found, "files", list, _WHAT) if "files" in found else []
    return KeepSettings(
        args=texts_of(found, "args", _WHAT) if "args" in found else (),
        env={name: field_of(env, name, str, _WHAT) for name in env},
        files=tuple(_file(entry) for entry in files),
        steward=steward,
        ignored=tuple(sorted(set(found) - _KNOWN)),
    )


def _file(entry: object) -> KeepFile:
    if not isinstance(entry, dict):
        refuse_field(_WHAT, "wrong type", "files", "tables", type(entry).__name__)
    kind = field_of(entry, "kind", str, _WHAT)
    if kind not in _KEYS:
        refuse_field(_WHAT, "unknown file kind", "kind", " or ".join(sorted(_KEYS)), repr(kind[:32]))
    unknown = sorted(set(entry) - _KEYS[kind])
    if unknown:
        refuse_field(_WHAT, "unknown key", unknown[0], " or ".join(sorted(_KEYS[kind])), unknown[0])
    return KeepFile(kind, _name(entry, kind)) if kind in _STANDARD else _socket(entry, kind)


def _socket(entry: Mapping[str, Any], kind: str) -> KeepFile:
    protocol = field_of(entry, "prot", str, _WHAT)
    if protocol not in _PORTS:
        refuse_field(_WHAT, "value out of range", "prot", "tls or tcp", repr(protocol[:32]))
    port = number_of(entry, "port", _WHAT, maximum=_PORT_MAX) if "port" in entry else _PORTS[protocol]
    if kind == "listen":
        field_of(entry, "name", str, _WHAT)
        address = field_of(entry, "addr", str, _WHAT) if "addr" in entry else "::"
        return KeepFile(kind, _name(entry, kind), protocol, address, port)
    host = field_of(entry, "host", str, _WHAT)
    return KeepFile(kind, _name(entry, host), protocol, host, port)


def _name(entry: Mapping[str, Any], otherwise: str) -> str:
    if "name" not in entry:
        return otherwise
    name = field_of(entry, "name", str, _WHAT)
    if ":" in name:  # the names reach the program in one text, parted by colons
        refuse_field(_WHAT, "value out of range", "name", "a name without a colon", repr(name[:64]))
    return name
