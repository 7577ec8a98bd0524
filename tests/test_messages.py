"""Protobuf and the domain: what is encoded comes back, anything else is ``Malformed``, and refusals travel whole."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, get_args, get_origin, get_type_hints

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc import messages
from mpc.errors import KINDS, Malformed, OutOfOrder, Refusal, Unavailable
from mpc.messages import (
    REFUSAL_METADATA,
    STATUS,
    VERSIONS,
    AttestRequest,
    Chunk,
    ReceiptPart,
    SealedPart,
    UploadCommitment,
    UploadOpen,
    attest_purpose,
    decode,
    decode_result,
    decode_upload,
    encode,
    encode_result,
    encode_upload,
    negotiate,
    refusal_from,
    refusal_status,
)
from mpc.wire import coordinator_pb2 as wire

NAMES = frozenset(wire.DESCRIPTOR.message_types_by_name)
VALUES = tuple(
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__name__ in NAMES
)
NARROW = {"wait_milliseconds", "version", "versions", "seconds"}
"""Fields of 32 bits; the other numbers have 64."""


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is tuple:
        return st.lists(_field(name, get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3)
    if dataclasses.is_dataclass(hint):
        return _value(hint)
    simple = {bytes: st.binary(max_size=99), str: st.text(max_size=20), bool: st.booleans()}
    return simple[hint] if hint in simple else st.integers(0, 2 ** (32 if name in NARROW else 64) - 1)


def _value(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: _field(name, hint) for name, hint in get_type_hints(kind).items()})


def test_every_message_has_a_value() -> None:
    framed = {"UploadRequest", "ResultReply"}  # their parts are values, and are tested below
    assert {kind.__name__ for kind in VALUES} == NAMES - framed
    assert len(VALUES) == 22


@given(st.data())
def test_every_value_comes_back_as_it_went(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(VALUES).flatmap(_value))
    assert decode(type(value), encode(value)) == value


@given(st.one_of(_value(UploadOpen), _value(UploadCommitment), st.binary(max_size=40_000).map(Chunk)))
def test_every_part_of_an_upload_comes_back_as_it_went(part: Any) -> None:
    raw = encode_upload(part)
    assert decode_upload(raw) == part
    assert wire.UploadRequest.FromString(raw).SerializeToString() == raw  # also where it is framed by hand


@given(st.one_of(_value(ReceiptPart), _value(SealedPart)))
def test_every_part_of_a_result_comes_back_as_it_went(part: Any) -> None:
    assert decode_result(encode_result(part)) == part


@given(st.sampled_from(VALUES), st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(kind: type, raw: bytes) -> None:
    _reads_or_refuses(lambda: decode(kind, raw), kind)


@given(st.data())
def test_a_message_with_one_byte_changed_or_its_end_cut_is_a_message_or_malformed(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(VALUES).flatmap(_value))
    raw = bytearray(encode(value)) or bytearray(b"\x00")
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    _reads_or_refuses(lambda: decode(type(value), bytes(raw)), type(value))
    _reads_or_refuses(lambda: decode(type(value), bytes(raw[:place])), type(value))


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda rest: b"\x12" + rest))
def test_any_bytes_are_a_part_or_malformed(raw: bytes) -> None:
    _reads_or_refuses(lambda: decode_upload(raw), object)
    _reads_or_refuses(lambda: decode_result(raw), object)


def _reads_or_refuses(read: Any, kind: type) -> None:
    try:
        value = read()
    except Malformed as refusal:
        assert refusal.code == "message.malformed"  # noqa: PT017 - either way is right, but only these two
    else:
        assert isinstance(value, kind)


@pytest.mark.parametrize("raw", [b"", b"\x12", b"\x12\xff\xff\xff\xff\xff\xff", b"\x12\x05abc", b"\x0a\x01\xff"])
def test_a_broken_part_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_upload(raw)


def test_an_unknown_field_is_skipped_so_that_fields_may_be_added() -> None:
    raw = encode(messages.StatusRequest(3, 4)) + b"\xfa\x3f\x03new"
    assert decode(messages.StatusRequest, raw) == messages.StatusRequest(3, 4)


def test_a_token_does_not_print() -> None:
    assert "secret" not in repr(messages.AuthenticateReply("secret", 1))


# Versions


def test_the_best_common_version_is_taken() -> None:
    assert negotiate((99, *VERSIONS, 0)) == VERSIONS[-1]


@pytest.mark.parametrize("offered", [(), (0,), (2, 3), tuple(range(1000, 2000))])
def test_no_common_version_is_said_in_one_sentence(offered: tuple[int, ...]) -> None:
    with pytest.raises(OutOfOrder) as refused:
        negotiate(offered)
    refusal = refused.value
    assert (refusal.code, refusal.field, refusal.expected) == ("protocol.version", "versions", "1")
    assert "." not in refusal.what + refusal.why + refusal.remedy
    assert len(str(refusal)) < 250
    assert (refusal.found or "").split(", ")[0] == (str(offered[0]) if offered else "none")


def test_an_attestation_has_a_nonce_and_a_digest_of_their_lengths() -> None:
    nonce = bytes(32)
    assert attest_purpose(AttestRequest((1,), nonce, "boot")) == "boot"
    assert attest_purpose(AttestRequest((1,), nonce, "contract", bytes(32))) == "contract"
    for wrong in (
        AttestRequest((1,), nonce[:31], "boot"),
        AttestRequest((1,), nonce, "boot", bytes(32)),
        AttestRequest((1,), nonce, "contract"),
        AttestRequest((1,), nonce, "debug", bytes(32)),
        AttestRequest((1,), nonce, ""),
    ):
        with pytest.raises(Malformed):
            attest_purpose(wrong)


# Refusals


@contextmanager
def _refusing(refusals: list[Refusal]) -> Iterator[grpc.Channel]:
    """A server that refuses the n-th method with the n-th refusal, as the coordinator's door does."""

    def refuse(raw: bytes, context: grpc.ServicerContext) -> bytes:
        status = refusal_status(refusals[int(raw)])
        context.set_trailing_metadata(status.metadata)
        context.abort(status.code, status.details)

    server = grpc.server(ThreadPoolExecutor(1))
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(0).wait()


