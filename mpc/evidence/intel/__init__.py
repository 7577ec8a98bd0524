"""Intel SGX and TDX: ECDSA quotes of version 3, 4 and 5, and the collateral that says how current a machine is.

Formats that wrap a quote take from here ``parse_quote``, ``verify_quote``, ``claims_of`` and ``careful``.
"""

from mpc.evidence.format import Format, no_roots
from mpc.evidence.intel.careful import careful, careful_sgx, careful_tdx
from mpc.evidence.intel.certificates import PINNED
from mpc.evidence.intel.collateral import Collateral, collateral_of, read_collateral
from mpc.evidence.intel.describe import describe
from mpc.evidence.intel.facts import claims_of, endorsed_facts, facts_of, measurements_of
from mpc.evidence.intel.files import (
    COLLATERAL,
    describe_collateral,
    gather_collateral,
    gather_sgx,
    gather_tdx,
    is_collateral,
    is_sgx,
    is_tdx,
    no_evidence,
    parse_collateral,
    parse_sgx,
    parse_tdx,
    verify,
    verify_collateral,
)
from mpc.evidence.intel.layout import EnclaveReport, Quote, TdReport, parse_quote, quote_length
from mpc.evidence.intel.reference import compare_sgx, compare_tdx, roots
from mpc.evidence.intel.verify import Endorsed, verify_quote
from mpc.evidence.reference_values.intel import SgxReference, TdxReference

SGX_FORMAT = Format(
    "sgx", is_sgx, parse_sgx, gather_sgx, verify, compare_sgx, describe, roots, careful_sgx, pinned=PINNED,
)  # fmt: skip
TDX_FORMAT = Format(
    "tdx", is_tdx, parse_tdx, gather_tdx, verify, compare_tdx, describe, roots, careful_tdx, pinned=PINNED,
)  # fmt: skip
COLLATERAL_FORMAT = Format(
    COLLATERAL, is_collateral, parse_collateral, gather_collateral, no_evidence, no_evidence, describe_collateral,
    no_roots, pinned=PINNED, document=verify_collateral,
)  # fmt: skip

__all__ = [
    "COLLATERAL_FORMAT",
    "PINNED",
    "SGX_FORMAT",
    "TDX_FORMAT",
    "Collateral",
    "EnclaveReport",
    "Endorsed",
    "Quote",
    "SgxReference",
    "TdReport",
    "TdxReference",
    "careful",
    "claims_of",
    "collateral_of",
    "compare_sgx",
    "compare_tdx",
    "describe",
    "endorsed_facts",
    "facts_of",
    "measurements_of",
    "parse_quote",
    "quote_length",
    "read_collateral",
    "verify_quote",
]
