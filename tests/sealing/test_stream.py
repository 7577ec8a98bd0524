"""A host that drops, swaps, repeats, cuts, appends, alters or replays what a party sealed is refused each time."""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_cbor, sha256
from mpc.errors import Malformed, Refusal, Untrusted
from mpc.sealing.stream import (
    BLOCK_BYTES,
    PLAINTEXT_MAX_BYTES,
    ChunkOpener,
    ChunkSealer,
    ChunkTally,
    DataKey,
    Header,
    check_data_key,
    new_upload,
    open_stream,
    parse_header,
    read_commitment,
    sign_commitment,
    verify_commitment,
)
from mpc.signing import Purpose, SigningKey

OWNER = SigningKey(bytes(32))
STRANGER = SigningKey(bytes([1]) * 32)


def drawn(seed: int = 0) -> Callable[[int], bytes]:
    """A stream of bytes that stands for randomness and differs with its seed."""
    counter = itertools.count()
    return lambda length: sha256(b"%d %d" % (seed, next(counter)))[:length]


def upload(seed: int = 0, **fields: object) -> tuple[Header, DataKey]:
    chosen = {
        "contract": sha256(b"contract"), "dataset": "patients", "sender": "hospital",
        "schema_digest": sha256(b"schema"), "mapping_digest": sha256(b"mapping"),
    }  # fmt: skip
    return new_upload(**{**chosen, **fields}, random=drawn(seed))  # type: ignore[arg-type]


HEADER, DATA_KEY = upload()
PLAIN = [b"first", b"", b"third" * 20_000, b"last"]


def sealed_chunks(plain: list[bytes], header: Header = HEADER, data_key: DataKey = DATA_KEY) -> list[bytes]:
    sealer = ChunkSealer(header, data_key)
    return [sealer.seal(index, chunk, last=index == len(plain) - 1) for index, chunk in enumerate(plain)]


SEALED = sealed_chunks(PLAIN)


def opened(sealed: list[bytes], header: Header = HEADER, data_key: DataKey = DATA_KEY) -> list[bytes]:
    return [bytes(chunk) for chunk in open_stream(header, data_key, sealed)]


@settings(max_examples=40, deadline=None)
@given(plain=st.lists(st.binary(max_size=200) | st.just(b"x" * (BLOCK_BYTES - 8)), min_size=1, max_size=6))
def test_what_opens_is_what_was_sealed(plain: list[bytes]) -> None:
    sealed = sealed_chunks(plain)
    assert opened(sealed) == plain
    assert all(len(chunk) % BLOCK_BYTES == 16 for chunk in sealed)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_other_sequence_of_chunks_refuses(data: st.DataObject) -> None:
    at = st.integers(0, len(SEALED) - 1)
    sealed = list(SEALED)
    match data.draw(st.sampled_from(["drop", "swap", "repeat", "cut", "append", "alter", "shorten", "foreign"])):
        case "drop":
            del sealed[data.draw(at)]
        case "swap":
            first, second = data.draw(st.lists(at, min_size=2, max_size=2, unique=True))
            sealed[first], sealed[second] = sealed[second], sealed[first]
        case "repeat":
            index = data.draw(at)
            sealed.insert(index, sealed[index])
        case "cut":
            del sealed[data.draw(at) :]
        case "append":
            sealed.append(data.draw(st.sampled_from(SEALED)))
        case "alter":
            index = data.draw(at)
            changed = bytearray(sealed[index])
            changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
            sealed[index] = bytes(changed)
        case "shorten":
            index = data.draw(at)
            sealed[index] = sealed[index][: data.draw(st.integers(0, len(sealed[index]) - 1))]
        case "foreign":
            header, data_key = upload(seed=1)
            sealed[data.draw(at)] = sealed_chunks(PLAIN, header, data_key)[data.draw(at)]
    with pytest.raises(Refusal) as refusal:
        opened(sealed)
    assert refusal.value.code in {"stream.chunk", "stream.chunk_size"}


def test_a_stream_without_its_marked_end_refuses() -> None:
    sealer = ChunkSealer(HEADER, DATA_KEY)
    with pytest.raises(Untrusted):
        opened([sealer.seal(index, b"x", last=False) for index in range(3)])
    with pytest.raises(Untrusted):
        opened([])


def test_a_chunk_after_the_last_refuses() -> None:
    sealed = [ChunkSealer(HEADER, DATA_KEY).seal(index, b"x", last=index == 1) for index in range(3)]
    with pytest.raises(Untrusted):
        opened(sealed)


