"""The party's door against servers that lie: each speaks the real protocol over real TLS."""

import dataclasses
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from mpc import messages
from mpc.attesters import choose
from mpc.canonical import sha256
from mpc.contract.document import contract_bytes
from mpc.contract.terms import Contract
from mpc.coordinator.authentication import Authentication
from mpc.coordinator.keys import TlsKey
from mpc.errors import Forbidden, Malformed, OutOfOrder, Refusal, Unavailable, Untrusted
from mpc.evidence.appraisal import Exceptions
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import SimulatedReference
from mpc.messages import AttestReply, AttestRequest, decode, encode
from mpc.sealing.hpke import SealingKey
from mpc.signing import SigningKey
from parties.channel import Channel, Deadlines, fetch_certificate
from parties.conversation import Conversation
from parties.ledger import Ledger
from parties.party import Party
from parties.signatory import Signatory

CODE = bytes(range(32))
ACCEPTED = Exceptions(frozenset({"simulated"}), frozenset({"simulated"}))
QUICK = Deadlines(connect_seconds=5, call_seconds=5, result_seconds=5)


@dataclasses.dataclass
class Enclave:
    """What attests: an honest one, or one with other code; ``spoil`` changes what it binds or says."""

    code: bytes = CODE
    tls: TlsKey = dataclasses.field(default_factory=TlsKey.generate)
    receipt: SigningKey = dataclasses.field(default_factory=SigningKey.generate)
    sealing: SealingKey = dataclasses.field(default_factory=SealingKey.generate)
    spoil: Callable[[Transcript], Transcript] = lambda transcript: transcript
    spoil_reply: Callable[[AttestReply], AttestReply] = lambda reply: reply

    def attest(self, request: AttestRequest) -> AttestReply:
        for_contract = request.purpose == "contract"
        public = self.sealing.public.raw if for_contract else b""
        transcript = self.spoil(
            Transcript(
                1, "contract" if for_contract else "boot", request.nonce, request.contract or None, self.tls.spki,
                sha256(public) if for_contract else None, self.receipt.public.raw,
            )
        )  # fmt: skip
        attester = choose("simulated")
        attester.measure(self.code)
        made = attester.attest(transcript)
        return self.spoil_reply(
            AttestReply(
                1, made.format, made.evidence, made.endorsements, public, self.receipt.public.raw, made.transcript
            )
        )


class Server:
    """A gRPC server that answers with ``handlers`` and remembers every method that it was asked."""

    def __init__(self, tls: TlsKey, handlers: dict[str, Callable[[bytes], bytes]]) -> None:
        self.asked: list[str] = []
        self._handlers = handlers
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=(self,))
        self.address = f"127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', _credentials(tls))}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]
        self.asked.append(name)
        handler = self._handlers.get(name)
        return None if handler is None else grpc.unary_unary_rpc_method_handler(lambda raw, _: handler(raw))

    def close(self) -> None:
        self._server.stop(0).wait()


def _credentials(tls: TlsKey) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(tls.private_key, tls.certificate)])


def attesting(enclave: Enclave) -> dict[str, Callable[[bytes], bytes]]:
    return {"Attest": lambda raw: encode(enclave.attest(decode(AttestRequest, raw)))}


@pytest.fixture
def wanted(contract: Contract) -> Contract:
    reference = SimulatedReference(
        format="simulated", code_digest=CODE.hex(), measured_by="self", memory_protected=False
    )
    return contract.model_copy(update={"enclaves": (reference,)})


@contextmanager
def reached(server: Server, clock: Any) -> Iterator[Channel]:
    with closing(server), closing(Channel.connect(server.address, clock=clock, deadlines=QUICK)) as channel:
        yield channel


def refused_at(server: Server, contract: Contract, clock: Any, purpose: str = "contract") -> Refusal:
    digest = sha256(contract_bytes(contract))
    with reached(server, clock) as channel, pytest.raises(Refusal) as refusal:
        channel.attest(contract, digest, purpose, ACCEPTED)  # type: ignore[arg-type]
    return refusal.value


def test_the_right_enclave_is_appraised_for_both_purposes(wanted: Contract, clock: Any) -> None:
    enclave, digest = Enclave(), sha256(contract_bytes(wanted))
    with reached(Server(enclave.tls, attesting(enclave)), clock) as channel:
        assert channel.certificate.spki == enclave.tls.spki
        boot, _ = channel.attest(wanted, digest, "boot", ACCEPTED)
        attested, _ = channel.attest(wanted, digest, "contract", ACCEPTED)
        assert boot.instance == attested.instance == sha256(enclave.receipt.public.raw)
        assert (boot.hpke_public_key, attested.hpke_public_key) == (None, enclave.sealing.public.raw)
        assert channel.inspect(wanted, ACCEPTED).passed


