"""Open Enclave: its wrappings of quotes, its attestation certificates, its buffers of endorsements."""

from mpc.evidence.format import Format
from mpc.evidence.intel import PINNED
from mpc.evidence.intel.reference import roots
from mpc.evidence.open_enclave.files import gather, is_open_enclave, parse, read_document, show
from mpc.evidence.open_enclave.layout import OpenEnclaveEvidence
from mpc.evidence.open_enclave.verify import verify
from mpc.evidence.ratls.files import careful_of, compare

FORMAT = Format(
    "open-enclave", is_open_enclave, parse, gather, verify, compare, show, roots, careful_of, pinned=PINNED,
    document=read_document,
)  # fmt: skip

__all__ = ["FORMAT", "OpenEnclaveEvidence", "parse", "verify"]