def test_chunks_may_be_opened_in_any_order_and_thread_but_once() -> None:
    opener = ChunkOpener(HEADER, DATA_KEY)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(opener.open, reversed(range(len(SEALED))), reversed(SEALED)))
    assert [bytes(plain) for plain, _ in reversed(results)] == PLAIN
    assert [last for _, last in reversed(results)] == [False, False, False, True]
    assert opener.finish() == len(SEALED)
    with pytest.raises(Untrusted):
        opener.open(0, SEALED[0])


def test_chunks_may_be_sealed_in_any_order_and_thread() -> None:
    sealer = ChunkSealer(HEADER, DATA_KEY)
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda index: sealer.seal(index, PLAIN[index], last=index == 3), (0, 2, 3, 1)))
    assert [sealed[at] for at in (0, 3, 1, 2)] == SEALED


def test_one_nonce_never_meets_two_plaintexts() -> None:
    sealer = ChunkSealer(HEADER, DATA_KEY)
    sealer.seal(0, b"x", last=False)
    with pytest.raises(ValueError, match="nonce"):
        sealer.seal(0, b"y", last=False)
    with pytest.raises(ValueError, match="nonce"):
        sealer.seal(0, b"y", last=True)
    sealer.seal(1, b"z", last=True)
    with pytest.raises(ValueError, match="nonce"):
        sealer.seal(2, b"y", last=False)


def test_padding_hides_sizes_and_leaves_no_trace_of_earlier_chunks() -> None:
    sealer = ChunkSealer(HEADER, DATA_KEY)
    sealer.seal(0, b"secret" * 1000, last=False)
    short = sealer.seal(1, b"short", last=True)
    assert len(short) == len(ChunkSealer(HEADER, DATA_KEY).seal(0, b"x" * 60_000, last=True)) == BLOCK_BYTES + 16
    opener, padded = ChunkOpener(HEADER, DATA_KEY), bytearray(BLOCK_BYTES)
    assert opener._decrypt(1, memoryview(short), memoryview(padded))
    assert padded == (5).to_bytes(8, "big") + b"short" + bytes(BLOCK_BYTES - 13)


@pytest.mark.parametrize(
    "padded",
    [
        (1).to_bytes(8, "big") + b"xy" + bytes(BLOCK_BYTES - 10),  # something in the padding
        (1).to_bytes(8, "big") + b"x" + bytes(2 * BLOCK_BYTES - 9),  # a block too many
        (BLOCK_BYTES).to_bytes(8, "big") + bytes(BLOCK_BYTES - 8),  # a length beyond the end
        (2**63).to_bytes(8, "big") + bytes(BLOCK_BYTES - 8),
    ],
)
def test_one_plaintext_has_one_padding(padded: bytes) -> None:
    opener = ChunkOpener(HEADER, DATA_KEY)
    with pytest.raises(Malformed) as refusal:
        opener.open(0, opener._aead.encrypt(bytes(11) + b"\1", padded, None))
    assert refusal.value.code == "stream.padding"


def test_a_chunk_over_the_limit_is_neither_sealed_nor_opened() -> None:
    sealer = ChunkSealer(HEADER, DATA_KEY)
    assert len(sealer.seal(0, bytes(PLAINTEXT_MAX_BYTES), last=False)) < 4 << 20
    with pytest.raises(ValueError, match="at most"):
        sealer.seal(1, bytes(PLAINTEXT_MAX_BYTES + 1), last=False)
    with pytest.raises(Malformed):
        ChunkOpener(HEADER, DATA_KEY).open(0, bytes(64 * BLOCK_BYTES + 16))


@pytest.mark.parametrize("name", ["contract", "dataset", "sender", "upload_id", "schema_digest", "mapping_digest"])
def test_a_key_under_another_header_refuses(name: str) -> None:
    value: object = "elsewhere" if name in {"dataset", "sender"} else os.urandom(16 if name == "upload_id" else 32)
    moved = replace(HEADER, **{name: value})  # type: ignore[arg-type]
    for use in (ChunkOpener, ChunkSealer, check_data_key):
        with pytest.raises(Untrusted) as refusal:
            use(moved, DATA_KEY)
        assert refusal.value.code == "stream.key_commitment"


def test_another_key_refuses_before_any_chunk_is_touched() -> None:
    with pytest.raises(Untrusted) as refusal:
        ChunkOpener(HEADER, DataKey(bytes(32)))
    assert refusal.value.code == "stream.key_commitment"
    with pytest.raises(Malformed):
        DataKey(bytes(31))


def test_uploads_share_neither_keys_nor_ids() -> None:
    one, key_of_one = upload(seed=1)
    two, key_of_two = upload(seed=2)
    assert one.upload_id != two.upload_id
    assert key_of_one.raw != key_of_two.raw
    assert one.key_commitment != two.key_commitment


