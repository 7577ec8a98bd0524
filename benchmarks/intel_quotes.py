"""Milliseconds to parse, verify and appraise quotes of Intel SGX and TDX, against dcap-qvl (Rust) in the same run.

Run from the checkout, with the real quotes beside it (SEALROOM_VECTORS): ``python benchmarks/intel_quotes.py``.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import dcap_qvl

from mpc.evidence import chain, revocation
from mpc.evidence.appraisal import careful_checks
from mpc.evidence.format import Format
from mpc.evidence.formats import FORMATS
from mpc.evidence.intel import certificates, collateral, documents, provisioning

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[2] / "shared" / "vectors")
CHOSEN = ("tdx-v4-azure-live-90C06F-202606-e19", "tdx-v5-go-90C06F-202606-e19", "sgx-phala-00A067-202506-e17")
BINARY = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
GOAL = 1.3
REPEATS = 200
COLD_REPEATS = 20
CACHES = [
    item
    for module in (chain, revocation, certificates, collateral, documents, provisioning)
    for item in vars(module).values()
    if hasattr(item, "cache_clear")
]


def median_ms(what: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None) -> float:
    """Return the median of the wall times; ``before`` is not measured."""
    times = []
    for _ in range(repeats):
        before()
        begin = time.perf_counter()
        what()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def forget() -> None:
    """Empty every cache of certificates, lists, documents and signatures."""
    for cache in CACHES:
        cache.cache_clear()


def measure(entry: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Return the milliseconds of each step, and those of dcap-qvl for the whole."""
    chosen: Format = FORMATS[entry["format"]]
    raw, files = (
        (VECTORS / entry["file"]).read_bytes(),
        tuple((VECTORS / name).read_bytes() for name in entry["endorsements"]),
    )
    at = datetime.fromisoformat(entry["verify_at"])

    def whole() -> None:
        careful_checks(chosen.verify(chosen.parse(raw), files, roots=chosen.pinned, at=at))

    parsed = chosen.parse(raw)
    claims = chosen.verify(parsed, files, roots=chosen.pinned, at=at)
    found = {
        "parse": median_ms(lambda: chosen.parse(raw), REPEATS),
        "verify": median_ms(lambda: chosen.verify(parsed, files, roots=chosen.pinned, at=at), REPEATS),
        "appraise": median_ms(lambda: careful_checks(claims), REPEATS),
        "all, warm": median_ms(whole, REPEATS),
        "all, cold": median_ms(whole, COLD_REPEATS, forget),
    }
    parts = {name: bytes.fromhex(value) if name in BINARY else value for name, value in json.loads(files[0]).items()}
    theirs = dcap_qvl.QuoteCollateralV3(**parts)
    return found, median_ms(lambda: dcap_qvl.verify(raw, theirs, int(at.timestamp())), REPEATS)


def main() -> None:
    """Print a line for each of the chosen quotes."""
    known = {entry["id"]: entry for entry in json.loads((VECTORS / "index.json").read_bytes())}
    for identifier in CHOSEN:
        found, theirs = measure(known[identifier])
        ratio = found["all, warm"] / theirs
        steps = "  ".join(f"{name} {value:.2f}" for name, value in found.items())
        verdict = "goal met" if ratio <= GOAL else "goal missed"
        print(f"{identifier}: {steps}  dcap-qvl {theirs:.2f} ms  ratio {ratio:.2f} ({verdict})")


if __name__ == "__main__":
    main()
