"""Real quotes and collateral, each with the verdict, the reason and the facts that independent code found."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from mpc.evidence.appraisal import careful_checks
from mpc.evidence.claims import Fact, plain_facts
from mpc.evidence.intel import facts_of
from mpc.evidence.intel.layout import parse_quote
from tests.vectors import Entry, assert_as_expected, entries, judge, needs_vectors, read

FORMATS = ("sgx", "tdx", "dcap-collateral")
ENTRIES = [entry for name in FORMATS for entry in entries(name)]
ABOUT_THE_VERDICT = {"verdict", "stage", "reason", "also", "signatures_valid"}
NAMES = {
    "debug enclave": "debug",
    "SEPT_VE_DISABLE not set": "sept_ve_disable",
    "service TD bound": "service_td",
}


def facts_in(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry["expect"].items() if name not in ABOUT_THE_VERDICT}


def assert_holds(facts: Mapping[str, Fact], entry: Entry, *, verified: bool) -> None:
    plain = plain_facts(facts)
    for name, value in facts_in(entry).items():
        if verified or name in plain:
            assert plain[name] == value, name


@needs_vectors
def test_every_vector_of_these_formats_is_here() -> None:
    assert Counter(entry["format"] for entry in ENTRIES) == {"sgx": 9, "tdx": 63, "dcap-collateral": 23}
    assert sum(entry["expect"]["verdict"] == "accept" for entry in ENTRIES) == 37


@needs_vectors
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_a_vector_gets_its_verdict_its_reason_and_its_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    if verdict.document is not None:
        assert_holds(verdict.document.facts, entry, verified=True)
    elif verdict.claims is not None:
        assert_holds(verdict.claims.facts, entry, verified=True)
    elif facts_in(entry):
        assert_holds(facts_of(parse_quote(read(entry["file"]))), entry, verified=False)
        assert {shown.name for shown in verdict.fields} >= set(facts_in(entry)) - {"tcb_status", "advisories"}


@needs_vectors
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_a_vector_is_recognised_without_its_name(entry: Entry) -> None:
    verdict = judge(entry, format=None)
    assert verdict.format == entry["format"]
    assert_as_expected(entry, verdict)


REFUSED_LAST = [entry for entry in ENTRIES if entry["expect"]["stage"] == "appraise" and "reason" in entry["expect"]]


@needs_vectors
@pytest.mark.parametrize("entry", REFUSED_LAST, ids=lambda entry: entry["id"])
def test_what_is_waived_by_name_is_accepted_and_nothing_less(entry: Entry) -> None:
    claims = judge(entry).claims
    assert claims is not None
    reasons = [entry["expect"]["reason"], *entry["expect"].get("also", [])]
    waivers = {NAMES.get(reason, f"tcb:{entry['expect']['tcb_status']}") for reason in reasons}
    assert all(check.passed for check in careful_checks(claims, frozenset(waivers)))
    for name in waivers:
        left = careful_checks(claims, frozenset(waivers - {name}))
        assert [check.passed for check in left].count(False) == 1, name
