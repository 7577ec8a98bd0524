"""Occlum: the files that say what an enclave is and whom it believes, and its RA-TLS certificates."""

from mpc.evidence.format import Format
from mpc.evidence.intel import PINNED
from mpc.evidence.intel.reference import roots
from mpc.evidence.occlum.files import is_occlum, parse_occlum, read_document
from mpc.evidence.ratls.files import careful_of, compare, gather_as, show
from mpc.evidence.ratls.verify import verify

FORMAT = Format(
    "occlum", is_occlum, parse_occlum, gather_as("occlum"), verify, compare, show, roots, careful_of, pinned=PINNED,
    document=read_document,
)  # fmt: skip

__all__ = ["FORMAT", "parse_occlum", "verify"]
