"""Azure's confidential VMs: every real one gets its verdict; every link of the chain meets a lie about it."""

import base64
import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpc.canonical import canonical_json, sha256
from mpc.errors import Malformed
from mpc.evidence import intel, snp
from mpc.evidence.azure import AzureReference, parse, verify
from mpc.evidence.azure.layout import parse_report_of_paravisor
from mpc.evidence.azure.verification import PINNED, VTPM_PINNED
from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Claims, Given
from mpc.evidence.verdict import Verdict, examine, parse_reference, show
from tests.evidence.azure.azure_forge import BOOTED, CODE, NONCE, PCRS, AzureForge, base64url, jwk
from tests.evidence.snp_forge import MEASUREMENT, NOW, YEAR, SnpForge, rsa_key
from tests.evidence.tpm_forge import Issuer, selection
from tests.vectors import assert_as_expected, entries, judge, named, needs_vectors, read

FORGE = AzureForge()
AMD_ROOT = FORGE.chip.root
CHIP = FORGE.chip.endorsements
AK_ROOT = FORGE.authority.root()
RIGHT = FORGE.evidence()
SOUGHT = ("report_version", "guest_svn", "policy", "debug", "migrate_ma", "smt", "vmpl", "signing_key", "sig_algo",
    "report_data", "measurement", "host_data", "id_key_digest", "author_key_digest", "chip_id", "product",
    "reported_tcb", "committed_tcb", "quote_version", "body", "mrtd", "mrconfigid", "td_attributes", "xfam",
    "tee_tcb_svn", "mrseam", "sept_ve_disable", "fmspc", "tcb_status", "tee", "secure_boot", "nonce", "bank",
    "ak_endorsed")  # fmt: skip


def judged(raw: bytes = RIGHT, *files: bytes, **changed: Any) -> Verdict:
    told = {"at": NOW, "format": "azure-vtpm", "roots": [AMD_ROOT, AK_ROOT], "endorsements": [*CHIP, *files]}
    return examine(raw, **(told | changed))


def refused(raw: bytes = RIGHT, *files: bytes, **changed: Any) -> tuple[str, str]:
    verdict = judged(raw, *files, **changed)
    assert verdict.refusal is not None
    assert verdict.refusal.remedy
    return verdict.stage, verdict.refusal.code


def believed(*arguments: Any, **changed: Any) -> Claims:
    verdict = judged(*arguments, **changed)
    assert verdict.claims is not None, verdict.refusal
    return verdict.claims


@needs_vectors
def test_every_real_vm_gets_its_verdict_and_its_facts() -> None:
    ran = entries("azure-vtpm")
    for entry in ran:
        verdict, expected = judge(entry, format=None), entry["expect"]
        assert verdict.format == "azure-vtpm"
        assert_as_expected(entry, verdict)
        shown = {field.name: field.value for field in verdict.fields}
        if verdict.document:
            assert verdict.document.kind == entry["what"]
            assert verdict.document.facts["der_length"] == expected["der_length"]
            assert verdict.document.facts["trailing_zeros"] == expected["trailing_zeros"]
            continue
        if "tee" in expected:
            assert (shown["tee"], shown["secure_boot"]) == (expected["tee"], str(expected["secure_boot"]).lower())
        if "nonce" in expected:
            assert shown["extra data"] == expected["nonce"]
        if verdict.stage == "appraise":
            _assert_facts(verdict, expected)
    assert len(ran) == 10


def _assert_facts(verdict: Verdict, expected: dict[str, Any]) -> None:
    assert verdict.claims is not None
    data: Any = verdict.as_data()["claims"]
    for name in SOUGHT:
        if name in expected:
            assert data["facts"][name] == expected[name], name
    for name in ("selection", "rtmr", "advisories"):
        if name in expected:
            assert data["facts"][name] == expected[name]
    measured = {name[3:]: value for name, value in data["measurements"].items() if name.startswith("pcr")}
    assert {index: value for index, value in measured.items() if value.strip("0")} == expected["pcrs"]


SNP, TDX = "azure-snp-coco-v2", "azure-tdx-2026"


