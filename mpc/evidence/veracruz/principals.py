"""Who takes part under a Veracruz policy, known by a certificate in its text, and what each may do with which file."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mpc.errors import Malformed
from mpc.evidence.certificate import Certificate, parse_certificate
from mpc.evidence.chain import is_signed_by
from mpc.evidence.json_fields import field_of, number_of, refuse_field, texts_of

_WHAT = "the Veracruz policy"
_NUMBER_MAX = 2**32 - 1
_ROLES = frozenset({"PiProvider", "DataProvider", "ResultReader", "StreamProvider"})
# Identities are compared as texts (check_client_id), so a certificate has one spelling: these lines, nothing after.
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/]+\n)*[A-Za-z0-9+/]+={0,2})\n-----END CERTIFICATE-----"
)


@dataclass(frozen=True)
class FileRights:
    """What may be done with one file or folder: bits 0 to 29 of WASI's rights."""

    name: str
    rights: int


@dataclass(frozen=True)
class Identity:
    """A principal: its certificate, and what it may do (in the dialect of 2020, by roles)."""

    identifier: int
    certificate: Certificate
    file_rights: tuple[FileRights, ...] = ()
    roles: tuple[str, ...] = ()


AnyPrincipal = TypeVar("AnyPrincipal")


def read_identity(entry: Mapping[str, Any], certificate: str) -> Identity:
    """Return the identity whose certificate stands in the field ``certificate``."""
    roles = texts_of(entry, "roles", _WHAT) if "roles" in entry else ()
    if not set(roles) <= _ROLES:
        refuse_field(_WHAT, "unknown role", "roles", " or ".join(sorted(_ROLES)), "another one")
    return Identity(
        number_of(entry, "id", _WHAT, maximum=_NUMBER_MAX),
        _own(read_pem(field_of(entry, certificate, str, _WHAT))),
        read_rights(entry) if "file_rights" in entry or not roles else (),
        roles,
    )


def read_rights(entry: Mapping[str, Any]) -> tuple[FileRights, ...]:
    """Return the rights of the field ``file_rights``."""
    found = []
    for right in field_of(entry, "file_rights", list, _WHAT):
        if not isinstance(right, dict):
            refuse_field(_WHAT, "wrong type", "file_rights", "a list of objects", "something else")
        found.append(
            FileRights(field_of(right, "file_name", str, _WHAT), number_of(right, "rights", _WHAT, maximum=_NUMBER_MAX))
        )
    return tuple(found)


def read_pem(text: str) -> Certificate:
    """Return the certificate of a PEM text in Veracruz's own form."""
    form = _PEM.fullmatch(text)
    if form is None:
        why = "malformed certificate: it is not PEM in its one form"
        refuse_field(_WHAT, why, "certificate", "three parts, each on lines of its own", "another form")
    try:
        return parse_certificate(base64.b64decode(form[1].replace("\n", ""), validate=True))
    except (binascii.Error, Malformed):
        why = "malformed certificate: it does not parse as X.509"
    return refuse_field(_WHAT, why, "certificate", "a certificate", "something else")


def _own(certificate: Certificate) -> Certificate:
    # Principals certify themselves; a damaged certificate that still parses is told by its signature.
    if not is_signed_by(certificate, certificate):
        why = "malformed certificate: its own key did not sign it"
        refuse_field(_WHAT, why, "certificate", "a certificate that signed itself", "another one")
    return certificate


def unique(found: Sequence[AnyPrincipal], name: str) -> tuple[AnyPrincipal, ...]:
    """Return what was found, when every one has an id of its own."""
    if len({principal.identifier for principal in found}) != len(found):  # type: ignore[attr-defined]
        refuse_field(_WHAT, "repeated id", name, "an id for each", "the same id twice")
    return tuple(found)
