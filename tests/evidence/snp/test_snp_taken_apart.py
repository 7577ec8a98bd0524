"""Reports that others took apart into JSON, or put under names of CBOR and MessagePack, are the same reports."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from mpc.evidence.snp.files import unwrapped
from mpc.evidence.snp.layout import tcb_parts
from mpc.evidence.snp.taken_apart import put_together
from mpc.evidence.verdict import examine
from tests.evidence.snp_forge import FIELDS, NOW, SnpForge

NAMES = {"bl": "bootloader", "tee": "tee", "snp": "snp", "ucode": "microcode", "fmc": "fmc"}


def taken_apart(raw: bytes, product: str = "Milan", *, version: int = 5) -> dict[str, Any]:
    """Spell a report as the Rust library does, in its present form."""

    def at(name: str) -> bytes:
        start, size = FIELDS[name]
        return raw[start : start + size]

    def tcb(name: str) -> dict[str, int | None]:
        return {"fmc": None} | {NAMES[part]: level for part, level in tcb_parts(at(name), product).items()}  # type: ignore[arg-type]

    numbers = {"version": "version", "guest_svn": "guest_svn", "policy": "policy", "vmpl": "vmpl",
               "sig_algo": "sig_algo", "plat_info": "platform_info", "key_info": "flags"}  # fmt: skip
    byte_fields = ("family_id", "image_id", "report_data", "measurement", "host_data", "id_key_digest",
                   "author_key_digest", "report_id", "report_id_ma", "chip_id")  # fmt: skip
    fields: dict[str, Any] = {name: int.from_bytes(at(field), "little") for name, field in numbers.items()}
    fields |= {name: list(at(name)) for name in byte_fields}
    fields |= {name: tcb(name) for name in ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")}
    for name in ("current", "committed"):
        fields[name] = dict(zip(("build", "minor", "major"), at(f"{name}_firmware"), strict=True))
    fields["signature"] = {"r": list(raw[0x2A0:][:72]), "s": list(raw[0x2E8:][:72])}
    cpuid: tuple[int | None, ...] = tuple(raw[0x188:0x18B]) if version > 2 else (None, None, None)
    fields |= dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), cpuid, strict=True))
    mitigations = (int.from_bytes(at("launch_mit"), "little"), int.from_bytes(at("current_mit"), "little"))
    return fields | dict(
        zip(("launch_mit_vector", "current_mit_vector"), mitigations if version == 5 else (None, None), strict=True)
    )


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 5])
def test_a_report_taken_apart_is_put_together_to_the_very_bytes(product: str, version: int) -> None:
    forge = SnpForge(product=product, version=version)
    raw = forge.report(**({"launch_mit": 5, "current_mit": 7} if version == 5 else {}))
    assert put_together(taken_apart(raw, product, version=version)) == raw


def test_confidential_containers_evidence_is_believed_with_the_chain_in_it() -> None:
    forge = SnpForge()
    kinds = zip(("VCEK", "ASK", "ARK"), forge.endorsements, strict=True)
    chain = [{"cert_type": kind, "data": list(der)} for kind, der in kinds]
    evidence = {"attestation_report": taken_apart(forge.report()), "cert_chain": chain}
    verdict = examine(json.dumps(evidence).encode(), at=NOW, roots=[forge.root])
    assert (verdict.format, verdict.accepted) == ("sev-snp", True)
    evidence["attestation_report"]["guest_svn"] = 99
    verdict = examine(json.dumps(evidence).encode(), at=NOW, roots=[forge.root])
    assert verdict.reason.startswith("bad report signature")


def test_the_older_spelling_is_read_as_well() -> None:
    forge = SnpForge(version=2)
    raw = forge.report()
    fields = taken_apart(raw, version=2)
    older = {name: value for name, value in fields.items() if name not in {"current", "committed", "key_info"}}
    older |= {f"{name}_{part}": fields[name][part] for name in ("current", "committed") for part in fields[name]}
    assert put_together(older | {"_author_key_en": fields["key_info"]}) == raw


@pytest.mark.parametrize(
    "lie",
    [
        {"policy": -1}, {"policy": "much"}, {"measurement": [1, 2]}, {"measurement": None, "report_data": [0]},
        {"current_tcb": 7}, {"signature": {"r": []}}, {"signature": []}, {"cpuid_fam_id": 300},
        {"reported_tcb": {"fmc": 1, "bootloader": 300}}, {"current_tcb": {"fmc": 1}},
    ],
)  # fmt: skip
def test_fields_that_make_no_report_make_none(lie: dict[str, Any]) -> None:
    assert put_together(taken_apart(SnpForge().report()) | lie) is None
    assert put_together("text") is None


def messagepack(value: object) -> bytes:
    """Write MessagePack, in its longest forms."""
    match value:
        case None:
            return b"\xc0"
        case dict():
            pairs = b"".join(messagepack(name) + messagepack(one) for name, one in value.items())
            return b"\xdf" + len(value).to_bytes(4) + pairs
        case list():
            return b"\xdd" + len(value).to_bytes(4) + b"".join(map(messagepack, value))
        case str():
            return b"\xdb" + len(value.encode()).to_bytes(4) + value.encode()
        case bytes():
            return b"\xc6" + len(value).to_bytes(4) + value
    assert isinstance(value, int)
    return b"\xd3" + value.to_bytes(8, signed=True)


@pytest.mark.parametrize("spell", [cbor2.dumps, messagepack])
def test_a_report_under_its_name_in_cbor_or_messagepack_is_found_with_its_table(
    spell: Callable[[object], bytes],
) -> None:
    forge = SnpForge()
    report, chain = forge.report(), forge.endorsements
    raw = spell({"provider": "sev_guest", "outblob": report, "certificate_chain": chain})
    assert unwrapped(raw) == (report, tuple(chain))
    verdict = examine(raw, at=NOW, roots=[forge.root])
    assert (verdict.format, verdict.accepted) == ("sev-snp", True)


def test_the_chain_may_be_an_object_of_certificates_by_their_kinds() -> None:
    forge = SnpForge()
    chain = {
        kind: b64encode(der).decode() for kind, der in zip(("vcek", "ask", "ark"), forge.endorsements, strict=True)
    }
    inner = {"attestation_report": b64encode(forge.report()).decode(), "cert_chain": chain | {"crl": None}}
    raw = json.dumps({"platform": "snp", "evidence": inner}).encode()
    assert examine(raw, at=NOW, roots=[forge.root]).accepted


def test_amds_certificates_alone_are_recognised_and_others_are_not() -> None:
    forge = SnpForge()
    verdict = examine(forge.leaf, at=NOW, endorsements=[forge.issuer, forge.root], roots=[forge.root])
    assert (verdict.format, verdict.accepted) == ("sev-snp", True)
    verdict = examine(forge.leaf, at=NOW, roots=[forge.root])
    assert "was not given" in verdict.reason
    stranger = SnpForge(issuer_name="SEV-Somebody")
    assert examine(stranger.issuer, at=NOW).format is None