def _called(channel: grpc.Channel, number: int) -> tuple[grpc.RpcError, Refusal]:
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/test/Call", None, None)(str(number).encode(), timeout=10)
    return failed.value, refusal_from(failed.value)


def test_every_kind_of_refusal_survives_the_way_over_grpc() -> None:
    texts = {"why": "weil, 为什么", "remedy": "do it", "field": "a.b", "expected": "64 bytes", "found": "“none”"}
    sent = [kind(f"some.{name}", f"what {name}", **texts) for name, kind in KINDS.items()]
    sent += [kind("plain.code", "what", why="why", remedy="remedy") for kind in KINDS.values()]
    with _refusing(sent) as channel:
        for number, refusal in enumerate(sent):
            error, received = _called(channel, number)
            assert type(received) is type(refusal)
            assert received.as_data() == refusal.as_data()
            assert error.code() is STATUS[type(refusal)]
    assert set(STATUS) == set(KINDS.values())
    assert len(set(STATUS.values())) == len(STATUS) == 7


def test_a_refusal_with_much_to_say_is_cut_and_not_lost() -> None:
    names = ("why", "remedy", "field", "expected", "found")
    long = {name: letter * 50_000 for name, letter in zip(names, "ab為de", strict=True)}
    with _refusing([OutOfOrder("long.code", "w" * 50_000, **long)]) as channel:
        _, received = _called(channel, 0)
    assert (type(received), received.code) == (OutOfOrder, "long.code")
    assert "aaaa" in received.why
    assert len(str(received)) < 15_000


@dataclasses.dataclass
class _Failed(grpc.RpcError):
    """A failed call as gRPC raises it."""

    status: grpc.StatusCode
    metadata: tuple[tuple[str, Any], ...] | None = None

    def code(self) -> grpc.StatusCode:
        return self.status

    def trailing_metadata(self) -> Any:
        return self.metadata


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2))
FIELDS = st.sampled_from(("kind", "code", "what", "why", "remedy", "field", "expected", "found", "other"))
REFUSED = st.dictionaries(FIELDS, st.sampled_from(tuple(KINDS)) | JSON)


@given(st.binary() | (REFUSED | JSON).map(lambda data: json.dumps(data).encode()))
def test_whatever_another_program_says_is_a_refusal_that_may_be_printed(raw: bytes) -> None:
    refusal = refusal_from(_Failed(grpc.StatusCode.INTERNAL, ((REFUSAL_METADATA, raw),)))
    assert isinstance(refusal, Refusal)
    for text in (refusal.code, refusal.what, refusal.why, refusal.remedy):
        assert isinstance(text, str)
        assert not text or text.isprintable()
    assert all(text is None or isinstance(text, str) for text in refusal.as_data().values())


def test_control_characters_do_not_reach_a_terminal() -> None:
    said = {**Malformed("a.b", "\x1b[31mred\nline", why="why", remedy="r").as_data()}
    refusal = refusal_from(_Failed(grpc.StatusCode.INTERNAL, ((REFUSAL_METADATA, json.dumps(said).encode()),)))
    assert refusal.what == " [31mred line"


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_a_failed_call_without_a_refusal_is_one_as_well(status: grpc.StatusCode) -> None:
    for metadata in (None, (), ((REFUSAL_METADATA, "text, not bytes"),)):
        refusal = refusal_from(_Failed(status, metadata))
        assert refusal.code.startswith("channel.")
        assert refusal.why
        assert refusal.remedy


def test_a_server_that_is_not_there_is_unavailable() -> None:
    assert type(refusal_from(_Failed(grpc.StatusCode.UNAVAILABLE))) is Unavailable
