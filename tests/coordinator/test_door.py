"""Strangers and parties who send anything at all straight to the gRPC port, and who say who they are falsely."""

import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import psutil
import pytest

from mpc.attesters import choose
from mpc.contract.consent import sign_consent
from mpc.coordinator.admission import DoorLimits
from mpc.errors import Exhausted, Forbidden, Malformed, OutOfOrder, Refusal, Unavailable, Untrusted
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation
from mpc.messages import (
    MESSAGE_MAX_BYTES,
    NONCE_BYTES,
    SERVICE,
    UNAUTHENTICATED_MAX_BYTES,
    AgreeRequest,
    AttestRequest,
    Chunk,
    UploadCommitment,
    UploadOpen,
    UploadPart,
    encode,
    encode_upload,
    refusal_from,
)
from tests.coordinator.room import Room, ipc, room_in, rows_of

OPEN = ("Attest", "Agree", "Challenge", "Authenticate")
CLOSED = (
    "Status", "Activate", "Rewrap", "TakeShare", "ReturnShare", "RequestRun", "Permit", "Log", "Countersign",
    "Withdraw",
)  # fmt: skip
STREAMED = ("Upload", "Result")
BOOT = AttestRequest((1,), bytes(NONCE_BYTES), "boot")


class Seconds:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """Raw bytes to the coordinator's methods, by whoever holds this token."""

    def __init__(self, room: Room, token: str | None = None) -> None:
        certificate = room.connect("university").certificate
        self._channel = grpc.secure_channel(
            room.address,
            grpc.ssl_channel_credentials(certificate.pem),
            options=(("grpc.ssl_target_name_override", "sealroom"), ("grpc.use_local_subchannel_pool", 1)),
        )
        self._metadata = () if token is None else (("authorization", token),)

    def call(self, method: str, raw: bytes) -> bytes:
        """Return the reply, or raise the refusal."""
        path = f"/{SERVICE}/{method}"
        try:
            match method:
                case "Upload":
                    call = self._channel.stream_stream(path, None, None)(iter([raw]), metadata=self._metadata)
                    return b"".join(call)
                case "Result":
                    return b"".join(self._channel.unary_stream(path, None, None)(raw, metadata=self._metadata))
            reply: bytes = self._channel.unary_unary(path, None, None)(raw, metadata=self._metadata, timeout=30)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.INTERNAL:
                raise AssertionError("a bug") from error
            raise refusal_from(error) from None
        return reply

    def refused(self, method: str, raw: bytes) -> Refusal:
        with pytest.raises(Refusal) as refused:
            self.call(method, raw)
        return refused.value

    def close(self) -> None:
        self._channel.close()


def token_of(room: Room, name: str) -> str:
    token = room.members[name].at._token
    assert token is not None
    return token


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A contract that all have signed and nobody has activated."""
    with room_in(tmp_path_factory.mktemp("agreed")) as room:
        room.agree()
        yield room
        assert "bug." not in room.log.getvalue()


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Rows may come in."""
    with room_in(tmp_path_factory.mktemp("active")) as room:
        room.to_activated()
        yield room
        assert "bug." not in room.log.getvalue()


@pytest.fixture
def stranger(agreed: Room) -> Iterator[Wire]:
    wire = Wire(agreed)
    yield wire
    wire.close()


@pytest.fixture
def north(active: Room) -> Iterator[Wire]:
    wire = Wire(active, token_of(active, "north"))
    yield wire
    wire.close()


def garbage(seed: int) -> Iterator[bytes]:
    """Bytes of several shapes, the same ones in every run of the tests."""
    source = random.Random(seed)  # noqa: S311 - the same bytes in every run
    yield b"\xff" * 40
    yield b"\x0a\xff\xff\xff\xff\x0f"
    for _ in range(10):
        yield source.randbytes(source.randrange(1, 300))
        content = source.randbytes(source.randrange(120))
        yield b"\x0a" + bytes([len(content)]) + content  # a well-formed field 1


