"""A real software TPM: who enrols, what a quote shows, and what a lying coordinator can and cannot do."""

import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from mpc.attesters import Settings, choose
from mpc.attesters.tpm import answer, enrolment_request, extend
from mpc.canonical import sha256
from mpc.errors import Malformed, Misconfigured, OutOfOrder, Refusal, Unavailable, Untrusted
from mpc.evidence.appraisal import AttestedKey, Exceptions, appraise_attestation
from mpc.evidence.binding import VERSION, Transcript
from mpc.evidence.claims import BOOT_PCRS, Attestation, TpmReference
from mpc.evidence.enrolment import Authority, challenge, issue
from mpc.evidence.formats import parse_and_verify, recognise
from tests.evidence.tpm_forge import ecc_public
from tests.swtpm_machine import require_swtpm
from tests.tpm_enrolled import Enrolled, der, enrolled

pytestmark = pytest.mark.swtpm

CODE = sha256(b"the code that everybody measured")
CHANGED = sha256(b"the same with one changed line")
KEY = b"a sealing key"
TRANSCRIPT = Transcript(
    VERSION, "contract", sha256(b"nonce"), sha256(b"contract"), sha256(b"spki"), sha256(KEY), sha256(b"receipt")
)
BOTH = Exceptions(frozenset({"tpm"}), frozenset({"tpm"}))
VISIBLE = Exceptions(accept_visible_memory=frozenset({"tpm"}))
GENUINE_IMAGE = {index: sha256(b"genuine image, event of register %d" % index) for index in BOOT_PCRS}
LIARS_IMAGE = GENUINE_IMAGE | {9: sha256(b"initrd of a liar")}


@pytest.fixture(scope="module")
def machine() -> Iterator[Enrolled]:
    require_swtpm()
    with tempfile.TemporaryDirectory(prefix="tpm") as folder, enrolled(Path(folder)) as given:
        yield given


def boot(tcti: str, image: dict[int, bytes]) -> None:
    """Stand for firmware and boot loader, which measure what they load before they start it."""
    for register, event in image.items():
        extend(tcti, register, event)


def reference(machine: Enrolled, *, image: dict[int, bytes] | None = None) -> TpmReference:
    boot_pcrs = {str(index): sha256(bytes(32) + event).hex() for index, event in (image or {}).items()}
    return TpmReference(
        format="tpm",
        code_digest=CODE.hex(),
        code_pcr=8,
        boot_pcrs=boot_pcrs,
        authority=base64.b64encode(machine.authority.certificate).decode(),
        issuer="hospital_a",
        measured_by="boot" if image else "self",
        memory_protected=False,
    )


def decide(given: Attestation, wanted: TpmReference, *, exceptions: Exceptions = BOTH) -> AttestedKey:
    return appraise_attestation(
        given, (wanted,), TRANSCRIPT, hpke_public_key=KEY, exceptions=exceptions,
        at=datetime.now(UTC), lifetime=timedelta(minutes=5),
    )  # fmt: skip


def attested(machine: Enrolled, tcti: str, *, says: bytes) -> Attestation:
    """Return what a coordinator hands out that tells its TPM ``says`` as its own digest."""
    attester = choose("tpm", machine.settings(tcti))
    attester.measure(says)
    return attester.attest(TRANSCRIPT)


def test_a_self_measured_coordinator_needs_both_exceptions(machine: Enrolled) -> None:
    with machine.machine.booted() as tcti:
        given = attested(machine, tcti, says=CODE)
    key = decide(given, reference(machine))
    assert key.claims.measured_by == "self"
    assert key.claims.facts["authority_name"] == "Common Name: Attestation keys of hospital a"
    assert recognise(given.evidence) == "tpm"
    for exceptions, code in (
        (VISIBLE, "evidence.self_measured"),
        (Exceptions(accept_self_measured=frozenset({"tpm"})), "evidence.visible_memory"),
    ):
        with pytest.raises(Refusal) as caught:
            decide(given, reference(machine), exceptions=exceptions)
        assert caught.value.code == code