@needs_vectors
@pytest.mark.parametrize("name", [SNP, TDX])
@pytest.mark.parametrize("stride", [173, pytest.param(3, marks=pytest.mark.slow)])
def test_no_flip_of_a_real_report_is_accepted(name: str, stride: int) -> None:
    entry = named(name)
    fields = json.loads(read(entry["file"]))
    raw = base64.urlsafe_b64decode(fields["hcl_report"] + "==")
    accepted = []
    for index in range(0, len(raw), stride):
        changed = raw[:index] + bytes([raw[index] ^ (1 << index % 8)]) + raw[index + 1 :]
        evidence = json.dumps(fields | {"hcl_report": base64url(changed)}).encode()
        if judge(entry, raw=evidence).accepted:
            accepted.append(index)
    # Not covered: what only the processor's MAC protects in a TDREPORT (its first structure, and the TEE's TCB).
    uncovered = {*range(33, 32 + 128), *range(32 + 192, 32 + 512), *range(32 + 912, 32 + 1024)}
    assert set(accepted) <= (uncovered if name == TDX else set())


@needs_vectors
@pytest.mark.parametrize("field", ["message", "signature"])
def test_no_flip_of_a_real_quote_is_accepted(field: str) -> None:
    entry = named(SNP)
    fields = json.loads(read(entry["file"]))
    raw = bytes.fromhex(fields["tpm_quote"][field])
    for index in range(0, len(raw), 11):
        changed = (raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]).hex()
        evidence = json.dumps(fields | {"tpm_quote": fields["tpm_quote"] | {field: changed}}).encode()
        assert not judge(entry, raw=evidence).accepted


@needs_vectors
def test_a_register_beside_a_real_quote_cannot_change() -> None:
    entry = named(TDX)
    fields = json.loads(read(entry["file"]))
    for index in range(24):
        values = list(fields["tpm_quote"]["pcrs"])
        values[index] = "ab" * 32
        evidence = json.dumps(fields | {"tpm_quote": fields["tpm_quote"] | {"pcrs": values}}).encode()
        assert judge(entry, raw=evidence).reason == "the registers beside the quote are not the quoted ones"


@needs_vectors
def test_the_quote_of_a_td_is_that_of_the_report_and_has_collateral() -> None:
    entry, other = named(TDX), json.loads(read(named("azure-tdx-2025")["file"]))
    fields = json.loads(read(entry["file"]))
    swapped = judge(entry, raw=json.dumps(fields | {"td_quote": other["td_quote"]}).encode())
    assert swapped.refusal is not None
    assert swapped.refusal.code == "evidence.td_report"
    without = json.dumps({name: value for name, value in fields.items() if name != "td_quote"}).encode()
    verdict = judge(entry, raw=without)
    assert (verdict.stage, verdict.reason.partition(":")[0]) == ("verify", "no TD quote")
    verdict = judge(entry, endorsements=[])
    assert (verdict.stage, verdict.accepted) == ("verify", False)
    assert judge(entry, roots=[]).accepted
    collateral, leaf, *bridges = (read(name) for name in entry["endorsements"])
    assert judge(entry, endorsements=[collateral, leaf]).reason.startswith(("wrong root", "bad certificate signature"))
    assert judge(entry, endorsements=[collateral, *bridges]).accepted  # the key needs no certificate


@needs_vectors
def test_quote_and_report_of_a_td_agree_in_report_data_and_in_what_was_measured() -> None:
    entry = named(TDX)
    fields = json.loads(read(entry["file"]))
    raw = base64.urlsafe_b64decode(fields["hcl_report"] + "==")
    for at, code in (
        (32 + 512, "evidence.td_report"),
        (32 + 911, "evidence.td_report"),
        (32 + 1024, "evidence.malformed"),
    ):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        refusal = judge(entry, raw=json.dumps(fields | {"hcl_report": base64url(changed)}).encode()).refusal
        assert refusal is not None
        assert refusal.code == code
    evidence = parse(read(entry["file"]))
    assert evidence.td_quote is not None
    body = replace(evidence.td_quote.body, report_data=bytes(64))
    with pytest.raises(NotBelieved) as caught:
        verify(replace(evidence, td_quote=replace(evidence.td_quote, body=body)), (), roots=PINNED, at=NOW)
    assert caught.value.code == "evidence.td_report"


