"""False keeps: certificate requests around evidence of a false AMD or Intel, each of which can be wrong in one way."""

import hashlib
import json
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
from tests.evidence.intel_forge import PLATFORM_CA, IntelForge, enclave_report, raw_signature
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
    extension: bytes | None = None,
) -> bytes:
    """Make a request for ``key`` with one extension, signed by ``signer``, or by the key as it should be."""
    flag = [b"\x01\x01\xff"] if critical else []
    extension = extension or sequence_of(encode(OBJECT_IDENTIFIER, OIDS[tee]), *flag, encode(OCTET_STRING, value))
    values = encode(SET, sequence_of(*[extension] * extensions))
    attributes = encode(CONTEXT_0, sequence_of(encode(OBJECT_IDENTIFIER, EXTENSION_REQUEST), values))
    information = sequence_of(version, subject, spki_of(key), attributes)
    signature = (signer or key).sign(information, ec.ECDSA(HASHES[algorithm]))
    return sequence_of(information, ALGORITHMS[algorithm], encode(BIT_STRING, b"\0" + signature))


def list_of(*lists: bytes, tag: int = UTF8_STRING) -> bytes:
    """Spell a CrlList."""
    entries = [sequence_of(encode(tag, AMD_LIST.encode()), given) for given in lists]
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


INTEL_S_QE = {
    "mrsigner": bytes.fromhex("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff"),
    "isv_prod_id": 1,
}  # fmt: skip


def sgx_request(
    forge: IntelForge, *, key: ec.EllipticCurvePrivateKey | None = None, body: dict[str, Any] | None = None,
    qe: dict[str, Any] | None = None, lists: Sequence[bytes] | None = None, info: dict[str, Any] | None = None,
    form: str = "whole", **changed: Any,
) -> bytes:  # fmt: skip
    """Make the request of a keep in SGX; ``form`` is whole, without TCB information (middle), or the quote (early)."""
    key = key or ec_key("enclave", ec.SECP256R1)
    bound = hashlib.sha256(spki_of(key)).digest().ljust(64, b"\0")
    report = enclave_report(**({"report_data": bound} | (body or {})))
    quote = forge.quote(report, version=3, tee=0, qe=INTEL_S_QE | (qe or {}))
    both = [forge.revocation_list(), forge.revocation_list(PLATFORM_CA, forge.authority)]
    parts = [encode(OCTET_STRING, quote), list_of(*(both if lists is None else lists))]
    if form == "whole":
        signed = json.dumps(forge.tcb_info("SGX", **(info or {}))).encode()
        answer = (
            b'{"tcbInfo":' + signed + b',"signature":"' + raw_signature(forge.signer, signed).hex().encode() + b'"}'
        )
        signers = sequence_of(forge.signer_certificate(), forge.root_certificate())
        parts.append(sequence_of(signers, encode(OCTET_STRING, answer)))
    value = quote if form == "early" else sequence_of(*parts)
    return request("sgx", value, key, **({"algorithm": "sha256"} | changed))
