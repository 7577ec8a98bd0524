"""What the machine does to a coordinator: a full disk, a port that is taken, parties whose clocks are wrong."""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import format_time
from mpc.coordinator.service import serve
from mpc.errors import Exhausted, Forbidden, Misconfigured, OutOfOrder, Refusal
from mpc.messages import Chunk, UploadCommitment, UploadPart
from parties.channel import Channel
from tests.coordinator.room import EXCEPTIONS, NOW, Room, ipc, room_in, rows_of

ROOT = Path(__file__).parents[2]


# A full disk


@pytest.fixture
def narrow_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 200 MiB of its own, which only this test sees filled."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "narrow"
    folder.mkdir()
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=200m"):
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def fill(folder: Path, name: str = "ballast") -> Path:
    """Leave no byte; return what takes the room."""
    ballast = folder / name
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_a_full_disk_refuses_and_what_was_signed_stays(narrow_disk: Path) -> None:
    state = narrow_disk / "state"
    with room_in(state) as room:
        room.to_activated()
        before = room.members["north"].at.log(0).leaves
        ballast = fill(narrow_disk)
        header, key, chunks, commitment = room.sealed_upload("north", [ipc(rows_of(n * 99, 60)) for n in range(3)])
        whole: list[UploadPart] = [
            room.opening("north", header, key),
            *map(Chunk, chunks),
            UploadCommitment(commitment),
        ]
        with pytest.raises(Exhausted) as full:
            room.send("north", whole)
        assert full.value.code == "disk.full"
        assert "operator" in full.value.remedy
        assert str(narrow_disk) not in str(full.value)
        assert room.members["south"].at.status().state == "activated"  # it goes on answering
        assert room.members["north"].at.log(0).leaves == before
        ballast.unlink()
        room.members["north"].uploads.clear()  # it begins anew
        room.to_loaded_from_activated()
        run = room.request()
        room.permit("north", run)

        # Full again: the permit and the run have nowhere to go.
        before = room.members["north"].at.log(0).leaves
        ballast = fill(narrow_disk)
        with pytest.raises(Exhausted) as permit:
            room.permit("south", run)
        assert permit.value.code == "disk.full"
        assert room.members["north"].at.log(0).leaves == before
        ballast.unlink()
        room.permit("south", run)
        assert room.wait_for_run(run) == "released"
        room.restart()
        room.back_after_restart()
        assert room.members["north"].at.log(0).leaves[: len(before)] == before
        assert room.result(run)[0].failure is None
        assert "bug." not in room.log.getvalue()


def test_a_run_that_cannot_be_put_down_is_stopped_and_goes_on_after_a_restart(narrow_disk: Path) -> None:
    with room_in(narrow_disk / "state") as room:
        room.to_loaded()
        run = room.request()
        room.permit("north", run)
        ballast = fill(narrow_disk)
        while not permitted(room, run):  # page by page, until there is room for a permit and for no receipt
            os.truncate(ballast, ballast.stat().st_size - 4096)
        fill(narrow_disk, "more ballast")
        status = room.wait("north", lambda status: status.runs[0].state != "running")
        assert (status.runs[0].state, status.runs[0].code) == ("stopped", "disk.full")
        assert room.members["university"].at.status().runs[0].code == ""
        with pytest.raises(OutOfOrder, match="the run has not ended"):
            room.result(run)
        ballast.unlink()
        room.restart()
        room.back_after_restart()
        for owner in ("north", "south"):
            room.permit(owner, run)
        assert room.wait_for_run(run) == "released"
        assert "bug." not in room.log.getvalue()


def permitted(room: Room, run: int) -> bool:
    try:
        room.permit("south", run)
    except Exhausted:
        return False
    return True


