"""Intel SGX under Occlum: quotes from its device ``dev/sgx`` (tools/toolchains/dcap_lib, src/libos/src/fs/dev_fs).

Two calls: ``GET_DCAP_QUOTE_SIZE`` writes the size of quotes (32 bits), and ``GEN_DCAP_QUOTE`` takes three pointers, to
the report data (64 bytes), the size of the buffer (32 bits, also the answer's), and the buffer.
"""

import ctypes
import struct

from mpc.attesters import Settings
from mpc.attesters.devices import Kernel
from mpc.attesters.measured import MeasuredOnce, failed, missing, reason_of
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation

DEVICE = "dev/sgx"
GET_DCAP_QUOTE_SIZE = 0x80047307  # _IOR('s', 7, u32)
GEN_DCAP_QUOTE = 0xC0187308  # _IOWR('s', 8, three pointers)
QUOTE_MAX_BYTES = 16 << 10


class OcclumAttester(MeasuredOnce):
    """Asks Occlum for DCAP quotes; the transcript's 64 bytes are the report data."""

    format = "sgx"

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._kernel: Kernel = settings.devices
        self._endorsements = settings.endorsements
        if not self._kernel.is_file(DEVICE):
            raise missing(DEVICE, "run the coordinator under Occlum, built with DCAP")
        self._size()  # a driver of the host has a file of that name as well, and does not know the call

    def attest(self, transcript: Transcript) -> Attestation:
        """Return a fresh quote that binds ``transcript``, or raise ``Unavailable``."""
        self.require_measured()
        wanted = transcript.report_data()
        size = self._size()
        data, length, quote = (
            ctypes.create_string_buffer(wanted, len(wanted)), ctypes.c_uint32(size), ctypes.create_string_buffer(size),
        )  # fmt: skip
        pointers = struct.pack("<3Q", *map(ctypes.addressof, (data, length, quote)))
        self._call(GEN_DCAP_QUOTE, ctypes.create_string_buffer(pointers, len(pointers)))
        evidence = quote.raw[: min(length.value, size)]
        if wanted not in evidence:
            raise failed(DEVICE, "the quote is about other report data")
        return Attestation(self.format, evidence, tuple(self._endorsements()), transcript.to_bytes())

    def _size(self) -> int:
        answer = ctypes.create_string_buffer(4)
        self._call(GET_DCAP_QUOTE_SIZE, answer)
        size = int.from_bytes(answer.raw, "little")
        if not 0 < size <= QUOTE_MAX_BYTES:
            raise failed(DEVICE, f"its quotes are said to be of {size} bytes")
        return size

    def _call(self, request: int, argument: "ctypes.Array[ctypes.c_char]") -> None:
        try:
            self._kernel.call(DEVICE, request, argument)
        except OSError as failure:
            raise failed(DEVICE, reason_of(failure)) from None


def is_present(kernel: Kernel) -> bool:
    """Tell whether there is a device that answers as Occlum's does."""
    if not kernel.is_file(DEVICE):
        return False
    try:
        kernel.call(DEVICE, GET_DCAP_QUOTE_SIZE, ctypes.create_string_buffer(4))
    except OSError:
        return False
    return True


def start(settings: Settings) -> OcclumAttester:
    """Return the attester, or raise ``Misconfigured`` outside of Occlum."""
    return OcclumAttester(settings)