# Before authentication


@pytest.mark.parametrize("method", ["Attest", "Challenge", "Authenticate"])
def test_a_strangers_message_is_small(stranger: Wire, method: str) -> None:
    padding = b"\xfa\x3f" + _varint(UNAUTHENTICATED_MAX_BYTES) + bytes(UNAUTHENTICATED_MAX_BYTES)
    refusal = stranger.refused(method, encode(BOOT) + padding if method == "Attest" else padding)
    assert (type(refusal), refusal.code, refusal.field) == (Malformed, "message.size", "size")
    assert str(UNAUTHENTICATED_MAX_BYTES) in (refusal.expected or "")


def test_a_contract_may_be_larger_and_has_a_limit_too(stranger: Wire) -> None:
    limit = DoorLimits().agree_bytes
    assert stranger.refused("Agree", encode(AgreeRequest(bytes(1 << 20)))).code != "message.size"
    assert stranger.refused("Agree", encode(AgreeRequest(bytes(limit)))).code == "message.size"


@pytest.mark.parametrize("method", [*OPEN, *CLOSED, *STREAMED])
def test_nobody_sends_more_than_the_largest_message(agreed: Room, stranger: Wire, method: str) -> None:
    refusal = stranger.refused(method, bytes(MESSAGE_MAX_BYTES + 1))
    expected = {"channel.exhausted", "authentication.token"} if method == "Upload" else {"channel.exhausted"}
    assert refusal.code in expected
    assert isinstance(agreed.members["university"].at.challenge(agreed.digest, "north"), bytes)


@pytest.mark.parametrize("method", OPEN)
def test_a_strangers_garbage_is_refused_and_never_a_bug(stranger: Wire, method: str) -> None:
    for raw in garbage(1):
        refusal = stranger.refused(method, raw)
        assert isinstance(refusal, Malformed | Untrusted | Forbidden | OutOfOrder)
        assert "Traceback" not in str(refusal)


@pytest.mark.parametrize("method", [*CLOSED, *STREAMED])
def test_nothing_else_is_read_of_a_caller_without_a_token(stranger: Wire, method: str) -> None:
    for raw in garbage(2):
        assert stranger.refused(method, raw).code == "authentication.token"


def test_an_unknown_method_is_refused(stranger: Wire) -> None:
    assert stranger.refused("Debug", b"").code == "channel.unimplemented"


def test_another_version_is_told_in_one_sentence(stranger: Wire) -> None:
    refusal = stranger.refused("Attest", encode(replace(BOOT, versions=(7, 9))))
    assert (type(refusal), refusal.code) == (OutOfOrder, "protocol.version")
    assert (refusal.expected, refusal.found) == ("1", "7, 9")
    assert stranger.refused("Attest", encode(replace(BOOT, versions=()))).code == "protocol.version"
    assert stranger.call("Attest", encode(replace(BOOT, versions=(1, 9))))


def test_attestations_are_drawn_from_a_bucket(tmp_path: Path) -> None:
    limits = DoorLimits(attestations_a_second=0.0, attestations_at_once=3.0)
    with room_in(tmp_path, limits_of_door=limits) as room:
        wire = Wire(room)
        for _ in range(3):
            wire.call("Attest", encode(BOOT))
        refusal = wire.refused("Attest", encode(BOOT))
        assert (type(refusal), refusal.code) == (Exhausted, "attest.rate")
        assert refusal.remedy.startswith("try again")
        assert wire.refused("Challenge", b"").code != "attest.rate"
        wire.close()


class Slow:
    """Hardware that answers when it is told to, and says that it was asked."""

    format = "simulated"

    def __init__(self) -> None:
        self._attester = choose("simulated")
        self.asked, self.may_answer = threading.Semaphore(0), threading.Event()

    def measure(self, code_digest: bytes) -> None:
        self._attester.measure(code_digest)

    def attest(self, transcript: Transcript) -> Attestation:
        self.asked.release()
        assert self.may_answer.wait(30)
        return self._attester.attest(transcript)


