"""Intel SGX under Gramine: quotes from its files in ``dev/attestation`` (Documentation/attestation.rst).

The files are the library's own, inside of the enclave: one writes exactly 64 bytes of report data, and reads a quote.
Both are one per process, so that the two steps must not be interleaved.
"""

import threading

from mpc.attesters import Settings
from mpc.attesters.devices import Kernel
from mpc.attesters.measured import MeasuredOnce, failed, missing, reason_of
from mpc.errors import Misconfigured
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation

FOLDER = "dev/attestation"
KIND, REPORT_DATA, QUOTE = (f"{FOLDER}/{name}" for name in ("attestation_type", "user_report_data", "quote"))


class GramineAttester(MeasuredOnce):
    """Asks Gramine for DCAP quotes; the transcript's 64 bytes are the report data."""

    format = "sgx"

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._kernel: Kernel = settings.devices
        self._endorsements = settings.endorsements
        self._turn = threading.Lock()
        if not self._kernel.is_file(KIND):
            raise missing(KIND, "run the coordinator under gramine-sgx")
        kind = self._read(KIND).decode("ascii", "replace").strip()
        if kind != "dcap":
            raise Misconfigured(
                "attester.attestation_type", "Gramine gives no quotes", why="its manifest does not ask for DCAP",
                remedy='write sgx.remote_attestation = "dcap" in the manifest', field="attestation_type",
                expected="dcap", found=kind[:64],
            )  # fmt: skip

    def attest(self, transcript: Transcript) -> Attestation:
        """Return a fresh quote that binds ``transcript``, or raise ``Unavailable``."""
        self.require_measured()
        wanted = transcript.report_data()
        with self._turn:
            try:
                self._kernel.write(REPORT_DATA, wanted)
            except OSError as failure:
                raise failed(REPORT_DATA, reason_of(failure)) from None
            quote = self._read(QUOTE)
        if wanted not in quote:
            raise failed(QUOTE, "the quote is about other report data")
        return Attestation(self.format, quote, tuple(self._endorsements()), transcript.to_bytes())

    def _read(self, path: str) -> bytes:
        try:
            return self._kernel.read(path)
        except OSError as failure:
            raise failed(path, reason_of(failure)) from None


def is_present(kernel: Kernel) -> bool:
    """Tell whether this process runs under Gramine."""
    return kernel.is_file(KIND)


def start(settings: Settings) -> GramineAttester:
    """Return the attester, or raise ``Misconfigured`` outside of Gramine."""
    return GramineAttester(settings)