@needs_vectors
def test_a_certificate_of_another_vms_key_is_refused_padded_or_not() -> None:
    entry = named(TDX)
    files = [read(name) for name in entry["endorsements"]]
    stranger = read("azure-vtpm/tdx-2025.ak.padded.der")
    for other in (stranger, stranger.rstrip(b"\0")):
        verdict = judge(entry, endorsements=[files[0], other, *files[2:]])
        assert (verdict.stage, verdict.accepted) == ("verify", False)


def test_what_is_right_in_every_link_is_believed() -> None:
    claims = believed(format=None)
    assert claims.bound == NONCE
    assert (claims.measured_by, claims.memory_protected, claims.debug) == ("self", True, False)
    assert claims.measurements["measurement"] == MEASUREMENT
    assert claims.measurements["pcr14"] == PCRS[14]
    assert (claims.facts["ak_endorsed"], claims.facts["secure_boot"]) == (False, True)
    endorsed = believed(RIGHT, FORGE.certificate() + bytes(2000))
    assert endorsed.facts["ak_endorsed"] is True
    assert judged(given=Given(nonce=NONCE)).accepted
    wrong = judged(given=Given(nonce=b"other"))
    assert (wrong.stage, wrong.reason) == ("verify", "wrong nonce")
    assert show(RIGHT)[0] == "azure-vtpm"


@pytest.mark.parametrize("kind", [(1, 2, 1), (1, 2, 2), (1, 2, 3)])
def test_the_runtime_data_may_be_hashed_in_three_ways(kind: tuple[int, int, int]) -> None:
    assert judged(FORGE.evidence(report=FORGE.report(kind=kind))).accepted


def test_other_spellings_of_the_same_evidence() -> None:
    report, quote = FORGE.report(), FORGE.quote()
    numbers = {name: list(bytes.fromhex(quote[name])) for name in ("message", "signature")}
    numbers["pcrs"] = [list(bytes.fromhex(value)) for value in quote["pcrs"]]
    first = json.dumps({"report": list(report), "quote": numbers, "vcek": _pem(CHIP[0])}).encode()
    assert judged(first, endorsements=CHIP[1:]).accepted
    assert judged(FORGE.evidence(hcl_report=base64.b64encode(report).decode())).accepted
    assert judged(FORGE.evidence(hcl_report=report.hex(), vcek_pem=_pem(CHIP[0]))).accepted
    whole = bytes.fromhex("0014000b0100") + bytes.fromhex(quote["signature"])
    assert judged(FORGE.evidence(quote=quote | {"signature": base64.b64encode(whole).decode()})).accepted
    inside = FORGE.evidence(ak_certificate=base64.b64encode(FORGE.certificate() + bytes(64)).decode())
    assert believed(inside).facts["ak_endorsed"] is True


def _pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


STRANGER = rsa_key("stranger")
LINKS: dict[str, tuple[bytes, str]] = {
    "runtime data of another key": (
        FORGE.evidence(report=FORGE.report(FORGE.runtime(keys=[jwk(STRANGER)]), bound=bytes(64))),
        "evidence.runtime_data",
    ),
    "a hash with a tail": (
        FORGE.evidence(report=FORGE.report(bound=sha256(FORGE.runtime()) + b"\1" * 32)),
        "evidence.runtime_data",
    ),
    "a report of the guest's own": (FORGE.evidence(report=FORGE.report(vmpl=2)), "evidence.paravisor_vmpl"),
    "a report that nobody signed": (
        FORGE.evidence(report=FORGE.report()[:360] + b"\1" + FORGE.report()[361:]),
        "evidence.report_signature",
    ),
    "another key's quote": (FORGE.evidence(quote=FORGE.quote(key=STRANGER)), "evidence.signature"),
    "another digest": (FORGE.evidence(quote=FORGE.quote(digest=bytes(32))), "evidence.pcr_digest"),
    "another bank": (FORGE.evidence(quote=FORGE.quote(covered=(selection((0,), bank=4),))), "evidence.pcr_bank"),
    "an empty selection": (FORGE.evidence(quote=FORGE.quote(covered=())), "evidence.pcr_bank"),
    "a register too few": (
        FORGE.evidence(quote=FORGE.quote(pcrs=["01" * 32])), "evidence.pcr_selection",
    ),
}  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
def test_a_chain_that_breaks_at_one_link_is_refused_by_its_name(link: str) -> None:
    raw, code = LINKS[link]
    assert refused(raw) == ("verify", code)