def test_one_attestation_is_in_flight(tmp_path: Path) -> None:
    slow = Slow()
    limits = DoorLimits(turn_seconds=0.05)
    with room_in(tmp_path, attester=slow, limits_of_door=limits) as room, ThreadPoolExecutor(1) as other:
        first, second = Wire(room), Wire(room)
        answer = other.submit(first.call, "Attest", encode(BOOT))
        assert slow.asked.acquire(timeout=30)
        refusal = second.refused("Attest", encode(BOOT))
        assert (type(refusal), refusal.code) == (Exhausted, "door.turn")
        slow.may_answer.set()
        assert answer.result(30)
        assert second.call("Attest", encode(BOOT))
        first.close()
        second.close()


# Who is calling


def test_an_expired_token_is_none(tmp_path: Path) -> None:
    clock = Seconds()
    with room_in(tmp_path, clock=clock) as room:
        room.agree()
        room.appraise("north")
        room.authenticate("north")
        clock.now += 599
        assert room.members["north"].at.status().state == "attested"
        clock.now += 1
        with pytest.raises(Untrusted) as refused:
            room.members["north"].at.status()
        assert refused.value.code == "authentication.token"
        assert "new challenge" in refused.value.remedy
        room.authenticate("north")
        assert room.members["north"].at.status().state == "attested"


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer ", "x" * 43, "Bearer " + "é" * 9, "-" * 9000])
def test_a_token_that_was_never_given_is_none(agreed: Room, token: str) -> None:
    wire = Wire(agreed, token if token.isascii() else None)
    assert wire.refused("Status", b"").code == "authentication.token"
    wire.close()


