"""Real SEV-SNP reports: each gets its verdict, its reason and its facts; no byte of one may change."""

import pytest
from asn1crypto import pem

from mpc.evidence.claims import plain_facts
from mpc.evidence.verdict import Verdict, show
from tests.vectors import Entry, assert_as_expected, entries, judge, named, needs_vectors, read

pytestmark = needs_vectors
ENTRIES = entries("sev-snp")
ABOUT_THE_VERDICT = {"verdict", "stage", "reason"}


def facts_of(verdict: Verdict) -> dict[str, object]:
    return dict(plain_facts(verdict.claims.facts)) if verdict.claims else {}


def test_all_42_are_there() -> None:
    assert len(ENTRIES) == 42


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry["id"]))
def test_a_vector_gets_its_verdict_and_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    expected = {name: value for name, value in entry["expect"].items() if name not in ABOUT_THE_VERDICT}
    if verdict.claims is not None:
        assert expected.items() <= facts_of(verdict).items()
    shown = {field.name: field.value for field in verdict.fields}
    for name, value in expected.items():
        assert shown[name] == spelled(value)


ACCEPTED = [entry for entry in ENTRIES if entry["expect"]["verdict"] == "accept" and "what" not in entry]
REAL = next(iter(entry for entry in ACCEPTED if entry["id"] == "snp-coco-milan-v2"), None)


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]


def assert_no_flip_passes(entry: Entry, stride: int) -> None:
    raw = read(entry["file"])
    for at in range(0, len(raw), stride):
        verdict = judge(entry, raw=flipped(raw, at))
        assert not verdict.accepted, at
        assert verdict.stage in {"parse", "verify"}, at


def test_there_are_accepted_reports() -> None:
    assert len(ACCEPTED) == 24


@pytest.mark.parametrize("entry", ACCEPTED, ids=lambda entry: str(entry["id"]))
def test_no_flipped_byte_passes(entry: Entry) -> None:
    assert_no_flip_passes(entry, 53)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ACCEPTED, ids=lambda entry: str(entry["id"]))
def test_no_flipped_byte_passes_of_any(entry: Entry) -> None:
    assert_no_flip_passes(entry, 1)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_no_flipped_byte_of_a_certificate_passes(which: int) -> None:
    assert REAL is not None
    files = [read(name) for name in REAL["endorsements"]]
    files = [pem.unarmor(file)[2] if file.startswith(b"-----") else file for file in files]
    for at in range(0, len(files[which]), 29):
        changed = [*files[:which], flipped(files[which], at), *files[which + 1 :]]
        assert not judge(REAL, endorsements=changed).accepted, at


@pytest.mark.parametrize("cut", [0, 1, 0x2A0, 1183])
def test_no_truncation_and_no_extension_passes(cut: int) -> None:
    assert REAL is not None
    raw = read(REAL["file"])
    for changed in (raw[:cut], raw + raw[: cut + 1]):
        assert judge(REAL, raw=changed).stage == "parse"


def test_a_report_is_recognised_and_shown_whole() -> None:
    assert REAL is not None
    name, fields = show(read(REAL["file"]))
    assert name == "sev-snp"
    shown = {field.name: field for field in fields}
    assert shown["reported_tcb"].value == "0300000000000873"
    assert all(field.value and field.meaning for field in fields)


def test_amd_s_authorities_are_named_of_a_chain() -> None:
    verdict = judge(named("snp-chain-milan"))
    assert verdict.document is not None
    assert verdict.document.facts == {"authorities": ("SEV-Milan", "ARK-Milan"), "products": ("Milan",)}


def spelled(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(f"{part} {level}" for part, level in value.items()) if isinstance(value, dict) else str(value)
