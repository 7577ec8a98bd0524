"""What ties a quote to the key of the certificate that carries it: one rule a form, all 64 bytes of report data.

A quote says what its report data says and nothing else. Where only the first bytes are compared, whoever made the
quote chose the rest; so everywhere here the bytes after the hash have to be zeros, as every maker writes them.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from hmac import compare_digest

from mpc.evidence.checks import Checks
from mpc.evidence.der import SEQUENCE, read_element
from mpc.evidence.ratls.certificate import RaTlsCertificate
from mpc.evidence.ratls.interoperable import PUBKEY_HASH, key_hash_matches

REPORT_DATA_BYTES = 64
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")  # rsaEncryption with NULL (RFC 3279, 2.3.1)
_WHY = "key not bound to evidence"
_REMEDY = "connect again: the certificate's key is another one than the enclave's"


def require_binding(found: RaTlsCertificate, *, checks: Checks) -> None:
    """Check that the quote's report data carries the certificate's key as its form has it, or raise ``NotBelieved``."""
    report_data, is_tdx = found.report_data, found.is_tdx
    bound = (found.claims,) if found.claims is not None else _BOUND[found.form](found.certificate.spki)
    expected = tuple(data for one in bound for data in expected_report_data(one, is_tdx=is_tdx, form=found.form))
    checks.require(
        "report_data", expected=" or ".join(value.hex() for value in expected), found=report_data.hex(),
        passed=any(compare_digest(value, report_data) for value in expected), why=_WHY, remedy=_REMEDY,
    )  # fmt: skip
    if found.claims is not None:
        _require_key_claim(found, checks)


def expected_report_data(bound: bytes, *, is_tdx: bool, form: str) -> tuple[bytes, ...]:
    """Return the values of report data that carry ``bound``, 64 bytes each."""
    # Intel's SDK hashes with SHA-384 for a TD, in its own form and in the interoperable one, which says SHA-256.
    names = {"intel": ("sha384",), "ccc": ("sha256", "sha384")}.get(form, ("sha256",)) if is_tdx else ("sha256",)
    return tuple(hashlib.new(name, bound).digest().ljust(REPORT_DATA_BYTES, b"\0") for name in names)


def pem_with_nul(spki: bytes) -> bytes:
    """Return a public key as Open Enclave and Intel's SDK hash it: PEM as OpenSSL writes it, and its final NUL."""
    text = base64.b64encode(spki)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN PUBLIC KEY-----\n" + lines + b"-----END PUBLIC KEY-----\n\0"


def _require_key_claim(found: RaTlsCertificate, checks: Checks) -> None:
    entry = found.claim_values.get(PUBKEY_HASH)
    passed = entry is not None and key_hash_matches(entry, found.certificate.spki)
    checks.require(
        PUBKEY_HASH.replace("-", "_"), expected="a SHA-256, SHA-384 or SHA-512 of the certificate's key",
        found="no such claim" if entry is None else "such" if passed else "another hash", passed=passed,
        why=_WHY, remedy=_REMEDY,
    )  # fmt: skip


def _itself(spki: bytes) -> tuple[bytes, ...]:
    return (spki,)


def _itself_or_rsa_key(spki: bytes) -> tuple[bytes, ...]:
    # Until 2021 rats-tls hashed the RSAPublicKey (RFC 8017, A.1.1) alone. Of another kind of key the bits alone
    # would leave open which curve they are of, so that they bind nothing.
    algorithm, key = read_element(spki).children(SEQUENCE)
    is_rsa = algorithm.whole == _RSA
    return (spki, key.content[1:]) if is_rsa and key.content[:1] == b"\0" else (spki,)


_BOUND: Mapping[str, Callable[[bytes], tuple[bytes, ...]]] = {
    "gramine": _itself,
    "rats-tls": _itself_or_rsa_key,
    "occlum": _itself,
    "intel": lambda spki: (pem_with_nul(spki),),
}
