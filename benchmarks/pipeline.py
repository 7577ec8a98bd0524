"""Rows of two parties into one answer: Sealroom against Arrow Flight into DuckDB, in one run on one machine.

    python benchmarks/pipeline.py            all of it; some minutes on two cores
    python benchmarks/pipeline.py --rows 500000 --rounds 3     a quick look

Every figure is the median over the rounds, warm-up dropped; rounds of the sides alternate, as machines are noisy.
Sealroom's time goes from opened source to opened result: appraisal, sealing, upload, checks, request, permits of both
owners, run with contributors counted, disclosure control, sealing, receipt, verification and opening.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import flight_side
import pyarrow as pa
from parts import Coordinator, Watch, Worker, all_tell, median, restarted, sealroom, seconds

PARTIES = 2


@contextmanager
def flight_server(*, tls: bool) -> Iterator[tuple[str, bytes]]:
    """Give address and certificate of a Flight server in a process of its own."""
    command = [sys.executable, str(Path(flight_side.__file__)), *(["--tls"] if tls else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    port, certificate = process.stdout.readline().split()
    try:
        yield f"{'localhost' if tls else '127.0.0.1'}:{port}", b"" if certificate == "-" else bytes.fromhex(certificate)
    finally:
        process.stdin.close()
        process.wait(20)


def flight_round(address: str, certificate: bytes, workers: list[Worker]) -> float:
    """Put both parties' rows at once, each from its own process, then ask; in seconds."""

    def work() -> None:
        all_tell(workers, f"put {address} {certificate.hex() or '-'}")
        flight_side.ask(address, certificate)

    return seconds(work)


def sealroom_round(workers: list[Worker], watch: Watch | None = None) -> dict[str, float]:
    """Upload both parties' rows at once, run, open the result; seconds, wire bytes and the daemons' peak."""
    told: dict[str, float] = {}
    all_tell(workers, "change")
    start = time.perf_counter()

    def work() -> None:
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(all_tell, workers, "upload")
            while watch and not sent.done():
                watch.sample()
            answers = sent.result()
        told["upload"] = time.perf_counter() - start
        run = int(workers[0].tell("request")["run"])
        all_tell(workers, f"permit {run}")
        with ThreadPoolExecutor(1) as pool:
            opened = pool.submit(workers[0].tell, f"result {run}")
            while watch and not opened.done():
                watch.sample()
            opened.result()
        told["wire_bytes"] = sum(answer["wire_bytes"] for answer in answers)
        told["daemon_mib"] = max(answer["peak_kib"] for answer in answers) / 1024

    told["seconds"] = seconds(work)
    return told


def compare(rows: int, rounds: int) -> None:
    """Print the table of speed."""
    with (
        flight_server(tls=False) as plain,
        flight_server(tls=True) as tls,
        sealroom(PARTIES, refreshes=rounds + 2) as (coordinator, parties, _),
    ):
        senders = [Worker("flight_side.py", "--party", str(number), "--rows", str(rows)) for number in range(PARTIES)]
        size = all_tell(parties, f"prepare {rows}")[0]["bytes"]
        all_tell(parties, "activate")
        all_tell(parties, "share")
        times: dict[str, list[float]] = {"flight": [], "flight_tls": [], "sealroom": [], "upload": []}
        wire = 0.0
        for number in range(rounds + 1):
            one = flight_round(*plain, senders)
            two = flight_round(*tls, senders)
            ours = sealroom_round(parties)
            if number:  # the first is the warm-up
                times["flight"].append(one)
                times["flight_tls"].append(two)
                times["sealroom"].append(ours["seconds"])
                times["upload"].append(ours["upload"])
            wire = ours["wire_bytes"]
        # Sampling memory costs time, so it gets a round of its own.
        watch = Watch(coordinator.process.pid)
        measured = sealroom_round(parties, watch)
        for sender in senders:
            sender.end()
    middle = {name: median(values) for name, values in times.items()}
    print(f"{PARTIES} parties, {rows:,} rows each, {size / 1e6:.0f} MB a party, median of {rounds}")
    for name, label in (
        ("flight", "Arrow Flight, plaintext"),
        ("flight_tls", "Arrow Flight, TLS"),
        ("sealroom", "Sealroom"),
    ):
        print(f"  {label:24} {middle[name]:7.3f} s   ({min(times[name]):.3f} to {max(times[name]):.3f})")
    print(f"    of which upload        {middle['upload']:7.3f} s")
    print(f"ratio to Flight: {middle['sealroom'] / middle['flight']:.2f}")
    print(f"ratio to Flight with TLS: {middle['sealroom'] / middle['flight_tls']:.2f}")
    print(f"wire bytes: {wire:,.0f} ({wire / (PARTIES * size):.3f} of the rows)")
    print("peak memory, MiB: " + ", ".join(f"{role} {mib:.0f}" for role, mib in sorted(watch.peaks.items())))
    print(f"  a daemon that holds its rows in memory as this one does: {measured['daemon_mib']:.0f}")