def test_the_swapped_key_is_not_the_one_that_the_hardware_vouches_for() -> None:
    mine = AzureForge(chip=FORGE.chip, ak=STRANGER)
    assert refused(FORGE.evidence(quote=mine.quote())) == ("verify", "evidence.signature")
    both = FORGE.report(FORGE.runtime(keys=[jwk(FORGE.ak), jwk(STRANGER)]))
    assert refused(FORGE.evidence(report=both))[0] == "parse"


def test_each_vendors_root_anchors_its_own_and_nothing_else() -> None:
    assert refused(roots=[]) == ("verify", "evidence.certificate_path")
    assert refused(roots=[AK_ROOT]) == ("verify", "evidence.certificate_path")
    other = SnpForge(root_name="another")
    assert refused(RIGHT, endorsements=other.endorsements, roots=[AMD_ROOT])[0] == "verify"
    certificate = FORGE.certificate()
    assert refused(RIGHT, certificate, roots=[AMD_ROOT]) == ("verify", "evidence.certificate_path")
    assert refused(RIGHT, certificate, AK_ROOT, roots=[AMD_ROOT]) == ("verify", "evidence.certificate_path")
    assert set(PINNED) == {*snp.PINNED, *intel.PINNED, *VTPM_PINNED}
    assert len(PINNED) == len(snp.PINNED) + len(intel.PINNED) + len(VTPM_PINNED)


def test_a_certificate_of_the_key_that_is_given_has_to_hold() -> None:
    for certificate, code in (
        (FORGE.certificate(key=STRANGER), "evidence.ak_certificate_key"),
        (FORGE.certificate(end=NOW - timedelta(hours=1)), "evidence.certificate_validity"),
        (Issuer("another").certify("vm", FORGE.ak), "evidence.certificate_path"),
    ):
        assert refused(RIGHT, certificate) == ("verify", code)
    ignored = FORGE.certificate(usage="1.3.6.1.5.5.7.3.1")
    assert believed(RIGHT, ignored).facts["ak_endorsed"] is False


def test_the_chip_is_checked_as_any_chip() -> None:
    assert refused(endorsements=[])[0] == "verify"
    assert judged(endorsements=[]).reason.startswith("no endorsement certificate")
    assert refused(at=NOW + 2 * YEAR) == ("verify", "evidence.certificate_validity")
    debug = FORGE.evidence(report=FORGE.report(policy=0x30000 | 1 << 19))
    assert (judged(debug).stage, judged(debug).reason.partition(":")[0]) == ("appraise", "debug enclave")
    moves = FORGE.evidence(report=FORGE.report(policy=0x30000 | 1 << 18))
    assert refused(moves) == ("appraise", "evidence.migrate_ma")


