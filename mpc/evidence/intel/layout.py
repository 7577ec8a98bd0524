"""Intel's ECDSA quotes, byte by byte: version 3 (SGX), 4 and 5 (SGX, TDX). All numbers are little-endian.

A quote is header (48 bytes), body, length of the rest, rest; header and body are signed. The rest is signature,
attestation key, and under version 4 and 5 one more frame (certification data of type 6) around the report of the
Quoting Enclave that vouches for the key, its signature, its data, and how that is certified in turn.

Two things that are met and are no such quote are told in words: quotes of EPID (version 1 and 2), whose only verifier
was a service that Intel closed in April 2025, and a TDREPORT, which only the processor that made it can check.

Bytes behind the quote are kept as ``behind``: attesters pad with zeros, which ``verify`` allows, and nothing else.
Sources: Intel SGX DCAP quote library API, appendix A; Intel TDX DCAP quoting library API, appendix A.
"""

from dataclasses import dataclass
from typing import Final

from mpc.canonical import sha256
from mpc.errors import Malformed
from mpc.evidence.certificate import Certificate
from mpc.evidence.event_log import EventLog
from mpc.evidence.intel.certificates import Platform, parse_armour, platform_of

QUOTE_MAX_BYTES = 16 << 10
HEADER_BYTES = 48
KEY_TYPE_P256 = 2
SGX, TDX = 0, 0x81
TEE_NAMES: Final = {SGX: "SGX", TDX: "TDX"}
ENCLAVE_REPORT_BYTES = 384

# Certification data: how the signer of the Quoting Enclave's report is known.
PPID_TYPES = frozenset({1, 2, 3})
PCK_LEAF_TYPE = 4
PCK_CHAIN_TYPE = 5
QE_REPORT_TYPE = 6

_BODY_TYPES: Final = {1: "sgx", 2: "td10", 3: "td15"}  # body types of version 5
_BODY_BYTES: Final = {"sgx": ENCLAVE_REPORT_BYTES, "td10": 584, "td15": 648}
_BODY_TEES: Final = {"sgx": SGX, "td10": TDX, "td15": TDX}

TDREPORT_BYTES: Final = 1024
_EPID_VERSIONS, _EPID_KINDS = (1, 2), (0, 1)  # of signature: unlinkable, linkable

_REPORT_DATA_AT = 320
_DEBUG_ENCLAVE = 0x02
_TD_UNDER_DEBUG = 0xFF  # bits 0 to 7: each of them lets somebody look in, not only DEBUG
_SEPT_VE_DISABLE = 1 << 28
_MIGRATABLE = 1 << 29


@dataclass(frozen=True)
class Header:
    """What stands before the body; ``vendor`` is who made the Quoting Enclave, ``user_data`` is the maker's."""

    version: int
    key_type: int
    tee: int
    qe_svn: int
    pce_svn: int
    vendor: bytes
    user_data: bytes


@dataclass(frozen=True)
class EnclaveReport:
    """An SGX report body of 384 bytes: of the enclave that is quoted, and of the Quoting Enclave itself."""

    raw: bytes
    cpu_svn: bytes
    misc_select: int
    isv_ext_prod_id: bytes
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    config_id: bytes
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    isv_family_id: bytes
    report_data: bytes

    @property
    def debug(self) -> bool:
        """Whether the enclave's host can read and change it."""
        return bool(self.attributes[0] & _DEBUG_ENCLAVE)


@dataclass(frozen=True)
class TdReport:
    """A TD report body: 584 bytes, and with ``tee_tcb_svn2`` and ``mrservicetd`` of TDX 1.5 648."""

    raw: bytes
    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, ...]
    report_data: bytes
    tee_tcb_svn2: bytes | None = None
    mrservicetd: bytes | None = None

    @property
    def debug(self) -> bool:
        """Whether one of the bits of the group TD UNDER DEBUG is set."""
        return bool(self.attribute_bits & _TD_UNDER_DEBUG)

    @property
    def attribute_bits(self) -> int:
        """The TD's attributes as one number of 64 bits."""
        return int.from_bytes(self.td_attributes, "little")

    @property
    def sept_ve_disable(self) -> bool:
        """Whether the host cannot take pages away and have the guest handle a fault of its making."""
        return bool(self.attribute_bits & _SEPT_VE_DISABLE)

    @property
    def migratable(self) -> bool:
        """Whether a service TD may carry this one to another machine."""
        return bool(self.attribute_bits & _MIGRATABLE)


@dataclass(frozen=True)
class Quote:
    """A quote as it was parsed; nothing of it is believed.

    ``signed`` are header and body, ``signature`` is r and s (64 bytes), ``attestation_key`` x and y (64 bytes) on
    P-256. ``chain`` are the certificates of certification type 5, leaf first; ``platform`` what the leaf says.
    ``event_log`` is a TD's log that lay beside it: it explains RTMRs, and nothing depends on it.
    """

    raw: bytes
    header: Header
    body_name: str
    body: EnclaveReport | TdReport
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: EnclaveReport
    qe_signature: bytes
    qe_auth_data: bytes
    certification_type: int
    chain: tuple[Certificate, ...]
    platform: Platform | None
    behind: bytes
    event_log: EventLog | None = None


