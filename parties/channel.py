"""The party's door to gRPC: one channel to exactly one certificate, and what is asked over it.

The certificate is fetched first, over TLS 1.3 with ALPN h2, and pinned as the channel's only root; its name is
overridden, as it proves nothing. That it belongs to an enclave is shown by ``attest`` on this very channel, whose
evidence binds the SHA-256 of the pinned public key. So a man in the middle either shows his own certificate, which no
evidence of the right enclave binds, or the enclave's, for which he has no key.

Calls fail at once when the other side is away (no ``wait_for_ready``). Whoever holds the channel then asks
``fetch_certificate`` again: the same certificate is a fault of the network, another one is a new instance.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc import messages
from mpc.canonical import sha256
from mpc.contract.consent import signature_of
from mpc.contract.terms import Contract
from mpc.errors import Malformed, Refusal, Unavailable, Untrusted
from mpc.evidence.appraisal import Assessment, AttestedKey, Exceptions, appraise_attestation, assess_attestation
from mpc.evidence.binding import VERSION as TRANSCRIPT_VERSION
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation
from mpc.messages import (
    AgreeReply,
    AgreeRequest,
    AttestReply,
    AttestRequest,
    AuthenticateReply,
    ChallengeReply,
    ChallengeRequest,
    CheckpointReply,
    LogReply,
    LogRequest,
    ReceiptPart,
    ResultRequest,
    RewrapRequest,
    RunReply,
    SealedPart,
    ShareReply,
    Signed,
    StatusReply,
    StatusRequest,
    UploadPart,
    UploadReply,
)

TARGET_NAME = "sealroom"
RESULT_MAX_BYTES = 1 << 30

Clock = Callable[[], datetime]
Random = Callable[[int], bytes]
Reply = TypeVar("Reply")


@dataclass(frozen=True)
class Deadlines:
    """How long a call may take, in seconds; an upload has none, as it ends when nothing moves any more."""

    connect_seconds: float = 10.0
    call_seconds: float = 30.0
    result_seconds: float = 600.0


@dataclass(frozen=True)
class Certificate:
    """The certificate that an address shows: its PEM, and the SHA-256 of its SubjectPublicKeyInfo."""

    pem: bytes
    spki: bytes


@dataclass(frozen=True)
class Asked:
    """One attestation as it arrived, and the transcript that it has to bind."""

    attestation: Attestation
    transcript: Transcript
    hpke_public_key: bytes | None


def fetch_certificate(address: str, *, timeout_seconds: float) -> Certificate:
    """Return the certificate shown at ``host:port``; ``Unavailable`` unless TLS 1.3 with ALPN h2 is spoken there."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    # Nothing is believed of this certificate: it is pinned, and then has to be bound by the enclave's evidence.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=TARGET_NAME) as secured,
        ):
            der, protocol = secured.getpeercert(binary_form=True), secured.selected_alpn_protocol()
    except (OSError, OverflowError, ValueError) as error:
        raise _unreachable(address, error) from None
    if protocol != "h2" or der is None:
        raise Untrusted(
            "channel.alpn", "the other side does not speak HTTP/2 over TLS", why="it is no coordinator",
            remedy="check the coordinator's address", field="alpn", expected="h2", found=protocol or "none",
        )  # fmt: skip
    try:
        spki = (
            x509.load_der_x509_certificate(der)
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
    except (ValueError, TypeError):
        raise Malformed(
            "channel.certificate", "the coordinator's certificate cannot be read", why="it is no X.509 certificate",
            remedy="check the coordinator's address",
        ) from None  # fmt: skip
    return Certificate(ssl.DER_cert_to_PEM_cert(der).encode(), sha256(spki))


class Channel:
    """A gRPC channel to one pinned certificate, and after ``authenticate`` one party's session on it."""

    def __init__(
        self, address: str, certificate: Certificate, *, clock: Clock, random: Random, deadlines: Deadlines
    ) -> None:
        self.address = address
        self.certificate = certificate
        self._clock = clock
        self._random = random
        self._deadlines = deadlines
        self._token: str | None = None
        self._watching: Any = None
        self._grpc = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(root_certificates=certificate.pem),
            options=(
                ("grpc.ssl_target_name_override", TARGET_NAME),
                ("grpc.max_send_message_length", messages.MESSAGE_MAX_BYTES),
                ("grpc.max_receive_message_length", messages.MESSAGE_MAX_BYTES),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.keepalive_time_ms", 20_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.max_pings_without_data", 0),
            ),
        )

    @classmethod
    def connect(
        cls, address: str, *, clock: Clock, random: Random = os.urandom, deadlines: Deadlines | None = None
    ) -> Self:
        """Fetch and pin the certificate at ``address`` and open a channel to it."""
        deadlines = deadlines or Deadlines()
        certificate = fetch_certificate(address, timeout_seconds=deadlines.connect_seconds)
        return cls(address, certificate, clock=clock, random=random, deadlines=deadlines)

    def close(self) -> None:
        """End every call and the connection."""
        self._grpc.close()

    def is_same_instance(self) -> bool:
        """Fetch the certificate again: True for the pinned one (a network fault), False for another instance's."""
        shown = fetch_certificate(self.address, timeout_seconds=self._deadlines.connect_seconds)
        return shown.spki == self.certificate.spki

    # --- before authentication -----------------------------------------------------------------------------------

    def ask_evidence(self, purpose: Literal["boot", "contract"], digest: bytes | None) -> Asked:
        """Ask for evidence over a fresh nonce; return it with the transcript that this side expects."""
        nonce = self._random(messages.NONCE_BYTES)
        request = AttestRequest(messages.VERSIONS, nonce, purpose, digest or b"")
        reply = self._unary("Attest", request, AttestReply)
        messages.negotiate((reply.version,))
        hpke = (reply.hpke_public_key or None) if purpose == "contract" else None
        transcript = Transcript(
            TRANSCRIPT_VERSION, purpose, nonce, digest, self.certificate.spki,
            # Without a key nothing can be bound to it: the digest of nothing, which no evidence names.
            None if purpose == "boot" else sha256(hpke or b""), reply.receipt_public_key,
        )  # fmt: skip
        attestation = Attestation(reply.format, reply.evidence, reply.endorsements, reply.transcript)
        return Asked(attestation, transcript, hpke)

    def attest(
        self, contract: Contract, digest: bytes, purpose: Literal["boot", "contract"], exceptions: Exceptions
    ) -> tuple[AttestedKey, Asked]:
        """Ask for evidence and appraise it by the contract's enclaves; return the proof, or raise the first failure."""
        asked = self.ask_evidence(purpose, digest if purpose == "contract" else None)
        attested = appraise_attestation(
            asked.attestation, contract.enclaves, asked.transcript, hpke_public_key=asked.hpke_public_key,
            exceptions=exceptions, at=self._clock(), lifetime=timedelta(seconds=contract.attested_key_seconds),
        )  # fmt: skip
        return attested, asked

    def inspect(self, contract: Contract, exceptions: Exceptions) -> Assessment:
        """Ask for evidence of the boot and return every check, passed or not, for a person to read."""
        asked = self.ask_evidence("boot", None)
        return assess_attestation(
            asked.attestation, contract.enclaves, asked.transcript, hpke_public_key=None, exceptions=exceptions,
            at=self._clock(),
        )  # fmt: skip

    def agree(self, contract: bytes, consents: tuple[bytes, ...]) -> AgreeReply:
        """Hand in the contract and consents; get the signatures that the enclave holds."""
        return self._unary("Agree", AgreeRequest(contract, tuple(map(signature_of, consents))), AgreeReply)

    def challenge(self, digest: bytes, party: str) -> bytes:
        """Return a challenge of 32 bytes for this party."""
        return self._unary("Challenge", ChallengeRequest(digest, party), ChallengeReply).challenge

    def authenticate(self, answer: bytes) -> timedelta:
        """Answer the challenge; the session's token is kept here. Return how long it lives."""
        reply = self._unary("Authenticate", Signed(answer), AuthenticateReply)
        self._token = reply.token
        return timedelta(seconds=reply.seconds)

    # --- with the token ------------------------------------------------------------------------------------------

    def status(self, *, seen: int = 0, wait_milliseconds: int = 0) -> StatusReply:
        """Return how things stand, waiting for a change after ``seen``."""
        request = StatusRequest(seen, wait_milliseconds)
        call = self._grpc.unary_unary(f"/{messages.SERVICE}/Status", None, None).future(
            messages.encode(request), metadata=self._metadata(),
            timeout=self._deadlines.call_seconds + wait_milliseconds / 1000,
        )  # fmt: skip
        self._watching = call
        with _refusals():
            try:
                raw: bytes = call.result()
            except grpc.FutureCancelledError:
                raise Unavailable(
                    "channel.interrupted", "the wait for news was ended", why="something else has to be done first",
                    remedy="ask again",
                ) from None  # fmt: skip
        return messages.decode(StatusReply, raw)

    def interrupt(self) -> None:
        """End a ``status`` that waits in another thread; it raises ``Unavailable`` ``channel.interrupted``."""
        if self._watching is not None:
            self._watching.cancel()

    def activate(self, envelope: bytes) -> bytes:
        """Hand in an activation; return the checkpoint."""
        return self._unary("Activate", Signed(envelope), CheckpointReply).checkpoint

    def permit(self, envelope: bytes) -> bytes:
        """Hand in a permit; return the checkpoint."""
        return self._unary("Permit", Signed(envelope), CheckpointReply).checkpoint

    def countersign(self, envelope: bytes) -> bytes:
        """Hand in a countersigned checkpoint; return the latest."""
        return self._unary("Countersign", Signed(envelope), CheckpointReply).checkpoint

    def withdraw(self, envelope: bytes) -> bytes:
        """Hand in a withdrawal; return the checkpoint."""
        return self._unary("Withdraw", Signed(envelope), CheckpointReply).checkpoint

    def log(self, known_size: int) -> LogReply:
        """Return the log's news after ``known_size``."""
        return self._unary("Log", LogRequest(known_size), LogReply)

    def rewrap(self, request: RewrapRequest) -> UploadReply:
        """Hand in the data key of an upload that is on disk."""
        return self._unary("Rewrap", request, UploadReply)

    def take_share(self) -> bytes:
        """Return this party's share of the state key, sealed to its sealing key."""
        return self._unary("TakeShare", StatusRequest(), ShareReply).sealed_share

    def return_share(self, sealed: bytes) -> StatusReply:
        """Hand back the share, sealed to the instance."""
        return self._unary("ReturnShare", ShareReply(sealed), StatusReply)

    def hand_down_share(self, sealed: bytes) -> StatusReply:
        """Hand over the share of the contract before, sealed to the instance."""
        return self._unary("HandDownShare", ShareReply(sealed), StatusReply)

    def request_run(self, envelope: bytes) -> int:
        """Ask for a run; return its number."""
        return self._unary("RequestRun", Signed(envelope), RunReply).run

    def upload(self, parts: Iterator[UploadPart]) -> Iterator[UploadReply]:
        """Stream an upload; yield what the enclave acknowledges. Closing the iterator cancels the call."""
        call = self._grpc.stream_stream(f"/{messages.SERVICE}/Upload", None, None)(
            map(messages.encode_upload, parts), metadata=self._metadata()
        )
        try:
            with _refusals():
                for raw in call:
                    yield messages.decode(UploadReply, raw)
        finally:
            call.cancel()  # type: ignore[no-untyped-call]

    def result(self, run: int) -> tuple[bytes, bytes]:
        """Return the receipt and this party's sealed result of a run."""
        receipt, sealed, size = b"", [], 0
        call = self._grpc.unary_stream(f"/{messages.SERVICE}/Result", None, None)(
            messages.encode(ResultRequest(run)), metadata=self._metadata(), timeout=self._deadlines.result_seconds
        )
        try:
            with _refusals():
                for raw in call:
                    match messages.decode_result(raw):
                        case ReceiptPart(receipt=part):
                            receipt = part
                        case SealedPart(sealed=part):
                            sealed.append(part)
                            size += len(part)
                    if size > RESULT_MAX_BYTES:
                        raise Malformed(
                            "channel.result_size", "the result is too long", why="it is over 1 GiB",
                            remedy="ask for a smaller one",
                        )  # fmt: skip
        finally:
            call.cancel()  # type: ignore[no-untyped-call]
        return receipt, b"".join(sealed)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self._token is None else ((messages.TOKEN_METADATA, self._token),)

    def _unary(self, name: str, request: object, reply: type[Reply]) -> Reply:
        with _refusals():
            raw: bytes = self._grpc.unary_unary(f"/{messages.SERVICE}/{name}", None, None)(
                messages.encode(request), metadata=self._metadata(), timeout=self._deadlines.call_seconds
            )
        return messages.decode(reply, raw)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise messages.refusal_from(error) from None


def _unreachable(address: str, error: Exception) -> Refusal:
    why = "it speaks no TLS 1.3" if isinstance(error, ssl.SSLError) else "nothing answers there"
    return Unavailable(
        "channel.unreachable", "the coordinator cannot be reached", why=f"{why} ({type(error).__name__})",
        remedy="check [coordinator] address, and that the coordinator runs", field="coordinator.address", found=address,
    )  # fmt: skip


def checks_as_data(attested: AttestedKey) -> tuple[Mapping[str, object], ...]:
    """Return the checks of an appraisal as plain data."""
    return tuple(
        {"name": check.name, "expected": check.expected, "found": check.found, "passed": check.passed}
        for check in attested.checks
    )