SHAPES: dict[str, bytes] = {
    "another magic": FORGE.report(magic=b"HCLB"),
    "another version": FORGE.report(header=(3, 32 + 1204 + len(FORGE.runtime()), 2, 0, 0, 0, 0)),
    "another size": FORGE.report(header=(2, 2000, 2, 0, 0, 0, 0)),
    "another request": FORGE.report(header=(2, 32 + 1204 + len(FORGE.runtime()), 1, 0, 0, 0, 0)),
    "a status": FORGE.report(header=(2, 32 + 1204 + len(FORGE.runtime()), 2, 1, 0, 0, 0)),
    "another version of runtime data": FORGE.report(kind=(2, 2, 1)),
    "another kind of hardware": FORGE.report(kind=(1, 3, 1)),
    "another hash": FORGE.report(kind=(1, 2, 4)),
    "runtime data of another size than they say": FORGE.report()[:8]
    + (32 + 1184 + 24 + len(FORGE.runtime())).to_bytes(4, "little")
    + FORGE.report()[12:1216]
    + (24 + len(FORGE.runtime())).to_bytes(4, "little")
    + FORGE.report()[1220:],
    "a TDREPORT that is none": FORGE.report(kind=(1, 4, 1)),
    "bytes behind": FORGE.report(behind=bytes(10) + b"\1"),
    "too short": FORGE.report()[:1236],
    "cut": FORGE.report(behind=b"")[:-1],
    "too long": FORGE.report(behind=bytes(16 << 10)),
    "no JSON": FORGE.report(b"runtime"),
    "a name twice": FORGE.report(FORGE.runtime().replace(b'"user-data"', b'"keys": [], "user-data"')),
    "no keys": FORGE.report(FORGE.runtime(keys=...)),
    "no attestation key": FORGE.report(FORGE.runtime(keys=[jwk(STRANGER, kid="HCLEkPub")])),
    "a key that is none": FORGE.report(FORGE.runtime(keys=[jwk(STRANGER, n="AQ")])),
    "a key of another kind": FORGE.report(FORGE.runtime(keys=[jwk(STRANGER, kty="EC")])),
    "a key that is no base64": FORGE.report(FORGE.runtime(keys=[jwk(STRANGER, n="!")])),
    "keys that are text": FORGE.report(FORGE.runtime(keys="keys")),
    "no configuration": FORGE.report(FORGE.runtime(**{"vm-configuration": ...})),
    "no user data": FORGE.report(FORGE.runtime(**{"user-data": 7})),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_report_that_is_not_as_the_format_has_it_is_malformed(shape: str) -> None:
    assert refused(FORGE.evidence(report=SHAPES[shape]))[0] == "parse"


def test_evidence_that_is_not_as_the_format_has_it_is_malformed() -> None:
    quote = FORGE.quote()
    for raw in (
        b"", b"{}", b"[]", b"\xff", RIGHT[:-1], RIGHT + b"{}", RIGHT.replace(b'"tpm_quote"', b'"tpm_quotes"'),
        FORGE.evidence(hcl_report=...), FORGE.evidence(hcl_report=7), FORGE.evidence(hcl_report="!"),
        FORGE.evidence(hcl_report=[256]), FORGE.evidence(hcl_report=["a"]), FORGE.evidence(vcek_pem="what"),
        FORGE.evidence(td_quote="AAAA"), FORGE.evidence(tpm_quote=quote | {"pcrs": "00"}),
        FORGE.evidence(tpm_quote=quote | {"pcrs": [bytes(32).hex()] * 25}),
        FORGE.evidence(tpm_quote=quote | {"pcrs": [7]}), FORGE.evidence(tpm_quote=quote | {"message": "00"}),
        FORGE.evidence(quote=FORGE.quote(magic=bytes.fromhex("ff5443478017"))), FORGE.evidence(ak_certificate=[[1]]),
        b"\x30\x82\x00\x04\x00\x00\x00\x00", b"\x30\x82",
    ):  # fmt: skip
        assert refused(raw)[0] == "parse"
    assert judged(given=Given(bank="sha3")).reason == "there is no such bank of registers"


@given(st.binary(max_size=8), st.integers(0, 2600))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_report_or_malformed(noise: bytes, at: int) -> None:
    whole = FORGE.report()
    for raw in (noise, whole[:at] + noise + whole[at:], whole[:at] + noise + whole[at + len(noise) :]):
        with suppress(Malformed):
            parse_report_of_paravisor(raw)
        with suppress(Malformed):
            parse(RIGHT[:at] + noise + RIGHT[at:])


def reference(**changed: Any) -> AzureReference:
    hardware = {
        "format": "sev-snp", "measurement": MEASUREMENT.hex(), "vmpl": 0, "minimum_guest_svn": 3,
        "id_key_digest": None, "author_key_digest": None, "host_data": None, "allowed_policy": ("smt",),
        "required_policy": (), "required_platform": (), "signing_key": "VCEK", "chip_ids": None, "csp_id": None,
        "minimum_tcb": {"Milan": {"bl": 4, "tee": 1, "snp": 24, "ucode": 219, "fmc": None}}, "crl_required": False,
        "accepted": (), "measured_by": "hardware", "memory_protected": True,
    } | changed.pop("hardware", {})  # fmt: skip
    right = {
        "format": "azure-vtpm", "hardware": hardware, "code_digest": CODE.hex(), "code_pcr": 14,
        "boot_pcrs": {str(index): value.hex() for index, value in BOOTED.items()}, "secure_boot": True,
        "ak_endorsed": False, "measured_by": "boot", "memory_protected": True,
    }  # fmt: skip
    return AzureReference.model_validate(right | changed)


def failed(wanted: AzureReference, raw: bytes = RIGHT, *files: bytes) -> list[str]:
    verdict = judged(raw, *files, references=[wanted])
    assert verdict.accepted or verdict.stage == "appraise"
    return [check.name for check in verdict.checks if not check.passed]


def test_a_vm_that_is_as_the_contract_says_is_accepted_and_measured_by_its_boot() -> None:
    verdict = judged(references=[reference()])
    assert verdict.accepted
    assert verdict.claims is not None
    assert verdict.claims.measured_by == "boot"
    assert failed(reference(ak_endorsed=True), RIGHT, FORGE.certificate()) == []


def test_a_reference_is_written_and_read_as_a_contract_writes_it() -> None:
    for wanted in (reference(), td_reference(hardware={"accepted": ("debug", "tcb:OutOfDate")})):
        assert parse_reference(canonical_json(wanted)) == wanted


def test_each_value_that_the_contract_names_is_compared() -> None:
    assert failed(reference(code_digest="11" * 32)) == ["pcr14"]
    assert failed(reference(ak_endorsed=True)) == ["ak_endorsed"]
    assert failed(reference(hardware={"measurement": "11" * 48})) == ["measurement"]
    insecure = FORGE.report(FORGE.runtime(**{"vm-configuration": {"secure-boot": False}}))
    assert failed(reference(), FORGE.evidence(report=insecure)) == ["secure_boot"]
    assert failed(reference(secure_boot=False), FORGE.evidence(report=insecure)) == []
    for index in BOOTED:
        for value in (b"\xff" * 32, bytes(32)):
            other = FORGE.evidence(quote=FORGE.quote(registers=dict(sorted((PCRS | {index: value}).items()))))
            assert failed(reference(), other) == [f"pcr{index}", "measured_by", "self_measured"]
    twice = FORGE.evidence(quote=FORGE.quote(registers=PCRS | {14: b"\1" * 32}))
    assert failed(reference(), twice) == ["pcr14"]


TD = {
    "format": "tdx", "mrtd": "11" * 48, "accepted": (), "minimum_tcb_evaluation_data_number": 1,
    "refused_advisories": (), "platforms": None, "measured_by": "hardware", "memory_protected": True,
}  # fmt: skip


def td_reference(**changed: Any) -> AzureReference:
    fields = reference().model_dump() | {"hardware": TD | changed.pop("hardware", {})}
    return AzureReference.model_validate(fields | changed)


def test_another_kind_of_processor_is_not_what_the_contract_names() -> None:
    assert failed(td_reference()) == ["tee", "measured_by", "self_measured"]


@needs_vectors
def test_a_td_is_compared_with_what_the_contract_names() -> None:
    expected = named(TDX)["expect"]
    boot = {str(index): expected["pcrs"][str(index)] for index in BOOTED}
    right = td_reference(hardware={"mrtd": expected["mrtd"]}, boot_pcrs=boot, ak_endorsed=True)
    found = judge(named(TDX), references=[right])
    assert [check.name for check in found.checks if not check.passed] == ["pcr14"]  # Azure's image runs no coordinator
    wrong = td_reference(boot_pcrs=boot, hardware={"minimum_tcb_evaluation_data_number": 99})
    names = [check.name for check in judge(named(TDX), references=[wrong]).checks if not check.passed]
    assert names == ["mrtd", "tcb_evaluation_data_number", "pcr14"]


@needs_vectors
def test_what_a_contract_accepts_by_name_is_accepted() -> None:
    entry = named("azure-tdx-coco")
    waived = td_reference(hardware={"accepted": ("sept_ve_disable", "tcb:OutOfDate")})
    names = {check.name for check in judge(entry, references=[waived]).checks if not check.passed}
    assert not {"sept_ve_disable", "tcb_status"} & names
    names = {check.name for check in judge(entry).checks if not check.passed}
    assert names == {"sept_ve_disable", "tcb_status"}


@pytest.mark.parametrize(
    "changed",
    [
        {"boot_pcrs": {}}, {"boot_pcrs": {str(index): "00" * 32 for index in BOOTED}}, {"code_pcr": 9},
        {"code_pcr": 16}, {"measured_by": "hardware"}, {"memory_protected": False},
        {"boot_pcrs": {str(index): value.hex() for index, value in PCRS.items()}}, {"hardware": {"mrtd": "00" * 48}},
    ],
)  # fmt: skip
def test_a_contract_cannot_name_values_that_would_not_be_relied_on(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        td_reference(**changed)


def bincode(quote: dict[str, Any]) -> bytes:
    """Return a quote as az-cvm-vtpm writes it."""
    signature, message = (bytes.fromhex(quote[name]) for name in ("signature", "message"))
    parts = ((len(signature), signature), (len(message), message), (24, bytes.fromhex("".join(quote["pcrs"]))))
    return b"".join(count.to_bytes(8, "little") + data for count, data in parts)


def test_an_envelope_and_files_side_by_side_are_the_same_evidence() -> None:
    report, quote = FORGE.report(), FORGE.quote()
    envelope = json.dumps({"platform": "az-snp", "evidence": json.loads(FORGE.evidence(report=report))}).encode()
    assert judged(envelope, format=None).accepted
    for beside in (json.dumps(quote).encode(), bincode(quote)):
        verdict = judged(report, endorsements=(*CHIP, beside), format=None)
        assert verdict.accepted, verdict.refusal
        assert verdict.claims is not None
        assert verdict.claims.measurements["pcr0"] == PCRS[0]
    assert judged(FORGE.evidence(report=FORGE.report(FORGE.runtime(**{"user-data": ...})))).accepted
    alone = judged(report, format=None)
    assert (alone.stage, alone.reason.partition(":")[0]) == ("verify", "no quote")
    assert show(report)[0] == "azure-vtpm"


def test_files_that_are_not_one_quote_refuse() -> None:
    report, quote = FORGE.report(), FORGE.quote()
    message, signature = (bytes.fromhex(quote[name]) for name in ("message", "signature"))
    whole = bincode(quote)
    for beside in (
        [message], [signature], [message, signature, signature], [message, message, signature], [whole, whole],
        [whole, message, signature], [whole[:-1]], [whole + b"\0"], [json.dumps(quote | {"pcrs": ["xy"]}).encode()],
    ):  # fmt: skip
        assert not judged(report, endorsements=(*CHIP, *beside)).accepted
    td_quotes = (b"\4\0\2\0\x81\0\0\0", b"\5\0\2\0\x81\0\0\0")
    assert judged(report, endorsements=(*CHIP, whole, *td_quotes)).reason == "there is not one whole quote beside it"
    other = FORGE.quote(key=STRANGER)
    verdict = judged(report, endorsements=(*CHIP, bincode(other)))
    assert (verdict.stage, verdict.reason.partition(":")[0]) == ("verify", "signature does not verify")
    assert judged(report, endorsements=(*CHIP, message, signature)).stage == "verify"  # no registers, no claims


def test_a_report_of_the_paravisor_is_no_report_of_keystone() -> None:
    report = FORGE.report()[:2048].ljust(2048, b"\0")
    with pytest.raises(Malformed, match="not recognised"):
        show(report[:4] + bytes(28) + report[32:])


def test_a_log_of_the_boot_beside_it_explains_registers_and_is_no_endorsement() -> None:
    said = b"firmware"
    value = hashlib.sha256(bytes(32) + hashlib.sha256(said).digest()).digest()
    digests = b"\x0b\0" + hashlib.sha256(said).digest()
    spec = b"Spec ID Event03\0" + bytes(8) + b"\1\0\0\0\x0b\0\x20\0\0"
    log = bytes(4) + b"\3\0\0\0" + bytes(20) + len(spec).to_bytes(4, "little") + spec
    log += bytes(4) + b"\x08\0\0\0\1\0\0\0" + digests + len(said).to_bytes(4, "little") + said
    claims = believed(FORGE.evidence(quote=FORGE.quote(registers={0: value})), log)
    assert claims.facts["event_log"] == {"pcr0": ("EV_S_CRTM_VERSION: firmware",), "unexplained": ()}


def test_the_paravisors_report_may_be_spelled_in_text() -> None:
    report = FORGE.report()
    for raw in (base64.b64encode(report), report.hex().encode() + b"\n"):
        verdict = examine(
            raw, at=NOW, endorsements=[*CHIP, json.dumps(FORGE.quote()).encode()], roots=[AMD_ROOT, AK_ROOT]
        )
        assert (verdict.format, verdict.accepted) == ("azure-vtpm", True), verdict.refusal
