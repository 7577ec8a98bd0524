"""AMD SEV-SNP: attestation reports of versions 2 to 5, of Milan, Genoa and Turin, under VCEK and VLEK."""

from mpc.evidence.format import Format
from mpc.evidence.reference_values.snp import SnpReference
from mpc.evidence.snp.describe import describe
from mpc.evidence.snp.files import chain_of, gather, is_amds
from mpc.evidence.snp.layout import Report, parse_report
from mpc.evidence.snp.reference import careful, careful_of, compare, roots
from mpc.evidence.snp.verify import FORMAT as NAME
from mpc.evidence.snp.verify import PINNED, Endorsed, facts_of, verify, verify_report

FORMAT = Format(
    NAME, is_amds, parse_report, gather, verify, compare, describe, roots, careful, pinned=PINNED, document=chain_of,
)  # fmt: skip

__all__ = [
    "FORMAT",
    "PINNED",
    "Endorsed",
    "Report",
    "SnpReference",
    "careful_of",
    "facts_of",
    "parse_report",
    "verify_report",
]
