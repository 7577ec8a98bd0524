"""A receipt verifies offline with every part, and refuses by the name of the part that is broken."""

import base64
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_json, parse_time, sha256
from mpc.contract.consent import agree, sign_consent
from mpc.contract.document import contract_bytes
from mpc.contract.statements import Activation, Checkpoint, Permit
from mpc.contract.terms import Computation, Contract, Limits, Party, PartyRules, Rules
from mpc.errors import Refusal, Untrusted
from mpc.evidence import Attestation, Exceptions, Transcript
from mpc.evidence.claims import SimulatedReference
from mpc.evidence.simulated import forge
from mpc.questions.terms import SqlQuestion
from mpc.receipts.leaves import ContractLeaf, Leaf, ReleaseLeaf, RunLeaf, leaf_bytes
from mpc.receipts.log import Log, sign_checkpoint
from mpc.receipts.receipt import build_receipt, commit_release, release_in, result_bytes
from mpc.receipts.verification import PARTS, VerifiedReceipt, verify_receipt
from mpc.sealing.hpke import SealingKey
from mpc.sealing.stream import ChunkTally, Header, new_upload, sign_commitment
from mpc.signing import Purpose, SigningKey
from mpc.table.schema import Column, Dataset, Freshness, Subject

CODE = sha256(b"the coordinator's code")
SALT, RELEASE = sha256(b"salt"), b"the released tables"
TRUSTING = Exceptions(frozenset({"simulated"}), frozenset({"simulated"}))
NAMES = ("clinic", "hospital", "university")
PERMITTED, SHOWN, SHOWN_LATER = "2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z", "2026-03-02T00:00:00Z"


@cache
def key_of(name: str) -> SigningKey:
    return SigningKey(sha256(name.encode()))


INSTANCE = key_of("instance")
ANOTHER = key_of("another instance")
HPKE = SealingKey.from_seed(bytes(96)).public.raw
KNOWN = {name: key_of(name).public.keyid for name in NAMES}


@cache
def party(name: str) -> Party:
    sealing = SealingKey.from_seed(hashlib.shake_256(name.encode()).digest(96)).public.raw
    return Party(
        name=name, label=name.title(), signing_key=key_of(name).public.raw.hex(),
        sealing_key=base64.b64encode(sealing).decode(),
    )  # fmt: skip


def column(name: str, **marks: Any) -> Column:
    stated: dict[str, Any] = {
        "name": name, "description": name, "type": "integer", "precision": None, "scale": None, "unit": None,
        "nullable": False, "missing": (), "minimum": None, "maximum": None, "codes": (), "filterable": False,
        "identifier": False,
    }  # fmt: skip
    return Column.model_validate({**stated, **marks})


