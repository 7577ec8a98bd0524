"""A false Intel: own root, PCK and TCB keys, Quoting Enclave, quotes, collateral. All of it may be wrong."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.canonical import sha256
from mpc.evidence.der import BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, encode, sequence_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=30), NOW + timedelta(days=365)
ISSUED, NEXT = NOW - timedelta(days=3), NOW + timedelta(days=27)
ROOT, PLATFORM_CA, PROCESSOR_CA = "Intel SGX Root CA", "Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"
PCK, SIGNER = "Intel SGX PCK Certificate", "Intel SGX TCB Signing"
SGX_EXTENSION = "1.2.840.113741.1.13.1"
FMSPC, PCE_ID, PPID, INSTANCE = bytes.fromhex("00a0b0c00000"), bytes(2), bytes(range(16)), bytes([7]) * 16
PCE_SVN = 13
SVNS = (5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0)
TEE_TCB_SVN = bytes((4, 1, 3)) + bytes(13)
QE_SIGNER = bytes([0xDC]) * 32
REPORT_DATA = bytes(range(64))
MODULE_SIGNER = bytes(48)
INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def point(key: Key) -> bytes:
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)


def raw_signature(key: Key, signed: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def oid(*tail: int) -> bytes:
    return encode(OBJECT_IDENTIFIER, bytes.fromhex("2a864886f84d010d01") + bytes(tail))


def number(value: int | bytes) -> bytes:
    return encode(INTEGER, value if isinstance(value, bytes) else value.to_bytes(value.bit_length() // 8 + 1))


def pck_extension(
    *, svns: Sequence[int] = SVNS, pce_svn: int | bytes = PCE_SVN, fmspc: bytes = FMSPC, pce_id: bytes = PCE_ID,
    ppid: bytes = PPID, truth: bytes = b"\xff",
) -> bytes:  # fmt: skip
    tcb = [sequence_of(oid(2, index), number(svn)) for index, svn in enumerate(svns, 1)]
    tcb += [
        sequence_of(oid(2, 17), number(pce_svn)),
        sequence_of(oid(2, 18), encode(OCTET_STRING, bytes(min(svn, 255) for svn in svns))),
    ]
    return sequence_of(
        sequence_of(oid(1), encode(OCTET_STRING, ppid)),
        sequence_of(oid(2), sequence_of(*tcb)),
        sequence_of(oid(3), encode(OCTET_STRING, pce_id)),
        sequence_of(oid(4), encode(OCTET_STRING, fmspc)),
        sequence_of(oid(5), b"\x0a\x01\x01"),
        sequence_of(oid(6), encode(OCTET_STRING, INSTANCE)),
        sequence_of(oid(7), sequence_of(*(sequence_of(oid(7, index), encode(BOOLEAN, truth)) for index in (1, 2, 3)))),
    )


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def enclave_report(**changed: Any) -> bytes:
    fields: dict[str, Any] = {
        "cpu_svn": bytes(SVNS), "misc_select": bytes(4), "reserved": bytes(12), "attributes": "0500000000000000",
        "xfrm": "e700000000000000", "mrenclave": bytes([0xE1]) * 32, "mrsigner": bytes([0xE2]) * 32,
        "config_id": bytes(64), "isv_prod_id": 3, "isv_svn": 2, "report_data": REPORT_DATA,
    } | changed  # fmt: skip
    return (
        fields["cpu_svn"] + fields["misc_select"] + fields["reserved"] + bytes(16)
        + bytes.fromhex(fields["attributes"]) + bytes.fromhex(fields["xfrm"])
        + fields["mrenclave"] + bytes(32) + fields["mrsigner"] + bytes(32) + fields["config_id"]
        + fields["isv_prod_id"].to_bytes(2, "little") + fields["isv_svn"].to_bytes(2, "little")
        + bytes(2 + 42 + 16) + fields["report_data"]
    )  # fmt: skip


def td_report(**changed: Any) -> bytes:
    fields: dict[str, Any] = {
        "tee_tcb_svn": TEE_TCB_SVN, "mrseam": bytes([0x5E]) * 48, "mrsignerseam": MODULE_SIGNER,
        "seam_attributes": bytes(8), "td_attributes": 1 << 28, "xfam": bytes.fromhex("e702060000000000"),
        "mrtd": bytes([0xD0]) * 48, "owner": bytes(3 * 48), "rtmr": bytes([1]) * 48 + bytes([2]) * 48 + bytes([3]) * 48
        + bytes(48), "report_data": REPORT_DATA, "later": b"",
    } | changed  # fmt: skip
    return (
        fields["tee_tcb_svn"] + fields["mrseam"] + fields["mrsignerseam"] + fields["seam_attributes"]
        + fields["td_attributes"].to_bytes(8, "little") + fields["xfam"] + fields["mrtd"] + fields["owner"]
        + fields["rtmr"] + fields["report_data"] + fields["later"]
    )  # fmt: skip


def components(svns: Sequence[int]) -> list[dict[str, Any]]:
    return [{"svn": svn} for svn in svns]


def level(status: str, *, sgx: Sequence[int] = SVNS, pce: int = PCE_SVN, tdx: Sequence[int] | None = None) -> Any:
    tcb: dict[str, Any] = {"sgxtcbcomponents": components(sgx), "pcesvn": pce}
    if tdx is not None:
        tcb["tdxtcbcomponents"] = components(tdx)
    found = {"tcb": tcb, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}
    return found if status == "UpToDate" else found | {"advisoryIDs": ["INTEL-SA-00001"]}


def svn_level(svn: int, status: str) -> Any:
    return {"tcb": {"isvsvn": svn}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}


def timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class IntelForge:
    """One false Intel and one machine of its making; every method takes what shall differ."""

    root: Key = field(default_factory=new_key)
    authority: Key = field(default_factory=new_key)
    pck: Key = field(default_factory=new_key)
    signer: Key = field(default_factory=new_key)
    attestation: Key = field(default_factory=new_key)

    def certify(
        self,
        subject: str,
        key: Key,
        issuer: str = ROOT,
        by: Key | None = None,
        *,
        authority: bool = False,
        begin: datetime = BEGIN,
        end: datetime = END,
        serial: int | None = None,
        extension: bytes | None = None,
    ) -> bytes:
        usage = [not authority, *[False] * 4, authority, authority, False, False]
        builder = (
            x509.CertificateBuilder(
                name(issuer), name(subject), key.public_key(), serial or x509.random_serial_number()
            )
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
        )
        if extension is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_EXTENSION), extension), critical=False
            )
        return builder.sign(by or self.root, hashes.SHA256()).public_bytes(Encoding.DER)

    def root_certificate(self, **changed: Any) -> bytes:
        return self.certify(ROOT, self.root, authority=True, **changed)

    def authority_certificate(self, **changed: Any) -> bytes:
        return self.certify(changed.pop("subject", PLATFORM_CA), self.authority, **({"authority": True} | changed))

    def pck_certificate(self, **changed: Any) -> bytes:
        inside = {
            key: changed.pop(key) for key in ("svns", "pce_svn", "fmspc", "pce_id", "ppid", "truth") if key in changed
        }
        arguments: dict[str, Any] = {"issuer": PLATFORM_CA, "by": self.authority, "extension": pck_extension(**inside)}
        return self.certify(changed.pop("subject", PCK), self.pck, **(arguments | changed))

    def signer_certificate(self, **changed: Any) -> bytes:
        return self.certify(changed.pop("subject", SIGNER), self.signer, **changed)

    def chain(self, **changed: Any) -> tuple[bytes, ...]:
        return self.pck_certificate(**changed), self.authority_certificate(), self.root_certificate()

    def revocation_list(
        self, issuer: str = ROOT, by: Key | None = None, *, revoked: Sequence[int] = (), begin: datetime = ISSUED,
        end: datetime = NEXT,
    ) -> bytes:  # fmt: skip
        builder = x509.CertificateRevocationListBuilder(name(issuer), begin, end)
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begin).build()
            )
        key = x509.AuthorityKeyIdentifier.from_issuer_public_key((by or self.root).public_key())
        numbered = builder.add_extension(x509.CRLNumber(1), critical=False).add_extension(key, critical=False)
        return numbered.sign(by or self.root, hashes.SHA256()).public_bytes(Encoding.DER)

    def tcb_info(self, tee: str = "TDX", **changed: Any) -> dict[str, Any]:
        td = tee == "TDX"
        found: dict[str, Any] = {
            "id": tee, "version": 3, "issueDate": timestamp(ISSUED), "nextUpdate": timestamp(NEXT),
            "fmspc": FMSPC.hex(), "pceId": PCE_ID.hex(), "tcbType": 0, "tcbEvaluationDataNumber": 19,
            "tcbLevels": [
                level("UpToDate", tdx=(4, 1, 3, *[0] * 13) if td else None),
                level("OutOfDate", sgx=[1] + [0] * 15, pce=5, tdx=[0] * 16 if td else None),
            ],
        }  # fmt: skip
        if td:
            module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "ff" * 8}
            found["tdxModule"] = module
            found["tdxModuleIdentities"] = [
                {"id": "TDX_01", **module, "tcbLevels": [svn_level(4, "UpToDate"), svn_level(2, "OutOfDate")]}
            ]
        return found | changed

    def identity(self, tee: str = "TDX", **changed: Any) -> dict[str, Any]:
        return {
            "id": "TD_QE" if tee == "TDX" else "QE", "version": 2, "issueDate": timestamp(ISSUED),
            "nextUpdate": timestamp(NEXT), "tcbEvaluationDataNumber": 19, "miscselect": "00000000",
            "miscselectMask": "ffffffff", "attributes": "11" + "00" * 15, "attributesMask": "fb" + "ff" * 7 + "00" * 8,
            "mrsigner": QE_SIGNER.hex(), "isvprodid": 2,
            "tcbLevels": [svn_level(8, "UpToDate"), svn_level(6, "OutOfDate")],
        } | changed  # fmt: skip

    def collateral(self, tee: str = "TDX", **changed: Any) -> bytes:
        """Return the JSON of all parts; a part that is None is left out, documents may be dicts."""
        parts: dict[str, Any] = {
            "tcb_info": self.tcb_info(tee),
            "qe_identity": self.identity(tee),
            "tcb_info_issuer_chain": pem(self.signer_certificate(), self.root_certificate()),
            "pck_crl_issuer_chain": pem(self.authority_certificate(), self.root_certificate()),
            "root_ca_crl": self.revocation_list().hex(),
            "pck_crl": self.revocation_list(PLATFORM_CA, self.authority).hex(),
        } | changed
        for document in ("tcb_info", "qe_identity"):
            if isinstance(parts[document], Mapping):
                parts[document] = json.dumps(parts[document])
            if parts[document] is not None and f"{document}_signature" not in parts:
                parts[f"{document}_signature"] = raw_signature(self.signer, parts[document].encode()).hex()
        return json.dumps({key: value for key, value in parts.items() if value is not None}).encode()

    def quote(
        self,
        body: bytes | None = None,
        *,
        version: int = 4,
        tee: int = 0x81,
        body_type: int | None = None,
        vendor: bytes = INTEL_QE,
        key_type: int = 2,
        qe: Mapping[str, Any] | None = None,
        qe_report_data: bytes | None = None,
        auth_data: bytes = bytes(32),
        certification: tuple[int, bytes] | None = None,
        chain: Sequence[bytes] | None = None,
        behind: bytes = b"",
        **signers: Key,
    ) -> bytes:
        if body is None:
            body = td_report() if tee else enclave_report()
        head = version.to_bytes(2, "little") + key_type.to_bytes(2, "little") + tee.to_bytes(4, "little")
        signed = head + bytes(4) + vendor + bytes(20)
        if version == 5:
            kind = body_type or {384: 1, 584: 2, 648: 3}[len(body)]
            signed += kind.to_bytes(2, "little") + len(body).to_bytes(4, "little")
        signed += body
        key = point(self.attestation)
        report = enclave_report(
            **{
                "attributes": "1100000000000000", "mrsigner": QE_SIGNER, "isv_prod_id": 2, "isv_svn": 8,
                "report_data": qe_report_data or sha256(key + auth_data) + bytes(32), **(qe or {}),
            }
        )  # fmt: skip
        kind, data = certification or (5, pem(*(chain or self.chain())).encode() + b"\0")
        inner = (
            report + raw_signature(signers.get("pck", self.pck), report)
            + len(auth_data).to_bytes(2, "little") + auth_data
            + kind.to_bytes(2, "little") + len(data).to_bytes(4, "little") + data
        )  # fmt: skip
        if version > 3:
            inner = (6).to_bytes(2, "little") + len(inner).to_bytes(4, "little") + inner
        rest = raw_signature(signers.get("attestation", self.attestation), signed) + key + inner
        return signed + len(rest).to_bytes(4, "little") + rest + behind


def pem(*ders: bytes) -> str:
    return "".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in ders)


FORGE = IntelForge()
ROOT_DER = FORGE.root_certificate()
