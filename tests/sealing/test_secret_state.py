"""The secret state needs every owner's share, and refuses a host that brings back an older one."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_cbor, parse_cbor, sha256
from mpc.errors import Malformed, OutOfOrder, Refusal, Untrusted
from mpc.sealing.secret_state import StateKey, check_share, commit_share, open_state, seal_state

CONTRACT = sha256(b"contract")
OWNERS = ("clinic", "hospital", "registry")


def drawn(seed: int = 0) -> Callable[[int], bytes]:
    counter = itertools.count()
    return lambda length: sha256(b"%d %d" % (seed, next(counter)))[:length]


KEY = StateKey.generate(drawn())
SHARES = KEY.split(OWNERS, drawn(1))
SEALED = seal_state(KEY, contract=CONTRACT, version=3, plaintext=b"history", random=drawn(2))


def test_all_shares_join_to_the_key() -> None:
    joined = StateKey.join(OWNERS, SHARES)
    assert joined.raw == KEY.raw
    assert open_state(joined, contract=CONTRACT, at_least=3, sealed=SEALED) == (3, b"history")


def test_a_single_owner_holds_the_key_itself() -> None:
    assert StateKey.join(OWNERS[:1], KEY.split(OWNERS[:1], drawn())).raw == KEY.raw


@pytest.mark.parametrize("missing", OWNERS)
def test_a_missing_share_refuses(missing: str) -> None:
    with pytest.raises(OutOfOrder) as refusal:
        StateKey.join(OWNERS, {owner: share for owner, share in SHARES.items() if owner != missing})
    assert refusal.value.code == "state.share_missing"
    assert refusal.value.found == missing


def test_fewer_shares_say_nothing() -> None:
    # Whatever the key, all shares but one are what was drawn: the last is the key masked by them.
    other = StateKey(bytes(32)).split(OWNERS, drawn(1))
    assert [owner for owner in OWNERS if other[owner] == SHARES[owner]] == ["hospital", "registry"]
    again = KEY.split(OWNERS, drawn(9))
    assert all(again[owner] != SHARES[owner] for owner in OWNERS)


@pytest.mark.parametrize("owner", OWNERS)
def test_another_share_refuses(owner: str) -> None:
    joined = StateKey.join(OWNERS, {**SHARES, owner: bytes(32)})
    with pytest.raises(Untrusted) as refusal:
        open_state(joined, contract=CONTRACT, at_least=1, sealed=SEALED)
    assert refusal.value.code == "state.key"


def test_a_share_of_another_length_is_malformed() -> None:
    with pytest.raises(Malformed):
        StateKey.join(OWNERS, {**SHARES, "clinic": bytes(31)})


def test_the_log_knows_each_share() -> None:
    committed = commit_share(CONTRACT, "clinic", SHARES["clinic"])
    check_share(CONTRACT, "clinic", SHARES["clinic"], committed)
    for contract, owner, share in (
        (CONTRACT, "clinic", SHARES["hospital"]),
        (CONTRACT, "hospital", SHARES["clinic"]),
        (bytes(32), "clinic", SHARES["clinic"]),
    ):
        with pytest.raises(Untrusted) as refusal:
            check_share(contract, owner, share, committed)
        assert refusal.value.code == "state.share_other"


def test_a_rolled_back_state_refuses() -> None:
    with pytest.raises(Untrusted) as refusal:
        open_state(KEY, contract=CONTRACT, at_least=4, sealed=SEALED)
    assert refusal.value.code == "state.rolled_back"
    # Written just before its event was logged: one ahead is what a crash leaves behind.
    assert open_state(KEY, contract=CONTRACT, at_least=2, sealed=SEALED)[0] == 3


def test_the_version_cannot_be_relabelled() -> None:
    fields = parse_cbor(SEALED, what="state", max_bytes=1 << 20)
    relabelled = canonical_cbor([fields[0], 9, *fields[2:]])
    with pytest.raises(Untrusted) as refusal:
        open_state(KEY, contract=CONTRACT, at_least=4, sealed=relabelled)
    assert refusal.value.code == "state.changed"


def test_the_state_is_its_contracts() -> None:
    with pytest.raises(Untrusted) as refusal:
        open_state(KEY, contract=bytes(32), at_least=1, sealed=SEALED)
    assert refusal.value.code == "state.changed"


def test_one_version_sealed_twice_shares_no_keystream() -> None:
    again = seal_state(KEY, contract=CONTRACT, version=3, plaintext=b"history", random=drawn(5))
    assert again[-4000:] != SEALED[-4000:]


def test_the_size_of_the_history_is_blurred() -> None:
    longer = seal_state(KEY, contract=CONTRACT, version=3, plaintext=b"history" * 300, random=drawn(2))
    assert len(longer) == len(SEALED)


def test_the_key_does_not_print() -> None:
    assert KEY.raw.hex()[:8] not in repr(KEY)
    assert repr(KEY.raw)[2:10] not in repr(KEY)


@pytest.mark.parametrize("value", [None, [], ["sealroom state v1", 1, b"", b"", b""], ["other", 1, bytes(32), b"", b""],
                                   ["sealroom state v1", True, bytes(32), b"", b""]])  # fmt: skip
def test_a_state_of_another_form_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        open_state(KEY, contract=CONTRACT, at_least=1, sealed=canonical_cbor(value))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_refuses(at: int, flip: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= flip
    with pytest.raises(Refusal):
        open_state(KEY, contract=CONTRACT, at_least=1, sealed=bytes(changed))
