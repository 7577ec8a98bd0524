"""SEV-SNP reports in RA-TLS certificates, as rats-tls writes them: bound like quotes, believed as reports."""

from datetime import timedelta
from typing import Any

import cbor2
import pytest

from mpc.evidence.ratls.interoperable import EVIDENCE, SNP_REPORT, claims_for, report_data_for
from mpc.evidence.snp import PINNED
from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.certificate_forge import mint_certificate, new_key, spki_of
from tests.evidence.snp_forge import NOW, SnpForge

FORGE = SnpForge()
ROOT = FORGE.root
KEY = new_key()
CLAIMS = claims_for(spki_of(KEY))


def certificate(
    report_data: bytes = report_data_for(CLAIMS), *, tag: int = SNP_REPORT, key: Any = KEY, claims: bytes = CLAIMS,
    **changed: Any,
) -> bytes:  # fmt: skip
    report = FORGE.report(report_data=report_data, **changed)
    value = cbor2.dumps(cbor2.CBORTag(tag, [report, claims]))
    return mint_certificate(key, [(EVIDENCE, False, value)])


def judged(raw: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NOW, "endorsements": FORGE.endorsements, "roots": [ROOT]} | changed))


def test_a_report_of_the_certificates_key_is_believed() -> None:
    verdict = judged(certificate())
    assert (verdict.format, verdict.accepted) == ("ra-tls", True), verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.format == "sev-snp"
    assert verdict.claims.facts["key_bound"] is True
    assert verdict.claims.valid_until is not None
    assert verdict.checks[0].name == "report_data"
    assert {"measurement", "key_bound"} <= {field.name for field in show(certificate())[1]}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (certificate(bytes(64)), "evidence.report_data"),
        (certificate(report_data_for(CLAIMS)[:32] + b"\1" * 32), "evidence.report_data"),
        (certificate(key=new_key()), "evidence.pubkey_hash"),
    ],
)
def test_a_report_that_carries_another_key_is_refused(raw: bytes, code: str) -> None:
    verdict = judged(raw)
    assert verdict.refusal is not None
    assert (verdict.stage, verdict.refusal.code) == ("verify", code)


def test_what_a_report_has_to_hold_still_holds() -> None:
    assert judged(certificate(), roots=[]).reason.startswith("wrong root")
    assert judged(certificate(), endorsements=[]).reason.startswith("no endorsement certificate")
    assert judged(certificate(), at=NOW + timedelta(days=500)).stage == "verify"
    debug = judged(certificate(policy=0x30000 | 1 << 19))
    assert (debug.stage, debug.accepted) == ("appraise", False)
    assert all(len(root) == 32 for root in PINNED)


@pytest.mark.parametrize(
    ("tag", "words"), [(60001, "TDREPORT"), (60002, "SGX report"), (0x1A7506, "Hygon"), (60003, "unknown tag")]
)
def test_other_tags_are_told_in_words(tag: int, words: str) -> None:
    verdict = judged(certificate(tag=tag), format="ra-tls")
    assert verdict.stage == "parse"
    assert words in verdict.reason


def test_a_report_under_the_tag_of_a_quote_is_no_quote() -> None:
    assert judged(certificate(tag=60000), format="ra-tls").stage == "parse"
