"""The coordinator's door: gRPC calls in, values of ``mpc.messages`` on, refusals out.

Methods move raw bytes: parsing is ``mpc.messages``' and happens here once, so that what does not parse is a refusal
like any other. A refusal is a status with the whole refusal in trailing metadata; anything else that is raised is a
bug, of which the caller learns nothing and the log the name of its class.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mpc.coordinator.admission import Door, DoorLimits
from mpc.coordinator.agreed import Agreed
from mpc.coordinator.instance import Instance
from mpc.coordinator.keys import TlsKey
from mpc.coordinator.telemetry import Telemetry
from mpc.errors import Misconfigured, Refusal, Unavailable
from mpc.messages import (
    SERVICE,
    TOKEN_METADATA,
    AgreeRequest,
    AttestRequest,
    ChallengeRequest,
    LogRequest,
    ResultRequest,
    RewrapRequest,
    ShareReply,
    Signed,
    StatusRequest,
    UploadPart,
    decode,
    decode_upload,
    encode,
    encode_result,
    refusal_status,
)

Request = TypeVar("Request")
_BUG = "the coordinator failed; its operator finds the time of it in the log"


@dataclass(frozen=True)
class _Open:
    """A method that anybody may call."""

    kind: type
    serve: Callable[[Any], object]


@dataclass(frozen=True)
class _Closed:
    """A method for parties that have authenticated, of the contract that they have agreed on.

    ``even_ended`` ones tell how it ended, to parties that authenticated before.
    """

    kind: type
    serve: Callable[[Agreed, str, Any], object]
    even_ended: bool = False


class Service:
    """The methods of ``protos/mpc/wire/coordinator.proto``, each with its handler."""

    def __init__(self, instance: Instance, door: Door, telemetry: Telemetry) -> None:
        self._instance = instance
        self._door = door
        self._telemetry = telemetry
        self._methods: dict[str, _Open | _Closed] = {
            "Attest": _Open(AttestRequest, instance.attest),
            "Agree": _Open(AgreeRequest, instance.agree),
            "Challenge": _Open(ChallengeRequest, instance.challenge),
            "Authenticate": _Open(Signed, instance.authenticate),
            "Status": _Closed(StatusRequest, Agreed.status, even_ended=True),
            "Activate": _Closed(Signed, Agreed.activate),
            "Rewrap": _Closed(RewrapRequest, Agreed.rewrap),
            "TakeShare": _Closed(StatusRequest, Agreed.take_share),
            "ReturnShare": _Closed(ShareReply, Agreed.return_share),
            "HandDownShare": _Closed(ShareReply, Agreed.hand_down_share),
            "RequestRun": _Closed(Signed, Agreed.request_run),
            "Permit": _Closed(Signed, Agreed.permit),
            "Log": _Closed(LogRequest, Agreed.log, even_ended=True),
            "Countersign": _Closed(Signed, Agreed.countersign),
            "Withdraw": _Closed(Signed, Agreed.withdraw),
        }

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """Return what a gRPC server is given."""
        handlers = {name: grpc.unary_unary_rpc_method_handler(self._unary(name)) for name in self._methods}
        handlers["Upload"] = grpc.stream_stream_rpc_method_handler(self._streamed("Upload", self._upload))
        handlers["Result"] = grpc.unary_stream_rpc_method_handler(self._streamed("Result", self._result))
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _unary(self, name: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        method = self._methods[name]

        def serve(raw: bytes, context: grpc.ServicerContext) -> bytes:
            with _Answer(context, name, self._telemetry), ExitStack() as admitted:
                self._door.check_size(name, raw, authenticated=isinstance(method, _Closed))
                if isinstance(method, _Open):
                    admitted.enter_context(self._door.turn(name))
                    return encode(method.serve(decode(method.kind, raw)))
                party = self._party(context)
                admitted.enter_context(self._door.seat(party))
                agreed = self._instance.held() if method.even_ended else self._instance.agreed()
                return encode(method.serve(agreed, party, decode(method.kind, raw)))
            raise AssertionError  # the answer above is either bytes or an aborted call

        return serve

    def _streamed(
        self, name: str, serve: Callable[[str, Any], Iterator[bytes]]
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[bytes]]:
        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ANN401 - bytes, or many
            with _Answer(context, name, self._telemetry):
                party = self._party(context)
                with self._door.seat(party):
                    yield from serve(party, request)

        return stream

    def _upload(self, party: str, raws: Iterator[bytes]) -> Iterator[bytes]:
        return map(encode, self._instance.agreed().upload(party, _parts(raws)))

    def _result(self, party: str, raw: bytes) -> Iterator[bytes]:
        return map(encode_result, self._instance.agreed().result(party, decode(ResultRequest, raw)))

    def _party(self, context: grpc.ServicerContext) -> str:
        token = next((value for key, value in context.invocation_metadata() if key == TOKEN_METADATA), None)
        return self._instance.authentication.party_of(token if isinstance(token, str) else None)


def _parts(raws: Iterator[bytes]) -> Iterator[UploadPart]:
    try:
        for raw in raws:
            yield decode_upload(raw)
    except grpc.RpcError:
        raise Unavailable(
            "upload.cut", "the upload ended before its commitment", why="the connection was lost",
            remedy="go on from the acknowledged chunk",
        ) from None  # fmt: skip


class _Answer:
    """Turns what a method raises into the call's status, and counts the call."""

    def __init__(self, context: grpc.ServicerContext, method: str, telemetry: Telemetry) -> None:
        self._context = context
        self._method = method
        self._telemetry = telemetry
        self._started = time.monotonic()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: object) -> None:
        if raised is None or isinstance(raised, GeneratorExit):
            self._count("OK", "")
        elif isinstance(raised, Refusal):
            status = refusal_status(raised)
            self._count(status.code.name, raised.code)
            self._context.set_trailing_metadata(status.metadata)
            self._context.abort(status.code, status.details)
        else:
            self._count("INTERNAL", f"bug.{type(raised).__name__}")
            self._context.abort(grpc.StatusCode.INTERNAL, _BUG)

    def _count(self, status: str, code: str) -> None:
        self._telemetry.call(self._method, status, code, time.monotonic() - self._started)