class _Reader:
    """Takes bytes from the front, and refuses where there are too few."""

    def __init__(self, raw: bytes, offset: int = 0) -> None:
        self._raw, self.offset = raw, offset

    def take(self, count: int, what: str) -> bytes:
        end = self.offset + count
        if end > len(self._raw):
            raise malformed(f"truncated: it ends inside of {what}", what, f"{count} bytes", str(self.left))
        taken, self.offset = self._raw[self.offset : end], end
        return taken

    def number(self, count: int, what: str) -> int:
        return int.from_bytes(self.take(count, what), "little")

    @property
    def left(self) -> int:
        return len(self._raw) - self.offset


def parse_quote(raw: bytes) -> Quote:
    """Return the quote that ``raw`` starts with (at most 16 KiB), or raise ``Malformed``."""
    if len(raw) > QUOTE_MAX_BYTES:
        raise malformed("it is over the limit of size", "size", f"at most {QUOTE_MAX_BYTES} bytes", str(len(raw)))
    _refuse_others(raw)
    reader = _Reader(raw)
    header = _header(reader)
    name = _body_name(header, reader)
    body = reader.take(_BODY_BYTES[name], "the body")
    signed = raw[: reader.offset]
    rest = _Reader(reader.take(reader.number(4, "the signature's length"), "the signature data"))
    signature, key = rest.take(64, "the signature"), rest.take(64, "the attestation key")
    certified = rest if header.version == 3 else _framed(rest)  # noqa: PLR2004 - the quote's version
    qe_report = parse_enclave_report(certified.take(ENCLAVE_REPORT_BYTES, "the Quoting Enclave's report"))
    qe_signature = certified.take(64, "the signature of the Quoting Enclave's report")
    auth_data = certified.take(certified.number(2, "a length"), "the Quoting Enclave's data")
    kind = certified.number(2, "the type of certification data")
    certification = certified.take(certified.number(4, "a length"), "the certification data")
    if certified.left or rest.left:
        raise malformed("the signature data is longer than what it holds", "signature data", "nothing more", "more")
    chain = _certificates(kind, certification)
    return Quote(
        raw=raw, header=header, body_name=name,
        body=parse_enclave_report(body) if name == "sgx" else _td_report(body),
        signed=signed, signature=signature, attestation_key=key, qe_report=qe_report, qe_signature=qe_signature,
        qe_auth_data=auth_data, certification_type=kind, chain=chain,
        platform=platform_of(chain[0]) if chain else None, behind=raw[reader.offset :],
    )  # fmt: skip


def is_epid(raw: bytes) -> bool:
    """Tell whether ``raw`` is a quote under EPID: version and kind of signature, and a report with its zeros."""
    version, kind = (int.from_bytes(raw[at : at + 2], "little") for at in (0, 2))
    if version not in _EPID_VERSIONS or kind not in _EPID_KINDS or len(raw) < HEADER_BYTES + ENCLAVE_REPORT_BYTES:
        return False
    try:
        parse_enclave_report(raw[HEADER_BYTES:][:ENCLAVE_REPORT_BYTES])
    except Malformed:
        return False
    return True


def is_td_report(raw: bytes) -> bool:
    """Tell whether ``raw`` is a TDREPORT: its length, type and subtype, and the zeros behind its version."""
    return len(raw) == TDREPORT_BYTES and raw[:2] == bytes([TDX, 0]) and not any(raw[3:16])


def quote_length(raw: bytes) -> int:
    """Return how many bytes at the front of ``raw`` are the quote; ``Malformed`` when it ends inside of one."""
    reader = _Reader(raw)
    name = _body_name(_header(reader), reader)
    reader.take(_BODY_BYTES[name], "the body")
    reader.take(reader.number(4, "the signature's length"), "the signature data")
    return reader.offset


def carries_claims(raw: bytes) -> bool:
    """Tell whether behind an SGX quote stand the claims whose SHA-256 its report data carries (Open Enclave)."""
    try:
        quote, rest = raw[: quote_length(raw)], raw[quote_length(raw) :]
    except Malformed:
        return False
    report_data = quote[HEADER_BYTES:][:ENCLAVE_REPORT_BYTES][_REPORT_DATA_AT:]
    return quote[:2] == b"\3\0" and bool(rest) and sha256(rest) == report_data[:32] and not any(report_data[32:])


def looks_like_quote(raw: bytes, tee: int) -> bool:
    """Tell whether ``raw`` has the header of a quote of this kind of TEE."""
    try:
        header = _header(_Reader(raw))
    except Malformed:
        return False
    return header.tee == tee and header.key_type == KEY_TYPE_P256


