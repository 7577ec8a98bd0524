"""How the tests of SEV-SNP ask: is this believed, and if not, by which check?"""

from collections.abc import Sequence
from typing import Any

import pytest

from mpc.evidence.checks import NotBelieved
from mpc.evidence.claims import Claims
from mpc.evidence.snp import FORMAT, parse_report
from tests.evidence.snp_forge import NOW, SnpForge


def believe(
    forge: SnpForge, report: bytes, endorsements: Sequence[bytes] | None = None, roots: Sequence[bytes] | None = None
) -> Claims:
    return FORMAT.verify(
        parse_report(report), forge.endorsements if endorsements is None else endorsements,
        roots=[forge.root] if roots is None else roots, at=NOW,
    )  # fmt: skip


def refused(name: str, forge: SnpForge, report: bytes, **given: Any) -> NotBelieved:
    with pytest.raises(NotBelieved) as refusal:
        believe(forge, report, **given)
    assert refusal.value.code == f"evidence.{name}"
    assert refusal.value.checks[-1].name == name
    assert [check.passed for check in refusal.value.checks].count(False) == 1
    return refusal.value