def test_an_accidental_change_is_refused_and_a_lie_passes_what_measures_itself(machine: Enrolled) -> None:
    with machine.machine.booted() as tcti:
        accident = attested(machine, tcti, says=CHANGED)
    with pytest.raises(Refusal) as caught:
        decide(accident, reference(machine))
    assert (caught.value.code, caught.value.field) == ("evidence.pcr8", "pcr8")
    # The liar runs other code and extends the genuine digest: nothing in the evidence can tell.
    with machine.machine.booted() as tcti:
        boot(tcti, LIARS_IMAGE)
        lie = attested(machine, tcti, says=CODE)
    assert decide(lie, reference(machine)).claims.measured_by == "self"


def test_under_boot_the_genuine_image_passes_and_the_liar_does_not(machine: Enrolled) -> None:
    wanted = reference(machine, image=GENUINE_IMAGE)
    with machine.machine.booted() as tcti:
        boot(tcti, GENUINE_IMAGE)
        honest = attested(machine, tcti, says=CODE)
    assert decide(honest, wanted, exceptions=VISIBLE).claims.measured_by == "boot"
    with machine.machine.booted() as tcti:
        boot(tcti, LIARS_IMAGE)
        lie = attested(machine, tcti, says=CODE)
    with pytest.raises(Refusal) as caught:
        decide(lie, wanted)
    assert caught.value.code == "evidence.pcr9"
    with machine.machine.booted() as tcti:  # nobody measured anything
        unmeasured = attested(machine, tcti, says=CODE)
    with pytest.raises(Refusal) as caught:
        decide(unmeasured, wanted)
    assert caught.value.code == "evidence.pcr0"
    assert caught.value.found == bytes(32).hex()


def test_the_code_is_measured_once_a_boot(machine: Enrolled) -> None:
    with machine.machine.booted() as tcti:
        attester = choose("tpm", machine.settings(tcti))
        with pytest.raises(OutOfOrder):
            attester.attest(TRANSCRIPT)
        attester.measure(CODE)
        attester.measure(CODE)  # a restarted coordinator finds what the launcher wrote
        with pytest.raises(OutOfOrder) as caught:
            attester.measure(CHANGED)
        assert caught.value.code == "attester.measured"
        assert decide(attester.attest(TRANSCRIPT), reference(machine))


def test_evidence_for_another_conversation_or_from_another_authority_is_refused(machine: Enrolled) -> None:
    with machine.machine.booted() as tcti:
        given = attested(machine, tcti, says=CODE)
        attester = choose("tpm", machine.settings(tcti))
        other = attester.attest(replace(TRANSCRIPT, nonce=sha256(b"somebody else's")))
    with pytest.raises(Untrusted) as caught:
        decide(other, reference(machine))
    assert caught.value.code == "evidence.nonce"
    with pytest.raises(Untrusted) as caught:
        decide(replace(other, transcript=TRANSCRIPT.to_bytes()), reference(machine))
    assert caught.value.code == "evidence.binding"
    stranger = Authority.create("Whoever runs the machine", at=datetime.now(UTC))
    wanted = reference(replace(machine, authority=stranger))
    with pytest.raises(Untrusted) as caught:
        decide(given, wanted)
    assert caught.value.code == "evidence.certificate_path"
    # An authority that evidence brings along is a certificate like any other.
    with pytest.raises(Untrusted):
        decide(replace(given, endorsements=(machine.authority.certificate,)), wanted)
    # Two references with two authorities: each vouches only for its own.
    with pytest.raises(Refusal) as either:
        appraise_attestation(
            given,
            (wanted, reference(machine).model_copy(update={"code_digest": CHANGED.hex()})),
            TRANSCRIPT, hpke_public_key=KEY, exceptions=BOTH, at=datetime.now(UTC), lifetime=timedelta(minutes=5),
        )  # fmt: skip
    assert either.value.code in {"evidence.authority", "evidence.pcr8"}


