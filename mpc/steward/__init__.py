"""A steward for keeps of Enarx: it believes their evidence and certifies their keys by its operator's own authority."""

from mpc.steward.authority import BUNDLE, PKCS10, Authority, Steward
from mpc.steward.service import application

__all__ = ["BUNDLE", "PKCS10", "Authority", "Steward", "application"]
