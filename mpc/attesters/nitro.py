"""AWS Nitro Enclaves: attestation documents from the Nitro Security Module, the device ``dev/nsm``.

One call with two buffers (drivers/misc/nsm.c, include/uapi/linux/nsm.h): address and length of the request, in CBOR and
of at most 4 KiB, and of the answer's buffer of 12 KiB; the module writes back how long the answer is.
"""

import ctypes
import struct

from mpc.attesters import Settings
from mpc.attesters.devices import Kernel
from mpc.attesters.measured import MeasuredOnce, failed, missing, reason_of
from mpc.canonical import canonical_cbor
from mpc.errors import Malformed
from mpc.evidence.binding import Transcript
from mpc.evidence.cbor import read_cbor
from mpc.evidence.claims import Attestation

DEVICE = "dev/nsm"
NSM_IOCTL_RAW = 0xC0200A00  # _IOWR(0x0A, 0, two iovecs)
REQUEST_MAX_BYTES = 0x1000
RESPONSE_MAX_BYTES = 0x3000
_TWO_VECTORS = struct.Struct("<4Q")


class NitroAttester(MeasuredOnce):
    """Asks the security module; ``user_data`` is the transcript's 64 bytes, the other two fields stay empty."""

    format = "nitro"

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._kernel: Kernel = settings.devices
        self._endorsements = settings.endorsements
        if not self._kernel.is_file(DEVICE):
            raise missing(DEVICE, "run the coordinator in a Nitro enclave, with the module's driver")

    def attest(self, transcript: Transcript) -> Attestation:
        """Return a fresh document that binds ``transcript``, or raise ``Unavailable``."""
        self.require_measured()
        asked = {"user_data": transcript.report_data(), "nonce": None, "public_key": None}
        match self._ask(canonical_cbor({"Attestation": asked})):
            case {"Attestation": {"document": bytes(document)}}:
                return Attestation(self.format, document, tuple(self._endorsements()), transcript.to_bytes())
            case {"Error": str(error)}:
                raise failed(DEVICE, f"the security module answers {error[:64]}")
        raise failed(DEVICE, "the security module's answer is no document")

    def _ask(self, request: bytes) -> object:
        asked = ctypes.create_string_buffer(request, len(request))
        answer = ctypes.create_string_buffer(RESPONSE_MAX_BYTES)
        packed = _TWO_VECTORS.pack(
            ctypes.addressof(asked), len(request), ctypes.addressof(answer), RESPONSE_MAX_BYTES
        )  # fmt: skip
        vectors = ctypes.create_string_buffer(packed, len(packed))
        try:
            self._kernel.call(DEVICE, NSM_IOCTL_RAW, vectors)
        except OSError as failure:
            raise failed(DEVICE, reason_of(failure)) from None
        written = _TWO_VECTORS.unpack(vectors.raw)[3]
        if written > RESPONSE_MAX_BYTES:
            raise failed(DEVICE, "the answer is longer than its buffer")
        try:
            return read_cbor(answer.raw[:written], max_bytes=RESPONSE_MAX_BYTES, what="the security module's answer")
        except Malformed as refusal:
            raise failed(DEVICE, refusal.why) from None


def is_present(kernel: Kernel) -> bool:
    """Tell whether this machine is a Nitro enclave."""
    return kernel.is_file(DEVICE)


def start(settings: Settings) -> NitroAttester:
    """Return the attester, or raise ``Misconfigured`` outside of a Nitro enclave."""
    return NitroAttester(settings)