def test_only_the_tpm_with_both_keys_answers_the_challenge(machine: Enrolled) -> None:
    now = datetime.now(UTC)
    roots = (der(machine.machine.endorsement_roots),)
    bridges = (der(machine.machine.endorsement_intermediates),)
    with machine.machine.booted() as tcti:
        request = enrolment_request(tcti)
        asked, pending = challenge(request, roots=roots, endorsements=bridges, at=now, random=os.urandom)
        assert {"ek_certificate_usage", "ak_attributes", "certificate_path"} <= {check.name for check in pending.checks}
        secret = answer(tcti, asked)
        with pytest.raises(Untrusted) as caught:
            issue(pending, bytes(32), machine.authority, at=now)
        assert caught.value.code == "enrolment.answer"
        assert issue(pending, secret, machine.authority, at=now)
        # A challenge for another attestation key: this TPM will not decrypt it.
        foreign = replace(request, public=_another_key())
        asked, _ = challenge(foreign, roots=roots, endorsements=bridges, at=now, random=os.urandom)
        with pytest.raises(Unavailable):
            answer(tcti, asked)
    # Roots are given by the party: the TPM maker's chain alone convinces nobody.
    with pytest.raises(Untrusted) as caught:
        challenge(request, roots=bridges[:0], endorsements=bridges + roots, at=now, random=os.urandom)
    assert caught.value.code == "evidence.certificate_path"


def _another_key() -> bytes:
    return ecc_public(ec.generate_private_key(ec.SECP256R1()))


def test_every_byte_of_a_real_quote_counts(machine: Enrolled) -> None:
    with machine.machine.booted() as tcti:
        raw = attested(machine, tcti, says=CODE).evidence
    now, roots = datetime.now(UTC), (machine.authority.certificate,)
    assert parse_and_verify("tpm", raw, (), roots=roots, at=now)
    for index in range(len(raw)):
        with pytest.raises(Refusal):
            parse_and_verify("tpm", raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :], (), roots=roots, at=now)
    for length in range(len(raw)):
        with pytest.raises(Malformed):
            parse_and_verify("tpm", raw[:length], (), roots=roots, at=now)
    with pytest.raises(Malformed):
        parse_and_verify("tpm", raw + b"\0", (), roots=roots, at=now)


@pytest.mark.parametrize("register", [0, 7, 9, 16, 23])
def test_a_register_that_software_can_reset_or_the_boot_chain_writes_is_refused(register: int) -> None:
    with pytest.raises(Misconfigured) as caught:
        choose("tpm", Settings(code_pcr=register, certificates=(b"x",)))
    assert caught.value.code == "attester.code_pcr"


def test_the_certificate_may_lie_in_a_pem_file(machine: Enrolled) -> None:
    pem = load_der_x509_certificate(machine.certificate).public_bytes(Encoding.PEM)
    with machine.machine.booted() as tcti:
        attester = choose("tpm", replace(machine.settings(tcti), certificates=(pem,)))
        attester.measure(CODE)
        assert decide(attester.attest(TRANSCRIPT), reference(machine))
    with pytest.raises(Malformed):
        choose("tpm", Settings(certificates=(b"no certificate",)))


def test_what_is_missing_is_said(machine: Enrolled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        choose("tpm", Settings())
    assert caught.value.code == "attester.certificate"
    with pytest.raises(Unavailable):
        choose("tpm", machine.settings(f"swtpm:path={tmp_path}/none"))
    monkeypatch.setitem(sys.modules, "tpm2_pytss", None)
    with pytest.raises(Misconfigured) as caught:
        choose("tpm", machine.settings("device:/dev/tpmrm0"))
    assert caught.value.code == "attester.library"
    assert "sealroom[tpm]" in caught.value.remedy
