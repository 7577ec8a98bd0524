"""SEV-SNP evidence as it lies in files: a report with AMD's certificates beside it, or such certificates alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mpc.errors import Malformed
from mpc.evidence.anchors import anchors_among
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Fact, Given
from mpc.evidence.format import Document
from mpc.evidence.snp.endorsements import Endorsements, sorted_out
from mpc.evidence.snp.layout import REPORT_BYTES, VERSIONS, Report, parse_report
from mpc.evidence.snp.verify import common_name, verify_certificate, verify_key


def is_report(raw: bytes) -> bool:
    """Tell whether ``raw`` has the length and the beginning of a report."""
    return len(raw) == REPORT_BYTES and int.from_bytes(raw[:4], "little") in VERSIONS


def gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[Report, tuple[bytes, ...]]:
    """Return the report, and the files beside it, which ``verify`` takes in the forms in which they lie."""
    del given
    report = parse_report(raw)
    keys = sorted_out(files).keys
    return replace(report, product_beside=keys[0].product if keys else None), tuple(files)


def chain_of(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return the verified chain that ``raw`` begins: of a report's key, or of an authority; None for a report.

    ``raw`` alone may hold the whole chain, as a PkiPath or in PEM. Every authority among it must lead to an anchor.
    """
    del given
    if is_report(raw):
        return None
    try:
        asked = sorted_out([raw])
    except Malformed:
        return None
    beside = sorted_out(files)
    everything = Endorsements(
        asked.keys + beside.keys, asked.authorities + beside.authorities, asked.lists + beside.lists
    )
    checks = Checks("the certificates are not believed")
    for key in asked.keys:
        verify_key(key, everything, roots=roots, at=at, checks=checks)
    anchors = anchors_among(roots, everything.authorities)
    for authority in (one for one in asked.authorities if one not in anchors):
        verify_certificate(authority, everything, roots=roots, at=at, checks=checks, signs_others=True)
    checks.require(
        "certificates", expected="a chain", found=f"{len(checks.made)} checks", passed=bool(checks.made),
        why="nothing to verify: the file holds an anchor alone, or a list", remedy="give the chain as well",
    )  # fmt: skip
    facts: dict[str, Fact] = {
        "authorities": tuple(common_name(one) for one in everything.authorities),
        "products": tuple(sorted({key.product for key in asked.keys})),
    }
    return Document("chain", "verify", facts, checks.made)