def test_a_data_key_does_not_print() -> None:
    assert DATA_KEY.raw.hex()[:8] not in repr(DATA_KEY)
    assert repr(DATA_KEY.raw)[2:10] not in repr(DATA_KEY)


def test_a_header_survives_its_bytes() -> None:
    assert parse_header(HEADER.to_bytes()) == HEADER
    assert HEADER.digest == sha256(HEADER.to_bytes())


def header_map() -> dict[str, object]:
    return HEADER._as_map()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": True}, {"version": "1"}, {"dataset": "Pa tients"}, {"sender": b"hospital"},
        {"upload_id": bytes(15)}, {"contract": "x"}, {"contract": bytes(33)}, {"key_commitment": b""},
        {"schema_digest": None}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_header_of_another_form_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        parse_header(canonical_cbor({**header_map(), **change}))


@pytest.mark.parametrize("name", list(header_map()))
def test_a_header_without_a_field_is_malformed(name: str) -> None:
    fields = header_map()
    del fields[name]
    with pytest.raises(Malformed):
        parse_header(canonical_cbor(fields))


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_header_or_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_header(raw)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(HEADER.to_bytes()) - 1), flip=st.integers(1, 255))
def test_a_changed_header_is_malformed_or_another(at: int, flip: int) -> None:
    raw = bytearray(HEADER.to_bytes())
    raw[at] ^= flip
    with suppress(Malformed):
        assert parse_header(bytes(raw)).digest != HEADER.digest


def committed(header: Header = HEADER, sealed: list[bytes] = SEALED, key: SigningKey = OWNER) -> bytes:
    return sign_commitment(header, ChunkTally.of(sealed), key)


def test_a_commitment_holds_for_its_upload() -> None:
    tally = ChunkTally()
    for index in (2, 0, 3, 1):
        tally.add(index, sha256(SEALED[index]))
    commitment = verify_commitment(committed(), HEADER, tally, OWNER.public)
    assert commitment.header == HEADER.digest.hex()
    assert tally.count == 4
    assert read_commitment(committed(), HEADER, OWNER.public) == commitment


@pytest.mark.parametrize(
    "other",
    [{"contract": bytes(32)}, {"dataset": "visits"}, {"sender": "clinic"}, {"seed": 7}, {"mapping_digest": bytes(32)}],
)
def test_a_commitment_is_not_replayed_into_another_upload(other: dict[str, object]) -> None:
    header, data_key = upload(**other)  # type: ignore[arg-type]
    tally = ChunkTally.of(sealed_chunks(PLAIN, header, data_key))
    with pytest.raises(Untrusted) as refusal:
        verify_commitment(committed(), header, tally, OWNER.public)
    assert refusal.value.code == "commitment.header"


@pytest.mark.parametrize(
    "sealed",
    [SEALED[:-1], [*SEALED, SEALED[0]], [SEALED[1], SEALED[0], *SEALED[2:]], [*SEALED[:-1], SEALED[-1][:-1] + b"\0"]],
)
def test_a_commitment_is_for_its_chunks(sealed: list[bytes]) -> None:
    with pytest.raises(Untrusted) as refusal:
        verify_commitment(committed(), HEADER, ChunkTally.of(sealed), OWNER.public)
    assert refusal.value.code == "commitment.chunks"


def test_a_commitment_is_the_owners_and_a_commitment() -> None:
    tally = ChunkTally.of(SEALED)
    with pytest.raises(Untrusted) as refusal:
        verify_commitment(committed(key=STRANGER), HEADER, tally, OWNER.public)
    assert refusal.value.code == "signature.foreign"
    as_permit = OWNER.envelope(Purpose.PERMIT, b"{}")
    with pytest.raises(Untrusted) as refusal:
        verify_commitment(as_permit, HEADER, tally, OWNER.public)
    assert refusal.value.code == "signature.purpose"


def test_a_tally_with_a_gap_or_a_second_chunk_refuses() -> None:
    tally = ChunkTally()
    with pytest.raises(Untrusted):
        tally.digest()
    tally.add(1, bytes(32))
    with pytest.raises(Untrusted):
        tally.digest()
    tally.add(1, bytes(32))
    with pytest.raises(Untrusted):
        tally.add(1, sha256(b""))
    with pytest.raises(ValueError, match="SHA-256"):
        tally.add(0, b"")


def test_the_commitment_tells_no_size() -> None:
    short, long = (ChunkTally.of(sealed_chunks([b"x"] * count)) for count in (1, 9))
    assert len(sign_commitment(HEADER, short, OWNER)) == len(sign_commitment(HEADER, long, OWNER))