def parse_enclave_report(raw: bytes) -> EnclaveReport:
    """Return the SGX report body of 384 bytes, or raise ``Malformed``: too short, or with reserved bytes in use."""
    if len(raw) != ENCLAVE_REPORT_BYTES:
        raise malformed("truncated: a report is cut", "report", f"{ENCLAVE_REPORT_BYTES} bytes", str(len(raw)))
    for start, end in ((20, 32), (96, 128), (160, 192), (262, 304)):
        if any(raw[start:end]):
            raise malformed("a reserved field is not zero", f"report bytes {start} to {end}", "zeros", "other bytes")
    return EnclaveReport(
        raw=raw, cpu_svn=raw[:16], misc_select=int.from_bytes(raw[16:20], "little"), isv_ext_prod_id=raw[32:48],
        attributes=raw[48:64], mrenclave=raw[64:96], mrsigner=raw[128:160], config_id=raw[192:256],
        isv_prod_id=int.from_bytes(raw[256:258], "little"), isv_svn=int.from_bytes(raw[258:260], "little"),
        config_svn=int.from_bytes(raw[260:262], "little"), isv_family_id=raw[304:320], report_data=raw[320:],
    )  # fmt: skip


def _refuse_others(raw: bytes) -> None:
    if is_epid(raw):
        raise malformed(
            "EPID quote: nobody can verify it since Intel closed its attestation service in April 2025", "version",
            "3, 4 or 5 (ECDSA)", f"{raw[0]} (EPID)", remedy="let the enclave make an ECDSA quote (DCAP)",
        )  # fmt: skip
    if is_td_report(raw):
        raise malformed(
            "TDREPORT: only the processor that made it can check it", "quote", "a quote", "a report",
            remedy="let the TD ask for a quote of it (configfs-tsm, or the host's quoting service)",
        )  # fmt: skip


def _header(reader: _Reader) -> Header:
    version, key_type = reader.number(2, "the header"), reader.number(2, "the header")
    header = Header(
        version, key_type, reader.number(4, "the header"), reader.number(2, "the header"),
        reader.number(2, "the header"), reader.take(16, "the header"), reader.take(20, "the header"),
    )  # fmt: skip
    if version not in {3, 4, 5}:
        raise malformed("unknown quote version", "version", "3, 4 or 5", str(version))
    if header.tee not in ({SGX} if version == 3 else TEE_NAMES):  # noqa: PLR2004 - the quote's version
        raise malformed("unknown TEE type", "tee_type", "0 (SGX) or 0x81 (TDX)", hex(header.tee))
    return header


def _body_name(header: Header, reader: _Reader) -> str:
    if header.version < 5:  # noqa: PLR2004 - the quote's version
        return "sgx" if header.tee == SGX else "td10"
    kind, size = reader.number(2, "the body's descriptor"), reader.number(4, "the body's descriptor")
    name = _BODY_TYPES.get(kind)
    if name is None or _BODY_TEES[name] != header.tee:
        raise malformed("unknown body type", "body type", "1 (SGX), 2 (TD 1.0) or 3 (TD 1.5)", str(kind))
    if size != _BODY_BYTES[name]:
        raise malformed("a body of another size", "body size", str(_BODY_BYTES[name]), str(size))
    return name


def _framed(rest: _Reader) -> _Reader:
    kind = rest.number(2, "the type of certification data")
    if kind != QE_REPORT_TYPE:
        raise malformed("unknown certification data", "certification type", str(QE_REPORT_TYPE), str(kind))
    return _Reader(rest.take(rest.number(4, "a length"), "the certification data"))


def _certificates(kind: int, certification: bytes) -> tuple[Certificate, ...]:
    if kind in PPID_TYPES:  # they name the platform; its certificate has to come with the collateral
        return ()
    if kind not in {PCK_LEAF_TYPE, PCK_CHAIN_TYPE}:
        raise malformed("unknown certification data", "certification type", "1 to 5", str(kind))
    chain = parse_armour(certification)
    if kind == PCK_LEAF_TYPE and len(chain) != 1:
        raise malformed("more than a leaf in certification data of type 4", "certificates", "1", str(len(chain)))
    return chain


def _td_report(raw: bytes) -> TdReport:
    later = len(raw) > _BODY_BYTES["td10"]
    return TdReport(
        raw=raw, tee_tcb_svn=raw[:16], mrseam=raw[16:64], mrsignerseam=raw[64:112], seam_attributes=raw[112:120],
        td_attributes=raw[120:128], xfam=raw[128:136], mrtd=raw[136:184], mrconfigid=raw[184:232],
        mrowner=raw[232:280], mrownerconfig=raw[280:328],
        rtmrs=tuple(raw[start : start + 48] for start in (328, 376, 424, 472)), report_data=raw[520:584],
        tee_tcb_svn2=raw[584:600] if later else None, mrservicetd=raw[600:648] if later else None,
    )  # fmt: skip


def malformed(
    why: str, field: str, expected: str, found: str, *, remedy: str = "give the quote whole, as the attester wrote it"
) -> Malformed:
    """Return the refusal of bytes that are no quote."""
    return Malformed(
        "evidence.quote", "the quote is malformed", why=why, remedy=remedy,
        field=field, expected=expected, found=found,
    )  # fmt: skip
