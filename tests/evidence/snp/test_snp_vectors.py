"""Real SEV-SNP reports: each gets its verdict, its reason and its facts; no byte of one may change."""

from datetime import UTC, datetime

import pytest

from mpc.evidence.claims import plain_facts
from mpc.evidence.verdict import Verdict
from tests.vectors import Entry, assert_as_expected, entries, judge, named, needs_vectors, read

pytestmark = needs_vectors
ENTRIES = entries("sev-snp")
ABOUT_THE_VERDICT = {"verdict", "stage", "reason"}
OF_A_PRODUCT = {"product", "reported_tcb", "committed_tcb"}


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


def spelled(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(f"{part} {level}" for part, level in value.items()) if isinstance(value, dict) else str(value)
