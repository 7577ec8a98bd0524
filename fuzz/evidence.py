"""Any bytes as evidence, led by coverage: every format either reads them or refuses, soon and in little memory.

Run from the checkout as ``make fuzz``; FUZZ_SECONDS says for how long (600), SEALROOM_VECTORS where real evidence
lies, from which it starts. An input is evidence and the files beside it, parted by ``PARTED``. What is found stays in
``.fuzz``; ``python fuzz/evidence.py FILE`` tries it again, without the fuzzer.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

if len(sys.argv) == 1:
    import atheris

    with atheris.instrument_imports(include=["mpc.evidence"]):
        from mpc.evidence import formats, verdict
else:
    from mpc.evidence import formats, verdict

from mpc.errors import Refusal
from mpc.evidence.claims import Given

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[2] / "shared" / "vectors")
FOUND = Path(__file__).parents[1] / ".fuzz"
SECONDS = int(os.environ.get("FUZZ_SECONDS") or 600)
PARTED = b"\xff-beside-\xff"
MOST_BYTES = 1 << 16
MOST_SECONDS, MOST_MEMORY = 0.050, 64 << 20
SUSPICIOUS_MEMORY = 16 << 20
AT = datetime(2026, 6, 1, tzinfo=UTC)
TRIES = 5


def steps(data: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what may be done with an input, each by its name; all of it may refuse, and nothing else."""
    raw, *files = data.split(PARTED)
    given = Given(nonce=raw[:32])
    for name, chosen in formats.FORMATS.items():
        yield f"{name} recognises", lambda chosen=chosen: chosen.recognises(raw)
        yield f"{name} parse", lambda chosen=chosen: chosen.describe(chosen.parse(raw))
        yield f"{name} gather", lambda chosen=chosen: chosen.describe(chosen.gather(raw, files, given)[0])
        if chosen.policy:
            yield f"{name} policy", lambda chosen=chosen: chosen.policy(raw)
        yield f"{name} examine", lambda name=name: judge(raw, files, given, name)


def judge(raw: bytes, files: list[bytes], given: Given, name: str) -> None:
    """Examine an input: refusals are part of the verdict, so that nothing at all may be raised."""
    found = verdict.examine(raw, at=AT, format=name, endorsements=files, given=given)
    assert found.accepted == (found.refusal is None)
    json.dumps(found.as_data())


def try_input(data: bytes) -> None:
    """Take every step; one that looks slow or large under the fuzzer is tried again without it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slow = False
    for _, step in steps(data):
        begun = time.process_time()
        with suppress(Refusal):
            step()
        slow = slow or time.process_time() - begun > MOST_SECONDS
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10
    if slow or grown > SUSPICIOUS_MEMORY:
        suspect = FOUND / f"suspect-{os.getpid()}"
        suspect.write_bytes(data)
        subprocess.run([sys.executable, __file__, suspect], check=True)
        suspect.unlink()


def measure(data: bytes) -> None:
    """Hold every step to its limits: the least time of some tries, since others use the machine; the peak of memory."""
    for name, step in steps(data):
        least = float("inf")
        for _ in range(TRIES):
            begun = time.process_time()
            with suppress(Refusal):
                step()
            least = min(least, time.process_time() - begun)
            if least <= MOST_SECONDS:
                break
            gc.collect()
        tracemalloc.start()
        with suppress(Refusal):
            step()
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if least > MOST_SECONDS or memory > MOST_MEMORY:
            sys.exit(f"{name}: {least * 1000:.0f} ms, {memory >> 20} MiB, of {len(data)} bytes")


def seeds() -> Path:
    """Return a folder of inputs to start from: real evidence, with what lies beside it."""
    folder = FOUND / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    entries = json.loads((VECTORS / "index.json").read_bytes()) if VECTORS.is_dir() else []
    for entry in entries:
        parts = [(VECTORS / name).read_bytes() for name in (entry["file"], *entry["endorsements"])]
        whole = PARTED.join(parts)
        (folder / entry["id"]).write_bytes(whole if len(whole) <= MOST_BYTES else parts[0])
    return folder


def main() -> None:
    """Fuzz, or measure the files that are named."""
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            measure(Path(name).read_bytes())
        return
    corpus = FOUND / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={SECONDS}", f"-max_len={MOST_BYTES}", f"-artifact_prefix={FOUND}/", "-rss_limit_mb=1024",
        "-timeout=10", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds())], try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
