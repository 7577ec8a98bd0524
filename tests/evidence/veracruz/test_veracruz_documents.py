"""Veracruz's policies and data: the real files get their verdicts; every rule of a policy meets one that breaks it."""

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.formats import recognise
from mpc.evidence.veracruz import FORMAT, parse_policy, reference_of
from mpc.evidence.veracruz.pipeline import check_pipeline
from mpc.evidence.verdict import Verdict, examine
from tests.evidence.veracruz.policies import HASH, NOW, PEM, certificate, current, identity, of_2020, older, spelled
from tests.vectors import Entry, assert_as_expected, entries, judge, needs_vectors, read

FACTS = {"dialect", "function", "programs", "lines", "columns", "rows", "gradient", "intercept"}
VERACRUZ = entries("veracruz")


def judged(fields: dict[str, Any], at: datetime = NOW) -> Verdict:
    return examine(spelled(fields), at=at)


@needs_vectors
@pytest.mark.parametrize("entry", VERACRUZ, ids=lambda entry: entry["id"])
def test_every_real_file_gets_its_verdict_its_reason_and_its_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    expected = {name: value for name, value in entry["expect"].items() if name in FACTS}
    found: Any = (verdict.as_data()["claims"] or {"facts": {}})["facts"]  # type: ignore[index]
    assert {name: found[name] for name in expected} == expected
    if entry["what"] == "policy":
        assert recognise(read(entry["file"])) == "veracruz"


@needs_vectors
def test_there_are_twenty_four_of_them() -> None:
    assert len(VERACRUZ) == 24
    assert {entry["what"] for entry in VERACRUZ} == {"policy", "data"}


@pytest.mark.parametrize(
    ("fields", "dialect"),
    [(current(), "current"), (older(), "2021"), (of_2020(), "2020")],
    ids=["current", "2021", "2020"],
)
def test_a_sound_policy_of_every_dialect_is_accepted(fields: dict[str, Any], dialect: str) -> None:
    raw = spelled(fields)
    verdict = examine(raw, at=NOW)
    assert verdict.accepted, verdict.refusal
    assert (verdict.stage, verdict.format) == ("appraise", "veracruz")
    assert verdict.document is not None
    assert verdict.document.facts["dialect"] == dialect
    # What principals compare is the digest of the very bytes.
    assert verdict.document.facts["policy_hash"] == sha256(raw).hex()
    assert examine(raw + b"\n", at=NOW).document.facts["policy_hash"] != sha256(raw).hex()  # type: ignore[union-attr]


def test_a_policy_names_the_runtime_manager_that_a_contract_can_want() -> None:
    policy = parse_policy(spelled(current(runtime_manager_hash_nitro="ab" * 32)))
    assert reference_of(policy, "linux").measured_by == "self"
    nitro = reference_of(policy, "nitro")
    assert (nitro.runtime_manager_hash, nitro.measured_by, nitro.memory_protected) == ("ab" * 32, "hardware", True)
    with pytest.raises(Malformed):
        reference_of(policy, "sevsnp")
    assert reference_of(parse_policy(spelled(of_2020())), "sevsnp").runtime_manager_hash == HASH


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        (current(), datetime(2030, 1, 1, tzinfo=UTC)),
        (current(identities=[identity(certificate=certificate(ends=datetime(2026, 1, 1, tzinfo=UTC)))]), NOW),
        (current(), datetime(2024, 1, 1, tzinfo=UTC)),
    ],
    ids=["enclave's certificate", "principal's certificate", "not yet"],
)
def test_a_policy_whose_time_is_over_is_refused(fields: dict[str, Any], at: datetime) -> None:
    verdict = judged(fields, at)
    assert (verdict.stage, verdict.reason.partition(":")[0]) == ("appraise", "expired")


