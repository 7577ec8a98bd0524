"""Collateral fetched from the vendors' services, or from a caching service on one's own network.

The only place that asks a network about evidence, and only where a person said so: verification takes what lies in
files. Nothing that is fetched is believed here; the vendors' signatures in it are, later, by ``mpc.evidence``.

Intel: "Provisioning Certification Service API, version 4", which caching services (PCCS) repeat under their own
address. AMD: "VCEK Certificate and KDS Interface Specification" (57230), 4.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

import httpx

from mpc.errors import Malformed, Unavailable
from mpc.evidence.claims import Given
from mpc.evidence.formats import FORMATS, recognise
from mpc.evidence.intel import Quote
from mpc.evidence.snp import parse_report
from mpc.evidence.snp.layout import tcb_parts

INTEL = "https://api.trustedservices.intel.com"
INTEL_ROOT_LIST = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
AMD = "https://kdsintf.amd.com"
ANSWER_MAX_BYTES = 1 << 20
TIMEOUT_SECONDS = 20.0
ANSWER_SECONDS = 60.0
"""How long one answer may take as a whole, however steadily it trickles."""

_ISSUER_CHAINS = ("TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain", "SGX-Enclave-Identity-Issuer-Chain",
                  "SGX-PCK-CRL-Issuer-Chain")  # fmt: skip
_TURIN_ID_BYTES = 8


@dataclass(frozen=True)
class IntelPlatform:
    """A kind of machine of Intel's: FMSPC in hex, and the authority of its PCK certificates."""

    tee: Literal["sgx", "tdx"]
    fmspc: str
    authority: Literal["platform", "processor"]


@dataclass(frozen=True)
class AmdKey:
    """The key of a report of AMD's; ``chip_id`` in hex and ``levels`` are None under a VLEK, which nobody serves."""

    product: str
    chip_id: str | None = None
    levels: tuple[tuple[str, int], ...] = ()


Wanted = IntelPlatform | AmdKey


@dataclass(frozen=True)
class Services:
    """The addresses to ask, without a slash at the end; ``intel_root_list`` None asks the caching service for it."""

    intel: str = INTEL
    intel_root_list: str | None = INTEL_ROOT_LIST
    amd: str = AMD


def wanted_for(evidence: bytes) -> Wanted:
    """Return what to fetch for a quote or a report, or raise ``Malformed``; nothing of it is believed."""
    match recognise(evidence):
        case "sgx" | "tdx" as tee:
            quote: Quote = FORMATS[tee].gather(evidence, (), Given())[0]  # also out of a wrapper
            if quote.platform is None or not quote.chain:
                raise _unfit("the quote does not come with its PCK certificate")
            issuer = quote.chain[0].issuer
            return IntelPlatform(
                "sgx" if tee == "sgx" else "tdx", quote.platform.fmspc.hex(),
                "processor" if b"Processor" in issuer else "platform",
            )  # fmt: skip
        case "sev-snp":
            return _amd_key(evidence)
    raise _unfit("it is neither a quote of SGX or TDX nor a report of SEV-SNP")


def fetch(
    wanted: Wanted, services: Services, client: httpx.Client, *, answer_seconds: float = ANSWER_SECONDS
) -> tuple[tuple[str, bytes], ...]:
    """Return the answers, each with its address, as ``collateral_bundle.pack`` takes them; raises ``Unavailable``.

    No answer takes longer than ``answer_seconds``.
    """
    found: dict[bytes, str] = {}
    for address, parameters in _addresses(wanted, services):
        for content in _asked(client, address, parameters, answer_seconds):
            found.setdefault(content, address)
    return tuple((address, content) for content, address in found.items())


def new_client() -> httpx.Client:
    """Return a client that follows no redirect, waits for nobody for long, and asks for nothing packed."""
    headers = {"Accept-Encoding": "identity"}
    return httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, headers=headers)


def _addresses(wanted: Wanted, services: Services) -> Iterator[tuple[str, dict[str, str]]]:
    if isinstance(wanted, IntelPlatform):
        base, version = services.intel, "certification/v4"
        yield f"{base}/{wanted.tee}/{version}/tcb", {"fmspc": wanted.fmspc.upper()}
        yield f"{base}/{wanted.tee}/{version}/qe/identity", {}
        yield f"{base}/sgx/{version}/pckcrl", {"ca": wanted.authority, "encoding": "der"}
        yield services.intel_root_list or f"{base}/sgx/{version}/rootcacrl", {}
        return
    kind = "vlek" if wanted.chip_id is None else "vcek"
    base = f"{services.amd}/{kind}/v1/{wanted.product}"
    if wanted.chip_id is not None:
        yield f"{base}/{wanted.chip_id}", {f"{part}SPL": f"{level:02d}" for part, level in wanted.levels}
    yield f"{base}/cert_chain", {}
    yield f"{base}/crl", {}


def _asked(client: httpx.Client, address: str, parameters: dict[str, str], seconds: float) -> Iterator[bytes]:
    end = time.monotonic() + seconds
    try:
        with client.stream("GET", address, params=parameters) as answer:
            content = b""
            for chunk in answer.iter_raw():  # as it came: what unpacks could grow without limit
                content += chunk
                if len(content) > ANSWER_MAX_BYTES:
                    raise _unavailable(address, "its answer is too long")
                if time.monotonic() > end:
                    raise _unavailable(address, "its answer takes too long")
    except httpx.InvalidURL:
        raise _unavailable(address, "it is no address") from None
    except httpx.HTTPError as failure:
        raise _unavailable(address, f"it cannot be reached ({type(failure).__name__})") from None
    if answer.status_code != httpx.codes.OK or not content:
        raise _unavailable(address, f"it answers {answer.status_code}")
    yield content
    for name in _ISSUER_CHAINS:
        if name in answer.headers:
            yield unquote(answer.headers[name]).encode()


def _amd_key(evidence: bytes) -> AmdKey:
    report = parse_report(evidence)
    if report.product is None:
        raise _unfit("a report of version 2 does not tell its product")
    if report.signing_key == "VLEK":
        return AmdKey(report.product)
    chip = report.chip_id[:_TURIN_ID_BYTES] if report.product == "Turin" else report.chip_id
    return AmdKey(report.product, chip.hex(), tuple(sorted(tcb_parts(report.reported_tcb, report.product).items())))


def _unfit(why: str) -> Malformed:
    return Malformed(
        "collateral.evidence", "nothing can be fetched for the evidence", why=why,
        remedy="name the machine by --fmspc, or --product and --chip-id",
    )  # fmt: skip


def _unavailable(address: str, why: str) -> Unavailable:
    return Unavailable(
        "collateral.service", "the collateral cannot be fetched", why=why,
        remedy="check the address of the service, or fetch on a machine that reaches it and carry the bundle",
        field="service", expected="collateral", found=address[:200],
    )  # fmt: skip
