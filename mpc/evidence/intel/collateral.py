"""Collateral as it lies in files: what Intel's provisioning service answered, in whatever wrapper it was kept.

Understood are JSON of all parts (names as in Intel's ``sgx_ql_qve_collateral_t``, spelled in any case), alone or under
``collateral``; the service's own answers (``{"tcbInfo": …, "signature": …}``, ``{"enclaveIdentity": …, "signature":
…}``); a part with its signature and its chain, as client libraries keep them; certificates in PEM (also escaped, as
they come in HTTP headers) or DER; and revocation lists in DER, PEM or hex. Each of them may lie in hex or base64.
Which certificate signed what is found by its name and its key.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from mpc.errors import Malformed
from mpc.evidence.armour import unarmoured
from mpc.evidence.certificate import Certificate, certificates_of, parse_certificate
from mpc.evidence.chain import CHAIN_MAX_CERTIFICATES
from mpc.evidence.intel.certificates import PCK_AUTHORITIES, PCK_NAME, TCB_SIGNER_NAME
from mpc.evidence.json_fields import field_of, refuse_field, texts_in
from mpc.evidence.loose_json import read_json
from mpc.evidence.revocation import RevocationList, parse_revocation_list
from mpc.evidence.spellings import bytes_of, plain_name, spelled

COLLATERAL_MAX_BYTES = 256 << 10  # what Intel gives out for one platform has about 30 KiB
FILES_MAX = 32
CERTIFICATES_MAX = 16
LISTS_MAX = 8
SIGNATURE_BYTES = 64
MARKS_MAX = 8 << 10
LINES_MAX = 2 << 10
_MARKS = (b"{", b"[", b",", b"\n")
_WHAT = "the collateral"
_CHAINS = (
    "tcbinfoissuerchain", "qeidentityissuerchain", "pckcrlissuerchain", "pckcertificatechain", "pckcertchain",
    "cachain",
)  # fmt: skip
_LISTS = ("rootcacrl", "pckcrl", "crl")
_WRAPPED = ("collateral", "quotecollateral")
_ESCAPED = b"-----BEGIN%20"
_ANSWER = re.compile(rb'\s*\{\s*"(tcbInfo|enclaveIdentity)"\s*:\s*')
_ANSWER_END = re.compile(rb'\s*,\s*"signature"\s*:\s*"([0-9A-Fa-f]{128})"\s*\}\s*\0?')
# The same with its two fields in the other order, as tools write it that sort names.
_SORTED = re.compile(rb'\s*\{\s*"signature"\s*:\s*"([0-9A-Fa-f]{128})"\s*,\s*"(tcbInfo|enclaveIdentity)"\s*:\s*')
_SORTED_END = re.compile(rb"\s*\}\s*\0?")
_TEXT_OR_SPACE = re.compile(rb'"(?:[^"\\]|\\.)*"|[ \t\r\n]+')


@dataclass(frozen=True)
class Signed:
    """The exact bytes of a JSON document, and r and s over them (64 bytes)."""

    body: bytes
    signature: bytes

    @property
    def compact(self) -> bytes:
        """The document as Intel writes it, without spaces: tools that print it again, indented, add only those."""
        return _TEXT_OR_SPACE.sub(lambda found: found[0] if found[0][:1] == b'"' else b"", self.body)


@dataclass(frozen=True)
class Collateral:
    """All parts that were given, parsed and not believed; ``certificates`` are in no order, ``lists`` neither."""

    tcb_info: Signed | None = None
    qe_identity: Signed | None = None
    certificates: tuple[Certificate, ...] = ()
    lists: tuple[RevocationList, ...] = ()

    @property
    def signers(self) -> tuple[Certificate, ...]:
        """The certificates of the key that signs TCB information and enclave identities."""
        return self._named(TCB_SIGNER_NAME)

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """The certificates of the authorities that sign PCK certificates."""
        return self._named(*PCK_AUTHORITIES)

    @property
    def pck_certificates(self) -> tuple[Certificate, ...]:
        """The PCK certificates, for quotes that only name their platform."""
        return self._named(PCK_NAME)

    def _named(self, *names: str) -> tuple[Certificate, ...]:
        return tuple(certificate for certificate in self.certificates if certificate.common_name in names)

    def joined(self, other: "Collateral") -> "Collateral":
        """Return the parts of both; ``Malformed`` where both bring the same document and not the same bytes."""
        for mine, theirs in ((self.tcb_info, other.tcb_info), (self.qe_identity, other.qe_identity)):
            if mine and theirs and mine != theirs:
                raise malformed("a document comes twice and differs", "collateral", "one of a kind", "two")
        return bounded(
            Collateral(
                self.tcb_info or other.tcb_info,
                self.qe_identity or other.qe_identity,
                _once(self.certificates + other.certificates),
                self.lists + tuple(given for given in other.lists if given not in self.lists),
            )
        )


def read_collateral(files: Sequence[bytes]) -> Collateral:
    """Return the collateral that ``files`` hold together, in any order, or raise ``Malformed``."""
    return _read(tuple(bytes(file) for file in files))


@lru_cache(maxsize=16)  # the same collateral serves every quote of a platform for a month
def _read(files: tuple[bytes, ...]) -> Collateral:
    if len(files) > FILES_MAX or sum(map(len, files)) > COLLATERAL_MAX_BYTES:
        raise malformed("it is over the limit of size", "size", f"{COLLATERAL_MAX_BYTES} bytes", "more")
    found = Collateral()
    for file in files:
        found = found.joined(_read_file(file))
    return found


def collateral_of(
    *, tcb_info: bytes | None, qe_identity: bytes | None, chains: Iterable[bytes], lists: Iterable[bytes]
) -> Collateral:
    """Return the collateral that was taken from another wrapper.

    The documents are the service's answers with their signatures inside, ``chains`` PEM, ``lists`` DER, PEM or hex.
    """
    return bounded(
        Collateral(
            None if tcb_info is None else _answer(tcb_info, "tcbInfo"),
            None if qe_identity is None else _answer(qe_identity, "enclaveIdentity"),
            _once(certificate for chain in chains for certificate in _chain(chain)),
            tuple(_read_list(given) for given in lists),
        )
    )


def signed_answer(raw: bytes) -> tuple[str, Signed] | None:
    """Return ``tcbInfo`` or ``enclaveIdentity`` and what was signed, if ``raw`` is such an answer of the service."""
    before = _SORTED.match(raw)
    start = before or _ANSWER.match(raw)
    if start is None:
        return None
    try:  # latin-1 keeps every byte where it is
        _, end = json.JSONDecoder().raw_decode(raw.decode("latin-1"), start.end())
    except (ValueError, RecursionError):
        return None
    rest = (_SORTED_END if before else _ANSWER_END).fullmatch(raw, end)
    if rest is None:
        return None
    kind, signature = (before[2], before[1]) if before else (start[1], rest[1])
    return kind.decode(), Signed(raw[start.end() : end], bytes.fromhex(signature.decode()))


def bounded(collateral: Collateral) -> Collateral:
    """Return the collateral unless it holds more certificates or lists than any chain needs."""
    if len(collateral.certificates) > CERTIFICATES_MAX or len(collateral.lists) > LISTS_MAX:
        raise malformed("more certificates or lists than any chain needs", "collateral", "a few", "many")
    return collateral


def _read_file(raw: bytes) -> Collateral:
    if sum(map(raw.count, _MARKS)) > MARKS_MAX:  # values and lines cost time, each of them, and there are few
        raise malformed("more values or lines than collateral has", "file", f"at most {MARKS_MAX}", "more")
    raw = _unescaped(spelled(raw) or raw)
    if raw.lstrip()[:1] == b"{":
        answer = signed_answer(raw)
        return _read_json(raw) if answer is None else _placed(*answer)
    if raw.startswith(b"-----BEGIN CERTIFICATE-----"):
        return Collateral(certificates=_chain(raw))
    try:
        return Collateral(lists=(_read_list(raw),))
    except Malformed:
        return Collateral(certificates=(parse_certificate(raw),))


def _unescaped(data: bytes) -> bytes:
    """Return ``data`` without the percent signs in which HTTP headers carry PEM."""
    return unquote_to_bytes(data) if data.startswith(_ESCAPED) else data


def _placed(kind: str, signed: Signed) -> Collateral:
    return Collateral(tcb_info=signed) if kind == "tcbInfo" else Collateral(qe_identity=signed)


def _read_json(raw: bytes) -> Collateral:
    found = _by_plain_names(read_json(raw, what=_WHAT, max_bytes=COLLATERAL_MAX_BYTES))
    inside = next((found[name] for name in _WRAPPED if isinstance(found.get(name), dict)), None)
    found = found if inside is None else _by_plain_names(inside)
    chains = [_chain(text) for name in _CHAINS for text in _texts(found, name)]
    lists = tuple(_read_list(text) for name in _LISTS for text in _texts(found, name))
    collateral = Collateral(
        _read_signed(found, "tcbinfo", "rawtcbinfo"),
        _read_signed(found, "qeidentity", "rawenclaveidentity"),
        _once(sum(chains, ())), lists,
    )  # fmt: skip
    if collateral == Collateral():
        refuse_field(_WHAT, "missing field", "tcb_info", "Intel's collateral", "none of its parts")
    return bounded(collateral)


def _by_plain_names(found: dict[str, Any]) -> dict[str, Any]:
    plain = {plain_name(name): value for name, value in found.items()}
    if len(plain) != len(found):
        refuse_field(_WHAT, "malformed JSON", "names", "each name once", "one in two spellings")
    return plain


def _read_signed(found: dict[str, Any], name: str, alone: str) -> Signed | None:
    """Return the document ``name``, or the one that lies ``alone`` with its signature."""
    name, signature_name = (alone, "signature") if alone in found else (name, f"{name}signature")
    if found.get(name) is None:
        return None
    body = _encoded(field_of(found, name, str, _WHAT), name)
    answer = signed_answer(body)  # some keep the whole answer under the document's name
    if answer is not None:
        return answer[1]
    signature = bytes_of(found.get(signature_name))
    if signature is None or len(signature) != SIGNATURE_BYTES:
        refuse_field(_WHAT, "malformed signature", signature_name, f"{SIGNATURE_BYTES} bytes in hex", "other")
    return Signed(body, signature)


def _texts(found: dict[str, Any], name: str) -> list[bytes]:
    """Return the parts under ``name``: a text, a list of texts, or a list of the bytes of one."""
    match found.get(name):
        case None:
            return []
        case [str(), *_] as several:
            return [_unescaped(_encoded(text, name)) for text in texts_in(several, name, _WHAT)]
        case list() as numbers if (data := bytes_of(numbers)) is not None:
            return [data]
    return [_unescaped(_encoded(field_of(found, name, str, _WHAT), name))]


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        refuse_field(_WHAT, "malformed JSON", name, "a text", "half a character")


def _answer(raw: bytes, kind: str) -> Signed:
    answer = signed_answer(raw)
    if answer is None or answer[0] != kind:
        raise malformed("malformed JSON: it is no answer of the service", kind, "a document with signature", "other")
    return answer[1]


def _chain(data: bytes) -> tuple[Certificate, ...]:
    count = data.count(b"-----BEGIN")  # before anything is parsed, which takes a millisecond each
    if count > CHAIN_MAX_CERTIFICATES or data.count(b"\n") > LINES_MAX:
        raise malformed("more certificates or lines than any chain needs", "chain", "at most 8", str(count))
    text = data.rstrip(b"\0") if count else data  # C ends texts with NUL; DER may end with one of its own
    return tuple(parse_certificate(der) for der in certificates_of(text))


def _read_list(data: bytes) -> RevocationList:
    """Return the list in DER, PEM or hex; a NUL behind it, as C writes texts, is no part of it."""
    if data.startswith(b"-----BEGIN"):
        try:
            ((_, data),) = unarmoured(data)
        except ValueError:
            raise malformed("its PEM does not parse", "revocation list", "PEM of one list", "other") from None
    elif data[:2] in {b"30", b"31"}:
        data = _hex(data)
    else:
        data = spelled(data) or data
    return parse_revocation_list(data[:-1] if _der_length(data) == len(data) - 1 and data[-1] == 0 else data)


def _hex(data: bytes) -> bytes:
    try:
        return bytes.fromhex(data.rstrip(b"\0").decode("ascii"))
    except ValueError:
        raise malformed("its hex does not parse", "revocation list", "a list in hex", "other") from None


def _der_length(data: bytes) -> int:
    """Return how long the DER value at the front of ``data`` says that it is, as far as lists are long."""
    first = data[1] if len(data) > 1 else 0
    if first < 0x80:  # noqa: PLR2004 - X.690, 8.1.3: from here on it counts the bytes of the length
        return 2 + first
    size = first & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + min(size, 4)], "big")


def _once(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    return tuple({certificate.der: certificate for certificate in certificates}.values())


def malformed(why: str, field: str, expected: str, found: str) -> Malformed:
    """Return the refusal of collateral that does not read."""
    return Malformed(
        "evidence.collateral", "the collateral is malformed", why=why,
        remedy="fetch it again, or give the files as the provisioning service wrote them",
        field=field, expected=expected, found=found,
    )  # fmt: skip
