import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_json
from mpc.contract.document import WHAT_TO_WRITE, contract_bytes, parse_contract, parse_reference, strictest
from mpc.contract.strictness import STRICTEST
from mpc.contract.terms import Contract, Rules
from mpc.errors import Malformed, Refusal

Document = dict[str, Any]
Spell = Callable[[Document], bytes]

UNSPOILED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refused(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_contract(raw)
    return caught.value


def test_a_sound_contract_parses_and_serialises_to_the_very_same_bytes(raw: bytes) -> None:
    contract = parse_contract(raw)
    assert canonical_json(contract) == raw
    assert contract_bytes(contract) == raw


@UNSPOILED
@given(position=st.integers(min_value=0), byte=st.integers(min_value=1, max_value=255))
def test_any_bytes_either_parse_to_themselves_or_refuse(raw: bytes, position: int, byte: int) -> None:
    spoiled = bytearray(raw)
    spoiled[position % len(raw)] ^= byte
    try:
        contract = parse_contract(bytes(spoiled))
    except Refusal:
        return
    assert canonical_json(contract) == bytes(spoiled) != raw


@UNSPOILED
@given(length=st.integers(min_value=0), tail=st.binary(max_size=20))
def test_a_cut_or_lengthened_contract_refuses(raw: bytes, length: int, tail: bytes) -> None:
    spoiled = raw[: length % len(raw)] + tail
    if spoiled != raw:
        refused(spoiled)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda raw: b'{"also":1,' + raw[1:], "json.unknown_field"),
        (lambda raw: b'{"title":"other",' + raw[1:], "json.duplicate_field"),
        (lambda raw: raw.replace(b'"runs":3', b'"runs":3,"runs":3'), "json.duplicate_field"),
        (lambda raw: raw.replace(b'"runs":3', b'"runs": 3'), "json.not_canonical"),
        (lambda raw: raw.replace(b'"runs":3', b'"runs":3.0'), "json.field"),
        (lambda raw: raw.replace(b"Nodes by grade", rb"\u004eodes by grade"), "json.not_canonical"),
        (lambda raw: raw.replace(b'"title":"Nodes by grade",', b""), "json.missing_field"),
        (lambda raw: raw + b"\n", "json.not_canonical"),
        (lambda raw: raw[:-1], "json.invalid"),
        (lambda _: b"[" * 100, "json.depth"),
        (lambda raw: raw.replace(b"Nodes by grade", b"N" * (1 << 20)), "json.size"),
        (lambda raw: raw.replace(b"Nodes by", "Nodes\u202eby".encode()), "json.field"),
        (lambda raw: raw.replace(b"Nodes by", "No\u0308des by".encode()), "json.field"),
        (lambda raw: raw.replace(b"2027-01-01", b"2025-01-01"), "json.field"),
        (lambda raw: raw.replace(b"2027-01-01", b"2027-02-30"), "json.field"),
        (lambda _: b"\xff\xfe", "json.invalid"),
        (lambda _: b"", "json.invalid"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_canonical_contract_refuse(raw: bytes, spoil: Callable[[bytes], bytes], code: str) -> None:
    assert spoil(raw) != raw
    refusal = refused(spoil(raw))
    assert (type(refusal), refusal.code) == (Malformed, code)


def change(document: Document, path: str, value: object) -> None:
    *parents, last = path.split(".")
    at: Any = document
    for part in parents:
        at = at[int(part)] if part.isdigit() else at[part]
    key = int(last) if last.isdigit() else last
    if value is ABSENT:
        del at[key]
    else:
        at[key] = value


ABSENT = object()

PROTECTIVE = [
    "parties", "datasets.0.owners", "datasets.0.subject", "datasets.0.subject.identity", "datasets.0.freshness",
    "datasets.0.freshness.refreshes", "datasets.0.columns.1.filterable", "datasets.0.columns.1.identifier",
    "computations.0.recipients", "computations.0.runs", "computations.0.unattended",
    "disclosure", "disclosure.0.rules", "disclosure.0.rules.threshold", "disclosure.1.rules.coalition",
    "disclosure.0.rules.zeros", "disclosure.0.rules.complementary", "disclosure.0.rules.significant_digits",
    "enclaves", "enclaves.0.code_digest", "enclaves.0.measured_by", "enclaves.0.memory_protected",
    "attested_key_seconds", "limits", "valid_from", "valid_until",
]  # fmt: skip


@pytest.mark.parametrize("path", PROTECTIVE)
@pytest.mark.parametrize("unset", [ABSENT, None], ids=["absent", "null"])
def test_an_unset_protective_field_says_what_to_write(
    document: Document, spell: Spell, path: str, unset: object
) -> None:
    change(document, path, unset)
    refusal = refused(spell(document))
    assert refusal.code == "contract.protection.unset"
    assert refusal.remedy == WHAT_TO_WRITE[path.rsplit(".", maxsplit=1)[-1]]


@pytest.mark.parametrize(
    "path", ["parties", "datasets.0.owners", "computations.0.recipients", "disclosure", "enclaves"]
)
def test_an_empty_protective_list_says_what_to_write(document: Document, spell: Spell, path: str) -> None:
    change(document, path, [])
    refusal = refused(spell(document))
    assert refusal.code == "contract.protection.empty"
    assert refusal.remedy == WHAT_TO_WRITE[path.rsplit(".", maxsplit=1)[-1]]


def test_an_owner_without_rules_refuses(document: Document, spell: Spell) -> None:
    del document["disclosure"][1]
    refusal = refused(spell(document))
    assert (refusal.code, refusal.remedy) == ("contract.protection.unset", WHAT_TO_WRITE["disclosure"])


@pytest.mark.parametrize("path", ["title", "datasets.0.subject.domain", "computations.0.purpose"])
def test_what_protects_nobody_is_only_missing(document: Document, spell: Spell, path: str) -> None:
    change(document, path, ABSENT)
    assert refused(spell(document)).code == "json.missing_field"


def test_an_unnamed_recipient_counts_as_empty(document: Document, spell: Spell) -> None:
    change(document, "computations.0.recipients", [""])
    assert refused(spell(document)).code == "contract.protection.empty"


def test_a_protective_field_of_a_wrong_value_is_not_called_unset(document: Document, spell: Spell) -> None:
    change(document, "disclosure.0.rules.threshold", 1)
    assert refused(spell(document)).code == "json.field"


def duplicate(path: str) -> Callable[[Document], None]:
    def spoil(document: Document) -> None:
        at: Any = document
        for part in path.split("."):
            at = at[int(part)] if part.isdigit() else at[part]
        at.append(at[-1])

    return spoil


def turned(path: str) -> Callable[[Document], None]:
    def spoil(document: Document) -> None:
        at: Any = document
        for part in path.split("."):
            at = at[int(part)] if part.isdigit() else at[part]
        at.reverse()

    return spoil


def put(path: str, value: object) -> Callable[[Document], None]:
    return lambda document: change(document, path, value)


BOOT = {str(index): "cd" * 32 for index in (0, 1, 2, 3, 4, 5, 6, 7, 9)}
TPM = {
    "format": "tpm", "code_digest": "ab" * 32, "code_pcr": 12, "boot_pcrs": BOOT, "authority": "MAA=",
    "issuer": "north", "measured_by": "boot", "memory_protected": False,
}  # fmt: skip
RULES = {
    "profile": "ads", "threshold": 50, "coalition": 1, "zeros": "withhold", "complementary": "suppress",
    "significant_digits": 6,
}  # fmt: skip
PATIENTS = "datasets.0"
NODES = f"{PATIENTS}.columns.3"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (duplicate("parties"), "contract.duplicate"),
        (duplicate("datasets"), "contract.duplicate"),
        (duplicate(f"{PATIENTS}.owners"), "contract.duplicate"),
        (duplicate(f"{PATIENTS}.columns"), "contract.duplicate"),
        (duplicate(f"{PATIENTS}.columns.2.codes"), "contract.duplicate"),
        (duplicate(f"{NODES}.missing"), "contract.duplicate"),
        (duplicate("computations"), "contract.duplicate"),
        (duplicate("computations.0.recipients"), "contract.duplicate"),
        (duplicate("disclosure"), "contract.duplicate"),
        (duplicate("enclaves"), "contract.duplicate"),
        (turned("parties"), "contract.unsorted"),
        (turned(f"{PATIENTS}.owners"), "contract.unsorted"),
        (turned("disclosure"), "contract.unsorted"),
        (put("computations.0.recipients", ["university", "north"]), "contract.unsorted"),
        (put(f"{PATIENTS}.keys", [{"columns": ["pid", "grade"], "unique": True}]), "contract.unsorted"),
        (put(f"{PATIENTS}.owners", ["elsewhere", "north"]), "contract.party.unnamed"),
        (put("computations.0.recipients", ["nobody"]), "contract.party.unnamed"),
        (put("enclaves.0", TPM | {"issuer": "nobody"}), "contract.party.unnamed"),
        (lambda d: d["disclosure"].append({"party": "university", "rules": RULES}), "contract.disclosure.no_owner"),
        (lambda d: put("parties.1.signing_key", d["parties"][0]["signing_key"])(d), "contract.party.same_key"),
        (lambda d: put("parties.1.sealing_key", d["parties"][0]["sealing_key"])(d), "contract.party.same_key"),
        (put("parties.0.sealing_key", base64.b64encode(bytes(1215)).decode()), "contract.party.key"),
        (put("parties.0.sealing_key", "AAA"), "contract.party.key"),
        (put("parties.0.sealing_key", base64.b64encode(bytes(1216)).decode()[:-3] + "B=="), "contract.party.key"),
        (put("computations.0.unattended", 4), "contract.computation.unattended"),
        (put(f"{NODES}.nullable", False), "contract.column.missing"),
        (put(f"{NODES}.type", "decimal"), "contract.column.decimal"),
        (put(f"{NODES}.scale", 2), "contract.column.decimal"),
        (
            lambda d: d["datasets"][0]["columns"][3].update(type="decimal", precision=2, scale=3),
            "contract.column.decimal",
        ),
        (put(f"{NODES}.codes", [{"value": "1", "label": "one"}]), "contract.column.codes"),
        (put(f"{PATIENTS}.columns.2.codes", []), "contract.column.codes"),
        (put(f"{PATIENTS}.columns.0.filterable", True), "contract.column.identifier"),
        (put(f"{NODES}.minimum", "1.5"), "contract.column.range"),
        (put(f"{NODES}.minimum", "NaN"), "contract.column.range"),
        (put(f"{PATIENTS}.columns.1.minimum", "111"), "contract.column.range"),
        (put(f"{PATIENTS}.columns.2.minimum", "1"), "contract.column.range"),
        (put(f"{PATIENTS}.columns.4.maximum", "1e9"), "contract.column.range"),
        (put(f"{PATIENTS}.subject.column", "nobody"), "contract.subject"),
        (put(f"{PATIENTS}.subject.column", "age"), "contract.subject"),
        (put(f"{PATIENTS}.subject.column", None), "contract.subject"),
        (put(f"{PATIENTS}.subject.identity", "none"), "contract.subject"),
        (put(f"{PATIENTS}.columns.0.nullable", True), "contract.subject"),
        (put(f"{PATIENTS}.columns.0.type", "boolean"), "contract.subject"),
        (put(f"{PATIENTS}.keys", [{"columns": ["nothing"], "unique": True}]), "contract.key"),
        (put(f"{PATIENTS}.freshness", {"refreshes": 2, "until": None}), "contract.freshness"),
        (put(f"{PATIENTS}.freshness", {"refreshes": 0, "until": "2026-02-01T00:00:00Z"}), "contract.freshness"),
        (put(f"{PATIENTS}.freshness", {"refreshes": 1, "until": "2027-01-01T00:00:01Z"}), "contract.freshness"),
        (put("enclaves.0", TPM | {"boot_pcrs": {}}), "json.field"),
        (put("enclaves.0", TPM | {"measured_by": "self"}), "json.field"),
        (put("enclaves.0", TPM), "contract.enclave.authority"),
        (put("enclaves.0", TPM | {"authority": "AAA"}), "contract.enclave.authority"),
    ],
)  # fmt: skip
def test_a_contract_that_contradicts_itself_refuses(
    document: Document, spell: Spell, spoil: Callable[[Document], None], code: str
) -> None:
    spoil(document)
    refusal = refused(spell(document))
    assert (type(refusal), refusal.code) == (Malformed, code)