@dataclass(frozen=True)
class Serving:
    """A server that is up: ``port`` is the one it got; ``stop`` ends it. ``end_waits`` answers calls that wait."""

    server: grpc.Server
    port: int
    end_waits: Callable[[], None]

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, and let those at hand end within ``grace_seconds``."""
        stopped = self.server.stop(grace_seconds)
        self.end_waits()
        stopped.wait()


def serve(
    instance: Instance, tls: TlsKey, address: str, *, telemetry: Telemetry, limits: DoorLimits | None = None
) -> Serving:
    """Listen at ``HOST:PORT`` (port 0 takes any); ``Misconfigured`` when that cannot be had."""
    limits = limits or DoorLimits()
    server = grpc.server(
        ThreadPoolExecutor(limits.calls, thread_name_prefix="call"),
        maximum_concurrent_rpcs=limits.calls,
        options=(
            ("grpc.so_reuseport", 0),  # else a second coordinator would quietly share the port
            ("grpc.max_receive_message_length", limits.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_allowed_incoming_connections", limits.connections),  # further ones are closed as they come
            ("grpc.max_concurrent_streams", limits.calls_a_connection),
            ("grpc.server_handshake_timeout_ms", limits.handshake_milliseconds),
            ("grpc.max_connection_idle_ms", limits.idle_milliseconds),
            ("grpc.max_connection_age_ms", limits.age_milliseconds),
            ("grpc.max_connection_age_grace_ms", limits.age_milliseconds),
            ("grpc.keepalive_time_ms", limits.keepalive_milliseconds),
            ("grpc.keepalive_timeout_ms", limits.keepalive_milliseconds),
            ("grpc.http2.min_ping_interval_without_data_ms", limits.keepalive_milliseconds // 4),
            ("grpc.max_metadata_size", 16 << 10),
        ),
    )
    service = Service(instance, Door(limits, time.monotonic), telemetry)
    server.add_generic_rpc_handlers((service.handler(),))
    healthy = health.HealthServicer(experimental_non_blocking=True)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", SERVICE):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    credentials = grpc.ssl_server_credentials([(tls.private_key, tls.certificate)])
    try:
        port = server.add_secure_port(address, credentials) if _has_port(address) else 0
    except RuntimeError:
        port = 0
    if port == 0:
        raise Misconfigured(
            "listen.address", "the coordinator cannot listen there",
            why="the port is in use, or it is no HOST:PORT of this machine",
            remedy="choose another address, or end what listens on it", field="--listen", found=address,
        )  # fmt: skip
    server.start()
    return Serving(server, port, instance.end_waits)


def _has_port(address: str) -> bool:
    """Whether a port is written, and is one: gRPC takes its own for none, and others modulo 2**16."""
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) < 1 << 16
