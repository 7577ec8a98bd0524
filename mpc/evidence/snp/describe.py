"""Every field of an SEV-SNP report, as a person reads it; nothing of it is believed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mpc.evidence.claims import Fact, Shown
from mpc.evidence.snp.layout import PLATFORM_NAMES, Report, set_bits, tcb_parts
from mpc.evidence.snp.verify import plain_fields, words_of

_MEANINGS: Final[Mapping[str, str]] = MappingProxyType({
    "report_version": "form of the report: 2, 3 or 4 (names its processor), 5 (names its mitigations)",
    "guest_svn": "security version that the guest's owner gave the image",
    "policy": "what the guest permits its host, and demands of it; 64 bits, set at launch",
    "policy_bits": "the bits of the policy that are set",
    "debug": "whether the host may decrypt the guest's memory",
    "migrate_ma": "whether a migration agent may move the guest to another machine",
    "smt": "whether the machine may run two threads on one core",
    "vmpl": "privilege level that asked for the report, 0 the highest, 3 the lowest",
    "signing_key": "VCEK: the chip's own key; VLEK: a cloud's key on that chip; none: not signed",
    "sig_algo": "1: ECDSA with P-384 and SHA-384",
    "platform_info": "what is switched on in the machine: ",
    "author_key_enabled": "whether an author key vouches for the key of the ID block",
    "report_data": "64 bytes that the guest chose: SHA-512 of the transcript",
    "measurement": "SHA-384 of the guest's memory at launch",
    "host_data": "32 bytes that the host chose at launch",
    "id_key_digest": "SHA-384 of the key that signed the ID block; zeros without one",
    "author_key_digest": "SHA-384 of the key that vouches for that one; zeros without one",
    "chip_id": "which chip: 64 bytes (Turin: 8, then zeros); zeros where it is hidden",
    "family_id": "16 bytes that the guest's owner chose",
    "image_id": "16 bytes that the guest's owner chose",
    "report_id": "names this guest on this machine until it ends",
    "report_id_ma": "names its migration agent; ones without one",
    "firmware": "version of the SNP firmware that runs: major, minor, build",
    "committed_firmware": "the least version to which it can be rolled back",
})  # fmt: skip
_TCBS: Final[Mapping[str, str]] = MappingProxyType({
    "reported_tcb": "security patch levels for which the key was derived; the host may set them lower than they are",
    "committed_tcb": "the least levels to which the machine can be rolled back",
    "current_tcb": "levels of what runs",
    "launch_tcb": "levels of what ran when the guest was started",
})  # fmt: skip


def describe(report: Report) -> tuple[Shown, ...]:
    """Return every field; TCBs by their parts where the report, or a certificate beside it, names the product."""
    product = report.product or report.product_beside
    return (
        *(Shown(name, _text(value), _meaning(name, report)) for name, value in plain_fields(report).items()),
        *(
            Shown(
                name,
                getattr(report, name).hex() if product is None else words_of(tcb_parts(getattr(report, name), product)),
                meaning,
            )
            for name, meaning in _TCBS.items()
        ),
        *((Shown("product", product, "family of processors, by CPUID or by the certificate"),) if product else ()),
        *_processor(report),
        Shown("signature", f"r {report.signature[0]:#x}, s {report.signature[1]:#x}", "over the first 672 bytes"),
    )


def _processor(report: Report) -> tuple[Shown, ...]:
    if report.processor is None:
        return ()
    family, model, stepping = report.processor
    shown = (Shown("processor", f"{family:#x} {model:#x} {stepping:#x}", "CPUID family, model and stepping"),)
    if report.launch_mitigations is None or report.current_mitigations is None:
        return shown
    meaning = "vulnerabilities that the firmware had mitigated, one bit each, {}"
    return (
        *shown,
        Shown("launch_mitigations", f"{report.launch_mitigations:#x}", meaning.format("when the guest was started")),
        Shown("current_mitigations", f"{report.current_mitigations:#x}", meaning.format("now")),
    )


def _meaning(name: str, report: Report) -> str:
    bits = " ".join(set_bits(report.platform_info, PLATFORM_NAMES)) if name == "platform_info" else ""
    return _MEANINGS[name] + bits


def _text(value: Fact) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
