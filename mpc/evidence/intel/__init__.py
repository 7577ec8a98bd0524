"""Intel SGX and TDX: ECDSA quotes of version 3, 4 and 5, and the collateral that says how current a machine is."""

from mpc.evidence.intel.certificates import PINNED
from mpc.evidence.intel.collateral import Collateral, collateral_of, read_collateral
from mpc.evidence.intel.layout import EnclaveReport, Quote, TdReport, parse_quote, quote_length
from mpc.evidence.intel.verify import Endorsed, verify_quote

__all__ = [
    "PINNED",
    "Collateral",
    "Endorsed",
    "EnclaveReport",
    "Quote",
    "TdReport",
    "collateral_of",
    "parse_quote",
    "quote_length",
    "read_collateral",
    "verify_quote",
]
