"""What every attester whose hardware measures has in common: it speaks of code once, and only after it was told."""

from mpc.errors import Misconfigured, OutOfOrder, Unavailable


class MeasuredOnce:
    """Keeps the code digest of this boot.

    Hardware measures what was loaded before the coordinator ran, so that the digest proves nothing by itself: it
    finds a coordinator that is started twice with other code, and waits for a place of the hardware's own.
    """

    def __init__(self) -> None:
        self._code_digest: bytes | None = None

    def measure(self, code_digest: bytes) -> None:
        """Keep the 32-byte digest; a second, different one refuses, as registers that only extend do."""
        if self._code_digest not in {None, code_digest}:
            raise OutOfOrder(
                "attester.measured", "other code was measured in this boot", why="a measurement cannot be taken back",
                remedy="start a new instance",
            )  # fmt: skip
        self._code_digest = code_digest

    def require_measured(self) -> bytes:
        """Return the digest, or raise ``OutOfOrder`` before ``measure`` succeeded."""
        if self._code_digest is None:
            raise OutOfOrder(
                "attester.unmeasured", "nothing was measured yet", why="evidence speaks of measured code",
                remedy="measure the code first",
            )  # fmt: skip
        return self._code_digest


def missing(device: str, remedy: str) -> Misconfigured:
    """Return the refusal that a machine without ``device`` is."""
    return Misconfigured(
        "attester.device", "the hardware cannot attest", why=f"there is no /{device}", remedy=remedy, field="device",
        expected=f"/{device}", found="nothing",
    )  # fmt: skip


def failed(device: str, why: str) -> Unavailable:
    """Return the refusal that a device which does not answer is."""
    return Unavailable(
        "attester.device", "the hardware gave no evidence", why=why,
        remedy="check that this user may use the device, and look into the kernel's log", field="device",
        expected="evidence", found=f"/{device}",
    )  # fmt: skip


def reason_of(failure: OSError) -> str:
    """Return what the operating system says, in its own words."""
    return failure.strerror or str(failure)
