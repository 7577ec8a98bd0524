"""The evidence in a coordinator's TLS certificate: for other RA-TLS clients, never in place of a fresh attestation.

SGX and TDX: the interoperable form, which other verifiers understand. All else: a Conceptual Message Wrapper.
"""

from collections.abc import Sequence

from cryptography import x509

from mpc.attesters import Attester
from mpc.evidence.binding import Transcript
from mpc.evidence.ratls.coordinators import InteroperableTranscript, attestation_extension, certificate_transcript
from mpc.evidence.ratls.interoperable import evidence_extension

EXTENSION_MAX_BYTES = 48 << 10
_INTEROPERABLE = ("sgx", "tdx")


def certificate_evidence(attester: Attester, spki: bytes, receipt_key: bytes) -> Sequence[x509.ExtensionType]:
    """Return the extension by which ``attester`` vouches for a TLS key, given as DER, and for the receipt key.

    One that would be over the limit of a handshake is left out: parties ask for evidence by themselves.
    """
    transcript = certificate_transcript(spki, receipt_key)
    extension = (
        _interoperable(attester, transcript)
        if attester.format in _INTEROPERABLE
        else attestation_extension(attester.attest(transcript))
    )
    return (extension,) if len(extension.value) <= EXTENSION_MAX_BYTES else ()


def _interoperable(attester: Attester, transcript: Transcript) -> x509.UnrecognizedExtension:
    claimed = InteroperableTranscript.of(transcript)
    return evidence_extension(attester.attest(claimed).evidence, claimed.claims)
