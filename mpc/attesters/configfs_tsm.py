"""Intel TDX and AMD SEV-SNP guests, through the kernel's reports in configfs (Linux 6.7 and later).

Source: Documentation/ABI/testing/configfs-tsm-report and drivers/virt/coco/guest/report.c. A report is a folder below
``sys/kernel/config/tsm/report``: one writes up to 64 bytes to ``inblob`` and reads ``outblob`` (a quote or a report)
and ``auxblob`` (SEV-SNP: the certificates that the host offers, possibly none). ``generation`` counts the writes: when
it counted more than ours, somebody else wrote in between and the evidence may be of theirs. The folder has a random
name and is removed at once. Only root may do this.
"""

import errno
import hashlib
import secrets
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeVar

from mpc.attesters import Settings
from mpc.attesters.devices import Kernel
from mpc.attesters.measured import MeasuredOnce, failed, missing, reason_of
from mpc.errors import Misconfigured, Unavailable
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation

REPORTS = "sys/kernel/config/tsm/report"
RTMR3 = "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384"  # Linux 6.16 and later
FORMATS = MappingProxyType({"tdx_guest": "tdx", "sev_guest": "sev-snp"})
ATTEMPTS = 5
PAUSE_SECONDS = 0.05

_RTMR_BYTES = 48
# Somebody else's report is being made, or ours was asked for in the middle of a change.
_PASSING = frozenset({errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ETIMEDOUT, errno.EEXIST})


Answer = TypeVar("Answer")


class _Raced(Exception):  # noqa: N818 - never leaves this module
    """Somebody else wrote to our report."""


class ConfigfsTsmAttester(MeasuredOnce):
    """Asks the kernel for quotes of TDX or reports of SEV-SNP; the transcript's 64 bytes are the report data."""

    def __init__(self, settings: Settings, *, pause: Callable[[float], None] = time.sleep) -> None:
        super().__init__()
        self._kernel: Kernel = settings.devices
        self._privilege_level = settings.privilege_level
        self._endorsements = settings.endorsements
        self._pause = pause
        if not self._kernel.is_folder(REPORTS):
            raise missing(REPORTS, "mount configfs, load tdx_guest or sev-guest, and use Linux 6.7 or later")
        self.format = self._retried(self._format)

    def measure(self, code_digest: bytes) -> None:
        """Keep the digest; under TDX extend it into RTMR 3, where the kernel offers that and nothing stands there yet.

        What stands there already stays: it shows in the evidence, and the reference values decide on it.
        """
        super().measure(code_digest)
        if self.format != "tdx" or not self._kernel.is_file(RTMR3):
            return
        try:
            if not any(self._kernel.read(RTMR3)[:_RTMR_BYTES]):
                self._kernel.write(RTMR3, extension(code_digest))
        except OSError as failure:
            raise failed(RTMR3, reason_of(failure)) from None

    def attest(self, transcript: Transcript) -> Attestation:
        """Return a fresh quote or report that binds ``transcript``, with the host's certificates; ``Unavailable``."""
        self.require_measured()
        wanted = transcript.report_data()
        evidence, certificates = self._retried(lambda folder: self._report(folder, wanted))
        beside = ((certificates,) if certificates.strip(b"\0") else ()) + tuple(self._endorsements())
        return Attestation(self.format, evidence, beside, transcript.to_bytes())

    def _retried(self, ask: Callable[[str], Answer]) -> Answer:
        why = "somebody else asks all the time"
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(PAUSE_SECONDS * 2**attempt)
            try:
                return self._in_folder(ask)
            except OSError as failure:
                if failure.errno not in _PASSING:
                    raise failed(REPORTS, reason_of(failure)) from None
                why = reason_of(failure)
            except _Raced:
                continue
        raise Unavailable(
            "attester.busy", "the hardware gave no evidence", why=why,
            remedy="find what else asks for reports on this machine, or try again",
        )  # fmt: skip

    def _in_folder(self, ask: Callable[[str], Answer]) -> Answer:
        folder = f"{REPORTS}/sealroom-{secrets.token_hex(16)}"
        self._kernel.make_folder(folder)
        try:
            return ask(folder)
        finally:
            self._kernel.remove_folder(folder)

    def _format(self, folder: str) -> str:
        provider = self._kernel.read(f"{folder}/provider").decode("ascii", "replace").strip()
        if provider not in FORMATS:
            raise Misconfigured(
                "attester.provider", "the hardware cannot be used", why="its kind of report is not understood",
                remedy="use a guest of one of those expected", field="provider", expected=" or ".join(FORMATS),
                found=provider[:64],
            )  # fmt: skip
        return FORMATS[provider]

    def _report(self, folder: str, wanted: bytes) -> tuple[bytes, bytes]:
        before = self._generation(folder)
        writes = 1
        if self._privilege_level is not None:
            self._kernel.write(f"{folder}/privlevel", str(self._privilege_level).encode())
            writes += 1
        self._kernel.write(f"{folder}/inblob", wanted)
        evidence = self._kernel.read(f"{folder}/outblob")
        auxiliary = f"{folder}/auxblob"
        certificates = self._kernel.read(auxiliary) if self._kernel.is_file(auxiliary) else b""
        if self._generation(folder) != before + writes or wanted not in evidence:
            raise _Raced
        return evidence, certificates

    def _generation(self, folder: str) -> int:
        try:
            return int(self._kernel.read(f"{folder}/generation"))
        except ValueError:
            raise failed(f"{REPORTS}/…/generation", "it is no number") from None


def extension(code_digest: bytes) -> bytes:
    """Return the 48 bytes by which RTMR 3 is extended: SHA-384 of the code digest."""
    return hashlib.sha384(code_digest).digest()


def expected_rtmr3(code_digest: bytes) -> bytes:
    """Return RTMR 3 after ``measure`` on a machine where nothing else extends it: for reference values."""
    return hashlib.sha384(bytes(_RTMR_BYTES) + extension(code_digest)).digest()


def is_present(kernel: Kernel) -> bool:
    """Tell whether this machine has such reports."""
    return kernel.is_folder(REPORTS)


def start(settings: Settings) -> ConfigfsTsmAttester:
    """Return the attester, or raise ``Misconfigured`` where the kernel offers no reports."""
    return ConfigfsTsmAttester(settings)