def test_another_partys_token_brings_no_statement_of_mine(active: Room) -> None:
    members = active.members
    own = members["north"].at._token
    members["north"].at._token = members["south"].at._token
    try:
        with pytest.raises(Refusal) as refused:  # signed by north, brought by south
            active.withdraw("north")
        assert isinstance(refused.value, Untrusted | Forbidden)
        header, key, *_ = active.sealed_upload("north", [ipc(rows_of(0, 20))])
        with pytest.raises(Forbidden) as foreign:
            active.send("north", [active.opening("north", header, key)])
        assert foreign.value.field == "sender"
    finally:
        members["north"].at._token = own
    assert active.ended == []


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"spki": "ab" * 32}, "authentication.spki"),
        ({"contract": "ab" * 32}, "authentication.contract"),
        ({"party": "south"}, "authentication.party"),
        ({"challenge": "ab" * 32}, "authentication.challenge"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_names_another_thing_gets_no_token(agreed: Room, lie: dict[str, str], code: str) -> None:
    agreed.connect("north")
    with pytest.raises(Untrusted) as refused:
        agreed.authenticate("north", **lie)
    assert refused.value.code == code
    assert refused.value.remedy
    with pytest.raises(Untrusted):
        agreed.members["north"].at.status()


def answered(room: Room, challenge: bytes, name: str = "north") -> None:
    room.authenticate(name, challenge=challenge.hex())


def test_an_old_challenge_is_none(tmp_path: Path) -> None:
    clock = Seconds()
    with room_in(tmp_path, clock=clock) as room:
        room.agree()
        challenge = room.members["north"].at.challenge(room.digest, "north")
        clock.now += 60
        with pytest.raises(Untrusted) as refused:
            answered(room, challenge)
        assert refused.value.code == "authentication.challenge"
        challenge = room.members["north"].at.challenge(room.digest, "north")
        clock.now += 59
        answered(room, challenge)


def test_a_challenge_is_answered_once_and_by_whom_it_was_made_for(agreed: Room) -> None:
    agreed.connect("north")
    agreed.connect("south")
    challenge = agreed.members["north"].at.challenge(agreed.digest, "north")
    answered(agreed, challenge)
    with pytest.raises(Untrusted) as twice:
        answered(agreed, challenge)
    assert twice.value.code == "authentication.challenge"
    for_south = agreed.members["north"].at.challenge(agreed.digest, "south")
    with pytest.raises(Untrusted) as foreign:
        answered(agreed, for_south)
    assert foreign.value.code == "authentication.challenge"


def test_a_challenge_is_for_a_party_of_this_contract(agreed: Room) -> None:
    channel = agreed.connect("north")
    with pytest.raises(Forbidden) as nobody:
        channel.challenge(agreed.digest, "nobody")
    assert nobody.value.code == "authentication.unknown"
    with pytest.raises(Forbidden) as other:
        channel.challenge(bytes(32), "north")
    assert other.value.code == "contract.other"


def test_an_answer_under_another_purpose_gets_no_token(agreed: Room) -> None:
    channel = agreed.connect("north")
    with pytest.raises(Refusal) as refused:
        channel.authenticate(sign_consent(agreed.raw, agreed.members["north"].signing))
    assert isinstance(refused.value, Malformed | Untrusted)


# After authentication


@pytest.mark.parametrize("method", [*CLOSED, *STREAMED])
def test_a_partys_garbage_is_refused_or_answered_and_never_a_bug(active: Room, north: Wire, method: str) -> None:
    raws = list(garbage(3)) if method != "Withdraw" else list(garbage(4))
    for raw in raws:
        try:
            north.call(method, raw)
        except Refusal as refusal:
            assert refusal.code not in {"channel.failed", "channel.deadline"}  # noqa: PT017 - some are well formed
    assert '"bug.' not in active.log.getvalue()
    assert active.ended == []


def test_a_partys_message_may_be_larger_and_has_a_limit(active: Room, north: Wire) -> None:
    padding = b"\xfa\x3f" + _varint(1 << 20) + bytes(1 << 20)
    assert north.call("Status", padding)
    assert north.refused("Status", bytes(MESSAGE_MAX_BYTES + 1)).code == "channel.exhausted"
    assert active.members["north"].at.status().uploads is not None


def test_so_many_connections_are_open_at_once_and_a_place_is_free_again(tmp_path: Path) -> None:
    with room_in(tmp_path, limits_of_door=DoorLimits(connections=6, handshake_milliseconds=60_000)) as room:
        host, _, port = room.address.rpartition(":")
        strangers = [socket.create_connection((host, int(port)), timeout=30) for _ in range(12)]
        end = time.monotonic() + 30
        while len(hung_up := select.select(strangers, [], [], 0.5)[0]) < 6 and time.monotonic() < end:
            continue
        assert len(hung_up) == 6  # the others are waited for, to begin the handshake
        with pytest.raises(Unavailable):
            room.connect("north")
        for stranger in strangers:
            stranger.close()
        _soon(lambda: room.connect("north").ask_evidence("boot", None).attestation.format)


_HTTP2_CLIENT = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # RFC 9113, 3.4


def test_a_stranger_who_connects_and_asks_nothing_is_cut_off(tmp_path: Path) -> None:
    with room_in(tmp_path, limits_of_door=DoorLimits(connections=1, idle_milliseconds=300)) as room:
        host, _, port = room.address.rpartition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), timeout=30) as plain,
            context.wrap_socket(plain, suppress_ragged_eofs=True) as idler,
        ):
            idler.sendall(_HTTP2_CLIENT)
            while idler.recv(4096):  # settings, a ping, at last GOAWAY; a server that keeps it lets this time out
                continue
        _soon(lambda: room.connect("north").ask_evidence("boot", None).attestation.format)


def test_a_call_that_never_says_what_it_asks_holds_no_connection_for_ever(tmp_path: Path) -> None:
    with room_in(tmp_path, limits_of_door=DoorLimits(age_milliseconds=300)) as room:
        silence = threading.Event()

        def nothing() -> Iterator[bytes]:
            silence.wait(60)
            yield from ()

        call = room.connect("north")._grpc.stream_stream(f"/{SERVICE}/Attest", None, None)(nothing(), timeout=30)
        try:
            with pytest.raises(grpc.RpcError) as ended:
                list(call)
        finally:
            silence.set()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE  # and not that the caller lost its patience