def contract(**changes: Any) -> bytes:
    rules = Rules(
        profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=6
    )
    patients = Dataset(
        name="patients", description="Patients", owners=("clinic", "hospital"),
        columns=(column("patient", identifier=True), column("nodes"), column("grade", filterable=True)),
        subject=Subject(domain="person", column="patient", identity="disjoint", normalisation="exact", rows="one"),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip
    mean = Computation(
        name="mean_nodes", purpose="nodes by grade",
        question=SqlQuestion(kind="sql", text="SELECT grade, avg(nodes) AS nodes FROM patients GROUP BY grade"),
        parameters=(), recipients=("university",), runs=2, unattended=0,
    )  # fmt: skip
    stated: dict[str, Any] = {
        "format": "sealroom.contract", "version": 1, "title": "Study", "purpose": "A joint mean",
        "parties": tuple(party(name) for name in NAMES), "datasets": (patients,), "computations": (mean,),
        "disclosure": tuple(PartyRules(party=name, rules=rules) for name in NAMES[:2]),
        "enclaves": (SimulatedReference(
            format="simulated", code_digest=CODE.hex(), measured_by="self", memory_protected=False
        ),),
        "attested_key_seconds": 600,
        "limits": Limits(upload_mib=64, resident_mib=64, run_memory_mib=256, run_seconds=60),
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z", "supersedes": None,
    }  # fmt: skip
    return contract_bytes(Contract(**{**stated, **changes}))


RAW = contract()
DIGEST = sha256(RAW)
OTHER_DIGEST = sha256(contract(title="Another study"))


def attestation(
    *, code: bytes = CODE, contract_digest: bytes = DIGEST, receipt_key: bytes = INSTANCE.public.raw,
    bound: Transcript | None = None, run: Leaf | None = None,
) -> Attestation:  # fmt: skip
    nonce = sha256(leaf_bytes(run or RUN))
    transcript = Transcript(1, "contract", nonce, contract_digest, sha256(b"spki"), sha256(HPKE), receipt_key)
    report_data = (bound or transcript).report_data()
    return Attestation("simulated", forge(code, debug=False, report_data=report_data), (), transcript.to_bytes())


def activation(name: str, **changes: Any) -> bytes:
    stated = Activation(
        contract=DIGEST.hex(),
        party=name,
        instance=INSTANCE.public.keyid,
        replaces=None,
        inherits=None,
        time="2026-03-01T09:00:00Z",
    )
    return key_of(name).envelope(Purpose.ACTIVATION, canonical_json(stated.model_copy(update=changes)))


def upload(owner: str, *, signer: str | None = None, **changes: Any) -> tuple[bytes, bytes]:
    fields: dict[str, Any] = {
        "contract": DIGEST, "dataset": "patients", "sender": owner, "schema_digest": bytes(32),
        "mapping_digest": bytes(32), "random": lambda length: hashlib.shake_256(owner.encode()).digest(length),
    }  # fmt: skip
    header, _ = new_upload(**{**fields, **changes})
    return header.to_bytes(), committed(header, signer or owner)


def committed(header: Header, signer: str) -> bytes:
    return sign_commitment(header, ChunkTally.of([header.upload_id]), key_of(signer))


UPLOADS = tuple(sorted(hashlib.shake_256(name.encode()).hexdigest(16) for name in NAMES[:2]))
RUN = RunLeaf(
    run=1, computation="mean_nodes", parameters={}, requester="university", uploads=UPLOADS, envelope="00" * 32
)
RELEASED = ReleaseLeaf(run=1, outcome="released", release=commit_release(SALT, RELEASE).hex())


def permit(name: str, log: Log, seen: int, *, signer: str | None = None, **changes: Any) -> bytes:
    stated = Permit(
        contract=DIGEST.hex(), party=name, instance=INSTANCE.public.keyid, run=1, computation="mean_nodes",
        parameters={}, log_size=seen, log_root=log.root(seen).hex(), time=PERMITTED,
    )  # fmt: skip
    return key_of(signer or name).envelope(Purpose.PERMIT, canonical_json(stated.model_copy(update=changes)))


def state(log: Log, size: int, time: str, /, **changes: Any) -> Checkpoint:
    stated = Checkpoint(
        contract=DIGEST.hex(), instance=INSTANCE.public.keyid, size=size, root=log.root(size).hex(), time=time
    )
    return stated.model_copy(update=changes)


@dataclass
class Scene:
    """Everything a receipt is built from; a test breaks one thing and builds it."""

    raw: bytes = RAW
    signers: tuple[str, ...] = NAMES
    key: SigningKey = INSTANCE
    attestation: Attestation | None = None
    hpke: bytes = HPKE
    activations: list[bytes] = field(default_factory=lambda: [activation(name) for name in NAMES])
    inputs: list[tuple[bytes, bytes]] = field(default_factory=lambda: [upload(name) for name in NAMES[:2]])
    run: Leaf = RUN
    release: Leaf = RELEASED
    permits: Callable[[Log], list[bytes]] = lambda log: [permit(name, log, 6) for name in NAMES[:2]]
    checkpoint: Callable[[Log], bytes] = lambda log: sign_checkpoint(state(log, 8, SHOWN), INSTANCE)
    countersignatures: Callable[[Log], list[bytes]] = lambda log: [
        sign_checkpoint(state(log, 8, SHOWN), key_of("clinic")),
        sign_checkpoint(state(log, 8, SHOWN_LATER), key_of("hospital")),
    ]

    def log(self) -> Log:
        """Four earlier leaves, the run at 4, one between, the release at 6, one after."""
        others = [leaf_bytes(ContractLeaf(contract=f"{index:064x}")) for index in range(6)]
        return Log([*others[:4], leaf_bytes(self.run), others[4], leaf_bytes(self.release), others[5]])

    def receipt(self) -> bytes:
        log = self.log()
        agreement = agree(RAW, [sign_consent(RAW, key_of(name)) for name in NAMES], at=parse_time(SHOWN))
        raw = build_receipt(
            agreement=agreement, attestation=self.attestation or attestation(run=self.run),
            hpke_public_key=self.hpke, activations=self.activations,
            inputs=self.inputs, permits=self.permits(log), log=log, run_index=4, release_index=6,
            checkpoint=self.checkpoint(log), countersignatures=self.countersignatures(log), key=self.key,
        )  # fmt: skip
        if self.raw != RAW or self.signers != NAMES:
            return rewritten(raw, self._as_signed_otherwise)
        return raw

    def _as_signed_otherwise(self, statement: dict[str, Any]) -> None:
        consents = [key_of(name).sign(Purpose.CONTRACT, self.raw) for name in self.signers]
        statement["predicate"]["contract"] = base64.b64encode(self.raw).decode()
        statement["predicate"]["consents"] = [
            {"keyid": key_of(name).public.keyid, "sig": base64.b64encode(consent).decode()}
            for name, consent in zip(self.signers, consents, strict=True)
        ]


def rewritten(raw: bytes, change: Callable[[dict[str, Any]], None], key: SigningKey = INSTANCE) -> bytes:
    """A receipt whose statement a lying instance wrote otherwise, with its own good signature."""
    statement = json.loads(base64.b64decode(json.loads(raw)["payload"]))
    change(statement)
    return key.envelope(Purpose.STATEMENT, rfc8785.dumps(statement))


def verified(raw: bytes, **arguments: Any) -> VerifiedReceipt:
    return verify_receipt(raw, **{"known": KNOWN, "exceptions": TRUSTING, **arguments})


def refused(raw: bytes, part: str, **arguments: Any) -> Untrusted:
    with pytest.raises(Untrusted) as refusal:
        verified(raw, **arguments)
    assert refusal.value.code == f"receipt.{part}", str(refusal.value)
    return refusal.value


def test_a_whole_receipt_verifies() -> None:
    receipt = verified(Scene().receipt())
    assert [check.name for check in receipt.checks] == list(PARTS)
    assert all(check.passed for check in receipt.checks)
    assert (receipt.computation.name, receipt.run, receipt.outcome) == ("mean_nodes", 1, "released")
    assert receipt.time_shown == parse_time(SHOWN)
    assert receipt.judged_at == parse_time(SHOWN)
    assert receipt.verdict == "genuine, shown at 2026-03-01T12:00:00Z by clinic, hospital"
    assert receipt.attested.instance == sha256(INSTANCE.public.raw)


def test_it_is_an_in_toto_statement_about_the_opened_result() -> None:
    statement = json.loads(base64.b64decode(json.loads(Scene().receipt())["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    digest = hashlib.sha256(result_bytes(SALT, RELEASE)).hexdigest()
    assert statement["subject"] == [{"name": "result", "digest": {"sha256": digest}}]


def test_the_release_is_the_one_committed_to() -> None:
    receipt = verified(Scene().receipt())
    opened = result_bytes(SALT, RELEASE)
    assert release_in(opened, receipt.release) == RELEASE
    for other in (opened + b"x", opened[:-1], bytes(32) + RELEASE, SALT, b"", RELEASE):
        with pytest.raises(Untrusted) as refusal:
            release_in(other, receipt.release)
        assert refusal.value.code == "receipt.result"
    with pytest.raises(ValueError, match="salt"):
        commit_release(b"short", RELEASE)


def test_without_a_countersignature_no_time_is_shown() -> None:
    receipt = verified(Scene(countersignatures=lambda _log: []).receipt())
    assert receipt.time_shown is None
    assert receipt.verdict == "genuine, time not shown"
    assert receipt.judged_at == parse_time(PERMITTED)


def test_the_beneficiary_shows_no_time() -> None:
    def by_the_recipient(log: Log) -> list[bytes]:
        return [sign_checkpoint(state(log, 8, SHOWN), key_of("university"))]

    assert verified(Scene(countersignatures=by_the_recipient).receipt()).time_shown is None
    receipt = Scene().receipt()
    assert verified(receipt, beneficiary="clinic").time_shown == parse_time(SHOWN_LATER)
    assert verified(receipt, beneficiary="clinic").countersigners == ("hospital",)


@pytest.mark.parametrize("times", [(SHOWN, SHOWN_LATER), (SHOWN_LATER, SHOWN)])
def test_who_countersigns_twice_shows_the_earlier_time(times: tuple[str, str]) -> None:
    def twice(log: Log) -> list[bytes]:
        return [sign_checkpoint(state(log, 8, time), key_of("clinic")) for time in times]

    assert verified(Scene(countersignatures=twice).receipt()).time_shown == parse_time(SHOWN)


def test_known_parties_are_compared_or_said_not_to_be() -> None:
    found = {check.name: check.found for check in verified(Scene().receipt(), known=None).checks}
    assert found["parties"].startswith("not compared")
    refused(Scene().receipt(), "parties", known={**KNOWN, "clinic": "00" * 32})
    refused(Scene().receipt(), "parties", known={"clinic": KNOWN["clinic"]})


def test_a_party_that_its_reader_does_not_know_says_nothing_against_a_receipt() -> None:
    with pytest.raises(Untrusted) as unknown:
        verified(Scene().receipt(), known={"clinic": KNOWN["clinic"]})
    assert "on another channel" in unknown.value.remedy
    with pytest.raises(Untrusted) as other:
        verified(Scene().receipt(), known={**KNOWN, "clinic": "00" * 32})
    assert "do not rely" in other.value.remedy


def test_it_is_judged_at_the_time_asked_for() -> None:
    late = datetime(2028, 1, 1, tzinfo=UTC)
    refused(Scene().receipt(), "consents", at=late)
    assert verified(Scene().receipt(), at=parse_time(SHOWN_LATER)).judged_at == parse_time(SHOWN_LATER)


def test_the_verifiers_own_exceptions_hold() -> None:
    both = refused(Scene().receipt(), "evidence", exceptions=Exceptions())
    assert both.field == "self_measured"
    assert "--accept-self-measured simulated --accept-visible-memory simulated" in both.remedy
    assert "a liar passes" in both.why
    assert "read every row" in both.why
    one = refused(Scene().receipt(), "evidence", exceptions=Exceptions(accept_self_measured=frozenset({"simulated"})))
    assert "--accept-visible-memory simulated" in one.remedy
    assert "--accept-self-measured" not in one.remedy


def test_no_exception_is_offered_for_evidence_that_lacks_more_than_that() -> None:
    other = refused(attested(code=bytes(32))(), "evidence", exceptions=Exceptions())
    assert "--accept" not in other.remedy
    assert "do not rely" in other.remedy


def signed_by_another_key() -> bytes:
    raw = Scene().receipt()
    return ANOTHER.envelope(Purpose.STATEMENT, base64.b64decode(json.loads(raw)["payload"]))


def with_a_changed_byte() -> bytes:
    envelope = json.loads(Scene().receipt())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["subject"][0]["digest"]["sha256"] = "00" * 32
    envelope["payload"] = base64.b64encode(rfc8785.dumps(statement)).decode()
    return rfc8785.dumps(envelope)


def shown(**parts: Any) -> Callable[[], bytes]:
    """A receipt whose predicate has some parts replaced by a lying instance."""
    return lambda: rewritten(Scene().receipt(), lambda statement: statement["predicate"].update(parts))


def with_loose_bits() -> bytes:
    """The same sealing key, 1216 bytes, with bits set that no byte holds: ``…A==`` as ``…B==``."""

    def loosen(statement: dict[str, Any]) -> None:
        given = statement["predicate"]["attestation"]
        text = given["hpke_public_key"]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        given["hpke_public_key"] = text[:-3] + alphabet[alphabet.index(text[-3]) + 1] + "=="
        assert base64.b64decode(given["hpke_public_key"]) == HPKE

    return rewritten(Scene().receipt(), loosen)


def of_leaf(name: str, **changes: Any) -> Callable[[], bytes]:
    return lambda: rewritten(Scene().receipt(), lambda statement: statement["predicate"][name].update(changes))


def other_run(**changes: Any) -> RunLeaf:
    return RUN.model_copy(update=changes)


def permits(*made: Callable[[Log], bytes]) -> Callable[[], bytes]:
    return lambda: Scene(permits=lambda log: [make(log) for make in made]).receipt()


def by(name: str, seen: int = 6, **changes: Any) -> Callable[[Log], bytes]:
    return lambda log: permit(name, log, seen, **changes)


def countersigned(**changes: Any) -> Callable[[], bytes]:
    signer = changes.pop("signer", "clinic")
    return lambda: Scene(
        countersignatures=lambda log: [sign_checkpoint(state(log, 8, SHOWN, **changes), key_of(signer))]
    ).receipt()


def checked(key: SigningKey = INSTANCE, **changes: Any) -> Callable[[], bytes]:
    return lambda: Scene(checkpoint=lambda log: sign_checkpoint(state(log, 8, SHOWN, **changes), key)).receipt()


def other_activations(*made: bytes) -> Callable[[], bytes]:
    return lambda: Scene(activations=list(made)).receipt()


def other_inputs(*made: tuple[bytes, bytes]) -> Callable[[], bytes]:
    return lambda: Scene(inputs=list(made)).receipt()


def attested(**changes: Any) -> Callable[[], bytes]:
    return lambda: Scene(attestation=attestation(**changes)).receipt()


CLINIC, HOSPITAL = upload("clinic"), upload("hospital")
ACTIVATIONS = [activation(name) for name in NAMES]
BOUND_ELSEWHERE = Transcript(1, "contract", bytes(32), DIGEST, sha256(b"x"), sha256(HPKE), INSTANCE.public.raw)

BROKEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "signed by a key that the transcript does not bind": ("signature", signed_by_another_key),
    "changed after it was signed": ("signature", with_a_changed_byte),
    "no contract": ("contract", shown(contract=base64.b64encode(b"{}").decode())),
    "base64 with loose bits": ("evidence", with_loose_bits),
    "checkpoint of another contract": ("checkpoint", checked(contract=OTHER_DIGEST.hex())),
    "checkpoint of another instance": ("checkpoint", checked(instance=ANOTHER.public.keyid)),
    "checkpoint by another key": ("checkpoint", checked(ANOTHER)),
    "run leaf at another place": ("run", of_leaf("run", index=3)),
    "run leaf that is not in the log": (
        "run", of_leaf("run", leaf=base64.b64encode(leaf_bytes(other_run(parameters={"x": "1"}))).decode())
    ),
    "checkpoint with another root": ("run", checked(root="00" * 32)),
    "run of no computation": ("run", lambda: Scene(run=other_run(computation="other")).receipt()),
    "run asked for by no recipient": ("run", lambda: Scene(run=other_run(requester="clinic")).receipt()),
    "run leaf of another kind": ("run", lambda: Scene(run=ContractLeaf(contract="00" * 32)).receipt()),
    "release of another run": ("release", lambda: Scene(release=RELEASED.model_copy(update={"run": 2})).receipt()),
    "release leaf without its proof": ("release", of_leaf("release", inclusion=[])),
    "release leaf that is the run's": (
        "release", lambda: rewritten(Scene().receipt(), lambda s: s["predicate"].update(release=s["predicate"]["run"]))
    ),
    "subject of another release": (
        "release", lambda: rewritten(Scene().receipt(), lambda s: s["subject"][0]["digest"].update(sha256="00" * 32))
    ),
    "a permit is missing": ("permits", permits(by("clinic"))),
    "no permit at all": ("permits", permits()),
    "permit for another run": ("permits", permits(by("clinic"), by("hospital", run=2))),
    "permit on another instance": ("permits", permits(by("clinic"), by("hospital", instance="00" * 32))),
    "permit under another contract": ("permits", permits(by("clinic"), by("hospital", contract=OTHER_DIGEST.hex()))),
    "permit for another computation": ("permits", permits(by("clinic"), by("hospital", computation="other"))),
    "permit for other parameters": ("permits", permits(by("clinic"), by("hospital", parameters={"band": "1"}))),
    "permit by who owns nothing": ("permits", permits(by("clinic"), by("hospital"), by("university"))),
    "permit in another's name": ("permits", permits(by("clinic"), by("hospital", signer="clinic"))),
    "permit before the run was logged": ("permits", permits(by("clinic"), by("hospital", 4))),
    "permit at a log that forked": ("permits", permits(by("clinic"), by("hospital", log_root="00" * 32))),
    "countersignature on another root": ("countersignatures", countersigned(root="00" * 32)),
    "countersignature on an earlier size": ("countersignatures", countersigned(size=3)),
    "countersignature on another contract": ("countersignatures", countersigned(contract=OTHER_DIGEST.hex())),
    "countersignature on another instance": ("countersignatures", countersigned(instance=ANOTHER.public.keyid)),
    "countersignature by a stranger": ("countersignatures", countersigned(signer="stranger")),
    "countersigned when the contract had ended": ("consents", countersigned(time="2029-01-01T00:00:00Z")),
    "a consent is missing": ("consents", lambda: Scene(signers=NAMES[:2]).receipt()),
    "a consent comes twice": ("consents", lambda: Scene(signers=(*NAMES, "clinic")).receipt()),
    "a consent by a stranger": ("consents", lambda: Scene(signers=(*NAMES, "stranger")).receipt()),
    "evidence of other code": ("evidence", attested(code=bytes(32))),
    "evidence that was asked for with another run": ("evidence", attested(run=RUN.model_copy(update={"run": 2}))),
    "evidence for another contract": ("evidence", attested(contract_digest=OTHER_DIGEST)),
    "evidence that binds another transcript": ("evidence", attested(bound=BOUND_ELSEWHERE)),
    "another sealing key beside the evidence": ("evidence", lambda: Scene(hpke=HPKE[::-1]).receipt()),
    "an activation is missing": ("activations", other_activations(*ACTIVATIONS[:2])),
    "activation of another instance": (
        "activations", other_activations(*ACTIVATIONS[:2], activation("university", instance=ANOTHER.public.keyid))
    ),
    "activation of another contract": (
        "activations", other_activations(*ACTIVATIONS[:2], activation("university", contract=OTHER_DIGEST.hex()))
    ),
    "activation in another's name": (
        "activations", other_activations(*ACTIVATIONS[:2], activation("clinic", party="university"))
    ),
    "an input is missing": ("inputs", other_inputs(CLINIC)),
    "an input comes twice": ("inputs", other_inputs(CLINIC, CLINIC)),
    "another upload than the pinned one": ("inputs", other_inputs(CLINIC, upload("hospital", random=bytes))),
    "input committed by another": ("inputs", other_inputs(CLINIC, upload("hospital", signer="clinic"))),
    "input with another's commitment": ("inputs", other_inputs(CLINIC, (HOSPITAL[0], CLINIC[1]))),
    "input under another contract": ("inputs", other_inputs(CLINIC, upload("hospital", contract=OTHER_DIGEST))),
    "input of another dataset": ("inputs", other_inputs(CLINIC, upload("hospital", dataset="visits"))),
    "input by who owns nothing": ("inputs", other_inputs(CLINIC, upload("university"))),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_part_refuses_by_name(name: str) -> None:
    part, broken = BROKEN[name]
    refused(broken(), part)


def test_every_part_is_broken_once() -> None:
    assert {part for part, _ in BROKEN.values()} | {"parties"} == set(PARTS)


def test_a_contract_with_other_enclaves_is_not_what_was_signed() -> None:
    # An instance that shows a contract of its own making lacks the parties' signatures on it.
    other = contract(title="Another study")

    def swap(statement: dict[str, Any]) -> None:
        statement["predicate"]["contract"] = base64.b64encode(other).decode()

    refused(rewritten(Scene().receipt(), swap), "checkpoint")


def test_an_instance_whose_key_no_evidence_binds_is_refused() -> None:
    # It signs everything itself, consistently: only the evidence can tell.
    nonce = sha256(leaf_bytes(RUN))
    transcript = Transcript(1, "contract", nonce, DIGEST, sha256(b"spki"), sha256(HPKE), ANOTHER.public.raw)
    lying = replace(
        Scene(),
        key=ANOTHER,
        attestation=replace(attestation(), transcript=transcript.to_bytes()),
        checkpoint=lambda log: sign_checkpoint(state(log, 8, SHOWN, instance=ANOTHER.public.keyid), ANOTHER),
        permits=lambda log: [permit(name, log, 6, instance=ANOTHER.public.keyid) for name in NAMES[:2]],
        countersignatures=lambda _log: [],
        activations=[activation(name, instance=ANOTHER.public.keyid) for name in NAMES],
    )
    assert refused(lying.receipt(), "evidence").field == "binding"


WHOLE = Scene().receipt()


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_refuses(at: int, flip: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    with pytest.raises(Refusal):
        verified(bytes(changed))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in inside for place in places(inner, (*path, key)))]


PLACES = places(json.loads(base64.b64decode(json.loads(WHOLE)["payload"])))[1:]


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(PLACES),
    value=st.sampled_from(
        [None, "", "AAAA", "00" * 32, 0, -1, 9, [], {}, "clinic", ["AAAA"], base64.b64encode(b"{}").decode()]
    ),
)
def test_whatever_a_lying_instance_writes_is_refused_and_nothing_else_is_raised(
    path: tuple[Any, ...], value: Any
) -> None:
    def change(statement: dict[str, Any]) -> None:
        inner: Any = statement
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    lying = rewritten(WHOLE, change)
    # Without countersignatures it is genuine and shows no time; simulated evidence knows no endorsements.
    harmless = lying == WHOLE or path[-1] in {"countersignatures", "endorsements"}
    with suppress(Refusal) if harmless else pytest.raises(Refusal):
        verified(lying)


def test_a_receipt_tells_no_sizes() -> None:
    statement = base64.b64decode(json.loads(Scene().receipt())["payload"])
    small, large = (
        sign_commitment(Header(1, DIGEST, "patients", "clinic", bytes(16), *[bytes(32)] * 3), tally, key_of("clinic"))
        for tally in (ChunkTally.of([b"1"]), ChunkTally.of([b"%d" % index for index in range(500)]))
    )
    assert len(small) == len(large)
    assert not {"rows", "bytes", "count", "chunks"} & set(json.loads(statement)["predicate"])
