"""Every field of a quote, as a person reads it; nothing of it is believed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mpc.canonical import format_time, sha256
from mpc.evidence.claims import Fact, Shown
from mpc.evidence.intel.facts import facts_of
from mpc.evidence.intel.layout import TEE_NAMES, EnclaveReport, Quote

_MEANINGS: Final[Mapping[str, str]] = MappingProxyType({
    "quote_version": "form of the quote: 3 (SGX), 4 or 5 (SGX, TDX)",
    "body": "what is quoted: sgx (an enclave), td10 or td15 (a TD under TDX 1.0 or 1.5)",
    "event_log": "what the log beside it explains: events that lead to the RTMR, RTMRs that none lead to",
    "report_data": "64 bytes that enclave or TD chose: SHA-512 of the transcript",
    "debug": "whether the machine's host may look in and change it",
    "fmspc": "model of the platform: family, model, stepping, SKU; by its certificate",
    "mrenclave": "SHA-256 of the enclave as it was loaded",
    "mrsigner": "SHA-256 of the key that signed the enclave",
    "isvprodid": "which product of that signer, 0 to 65535",
    "isvsvn": "its security version, 0 to 65535",
    "attributes": "flags (8 bytes: 1 INIT, 2 DEBUG, 4 64-bit, 10 PROVISIONKEY, 20 EINITTOKEN, 80 KSS), then XFRM (8)",
    "miscselect": "which extra state is saved when the enclave is left, 32 bits",
    "cpusvn": "security versions of the processor, 16 bytes as the processor encodes them",
    "configid": "64 bytes that the host chose at start; zeros without KSS",
    "configsvn": "security version of that configuration",
    "isvextprodid": "16 bytes that name the product further; zeros without KSS",
    "isvfamilyid": "16 bytes that name its family; zeros without KSS",
    "mrtd": "SHA-384 of the TD's memory at its start: its firmware",
    "rtmr": "SHA-384 registers 0 to 3 that the TD extends: layout, kernel, command line, programs",
    "mrconfigid": "48 bytes that the host chose at start: settings",
    "mrowner": "48 bytes that the host chose at start: the owner",
    "mrownerconfig": "48 bytes that the host chose at start: settings of the owner",
    "td_attributes": "64 bits: 0 to 7 debug, 28 SEPT_VE_DISABLE, 29 MIGRATABLE, 30 PKS, 31 KL, 63 PERFMON",
    "sept_ve_disable": "whether the host cannot take pages away and have the guest handle it",
    "migratable": "whether a service TD may take it to another machine",
    "xfam": "64 bits: features of the processor that the TD may use",
    "tee_tcb_svn": "16 security versions of what runs TDX; the first two: SVN and version of the module",
    "mrseam": "SHA-384 of the TDX module",
    "mrsignerseam": "SHA-384 of the key that signed the module; zeros: Intel",
    "seamattributes": "64 bits: attributes of the module",
    "mrservicetd": "SHA-384 over the service TDs that are bound to it; zeros: none",
    "tee_tcb_svn2": "16 security versions of the module that runs now",
})  # fmt: skip
_CERTIFICATIONS: Final[Mapping[int, str]] = MappingProxyType({
    1: "PPID in the clear", 2: "PPID, RSA-2048", 3: "PPID, RSA-3072", 4: "PCK certificate alone",
    5: "chain of PCK certificates",
})  # fmt: skip


def describe(quote: Quote) -> tuple[Shown, ...]:
    """Return every field, under the name that its fact has where there is one."""
    header = quote.header
    return (
        *(Shown(name, _text(value), _MEANINGS[name]) for name, value in facts_of(quote).items()),
        Shown("tee_type", TEE_NAMES[header.tee], "kind of TEE"),
        Shown("attestation_key_type", str(header.key_type), "2: ECDSA with P-256 and SHA-256"),
        Shown("qe_vendor", header.vendor.hex(), "maker of the Quoting Enclave; 939a7233…: Intel"),
        Shown("user_data", header.user_data.hex(), "20 bytes of the maker; names the machine within its service"),
        Shown("qe_svn, pce_svn", f"{header.qe_svn}, {header.pce_svn}", "security versions; zeros since version 4"),
        Shown("attestation_key", sha256(quote.attestation_key).hex(), "SHA-256 of x and y of the key that signed"),
        Shown("signature", quote.signature.hex(), f"r and s over the first {len(quote.signed)} bytes"),
        *_quoting_enclave(quote.qe_report),
        Shown("qe_auth_data", quote.qe_auth_data.hex(), "bytes that the Quoting Enclave bound beside the key"),
        Shown("certification", _CERTIFICATIONS[quote.certification_type], "how the Quoting Enclave is certified"),
        *_platform(quote),
        *(
            Shown("certificate", item.subject_text, f"until {format_time(item.not_after)}, fingerprint of its DER "
                  f"{sha256(item.der).hex()}")
            for item in quote.chain
        ),
        Shown("padding", f"{len(quote.behind)} bytes", "behind the quote: zeros, or it is refused"),
    )  # fmt: skip


def _quoting_enclave(report: EnclaveReport) -> tuple[Shown, ...]:
    return (
        Shown("qe_mrenclave", report.mrenclave.hex(), "SHA-256 of the Quoting Enclave"),
        Shown("qe_mrsigner", report.mrsigner.hex(), "SHA-256 of the key that signed it"),
        Shown("qe_isvprodid, qe_isvsvn", f"{report.isv_prod_id}, {report.isv_svn}", "its product and security version"),
        Shown("qe_attributes", report.attributes.hex(), "its flags (8 bytes) and XFRM (8)"),
        Shown("qe_report_data", report.report_data.hex(), "SHA-256 of the attestation key and the data beside it"),
    )


def _platform(quote: Quote) -> tuple[Shown, ...]:
    platform = quote.platform
    if platform is None:
        return ()
    return (
        Shown("ppid", platform.ppid.hex(), "names the machine; by its certificate"),
        Shown("platform_instance", platform.instance.hex() if platform.instance else "none", "names a set of packages"),
        Shown("pce_id", platform.pce_id.hex(), "which Provisioning Certification Enclave"),
        Shown("sgx_svns", " ".join(map(str, platform.svns)), "security versions of 16 components"),
        Shown("pce_svn", str(platform.pce_svn), "security version of the Provisioning Certification Enclave"),
        Shown("smt", _text(platform.smt), "whether two threads may run on one core"),
    )


def _text(value: Fact) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "not said"
        case tuple():
            return " ".join(map(str, value))
        case Mapping():
            return ", ".join(
                f"{name}: {_text(one) if name == 'unexplained' else len(one)}"
                for name, one in value.items()
                if isinstance(one, tuple)
            )
        case _:
            return str(value)
