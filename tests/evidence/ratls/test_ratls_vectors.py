"""Real certificates, evidence, collateral and settings, each with its verdict, its reason and its facts."""

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from mpc.errors import Malformed
from mpc.evidence.appraisal import careful_checks
from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Given, plain_facts
from mpc.evidence.formats import FORMATS
from mpc.evidence.intel import PINNED, facts_of
from mpc.evidence.ratls import parse_ra_tls, verify
from mpc.evidence.ratls.certificate import certificates_in
from mpc.evidence.verdict import Verdict
from tests.vectors import Entry, assert_as_expected, entries, judge, named, needs_vectors, read

NAMES = ("ra-tls", "gramine", "open-enclave", "occlum")
ENTRIES = [entry for name in NAMES for entry in entries(name)]
ABOUT_THE_VERDICT = {"verdict", "stage", "reason", "also", "signatures_valid", "kind"}
# One file is nobody's by its form: any names and texts could be secrets. A certificate with evidence in two forms is
# the interoperable one's, a bare quote the hardware's, and collateral everybody's.
RECOGNISED_AS_ANOTHER = {
    "occlum-secret-config": None,
    "ratls-gramine-gramine": "ra-tls",
    "ratls-gramine-gramine-collateral": "ra-tls",
    "oe-tdx-v5": "tdx",
}


def facts_found(entry: Entry, verdict: Verdict) -> dict[str, Any]:
    if verdict.document is not None:
        return dict(plain_facts(verdict.document.facts))
    if verdict.claims is not None:
        return dict(plain_facts(verdict.claims.facts))
    if not verdict.fields:
        return {}
    form = (entry.get("given") or {}).get("form")
    chosen = FORMATS[entry["format"]]
    evidence, _ = chosen.gather(read(entry["file"]), (), Given(form=form))
    shown = {field.name: field.value for field in verdict.fields}
    certificate = {name: shown[name] for name in ("spki_sha256",) if name in shown}
    claims = {"claims": shown["claims"].split(", ")} if "claims" in shown else {}
    return {
        **plain_facts(facts_of(evidence.quote)),
        **certificate,
        **claims,
        "key_bound": shown.get("key_bound") == "true",
    }


@needs_vectors
def test_every_vector_of_these_formats_is_here() -> None:
    assert Counter(entry["format"] for entry in ENTRIES) == {"ra-tls": 5, "gramine": 2, "open-enclave": 37, "occlum": 6}
    assert sum(entry["expect"]["verdict"] == "accept" for entry in ENTRIES) == 6


@needs_vectors
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_a_vector_gets_its_verdict_its_reason_and_its_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    wanted = {name: value for name, value in entry["expect"].items() if name not in ABOUT_THE_VERDICT}
    if verdict.stage == "parse" and not verdict.accepted:
        assert not wanted
        return
    found = facts_found(entry, verdict)
    assert {name: found.get(name) for name in wanted} == wanted
    assert found.get("key_bound", False) == entry["expect"].get("key_bound", False)


@needs_vectors
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_a_vector_is_recognised_without_its_name(entry: Entry) -> None:
    if entry.get("what") == "collateral json":
        return
    expected = RECOGNISED_AS_ANOTHER.get(entry["id"], entry["format"])
    verdict = judge(entry, format=None)
    assert verdict.format == expected


@needs_vectors
@pytest.mark.parametrize(
    ("identifier", "waivers"),
    [
        ("ratls-gramine-ccc-collateral", {"debug", "tcb:OutOfDate"}),
        ("ratls-gramine-gramine-collateral", {"debug", "tcb:OutOfDate"}),
        ("oe-tdx-v5", {"service_td", "tcb:OutOfDate"}),
    ],
)
def test_what_is_waived_by_name_is_accepted_and_nothing_less(identifier: str, waivers: set[str]) -> None:
    claims = judge(named(identifier)).claims
    assert claims is not None
    assert all(check.passed for check in careful_checks(claims, frozenset(waivers)))
    for name in waivers:
        left = careful_checks(claims, frozenset(waivers - {name}))
        assert [check.passed for check in left].count(False) == 1, name


@needs_vectors
@pytest.mark.parametrize("form", ["ccc", "gramine"])
def test_no_byte_of_the_real_certificate_may_be_changed(form: str) -> None:
    entry = named("ratls-gramine-ccc-collateral")
    files = tuple(read(name) for name in entry["endorsements"])
    at = datetime.fromisoformat(entry["verify_at"])
    raw = certificates_in(read(entry["file"]))[0].der
    assert verify(parse_ra_tls(raw, form), files, roots=PINNED, at=at).debug
    for place in range(0, len(raw), 101):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises((NotBelieved, Malformed)):
            verify(parse_ra_tls(changed, form), files, roots=PINNED, at=at)