def test_a_man_in_the_middle_who_relays_the_right_enclaves_evidence_is_told_by_his_certificate(
    wanted: Contract, clock: Any
) -> None:
    enclave = Enclave()
    refusal = refused_at(Server(TlsKey.generate(), attesting(enclave)), wanted, clock)
    assert refusal.field == "spki"
    assert refusal.found == enclave.tls.spki.hex()


def test_a_man_in_the_middle_with_valid_evidence_of_his_own_learns_nothing(
    wanted: Contract, clock: Any, member: Callable[..., Any], tmp_path: Path
) -> None:
    liar = Enclave(code=b"\xee" * 32)
    server = Server(liar.tls, attesting(liar))
    north = member("north", address=server.address)
    ledger = Ledger(tmp_path / "north.sqlite")
    signatory = Signatory(north.keys, ledger, north.config.known_parties)
    party = Party(north.config, north.keys, ledger, signatory, ACCEPTED, clock, bytes, QUICK)
    agreed = ledger.add_contract(contract_bytes(wanted), at=clock())
    with closing(server), pytest.raises(Forbidden) as refusal:
        Conversation.begin(party, agreed)
    assert (refusal.value.field, refusal.value.found) == ("code", "ee" * 32)
    assert server.asked == ["Attest"]


def test_a_challenge_that_he_relays_is_answered_for_his_certificate_and_worth_nothing(
    wanted: Contract, member: Callable[..., Any], ledger: Ledger
) -> None:
    enclave, digest = Enclave(), sha256(contract_bytes(wanted))
    honest = Authentication(enclave.tls.spki, clock=lambda: 0.0)
    north = member("north")
    signatory = Signatory(north.keys, ledger, north.config.known_parties)
    answer = signatory.challenge_answer(digest, honest.challenge("north"), TlsKey.generate().spki)
    with pytest.raises(Untrusted, match=r"authentication\.spki"):
        honest.authenticate(answer, wanted, digest)
    answer = signatory.challenge_answer(digest, honest.challenge("north"), enclave.tls.spki)
    assert honest.authenticate(answer, wanted, digest)[0] == "north"


def _changed(**changes: object) -> Callable[[Transcript], Transcript]:
    return lambda transcript: dataclasses.replace(transcript, **changes)


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (_changed(nonce=bytes(32)), "nonce"),
        (_changed(contract=bytes(32)), "contract"),
        (_changed(purpose="boot", contract=None, hpke=None), "purpose"),
        (_changed(hpke=bytes(32)), "hpke"),
        (_changed(receipt_key=bytes(32)), "receipt_key"),
    ],
    ids=["replayed", "another contract", "another purpose", "another key", "another instance"],
)
def test_evidence_about_something_else_is_refused_naming_the_field(
    wanted: Contract, clock: Any, spoil: Callable[[Transcript], Transcript], field: str
) -> None:
    enclave = Enclave(spoil=spoil)
    refusal = refused_at(Server(enclave.tls, attesting(enclave)), wanted, clock)
    assert refusal.field == field


def test_a_sealing_key_that_is_exchanged_on_the_way_is_refused(wanted: Contract, clock: Any) -> None:
    other = SealingKey.generate().public.raw
    enclave = Enclave(spoil_reply=lambda reply: dataclasses.replace(reply, hpke_public_key=other))
    assert refused_at(Server(enclave.tls, attesting(enclave)), wanted, clock).field == "hpke"
    missing = Enclave(spoil_reply=lambda reply: dataclasses.replace(reply, hpke_public_key=b""))
    assert isinstance(refused_at(Server(missing.tls, attesting(missing)), wanted, clock), Untrusted)


def test_what_the_party_itself_does_not_except_is_refused_although_the_contract_does(
    wanted: Contract, clock: Any
) -> None:
    enclave, digest = Enclave(), sha256(contract_bytes(wanted))
    with reached(Server(enclave.tls, attesting(enclave)), clock) as channel:
        for exceptions in (Exceptions(), Exceptions(accept_self_measured=frozenset({"simulated"}))):
            with pytest.raises(Forbidden):
                channel.attest(wanted, digest, "boot", exceptions)


