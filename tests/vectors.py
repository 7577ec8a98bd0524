"""Real evidence beside the checkout, with the verdict on each; absent, the tests that need it are skipped."""

import functools
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.evidence.claims import Given
from mpc.evidence.verdict import Verdict, examine

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[2] / "shared" / "vectors")
STAGES = ("parse", "verify", "appraise")
NO_TIME = datetime(2026, 6, 1, tzinfo=UTC)
"""Where a vector says that no time matters."""

Entry = dict[str, Any]
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the folder of real evidence is absent")


@functools.cache
def _index() -> tuple[Entry, ...]:
    return tuple(json.loads((VECTORS / "index.json").read_text())) if VECTORS.is_dir() else ()


def entries(name: str) -> list[Entry]:
    """Return every vector of one format."""
    return [entry for entry in _index() if entry["format"] == name]


def named(identifier: str) -> Entry:
    """Return one vector."""
    return next(entry for entry in _index() if entry["id"] == identifier)


def read(name: str) -> bytes:
    """Return one file of the folder."""
    return (VECTORS / name).read_bytes()


def judge(entry: Entry, **changed: Any) -> Verdict:
    """Return the verdict on a vector, with what it says the caller knows."""
    told = entry.get("given") or {}
    arguments: dict[str, Any] = {
        "raw": read(entry["file"]),
        "format": entry["format"],
        "at": datetime.fromisoformat(entry["verify_at"]) if entry["verify_at"] else NO_TIME,
        "endorsements": [read(name) for name in entry["endorsements"]],
        "given": Given(
            nonce=bytes.fromhex(told["nonce"]) if "nonce" in told else None,
            bank=told.get("bank"),
            form=told.get("form"),
        ),
    }
    arguments |= changed
    return examine(arguments.pop("raw"), **arguments)


def assert_as_expected(entry: Entry, verdict: Verdict) -> None:
    """Hold a verdict against what independent code said of the same bytes."""
    expected, data = entry["expect"], verdict.as_data()
    assert sha256(read(entry["file"])).hex() == entry["sha256"]
    assert (data["verdict"], str(data["reason"]).partition(":")[0]) == (expected["verdict"], expected.get("reason", ""))
    assert STAGES.index(verdict.stage) <= STAGES.index(expected["stage"])
    assert not verdict.accepted or verdict.stage == expected["stage"]
    json.dumps(data)