def daemon_memory(rows: int) -> None:
    """Print the daemon's peak for a table and for eight times the table, streamed: both outgrow its outbox."""
    peaks = []
    for factor in (1, 8):
        with sealroom(1, refreshes=0) as (_, parties, _folder):
            all_tell(parties, "activate")
            all_tell(parties, "share")
            peaks.append(parties[0].tell(f"stream {rows * factor}")["peak_kib"] / 1024)
    print(f"daemon's peak memory: {peaks[0]:.0f} MiB at {rows:,} rows, {peaks[1]:.0f} MiB at {8 * rows:,} rows")


def sessions() -> None:
    """Print how long it takes to connect, to appraise, and to go on after a crash of the coordinator."""
    with sealroom(PARTIES, refreshes=0) as (coordinator, parties, _):
        all_tell(parties, "prepare 100000")
        steps = all_tell(parties, "activate")
        all_tell(parties, "share")
        all_tell(parties, "upload")
        run = int(parties[0].tell("request")["run"])
        all_tell(parties, f"permit {run}")
        parties[0].tell(f"result {run}")
        replacement: Coordinator = restarted(coordinator)
        coordinator.process, coordinator.address = replacement.process, replacement.address
        again = all_tell(parties, "rewrap")
        handed = all_tell(parties, "hand_back")
    for name, answers in (("connect_to_session_ms", steps), ("appraisal_ms", steps), ("activation_ms", steps)):
        print(f"{name.removesuffix('_ms').replace('_', ' ')}: {median([answer[name] for answer in answers]):.1f} ms")
    print(f"reconnect and activate after a crash: {median([answer['reconnect_ms'] for answer in again]):.1f} ms")
    print(f"re-wrap and load from the vault: {median([answer['rewrap_ms'] for answer in handed]):.1f} ms")


def many(rows: int) -> None:
    """Print how long it takes when many parties upload at once, the same rows in all."""
    for count in (2, 16, 64):
        with sealroom(count, refreshes=0) as (_, parties, _folder):
            all_tell(parties, f"prepare {rows // count}")
            all_tell(parties, "activate")
            all_tell(parties, "share")
            print(
                f"{count:3} parties upload {rows:,} rows at once: {seconds(lambda: all_tell(parties, 'upload')):.2f} s"
            )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows a party")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("compare", "memory", "sessions", "many"))
    arguments = parser.parse_args()
    pa.set_cpu_count(2)
    for name, part in (
        ("compare", lambda: compare(arguments.rows, arguments.rounds)),
        ("memory", lambda: daemon_memory(2 * arguments.rows)),
        ("sessions", sessions),
        ("many", lambda: many(arguments.rows // 5)),
    ):
        if arguments.only in (None, name):
            part()


if __name__ == "__main__":
    main()
