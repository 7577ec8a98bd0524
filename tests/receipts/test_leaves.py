"""A leaf is one event in one spelling, and has no place for what nobody may learn."""

from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.receipts.leaves import KINDS, Leaf, RewrapLeaf, RunLeaf, leaf_bytes, parse_leaf

D, UPLOAD, TIME = "ab" * 32, "cd" * 16, "2026-01-01T00:00:00Z"
VALUES: dict[str, Any] = {
    "contract": D, "party": "clinic", "envelope": D, "instance": D, "hpke": D, "time": TIME, "given": "to_owner",
    "share": D, "dataset": "patients", "owner": "clinic", "upload": UPLOAD, "header": D, "commitment": D, "run": 1,
    "computation": "mean", "parameters": {"band": "1"}, "requester": "clinic", "uploads": (UPLOAD,),
    "outcome": "released", "release": D, "reason": "expired", "previous": D,
    "predecessor": D, "size": 9, "root": D, "holders": ("clinic",), "spent": {D: 2},
}  # fmt: skip


def example(kind: type) -> Leaf:
    names = [name for name in kind.model_fields if name != "leaf"]  # type: ignore[attr-defined]
    return kind(**{name: VALUES[name] for name in names})  # type: ignore[no-any-return]


EXAMPLES = [example(kind) for kind in KINDS]
RAW = leaf_bytes(RunLeaf.model_validate({name: VALUES[name] for name in RunLeaf.model_fields if name != "leaf"}))


@pytest.mark.parametrize("leaf", EXAMPLES, ids=lambda leaf: leaf.leaf)
def test_a_leaf_survives_its_bytes(leaf: Leaf) -> None:
    assert parse_leaf(leaf_bytes(leaf)) == leaf


def test_every_event_has_a_word_of_its_own() -> None:
    assert set(KINDS) == set(get_args(Leaf))
    assert len({leaf.leaf for leaf in EXAMPLES}) == len(KINDS) == 15


def test_no_leaf_has_a_field_that_is_not_known_here() -> None:
    # A new field has to be looked at: leaves carry no row counts, sizes or values.
    assert {name for kind in KINDS for name in kind.model_fields} - {"leaf"} == set(VALUES)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"null", b"[]", RAW + b" ", RAW[:-1], RAW + RAW, RAW + b"," + RAW,
        RAW.replace(b'"leaf":"run"', b'"leaf":"rerun"'), RAW.replace(b'"leaf":"run",', b""),
        RAW.replace(b'"run":1', b'"run":0'), RAW.replace(b'"run":1', b'"run":1,"run":1'),
        RAW.replace(b'"run":1', b'"rows":5,"run":1'), RAW.replace(b"cd", b"CD"),
        RAW + b',"leaf":' + RAW, RAW + b',"other":1', b'"x"},{"leaf":' + RAW,
    ],
)  # fmt: skip
def test_another_spelling_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_leaf(raw)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(RAW) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_another_leaf_or_malformed(at: int, flip: int) -> None:
    changed = bytearray(RAW)
    changed[at] ^= flip
    with suppress(Malformed):
        assert leaf_bytes(parse_leaf(bytes(changed))) == bytes(changed) != RAW


def test_a_leaf_has_no_defaults_in_its_bytes() -> None:
    assert leaf_bytes(RewrapLeaf(upload=UPLOAD)) == b'{"leaf":"rewrap","upload":"%s"}' % UPLOAD.encode()