def test_a_limit_of_file_sizes_is_a_full_disk(tmp_path: Path) -> None:
    # SIGXFSZ is ignored by Python; the coordinator sees EFBIG. The limit is this process's, so a process of its own.
    program = """
import resource, sys
from pathlib import Path
from mpc.coordinator.state import StateFolder
from mpc.errors import Exhausted
state = StateFolder(Path(sys.argv[1]))
state.append((b"a leaf",))
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
    state.append((b"x" * 100,))
except Exhausted as refusal:
    assert refusal.code == "disk.full", refusal
else:
    sys.exit("nothing refused")
state.append((b"b leaf",))
try:
    state.keep_envelope(b"y" * 100)
except Exhausted as refusal:
    assert refusal.code == "disk.full", refusal
else:
    sys.exit("nothing refused")
assert state.leaves() == [b"a leaf", b"b leaf"], state.leaves()
assert not [each for each in (Path(sys.argv[1]) / "envelopes").iterdir() if each.suffix != ".partial"]
"""
    command = [sys.executable, "-c", program, str(tmp_path / "state")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


# A port in use


def serve_command(state: Path, listen: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpc.coordinator", "serve", "--attester", "simulated"]
    command += ["--listen", listen, "--state", str(state), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("which", ["--listen", "--metrics"])
def test_a_port_in_use_is_told_and_is_the_exit_code(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = () if which == "--listen" else ("--metrics", address)
        done = serve_command(tmp_path / "state", address if which == "--listen" else "127.0.0.1:0", *options)
    assert done.returncode == Misconfigured.exit_code
    assert "the port is in use" in done.stderr
    assert ("listen.address" if which == "--listen" else "metrics.address") in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:99999", "127.0.0.1:-1", "::", "192.0.2.1:7443"])
def test_an_address_that_is_none_is_told(tmp_path: Path, listen: str) -> None:
    with room_in(tmp_path / "room") as room:
        assert room.instance is not None
        assert room.keys is not None
        assert room.telemetry is not None
        with pytest.raises(Misconfigured) as refused:
            serve(room.instance, room.keys.tls, listen, telemetry=room.telemetry)
    assert refused.value.code == "listen.address"
    assert refused.value.found == listen


def test_a_second_coordinator_does_not_share_the_port(tmp_path: Path) -> None:
    with room_in(tmp_path / "one") as room:
        done = serve_command(tmp_path / "two", room.address)
    assert done.returncode == Misconfigured.exit_code
    assert "listen.address" in done.stderr


# Wrong clocks


def at(hours: float) -> str:
    return format_time(NOW + timedelta(hours=hours))


def test_parties_whose_clocks_differ_by_hours_go_on(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.agree()
        for name, hours in (("north", 1), ("south", -1), ("university", 0)):
            room.appraise(name)
            room.authenticate(name)
            room.activate(name, time=at(hours))
        room.shares()
        room.to_loaded_from_activated()
        run = room.request()
        room.permit("north", run, time=at(-1))
        room.permit("south", run, time=at(1))
        assert room.wait_for_run(run) == "released"
        assert room.result(run)[0].failure is None


@pytest.mark.parametrize(
    ("hours", "valid", "kind", "code"),
    [
        (1, {"valid_until": at(0.5)}, Forbidden, "contract.expired"),
        (-1, {"valid_from": at(-0.5)}, OutOfOrder, "contract.not_yet_valid"),
    ],
    ids=["an hour ahead", "an hour behind"],
)
def test_a_clock_that_leaves_the_contracts_time_is_told(
    tmp_path: Path, hours: float, valid: Any, kind: type[Refusal], code: str
) -> None:
    with room_in(tmp_path, **valid) as room:
        room.agree()
        room.appraise("north")
        room.authenticate("north")
        with pytest.raises(kind) as activation:
            room.activate("north", time=at(hours))
        assert (activation.value.code, activation.value.found) == (code, at(hours))
        for name in room.members:
            room.enter(name)
        room.shares()
        room.to_loaded_from_activated()
        run = room.request()
        with pytest.raises(kind) as permit:
            room.permit("north", run, time=at(hours))
        assert permit.value.code == code
        assert next(iter(valid)) == permit.value.field
        room.permit("north", run)


@pytest.mark.parametrize("hours", [1, -1])
def test_an_appraisal_is_relied_on_by_one_clock_and_for_a_while(tmp_path: Path, hours: float) -> None:
    with room_in(tmp_path) as room:
        room.agree()
        room.appraise("north")
        attested = room.members["north"].attested
        assert attested is not None
        attested.require_fresh(NOW)
        moved = NOW + timedelta(hours=hours)  # set right, or wrong, since
        with pytest.raises(OutOfOrder) as refused:
            attested.require_fresh(moved)
        assert (refused.value.code, refused.value.found) == ("evidence.expired", format_time(moved))
        channel = Channel.connect(room.address, clock=lambda: moved)
        again, _ = channel.attest(room.contract, room.digest, "contract", EXCEPTIONS)
        again.require_fresh(moved)
        channel.close()
