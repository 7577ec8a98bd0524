"""The same real quotes, asked of another implementation: it is never stricter without a reason that is known.

``dcap-qvl`` (Rust) refuses while verifying what is here refused in the appraisal, under a name that may be waived.
"""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from mpc.evidence.claims import Claims
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, enclave_report, pem
from tests.vectors import Entry, entries, judge, needs_vectors, read

dcap_qvl = pytest.importorskip("dcap_qvl", reason="the other implementation is not installed")

PAIRS = [entry for name in ("sgx", "tdx") for entry in entries(name) if entry["endorsements"]]
BINARY = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")


def their_collateral(raw: bytes) -> Any:
    parts = json.loads(raw)
    return dcap_qvl.QuoteCollateralV3(
        **{name: bytes.fromhex(value) if name in BINARY else value for name, value in parts.items()}
    )


def their_status(quote: bytes, collateral: bytes, at: datetime) -> str | None:
    """Return the status, None where they refuse."""
    try:
        report = dcap_qvl.verify(quote, their_collateral(collateral), int(at.timestamp()))
    except ValueError:
        return None
    return str(report.status)


def known_reasons(claims: Claims) -> set[str]:
    """Return why they refuse while verifying what we refuse, if at all, in the appraisal."""
    facts = claims.facts
    found = {
        "debug": claims.debug,
        "sept_ve_disable": facts.get("sept_ve_disable") is False,
        "service_td": str(facts.get("mrservicetd", "")).strip("0") != "",
        "version_2": facts["tcb_info_version"] == 2,
    }
    return {name for name, holds in found.items() if holds}


@needs_vectors
def test_both_say_the_same_of_every_quote_and_what_differs_has_a_name() -> None:
    seen: Counter[str] = Counter()
    for entry in PAIRS:
        mine = judge(entry)
        theirs = their_status(
            read(entry["file"]), read(entry["endorsements"][0]), datetime.fromisoformat(entry["verify_at"])
        )
        if mine.claims is None:
            assert theirs is None, entry["id"]
            seen["refused by both"] += 1
        elif theirs is None:
            reasons = known_reasons(mine.claims)
            assert reasons, entry["id"]
            assert "version_2" in reasons or not mine.accepted
            seen["stricter, and named"] += 1
        elif theirs == "TDRelaunchAdvised":
            assert mine.claims.facts["tcb_status"] == "OutOfDate"
            seen["worst of the parts"] += 1
        else:
            assert (theirs == "UpToDate") == mine.accepted, entry["id"]
            assert mine.claims.facts["tcb_status"] == theirs, entry["id"]
            seen["the same status"] += 1
    assert sum(seen.values()) == len(PAIRS) == 69
    assert seen["refused by both"] + seen["the same status"] >= 50, seen


def collateral_at_its_time() -> list[Entry]:
    return [entry for entry in entries("dcap-collateral") if entry["expect"]["verdict"] == "accept"]


@needs_vectors
def test_no_other_collateral_makes_a_quote_better() -> None:
    quotes = {entry["file"]: entry for entry in PAIRS if entry["expect"]["verdict"] == "accept"}
    tried = 0
    for entry in quotes.values():
        for other in collateral_at_its_time():
            at = datetime.fromisoformat(other["verify_at"])
            mine = judge(entry, endorsements=[read(other["file"])], at=at)
            theirs = their_status(read(entry["file"]), read(other["file"]), at)
            assert not mine.accepted or theirs == "UpToDate"
            assert mine.accepted or theirs != "UpToDate", (entry["id"], other["id"], mine.reason)
            tried += 1
    assert tried == 20 * len(quotes) >= 160


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_they_believe_the_false_intel_under_its_root_as_well(tee: str) -> None:
    quote = FORGE.quote() if tee == "TDX" else FORGE.quote(enclave_report(), version=3, tee=0)
    whole = FORGE.collateral(tee, qe_identity_issuer_chain=pem(FORGE.signer_certificate(), ROOT_DER))
    theirs = their_collateral(whole)
    report = dcap_qvl.verify_with_root_ca(quote, theirs, ROOT_DER, int(NOW.timestamp()))
    assert report.status == "UpToDate"