def test_a_party_whose_idle_connection_was_cut_goes_on_with_its_session(tmp_path: Path) -> None:
    with room_in(tmp_path, limits_of_door=DoorLimits(idle_milliseconds=200)) as room:
        room.to_activated()
        cut, north = threading.Event(), room.members["north"].at
        north._grpc.subscribe(lambda state: state is grpc.ChannelConnectivity.IDLE and cut.set())
        assert cut.wait(30)
        assert north.status().state == "activated"


def test_a_party_has_so_many_calls_at_once(tmp_path: Path) -> None:
    with room_in(tmp_path, limits_of_door=DoorLimits(calls_a_party=1)) as room:
        room.to_activated()
        header, key, *_ = room.sealed_upload("north", [ipc(rows_of(0, 20))])
        sent, more = threading.Event(), threading.Event()

        def parts() -> Iterator[UploadPart]:
            yield room.opening("north", header, key)
            sent.set()
            more.wait(30)

        replies = room.members["north"].at.upload(parts())
        next(iter(replies))
        with pytest.raises(Exhausted) as refused:
            room.members["north"].at.status()
        assert refused.value.code == "door.calls"
        assert room.members["south"].at.status().state == "activated"
        more.set()
        with pytest.raises(Refusal, match=r"upload\.cut"):
            list(replies)
        assert _soon(lambda: room.members["north"].at.status().state) == "activated"


def _soon(ask: Callable[[], str]) -> str:
    """What is asked, once the seat of a call that has just been answered is free again."""
    for _ in range(1000):
        try:
            return ask()
        except (Exhausted, Unavailable):
            continue
    raise AssertionError("the seat is never free")


# Uploads


def refused_upload(room: Room, parts: Callable[[UploadOpen, list[bytes], bytes], list[UploadPart]]) -> Refusal:
    """What meets an upload of ``parts``; after it a right one of the same party is taken, so nothing is stuck."""
    header, key, chunks, commitment = room.sealed_upload("north", [ipc(rows_of(n * 99, 60)) for n in range(3)])
    with pytest.raises(Refusal) as refused:
        room.send("north", parts(room.opening("north", header, key), chunks, commitment))
    assert '"bug.' not in room.log.getvalue()
    return refused.value


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (lambda _, __, ___: [], "upload.order"),
        (lambda _, chunks, __: [Chunk(chunks[0])], "upload.order"),
        (lambda _, __, commitment: [UploadCommitment(commitment)], "upload.order"),
        (lambda opening, _, __: [opening, opening], "upload.order"),
        (lambda opening, _, __: [replace(opening, header=b"\xff" * 50)], "cbor."),
        (lambda opening, _, __: [replace(opening, header=opening.header[:-1])], "cbor."),
        (lambda opening, _, __: [replace(opening, header=bytes(70_000))], "cbor.size"),
        (lambda opening, _, __: [replace(opening, sealed_key=b"")], "sealing"),
        (lambda opening, _, __: [replace(opening, sealed_key=opening.sealed_key[:-1])], "sealing"),
        (lambda opening, _, __: [replace(opening, sealed_key=bytes(len(opening.sealed_key)))], "sealing"),
        (lambda opening, _, __: [opening, Chunk(b"")], ""),
        (lambda opening, _, __: [opening, Chunk(b"\x00")], ""),
        (lambda opening, _, __: [opening, Chunk(bytes(70_000))], ""),
        (lambda opening, chunks, _: [opening, Chunk(chunks[0][:-1])], ""),
        (lambda opening, chunks, _: [opening, Chunk(chunks[0] + b"\x00")], ""),
        (lambda opening, chunks, _: [opening, Chunk(chunks[1])], ""),
        (lambda opening, chunks, _: [opening, Chunk(chunks[0]), Chunk(chunks[0])], ""),
        (lambda opening, chunks, __: [opening, *map(Chunk, chunks), Chunk(chunks[2])], ""),
        (lambda opening, chunks, __: [opening, *map(Chunk, chunks), UploadCommitment(b"{}")], ""),
        (lambda opening, chunks, __: [opening, *map(Chunk, chunks), UploadCommitment(b"")], ""),
        (lambda opening, chunks, ok: [opening, *map(Chunk, chunks[:2]), UploadCommitment(ok)], ""),
        (lambda opening, _, ok: [opening, UploadCommitment(ok)], ""),
    ],
    ids=[
        "nothing", "a chunk first", "a commitment first", "opened twice", "garbage header", "cut header",
        "long header", "no key", "cut key", "garbage key", "empty chunk", "short chunk", "garbage chunk", "cut chunk",
        "longer chunk", "a later chunk", "a chunk twice", "a chunk after the last", "garbage commitment",
        "no commitment", "the last chunk dropped", "no chunk at all",
    ],
)  # fmt: skip
def test_an_upload_in_pieces_that_are_wrong_is_refused(
    active: Room, parts: Callable[[UploadOpen, list[bytes], bytes], list[UploadPart]], code: str
) -> None:
    refusal = refused_upload(active, _then_commitment(parts))
    assert isinstance(refusal, Malformed | Untrusted | Forbidden)
    assert refusal.code.startswith(code)


