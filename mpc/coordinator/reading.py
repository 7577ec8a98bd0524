"""A contract that nobody vouches for is read in a child first: whoever reaches the port may hand one in.

A question in it may be made to cost its reader memory and time without end, and none of that is this process's to
give. Once a child has read it within its limits the same program reads the same bytes here, at the same cost:
docs/adr/0028 says why a second time.
"""

import threading
from collections.abc import Mapping
from typing import Any

from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract
from mpc.coordinator.children import Child, Template
from mpc.coordinator.line import LineEnded, refusal_from_child
from mpc.errors import Exhausted

WALL_SECONDS = 20.0


def read_contract(readers: Template, raw: bytes, *, wall_seconds: float = WALL_SECONDS) -> Contract:
    """Return what ``parse_contract`` does; ``Exhausted`` where a child ended before it had read ``raw``."""
    report = _reported(readers.take({"read": raw}), wall_seconds)
    match report:
        case {"read": True}:
            return parse_contract(raw)
        case {"refused": dict(data)}:
            raise refusal_from_child(data)
    raise _too_costly()


def _reported(child: Child, wall_seconds: float) -> Mapping[str, Any]:
    clock = threading.Timer(wall_seconds, child.process.kill)
    clock.daemon = True
    clock.start()
    try:
        return child.line.receive().head
    except LineEnded:
        raise _too_costly() from None
    finally:
        clock.cancel()
        child.kill()


def _too_costly() -> Exhausted:
    return Exhausted(
        "contract.too_costly", "the contract costs too much to read",
        why="reading it took more memory or time than any contract should",
        remedy="ask fewer questions, or simpler ones, in one contract",
    )  # fmt: skip
