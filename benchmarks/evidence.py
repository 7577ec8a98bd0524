"""Milliseconds to parse, verify and appraise evidence of each format; Intel's beside dcap-qvl (Rust) in the same run.

Run from the checkout, with real evidence beside it (SEALROOM_VECTORS): ``python benchmarks/evidence.py``. Of each
format it takes one real piece, the one that gets furthest; ``*`` marks one that is refused at that step. Warm: chains,
revocation lists and collateral have been seen before. Cold: nothing has.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dcap_qvl

from mpc.errors import Refusal
from mpc.evidence.appraisal import careful_checks
from mpc.evidence.claims import Claims, Given
from mpc.evidence.format import Format
from mpc.evidence.formats import FORMATS

Entry = dict[str, Any]

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[2] / "shared" / "vectors")
NO_TIME = datetime(2026, 6, 1, tzinfo=UTC)
CHOSEN = {
    "sgx": ["sgx-phala-00A067-202506-e17"],
    "tdx": ["tdx-v4-azure-live-90C06F-202606-e19", "tdx-v5-go-90C06F-202606-e19"],
    "nitro": ["nitro-anjuna-prod-2023"],
}
BINARY = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")
STAGES = ("parse", "verify", "appraise")
GOALS_MS = {"sev-snp": 3.0, "nitro": 3.0}
GOAL_RATIO = 1.3
REPEATS = 100
COLD_REPEATS = 20


@dataclass(frozen=True)
class Piece:
    """A piece of evidence with what lies beside it."""

    chosen: Format
    raw: bytes
    files: Sequence[bytes]
    at: datetime
    given: Given

    def whole(self) -> None:
        """Do what a verdict takes, from bytes to the last check."""
        with suppress(Refusal):
            if self.document():
                return
            parsed, bridges = self.chosen.gather(self.raw, self.files, self.given)
            claims = self.chosen.verify(parsed, bridges, roots=self.chosen.pinned, at=self.at)
            careful_checks(claims)

    def document(self) -> bool:
        """Read what is no evidence; tell whether it is that."""
        read, pinned = self.chosen.document, self.chosen.pinned
        return read is not None and read(self.raw, self.files, self.given, roots=pinned, at=self.at) is not None


def median_ms(what: Callable[[], object], repeats: int = REPEATS, before: Callable[[], object] = lambda: None) -> float:
    """Return the median of the processor times (others may use the machine too); ``before`` is not measured."""
    times = []
    for _ in range(repeats):
        before()
        begin = time.process_time()
        what()
        times.append(time.process_time() - begin)
    return statistics.median(times) * 1000


def forget() -> None:
    """Empty every cache of the library: of certificates, lists, documents and signatures."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mpc.evidence"):
            for item in vars(module).values():
                if hasattr(item, "cache_clear"):
                    item.cache_clear()


def piece_of(entry: Entry) -> Piece:
    """Return an entry of the index as a piece of evidence."""
    told = entry.get("given") or {}
    return Piece(
        FORMATS[entry["format"]],
        (VECTORS / entry["file"]).read_bytes(),
        [(VECTORS / name).read_bytes() for name in entry["endorsements"]],
        datetime.fromisoformat(entry["verify_at"]) if entry["verify_at"] else NO_TIME,
        Given(bytes.fromhex(told["nonce"]) if "nonce" in told else None, told.get("bank"), told.get("form")),
    )


def measure(piece: Piece) -> dict[str, str]:
    """Return the milliseconds of each step, as they are printed."""
    found = dict.fromkeys(STAGES, "")
    try:
        if piece.document():
            found["parse"] = f"{median_ms(piece.document):.2f}"
        else:
            found |= _steps(piece)
    except Refusal:
        pass
    found["all, warm"] = f"{median_ms(piece.whole):.2f}"
    found["all, cold"] = f"{median_ms(piece.whole, COLD_REPEATS, forget):.2f}"
    return found


def _steps(piece: Piece) -> dict[str, str]:
    chosen = piece.chosen
    parsed, bridges = chosen.gather(piece.raw, piece.files, piece.given)

    def verify() -> Claims | None:
        with suppress(Refusal):
            return chosen.verify(parsed, bridges, roots=chosen.pinned, at=piece.at)
        return None

    found = {"parse": f"{median_ms(lambda: chosen.gather(piece.raw, piece.files, piece.given)):.2f}"}
    claims, took = verify(), median_ms(verify)
    if claims is None:
        return found | {"verify": f"{took:.2f}*"}
    refused = any(not check.passed for check in careful_checks(claims))
    appraise = f"{median_ms(lambda: careful_checks(claims)):.2f}{'*' if refused else ''}"
    return found | {"verify": f"{took:.2f}", "appraise": appraise}


def others_ms(piece: Piece) -> float:
    """Return the milliseconds that dcap-qvl takes for the whole."""
    parts = json.loads(piece.files[0])
    theirs = dcap_qvl.QuoteCollateralV3(
        **{name: bytes.fromhex(value) if name in BINARY else value for name, value in parts.items()}
    )
    return median_ms(lambda: dcap_qvl.verify(piece.raw, theirs, int(piece.at.timestamp())))


def remark(piece: Piece, warm: float) -> str:
    """Return how the whole stands to its goal, where there is one."""
    name = piece.chosen.name
    if name in {"sgx", "tdx"}:
        theirs = others_ms(piece)
        return f"dcap-qvl {theirs:.2f}, ratio {warm / theirs:.2f} (goal {GOAL_RATIO})"
    return f"goal {GOALS_MS[name]:.0f}" if name in GOALS_MS else ""


def main() -> None:
    """Print a line for each format."""
    if not VECTORS.is_dir():
        print(f"no real evidence at {VECTORS}: nothing to measure")
        return
    entries: list[Entry] = json.loads((VECTORS / "index.json").read_bytes())
    print(f"{'milliseconds':42}" + "".join(f"{name:>11}" for name in (*STAGES, "all, warm", "all, cold")))
    for name in FORMATS:
        own = [entry for entry in entries if entry["format"] == name]
        furthest = sorted(
            own, key=lambda entry: (STAGES.index(entry["expect"]["stage"]), entry["expect"]["verdict"] == "accept")
        )[-1:]
        for entry in [entry for entry in own if entry["id"] in CHOSEN.get(name, ())] or furthest:
            piece = piece_of(entry)
            found = measure(piece)
            line = "".join(f"{value:>11}" for value in found.values())
            print(f"{name:14} {entry['id'][:26]:27}{line}  {remark(piece, float(found['all, warm']))}".rstrip())


if __name__ == "__main__":
    main()
