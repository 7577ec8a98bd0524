"""Another verifier's look at a coordinator's certificate: asn1crypto and cbor2 alone, and nothing of this project.

Written from the texts: "Interoperable RA-TLS" of the Confidential Computing Consortium, the certificate profile of
DICE (TCG, OID 2.23.133.5.4.9), draft-ietf-rats-msg-wrap, RFC 5280, and the layouts of quotes and reports.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import cbor2
from asn1crypto import core, x509

TAGGED_EVIDENCE, MESSAGE_WRAPPER = "2.23.133.5.4.9", "1.3.6.1.5.5.7.1.35"
INTEL_QUOTE_TAG = 60000
HASHES = {1: "sha256", 7: "sha384", 8: "sha512"}  # IANA, Named Information Hash Algorithm Registry
REPORT_DATA_AT = {0: 48 + 320, 0x81: 48 + 520}
"""Where the 64 bytes stand in a quote of versions 3 and 4: behind the header, by the kind of body."""


@dataclass(frozen=True)
class Seen:
    """What another verifier takes out of a certificate; ``media_type`` is None for the interoperable form."""

    evidence: bytes
    report_data: bytes
    claimed: bytes
    """The 64 bytes that the evidence has to carry, by what stands beside it."""
    media_type: str | None


def extensions_of(der: bytes) -> dict[str, tuple[bool, bytes]]:
    """Return every extension by its identifier: whether it is critical, and its value."""
    body = x509.Certificate.load(der, strict=True)["tbs_certificate"]
    listed = body["extensions"]
    found = {one["extn_id"].dotted: (one["critical"].native, bytes(one["extn_value"].contents)) for one in listed}
    assert len(found) == len(listed)
    return found


def spki_of(der: bytes) -> bytes:
    """Return the DER SubjectPublicKeyInfo."""
    return bytes(x509.Certificate.load(der)["tbs_certificate"]["subject_public_key_info"].dump())


def whole(raw: bytes) -> Any:
    """Return the CBOR item that ``raw`` is, in its deterministic encoding, with nothing behind it."""
    stream = io.BytesIO(raw)
    found = cbor2.load(stream)
    assert not stream.read()
    assert cbor2.dumps(found, canonical=True) == raw
    return found


def interoperable(der: bytes) -> Seen:
    """Read the interoperable form: tag 60000 around the quote and its claims, which name the hash of the key."""
    critical, value = extensions_of(der)[TAGGED_EVIDENCE]
    assert not critical
    tagged = whole(value)
    assert tagged.tag == INTEL_QUOTE_TAG
    quote, claims = tagged.value
    assert isinstance(quote, bytes)
    said = whole(claims)
    number, digest = whole(said["pubkey-hash"])
    assert hashlib.new(HASHES[number], spki_of(der)).digest() == digest
    at = REPORT_DATA_AT[int.from_bytes(quote[4:8], "little")]
    return Seen(quote, quote[at : at + 64], hashlib.sha256(claims).digest() + bytes(32), None)


def wrapped(der: bytes) -> tuple[str, Any]:
    """Read a Conceptual Message Wrapper in CBOR: the media type, and what it wraps."""
    critical, value = extensions_of(der)[MESSAGE_WRAPPER]
    assert not critical
    media_type, message, *indicator = whole(core.OctetString.load(value, strict=True).native)
    assert isinstance(media_type, str)
    assert len(indicator) <= 1
    return media_type, whole(message)


def of_the_project(der: bytes, name: str) -> Seen:
    """Read evidence of the format ``name`` in the project's own record, as docs/protocol.md describes it."""
    media_type, record = wrapped(der)
    label, version, form, evidence, endorsements, transcript = record
    assert (label, version, form) == ("sealroom certificate evidence", 1, name)
    assert all(isinstance(one, bytes) for one in endorsements)
    bound = whole(transcript)
    assert hashlib.sha256(spki_of(der)).digest() in bound
    data = evidence[0x50:0x90] if name == "sev-snp" else cbor2.loads(cbor2.loads(evidence)[2])["user_data"]
    return Seen(evidence, data, hashlib.sha512(transcript).digest(), media_type)
