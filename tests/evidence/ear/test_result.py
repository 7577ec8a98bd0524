"""Our verdicts as attestation results: they affirm nothing that was not shown, and others can read them."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from mpc.errors import Misconfigured
from mpc.evidence import simulated
from mpc.evidence.appraisal import Exceptions
from mpc.evidence.claims import Given
from mpc.evidence.ear import sign_token
from mpc.evidence.ear.claims_set import parse_claims_set
from mpc.evidence.ear.vector import CLAIMS, tier_of
from mpc.evidence.formats import FORMATS
from mpc.evidence.nitro import NitroReference
from mpc.evidence.result import attestation_result
from mpc.evidence.verdict import Verdict, examine
from parties.cli.application import app
from tests.evidence.azure.azure_forge import AzureForge
from tests.evidence.nitro.nitro_forge import NOW, PCRS, NitroForge
from tests.evidence.tpm_forge import Forge
from tests.vectors import NO_TIME, entries, judge, named, needs_vectors, read

FORGE = NitroForge()
ROOT = FORGE.root()
RIGHT = FORGE.document(FORGE.payload(root=ROOT))
REFERENCE = NitroReference(
    format="nitro", measured_by="hardware", memory_protected=True,
    **{f"pcr{index}": PCRS[index].hex() for index in (0, 1, 2, 3, 4, 8)},
)  # fmt: skip
KEYS = {"ES256": ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate()}


def nitro(raw: bytes = RIGHT, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "format": "nitro", "roots": [ROOT]} | changed))


def result_of(verdict: Verdict, **changed: Any) -> dict[str, Any]:
    made = attestation_result(verdict, RIGHT, **({"at": NOW, "build": "1"} | changed))
    read_again = examine(made, at=NOW, format="ear")
    assert read_again.stage == "appraise"  # whatever the verdict, the result itself is well-formed
    found: dict[str, Any] = json.loads(made)
    (entry,) = found["submods"].values()
    assert sorted(entry["ear.trustworthiness-vector"]) == sorted(CLAIMS)
    assert read_again.accepted == (entry["ear.status"] == "affirming")
    return found


def said_of(verdict: Verdict, **changed: Any) -> tuple[str, dict[str, int]]:
    (entry,) = result_of(verdict, **changed)["submods"].values()
    vector = {name: value for name, value in entry["ear.trustworthiness-vector"].items() if value}
    return entry["ear.status"], vector


def test_an_accepted_enclave_is_affirmed_for_what_was_shown() -> None:
    assert said_of(nitro()) == ("affirming", {"hardware": 2, "runtime-opaque": 2})
    compared = nitro(references=[REFERENCE])
    assert said_of(compared, references=[REFERENCE]) == (
        "affirming", {"hardware": 2, "runtime-opaque": 2, "executables": 2, "configuration": 2},
    )  # fmt: skip


def test_a_result_names_verifier_time_policy_and_evidence() -> None:
    found = result_of(nitro(references=[REFERENCE]), references=[REFERENCE], nonce=b"0123456789")
    assert found["iat"] == int(NOW.timestamp())
    assert found["exp"] > found["iat"]
    assert found["ear.verifier-id"] == {"developer": "Sealroom", "build": "1"}
    assert found["eat_nonce"] == "MDEyMzQ1Njc4OQ"
    entry = found["submods"]["nitro"]
    assert entry["ear.appraisal-policy-id"].startswith("sealroom:")
    assert entry["ear.veraison.policy-claims"]["checks"]["pcr0"] == "passed"
    assert entry["ear.veraison.annotated-evidence"]["measurements"]["pcr0"] == PCRS[0].hex()
    other = result_of(nitro())["submods"]["nitro"]["ear.appraisal-policy-id"]
    assert other != entry["ear.appraisal-policy-id"]
    assert "eat_nonce" not in result_of(nitro(), nonce=b"short")


def test_another_program_is_not_recognised() -> None:
    wrong = REFERENCE.model_copy(update={"pcr0": "11" * 48})
    status, vector = said_of(nitro(references=[wrong]), references=[wrong])
    assert (status, vector["executables"]) == ("warning", 33)


def test_a_debug_enclave_is_contraindicated() -> None:
    pcrs = PCRS | dict.fromkeys((0, 1, 2), bytes(48))
    status, vector = said_of(nitro(FORGE.document(FORGE.payload(root=ROOT, pcrs=pcrs))))
    assert (status, vector["configuration"], vector["runtime-opaque"]) == ("contraindicated", 96, 96)


def test_what_is_not_believed_says_nothing() -> None:
    for verdict in (nitro(roots=[]), nitro(given=Given(nonce=b"another"))):
        assert said_of(verdict) == ("contraindicated", dict.fromkeys(CLAIMS, 99))
    assert said_of(nitro(b"nothing")) == ("contraindicated", dict.fromkeys(CLAIMS, 1))


def test_a_tpm_is_no_trusted_execution_environment() -> None:
    forge = Forge()
    verdict = examine(forge.evidence(), at=NOW, roots=[forge.root()])
    assert verdict.accepted
    status, vector = said_of(verdict)
    assert (status, vector) == ("none", {})


def test_what_anybody_can_forge_is_not_recognised() -> None:
    raw = simulated.forge(bytes(32), debug=False, report_data=bytes(64))
    for exceptions in (Exceptions(), Exceptions(accept_self_measured=frozenset({"simulated"}))):
        status, vector = said_of(examine(raw, at=NOW, exceptions=exceptions))
        assert (status, vector["hardware"], vector["instance-identity"]) == ("contraindicated", 97, 97)
        assert "runtime-opaque" not in vector


def test_a_policy_that_permits_too_much_is_an_unsafe_configuration() -> None:
    forge = AzureForge()
    raw = forge.evidence(report=forge.report(policy=0x30000 | 1 << 18))
    verdict = examine(raw, at=NOW, format="azure-vtpm", roots=[forge.chip.root], endorsements=forge.chip.endorsements)
    assert verdict.stage == "appraise"
    status, vector = said_of(verdict)
    assert (status, vector["configuration"], vector["hardware"]) == ("warning", 32, 2)


@needs_vectors
def test_an_old_machine_is_unsafe_hardware() -> None:
    status, vector = said_of(judge(named("azure-tdx-coco")))
    assert (status, vector["hardware"], vector["configuration"]) == ("warning", 32, 32)


def test_what_is_no_evidence_has_no_result() -> None:
    document = attestation_result(nitro(), RIGHT, at=NOW, build="1")
    with pytest.raises(Misconfigured):
        attestation_result(examine(document, at=NOW), document, at=NOW, build="1")


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_independent_library_reads_our_results(algorithm: str) -> None:
    made = attestation_result(nitro(), RIGHT, at=NOW, build="1")
    token = sign_token(made, KEYS[algorithm])
    options = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, KEYS[algorithm].public_key(), algorithms=[algorithm], options=options) == json.loads(made)


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_command_writes_a_result_that_our_verifier_believes(algorithm: str, tmp_path: Path) -> None:
    (tmp_path / "document").write_bytes(RIGHT)
    (tmp_path / "root").write_bytes(ROOT)
    key = KEYS[algorithm]
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    common = ["evidence", "verify", str(tmp_path / "document"), "--root", str(tmp_path / "root"), "--at", "2026-06-01T12:00:00Z"]  # fmt: skip  # noqa: E501
    plain, signed = tmp_path / "plain", tmp_path / "signed"
    assert CliRunner().invoke(app, [*common, "--ear", str(plain)]).exit_code == 0
    assert examine(plain.read_bytes(), at=NOW).accepted
    signing = [*common, "--json", "--ear", str(signed), "--ear-key", str(tmp_path / "key")]
    assert CliRunner().invoke(app, signing).exit_code == 0
    assert examine(signed.read_bytes(), at=NOW, endorsements=[public]).accepted
    assert not examine(signed.read_bytes(), at=NOW).accepted
    assert CliRunner().invoke(app, [*common, "--ear-key", str(tmp_path / "key")]).exit_code != 0
    assert CliRunner().invoke(app, signing).exit_code != 0  # nothing is written over


@needs_vectors
def test_the_key_that_is_published_for_tests_signs_what_its_public_half_verifies() -> None:
    fields = json.loads(read("ear/skey.json"))
    number = int.from_bytes(base64.urlsafe_b64decode(fields["d"] + "=="))
    token = sign_token(attestation_result(nitro(), RIGHT, at=NOW, build="1"), ec.derive_private_key(number, ec.SECP256R1()))  # fmt: skip  # noqa: E501
    assert examine(token, at=NOW, endorsements=[read("ear/pkey.json")]).accepted


@needs_vectors
def test_the_result_of_every_vector_says_no_more_than_its_verdict() -> None:
    ran: Counter[str] = Counter()
    for entry in (one for name in FORMATS for one in entries(name)):
        verdict = judge(entry)
        if verdict.document is not None:
            continue
        made = attestation_result(verdict, read(entry["file"]), at=NO_TIME, build="1")
        (appraisal,) = parse_claims_set(made).attesters.values()
        assert set(appraisal.vector) == set(CLAIMS), entry["id"]
        assert (appraisal.status in {"none", "affirming"}) == verdict.accepted, entry["id"]
        if verdict.claims is None:
            assert not {tier_of(value) for value in appraisal.vector.values()} & {"affirming", "warning"}, entry["id"]
        ran[appraisal.status] += 1
    assert ran["affirming"] > 50
    assert ran["contraindicated"] > 50
    assert ran["warning"] > 5
