"""What ``sealroom evidence`` says of Occlum's files: facts of settings, and the certificates of its RA-TLS."""

from collections.abc import Sequence
from datetime import datetime

from mpc.errors import Malformed
from mpc.evidence.claims import Fact, Given
from mpc.evidence.format import Document
from mpc.evidence.occlum.documents import (
    EPID_NAME,
    KINDS,
    EnclaveSettings,
    OcclumFile,
    SecretNames,
    StartSettings,
    TrustSettings,
    parse_file,
)
from mpc.evidence.ratls.certificate import RaTlsCertificate, parse_ra_tls
from mpc.evidence.ratls.files import forms_in


def is_occlum(raw: bytes) -> bool:
    """Tell whether ``raw`` is a certificate in Occlum's form only, or one of its files of settings."""
    if raw.lstrip()[:1] != b"{":
        return forms_in(raw) == ("occlum",)
    try:
        # Any names and texts could be a file of secrets: that one has to be named.
        return not isinstance(parse_file(raw), SecretNames)
    except Malformed:
        return f'"{EPID_NAME}"'.encode() in raw


def parse_occlum(raw: bytes) -> RaTlsCertificate:
    """Return the certificate that ``raw`` is, in Occlum's form, or raise ``Malformed``."""
    return parse_ra_tls(raw, "occlum")


def read_document(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return what one of Occlum's files says, None when ``raw`` is no JSON."""
    del files, given, roots, at
    if raw.lstrip()[:1] != b"{":
        return None
    found = parse_file(raw)
    return Document(KINDS[type(found)], "parse", facts_of(found))


def facts_of(found: OcclumFile) -> dict[str, Fact]:
    """Return what a file says, by name; of secrets the names only."""
    match found:
        case EnclaveSettings():
            return {
                "product_id": found.product_id,
                "version_number": found.version_number,
                "debuggable": found.debuggable,
                "entry_points": found.entry_points,
            }
        case StartSettings():
            return {"kms_server": found.server, "kms_keys": found.keys, **_trust_facts(found.trust)}
        case TrustSettings():
            return {"kms_keys": (), **_trust_facts(found)}
        case SecretNames():
            return {"names": found.names}


def _trust_facts(trust: TrustSettings | None) -> dict[str, Fact]:
    if trust is None:
        return {"checks_on": (), "enclaves": 0}
    return {"checks_on": tuple(sorted(trust.compares)), "enclaves": len(trust.accepted)}
