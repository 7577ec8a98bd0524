"""Azure confidential VMs: the processor vouches for the paravisor, this for its vTPM's key, which quotes registers."""

from mpc.evidence.azure.files import certificate_of, describe, gather, is_azure, parse
from mpc.evidence.azure.layout import AzureEvidence
from mpc.evidence.azure.reference import careful, compare, roots
from mpc.evidence.azure.verification import NAME, PINNED, verify
from mpc.evidence.format import Format
from mpc.evidence.reference_values.azure import AzureReference

FORMAT = Format(
    NAME, is_azure, parse, gather, verify, compare, describe, roots, careful, pinned=PINNED, document=certificate_of,
)  # fmt: skip

__all__ = ["FORMAT", "AzureEvidence", "AzureReference", "parse", "verify"]