def test_evidence_of_the_boot_asks_twice_and_never_gets_the_same(wanted: Contract, clock: Any) -> None:
    enclave, replies = Enclave(), list[bytes]()

    def replaying(raw: bytes) -> bytes:
        if not replies:
            replies.append(encode(enclave.attest(decode(AttestRequest, raw))))
        return replies[0]

    digest = sha256(contract_bytes(wanted))
    with reached(Server(enclave.tls, {"Attest": replaying}), clock) as channel:
        channel.attest(wanted, digest, "boot", ACCEPTED)
        with pytest.raises(Refusal) as refusal:
            channel.attest(wanted, digest, "boot", ACCEPTED)
    assert refusal.value.field == "nonce"


def test_a_program_of_another_version_is_told_in_one_sentence(wanted: Contract, clock: Any) -> None:
    enclave = Enclave(spoil_reply=lambda reply: dataclasses.replace(reply, version=9))
    refusal = refused_at(Server(enclave.tls, attesting(enclave)), wanted, clock)
    assert isinstance(refusal, OutOfOrder)
    assert (refusal.code, refusal.found) == ("protocol.version", "9")


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f"])
def test_an_answer_that_is_no_message_is_a_refusal(wanted: Contract, clock: Any, raw: bytes) -> None:
    assert isinstance(refused_at(Server(TlsKey.generate(), {"Attest": lambda _: raw}), wanted, clock), Refusal)


def test_nobody_there_is_unavailable_and_says_where(clock: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unavailable) as refusal:
            Channel.connect(address, clock=clock, deadlines=QUICK)
    assert (refusal.value.code, refusal.value.found) == ("channel.unreachable", address)


@contextmanager
def tls_server(tmp_path: Path, change: Callable[[ssl.SSLContext], None]) -> Iterator[str]:
    tls = TlsKey.generate()
    (tmp_path / "certificate").write_bytes(tls.certificate)
    (tmp_path / "key").write_bytes(tls.private_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    change(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                with listening.accept()[0] as plain, context.wrap_socket(plain, server_side=True):
                    pass
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def test_an_older_tls_is_refused(tmp_path: Path) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])

    with tls_server(tmp_path, old) as address, pytest.raises(Unavailable) as refusal:
        fetch_certificate(address, timeout_seconds=5)
    assert "TLS 1.3" in refusal.value.why


def test_another_protocol_over_tls_is_refused(tmp_path: Path) -> None:
    def web(context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["http/1.1"])

    with tls_server(tmp_path, web) as address, pytest.raises(Untrusted) as refusal:
        fetch_certificate(address, timeout_seconds=5)
    assert (refusal.value.field, refusal.value.expected) == ("alpn", "h2")


def test_after_a_failure_the_certificate_tells_network_from_instance(clock: Any) -> None:
    enclave = Enclave()
    first = Server(enclave.tls, {})
    channel = Channel.connect(first.address, clock=clock, deadlines=QUICK)
    with closing(channel):
        assert channel.is_same_instance()
        first.close()
        with pytest.raises(Unavailable):
            channel.status()
        with pytest.raises(Unavailable):
            channel.is_same_instance()


def test_an_instance_with_another_certificate_is_not_talked_to_over_the_old_channel(clock: Any) -> None:
    first = Server(Enclave().tls, {})
    channel = Channel.connect(first.address, clock=clock, deadlines=QUICK)
    first.close()
    tls = Enclave().tls
    server = grpc.server(ThreadPoolExecutor(1))
    assert server.add_secure_port(first.address, _credentials(tls))
    server.start()
    with closing(channel):
        assert not channel.is_same_instance()
        with pytest.raises(Unavailable):
            channel.status()
    server.stop(0).wait()


def test_a_refusal_of_the_coordinator_comes_out_as_it_went_in(wanted: Contract, clock: Any) -> None:
    enclave = Enclave()
    status = messages.refusal_status(Malformed("some.code", "what", why="why", remedy="remedy", field="field"))

    class Refusing(Server):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            self.asked.append(details.method)

            def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
                context.set_trailing_metadata(status.metadata)
                context.abort(status.code, status.details)

            return grpc.unary_unary_rpc_method_handler(refuse)

    refusal = refused_at(Refusing(enclave.tls, {}), wanted, clock)
    assert (type(refusal), refusal.code, refusal.field) == (Malformed, "some.code", "field")
