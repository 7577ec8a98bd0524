"""False keeps: certificate requests around evidence of a false AMD, each of which can be wrong in one way."""

import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpc.evidence.der import (
    BIT_STRING,
    CONTEXT_0,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SET,
    UTF8_STRING,
    encode,
    sequence_of,
)
from tests.evidence.snp_forge import SnpForge, ec_key

OIDS = {tee: bytes.fromhex("2b0601040183c71e01") + bytes([part]) for part, tee in enumerate(("kvm", "sgx", "snp"), 1)}
EXTENSION_REQUEST = bytes.fromhex("2a864886f70d01090e")
ALGORITHMS = {"sha256": bytes.fromhex("300a06082a8648ce3d040302"), "sha384": bytes.fromhex("300a06082a8648ce3d040303")}
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
AMD_LIST = "https://kdsintf.amd.com/vcek/v1/Milan/crl"


def spki_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def request(
    tee: str,
    value: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    critical: bool = False,
    signer: ec.EllipticCurvePrivateKey | None = None,
    algorithm: str = "sha384",
    version: bytes = b"\x02\x01\x00",
    subject: bytes = b"\x30\x00",
    extensions: int = 1,
) -> bytes:
    """Make a request for ``key`` with one extension, signed by ``signer``, or by the key as it should be."""
    flag = [b"\x01\x01\xff"] if critical else []
    extension = sequence_of(encode(OBJECT_IDENTIFIER, OIDS[tee]), *flag, encode(OCTET_STRING, value))
    values = encode(SET, sequence_of(*[extension] * extensions))
    attributes = encode(CONTEXT_0, sequence_of(encode(OBJECT_IDENTIFIER, EXTENSION_REQUEST), values))
    information = sequence_of(version, subject, spki_of(key), attributes)
    signature = (signer or key).sign(information, ec.ECDSA(HASHES[algorithm]))
    return sequence_of(information, ALGORITHMS[algorithm], encode(BIT_STRING, b"\0" + signature))


def list_of(*lists: bytes) -> bytes:
    """Spell a CrlList."""
    entries = [sequence_of(encode(UTF8_STRING, AMD_LIST.encode()), given) for given in lists]
    return sequence_of(sequence_of(*entries))


def snp_report(forge: SnpForge, key: ec.EllipticCurvePrivateKey, **fields: Any) -> bytes:
    """Make a report as Enarx asks for it, of the key that the keep made."""
    bound = hashlib.sha384(spki_of(key)).digest().ljust(64, b"\0")
    return forge.report(**{"report_data": bound, "policy": 0x30133, "flags": 1, "platform_info": 1} | fields)


def snp_request(
    forge: SnpForge, *, key: ec.EllipticCurvePrivateKey | None = None, lists: Sequence[bytes] | None = None,
    fields: dict[str, Any] | None = None, early: bool = False, **changed: Any,
) -> bytes:  # fmt: skip
    """Make the request of a keep in SEV-SNP; ``early`` in the form of 2022, without lists."""
    key = key or ec_key("keep")
    report = encode(OCTET_STRING, snp_report(forge, key, **(fields or {})))
    brought = list_of(*([forge.crl()] if lists is None else lists))
    value = sequence_of(forge.leaf if early else sequence_of(forge.leaf, brought), report)
    return request("snp", value, key, **changed)
