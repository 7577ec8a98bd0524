"""Any bytes as evidence, led by coverage: every format either reads them or refuses, soon and in little memory.

Run from the checkout as ``make fuzz``; FUZZ_SECONDS says for how long (600), SEALROOM_VECTORS where real evidence
lies, from which it starts. An input is a byte that chooses the target, evidence, and the files beside it, parted by
``PARTED``. What is found stays in ``.fuzz``; ``python fuzz/evidence.py FILE`` tries it again, without the fuzzer.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

if len(sys.argv) == 1:
    import atheris

    with atheris.instrument_imports(include=["mpc.evidence"]):
        from mpc.evidence import binding, certificate, collateral_bundle, enrolment, formats, verdict
        from mpc.evidence.ratls import coordinators
else:
    from mpc.evidence import binding, certificate, collateral_bundle, enrolment, formats, verdict
    from mpc.evidence.ratls import coordinators

from mpc.errors import Refusal
from mpc.evidence.claims import Given
from mpc.evidence.format import Format

VECTORS = Path(os.environ.get("SEALROOM_VECTORS") or Path(__file__).parents[2] / "shared" / "vectors")
FOUND = Path(__file__).parents[1] / ".fuzz"
SECONDS = int(os.environ.get("FUZZ_SECONDS") or 600)
PARTED = b"\xff-beside-\xff"
MOST_BYTES = 1 << 16
MOST_SECONDS, MOST_MEMORY = 0.050, 64 << 20
SUSPICIOUS_MEMORY = 16 << 20
AT = datetime(2026, 6, 1, tzinfo=UTC)
TRIES = 5

Step = tuple[str, Callable[[], object]]
Target = Callable[[bytes, list[bytes]], list[Step]]


def targets() -> dict[str, Target]:
    """Return what is fuzzed, by its name: each format with all its steps, and the other doors that bytes come through.

    The first byte of an input chooses one, so that an input costs one format's steps and not those of all.
    """
    return {
        **{name: partial(format_steps, chosen) for name, chosen in formats.FORMATS.items()},
        "recognise": lambda raw, _: [("recognise", lambda: formats.recognise(raw))],
        "unnamed": lambda raw, files: [("examine", lambda: judge(raw, files, None))],
        "reference": lambda raw, _: [("reference", lambda: verdict.parse_reference(raw))],
        "bundle": lambda raw, _: [("bundle", lambda: collateral_bundle.unpacked(raw))],
        "transcript": lambda raw, _: [("transcript", lambda: binding.parse_transcript(raw))],
        "certificate": lambda raw, _: [
            ("certificate evidence", lambda: coordinators.read_attestation_extension(raw)),
            ("certificates", lambda: certificate.certificates_of(raw)),
        ],
        "enrolment": lambda raw, _: [
            (read.__name__, partial(read, raw))
            for read in (enrolment.parse_request, enrolment.parse_challenge, enrolment.parse_pending)
        ],
    }


def format_steps(chosen: Format, raw: bytes, files: list[bytes]) -> list[Step]:
    """Return what may be done with evidence of one format; all of it may refuse, and nothing else."""
    policy = chosen.policy
    return [
        ("recognises", lambda: chosen.recognises(raw)),
        ("parse", lambda: chosen.describe(chosen.parse(raw))),
        *([] if policy is None else [("policy", lambda: policy(raw))]),
        ("examine", lambda: judge(raw, files, chosen.name)),
    ]


def judge(raw: bytes, files: list[bytes], name: str | None) -> None:
    """Examine an input: refusals are part of the verdict, so that nothing at all may be raised."""
    found = verdict.examine(raw, at=AT, format=name, endorsements=files, given=Given(nonce=raw[:32]))
    assert found.accepted == (found.refusal is None)
    json.dumps(found.as_data())


def steps(data: bytes) -> list[Step]:
    """Return the steps of the target that an input chooses, each by its name."""
    name = list(TARGETS)[data[0] % len(TARGETS)] if data else "recognise"
    raw, *files = data[1:].split(PARTED)
    return [(f"{name}: {step}", what) for step, what in TARGETS[name](raw, files)]


TARGETS = targets()


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
    """Return a folder of inputs to start from: real evidence, with what lies beside it, for its own format."""
    folder = FOUND / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    entries = json.loads((VECTORS / "index.json").read_bytes()) if VECTORS.is_dir() else []
    for entry in entries:
        chosen = bytes([list(TARGETS).index(entry["format"])])
        parts = [(VECTORS / name).read_bytes() for name in (entry["file"], *entry["endorsements"])]
        whole = PARTED.join(parts)
        (folder / entry["id"]).write_bytes(chosen + (whole if len(whole) < MOST_BYTES else parts[0]))
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
        "-timeout=120", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds())], try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