BROKEN = {
    "two principals, one id": current(identities=[identity(), identity()]),
    "no certificate": current(identities=[identity(certificate="")]),
    "newline after the certificate": current(identities=[identity(certificate=PEM + "\n")]),
    "form feed": current(identities=[identity(certificate=PEM.replace("\n", "\f", 1))]),
    "not X.509": current(identities=[identity(certificate=PEM.replace("MII", "AAA", 1))]),
    "signed by another": current(
        identities=[identity(certificate=certificate(key=ec.generate_private_key(ec.SECP256R1())))]
    ),
    "proxy's certificate": current(proxy_service_cert="none"),
    "hour 24": current(enclave_cert_expiry={"year": 2030, "month": 1, "day": 1, "hour": 24, "minute": 0}),
    "30 February": current(enclave_cert_expiry={"year": 2030, "month": 2, "day": 30, "hour": 0, "minute": 0}),
    "year 0": current(enclave_cert_expiry={"year": 0, "month": 2, "day": 3, "hour": 0, "minute": 0}),
    "huge year": current(enclave_cert_expiry={"year": 10**30, "month": 2, "day": 3, "hour": 0, "minute": 0}),
    "true for a number": current(enclave_cert_expiry={"year": 2030, "month": True, "day": 3, "hour": 0, "minute": 0}),
    "short hash": current(file_hashes=[{"file_path": "/a", "hash": "5c"}]),
    "unknown strategy": current(execution_strategy="Guess"),
    "unknown cipher": current(ciphersuite="none"),
    "unknown module": current(native_modules=[{"name": "a", "type": {"Other": {}}}]),
    "pipeline": current(pipelines=[{"name": "0", "pipeline": "if {", "id": 0, "file_rights": []}]),
    "rights beyond 32 bits": current(identities=[identity(file_rights=[{"file_name": "/a", "rights": 2**32}])]),
    "rights that are no object": current(identities=[identity(file_rights=["rwx"])]),
    "programs that are no objects": current(programs=["a.wasm"]),
    "a crowd": current(identities=[identity(number) for number in range(33)]),
    "role": of_2020(identities=[{"cert": PEM, "id": 0, "roles": ["King"]}]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_policy_that_breaks_a_rule_is_malformed(name: str) -> None:
    verdict = judged(BROKEN[name])
    assert verdict.stage == "parse"
    assert isinstance(verdict.refusal, Malformed)


@pytest.mark.parametrize(
    "name", sorted(set(current()) - {"pipelines", "runtime_manager_hash_linux", "runtime_manager_hash_nitro"})
)
def test_every_required_field_is_required(name: str) -> None:
    fields = current()
    del fields[name]
    assert not examine(spelled(fields), at=NOW, format="veracruz").accepted


def test_fields_beyond_the_schema_are_let_be_and_repeated_ones_are_not() -> None:
    assert judged(current(remark="ours")).accepted
    twice = spelled(current()).replace(b'"debug": false', b'"debug": false, "debug": true', 1)
    assert not examine(twice, at=NOW, format="veracruz").accepted


@needs_vectors
def test_no_truncation_or_extension_of_a_policy_is_one() -> None:
    raw = read("veracruz/function-small.json")
    whole = raw.rstrip()
    for changed in (*(whole[:length] for length in range(0, len(whole), 61)), whole[:-1], raw + b"}", raw + raw):
        assert not examine(changed, at=NOW, format="veracruz").accepted


@needs_vectors
def test_a_flip_in_a_certificate_of_a_policy_is_never_accepted() -> None:
    fields = current()
    for position in range(30, len(PEM) - 1, 7):
        changed = PEM[:position] + chr(ord(PEM[position]) ^ 1) + PEM[position + 1 :]
        if PEM[position] != "=":
            assert not judged(fields | {"identities": [identity(certificate=changed)]}).accepted, position


def test_the_grammar_of_pipelines() -> None:
    assert check_pipeline("a.wasm ; if /output/x { b.wasm ; } else { c.wasm }") == (
        "a.wasm", "/output/x", "b.wasm", "c.wasm",
    )  # fmt: skip
    assert check_pipeline("a.wasm; b.wasm".replace(" ", "")) == (
        "a.wasm;b.wasm",
    )  # one path: words are apart by spaces
    for sound in ("", "a.wasm", "a.wasm ;", "{ a ; { b } }", "{ }", "if x { } else { }"):
        check_pipeline(sound)
    for broken in (
        "a b", "; a", "if", "if {", "if x a", "if x { a", "else { }", "{", "}", "a ; ; b", "a }", "dir/", "a//b",
        "{ " * 40 + "} " * 40, "a " * 20_000,
    ):  # fmt: skip
        with pytest.raises(Malformed):
            check_pipeline(broken)


def test_tables_and_pairs_are_told_from_what_is_neither() -> None:
    def facts(raw: bytes) -> dict[str, Any]:
        verdict = examine(raw, at=NOW, format="veracruz")
        assert verdict.accepted
        assert verdict.document is not None
        return dict(verdict.document.facts)

    assert facts(b"a,b\r\n1,2\r\n") == {"lines": 2, "columns": 2}
    assert facts(b"Hello world!") == {"lines": 1, "columns": 1}
    pairs = b"\x03" + struct.pack("<6d", 0, 1, 1, 3, 2, 5)
    assert facts(pairs) == {"rows": 3, "gradient": 2.0, "intercept": 1.0}
    assert facts(b"\x01" + struct.pack("<2d", 5, 5)) == {"rows": 1}
    assert not examine(b"1\n" * 20_001, at=NOW, format="veracruz").accepted
    ragged = examine(b"1,2\n3\n", at=NOW, format="veracruz")
    assert (ragged.stage, ragged.reason) == ("parse", "ragged table")
    for neither in (
        b"",
        pairs[:-1],
        pairs + b"\0",
        b"\x02" + pairs[1:],
        b"\x01" + struct.pack("<2d", 1, float("nan")),
        b"\xff" * 40,
    ):
        assert not examine(neither, at=NOW, format="veracruz").accepted


def test_data_are_recognised_by_nobody_who_was_not_told() -> None:
    assert not FORMAT.recognises(b"a,b\n1,2\n")
    assert not FORMAT.recognises(json.dumps({"identities": []}).encode())