def test_datasets_of_one_domain_must_mean_the_same_by_it(document: Document, spell: Spell) -> None:
    patients = document["datasets"][0]
    document["datasets"].append(patients | {"name": "visits", "subject": patients["subject"] | {"identity": "shared"}})
    assert refused(spell(document)).code == "contract.domain"


@pytest.mark.parametrize(
    "text",
    ["SELECT pid FROM patients", "SELECT avg(nodes) AS n FROM elsewhere", "SELECT max(age) AS oldest FROM patients"],
)
def test_a_question_that_may_not_be_asked_refuses_the_contract(document: Document, spell: Spell, text: str) -> None:
    document["computations"][0]["question"]["text"] = text
    refused(spell(document))


def test_the_strictest_rules_are_at_least_as_strict_as_each_owners(document: Document, spell: Spell) -> None:
    document["disclosure"][0]["rules"] |= {"profile": "cms", "threshold": 11, "zeros": "release"}
    document["disclosure"][1]["rules"] |= {"significant_digits": 3}
    rules = strictest(parse_contract(spell(document)))
    assert (rules.threshold, rules.zeros, rules.significant_digits) == (11, "withhold", 3)
    assert rules.profile == "strictest"


def test_rules_of_one_mind_keep_their_name(contract: Contract) -> None:
    assert strictest(contract) == contract.disclosure[0].rules


def test_every_rule_has_an_order() -> None:
    assert set(STRICTEST) == set(Rules.model_fields)


def test_reference_values_are_read_in_any_layout() -> None:
    written = b'{ "format": "simulated",\n "code_digest": "%s", "measured_by": "self", "memory_protected": false }'
    assert parse_reference(written % (b"ab" * 32)).code_digest == "ab" * 32


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"format":"sgx9"}', b'{"format":"simulated"}'])
def test_other_reference_values_refuse(raw: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_reference(raw)
    assert caught.value.code == "contract.enclave.reference"