def _then_commitment(
    parts: Callable[[UploadOpen, list[bytes], bytes], list[UploadPart]],
) -> Callable[[UploadOpen, list[bytes], bytes], list[UploadPart]]:
    """End with the commitment, where the upload would otherwise only look cut."""

    def ended(opening: UploadOpen, chunks: list[bytes], commitment: bytes) -> list[UploadPart]:
        listed = parts(opening, chunks, commitment)
        last = listed[-1] if listed else None
        return [*listed, UploadCommitment(commitment)] if isinstance(last, Chunk) and len(listed) > 1 else listed

    return ended


def test_a_chunk_over_the_message_limit_ends_that_call_only(active: Room) -> None:
    refusal = refused_upload(active, lambda opening, _, __: [opening, Chunk(bytes(MESSAGE_MAX_BYTES))])
    assert refusal.code == "channel.exhausted"


def test_a_call_that_is_cancelled_at_once_leaves_no_loader_behind(active: Room) -> None:
    instance, us = active.instance, psutil.Process()
    assert instance is not None
    before = len(us.children(recursive=True))
    active.members["south"].uploads.clear()
    for _ in range(5):
        header, key, *_ = active.sealed_upload("south", [ipc(rows_of(0, 20))])  # whose calls have all ended
        replies = instance.agreed().upload("south", iter([active.opening("south", header, key)]))
        assert next(replies).durable == 0
        replies.close()
    for _ in range(100):
        if len(us.children(recursive=True)) <= before:
            return
        psutil.wait_procs(us.children(recursive=True), timeout=0.1)
    raise AssertionError("loaders are left, with a data key each")


def test_garbage_in_the_middle_of_a_stream_is_malformed(active: Room, north: Wire) -> None:
    for raw in (b"\xff" * 20, b"", encode_upload(Chunk(b"a chunk"))[:-5]):
        header, key, *_ = active.sealed_upload("north", [ipc(rows_of(0, 20))])
        opened = encode_upload(active.opening("north", header, key))
        call = north._channel.stream_stream(f"/{SERVICE}/Upload", None, None)(
            iter([opened, raw]), metadata=north._metadata
        )
        with pytest.raises(grpc.RpcError) as failed:
            list(call)
        assert refusal_from(failed.value).code == "message.malformed"


def test_after_all_that_a_right_upload_is_taken(active: Room) -> None:
    assert active.upload("north", [rows_of(0, 60)])


def _varint(number: int) -> bytes:
    spelled = bytearray()
    while number > 0x7F:
        spelled.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*spelled, number))
