"""SIGKILL of a real coordinator at each state of the session, and what is left of it when it is started again.

What was signed and answered is in the log and in the folder; what the parties have to send again is what the status
tells them, and nothing else.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from mpc.contract.consent import sign_consent
from mpc.errors import OutOfOrder, Refusal
from mpc.measurement import measure
from mpc.messages import Chunk
from tests.coordinator.room import EXCEPTIONS, Member, Room, contract_of, ipc, rows_of
from tests.parties.coordinators import Process

pytestmark = pytest.mark.slow

NAMES = ("north", "south", "university")
OWNERS = ("north", "south")


class Operated(Room):
    """The parties of a room, whose coordinator is a process of its own that an operator may start and kill."""

    process: Process | None = None

    def start(self) -> None:
        """Start the process on the folder."""
        self.process = Process(self.folder)

    def stop(self) -> None:
        """Send SIGKILL."""
        for member in self.members.values():
            if member.channel is not None:
                member.channel.close()
                member.channel = None
        assert self.process is not None
        self.process.kill()

    @property
    def address(self) -> str:
        assert self.process is not None
        return self.process.address

    def awaited(self) -> set[tuple[str, str]]:
        """What the coordinator awaits, and from whom."""
        return {(each.party, each.what) for each in self.members["north"].at.status().awaited}

    def come_back(self) -> None:
        """Every party appraises, proves its key and activates the new instance, naming what it saw last."""
        for name in NAMES:
            self.enter(name)


def _boot(room: Operated) -> None:
    for name in NAMES:
        room.connect(name).attest(room.contract, room.digest, "boot", EXCEPTIONS)
    room.members["north"].at.agree(
        room.raw, (sign_consent(room.raw, room.members["north"].signing),)
    )  # one of three: not agreed yet


def _after_boot(room: Operated) -> None:
    reply = room.connect("south").agree(room.raw, ())
    assert (reply.missing, len(reply.signatures)) == (("south", "university"), 1)  # the one consent was kept
    for name in ("south", "university"):
        room.connect(name).agree(room.raw, (sign_consent(room.raw, room.members[name].signing),))
    room.come_back()


def _agreed(room: Operated) -> None:
    room.agree()


def _after_agreed(room: Operated) -> None:
    assert room.connect("north").agree(room.raw, ()).missing == ()  # nobody signs again
    room.come_back()


def _attested(room: Operated) -> None:
    room.agree()
    room.enter("north")
    room.appraise("south")


def _after_attested(room: Operated) -> None:
    room.appraise("north")
    room.authenticate("north")
    assert room.awaited() == {(name, "activation") for name in NAMES}
    room.come_back()


def _activated(room: Operated) -> None:
    room.to_activated()
    header, key, chunks, _ = room.sealed_upload("north", [ipc(rows_of(n * 100, 60)) for n in range(3)])
    replies = iter(room.members["north"].at.upload(iter([room.opening("north", header, key), *map(Chunk, chunks[:2])])))
    with pytest.raises(Refusal, match=r"upload\.cut"):
        list(replies)


def _after_activated(room: Operated) -> None:
    room.come_back()
    status = room.members["north"].at.status()
    assert [(each.owner, each.durable, each.state) for each in status.uploads] == [("north", 2, "arriving")]
    assert {("north", "upload"), ("south", "upload")} <= room.awaited()
    room.members["north"].uploads.clear()
    _first_rows(room)


def _loaded(room: Operated) -> None:
    room.to_loaded()


def _after_loaded(room: Operated) -> None:
    room.come_back()
    assert {("north", "rewrap"), ("south", "rewrap")} <= room.awaited()  # and no upload: the ciphertext is there
    assert not {what for _, what in room.awaited()} & {"upload", "consent", "activation"}
    _shares_and_keys(room)


def _permitted(room: Operated) -> None:
    room.to_loaded()
    number = room.request()
    for owner in OWNERS:
        room.permit(owner, number)  # the last one starts the run, and the kill comes in the middle of it


def _after_permitted(room: Operated) -> None:
    room.come_back()
    run = room.members["north"].at.status().runs[0]
    if run.state != "released":  # it was quicker than the kill
        assert (run.state, run.missing) == ("permitting", OWNERS)  # a permit names an instance: both sign again
        with pytest.raises(OutOfOrder):
            room.permit("north", 1)
    _shares_and_keys(room)
    for owner in room.members["north"].at.status().runs[0].missing:
        room.permit(owner, 1)
    assert room.wait_for_run(1) == "released"


def _released(room: Operated) -> None:
    room.to_loaded()
    room.run()


def _after_released(room: Operated) -> None:
    room.come_back()
    release, _ = room.result(1)  # before anything else comes back
    assert release.failure is None
    assert {("north", "share"), ("south", "share")} <= room.awaited()
    _shares_and_keys(room)


def _shares_and_keys(room: Operated) -> None:
    for each in room.members["north"].at.status().awaited:
        if (each.what, each.subject) == ("share", "return"):
            room.return_share(each.party)
    for owner in OWNERS:
        if (owner, "share") in room.awaited():
            room.take_share(owner)
        room.rewrap(owner)


def _first_rows(room: Operated) -> None:
    for owner in OWNERS:
        if (owner, "share") in room.awaited():
            room.take_share(owner)
    for start, name in ((0, "north"), (10_000, "south")):
        room.upload(name, [rows_of(start, 60), rows_of(start + 100, 60)])


STATES: dict[str, tuple[Callable[[Operated], None], Callable[[Operated], None]]] = {
    "boot": (_boot, _after_boot),
    "agreed": (_agreed, _after_agreed),
    "attested": (_attested, _after_attested),
    "activated": (_activated, _after_activated),
    "loaded": (_loaded, _after_loaded),
    "permitted": (_permitted, _after_permitted),
    "released": (_released, _after_released),
}


@pytest.mark.parametrize("state", STATES)
def test_after_a_kill_nothing_signed_is_lost_and_the_parties_go_on(tmp_path: Path, state: str) -> None:
    reach, go_on = STATES[state]
    members = {name: Member(name) for name in NAMES}
    code = measure().code_digest.hex()
    enclave = {"format": "simulated", "code_digest": code, "measured_by": "self", "memory_protected": False}
    room = Operated(tmp_path, members, contract_of(members, enclaves=[enclave]))
    room.start()
    try:
        reach(room)
        before = _leaves(room)
        room.stop()
        room.start()
        go_on(room)
        after = _leaves(room)
        assert after[: len(before)] == before
        if state in {"boot", "agreed", "attested"}:
            assert {(owner, "upload") for owner in OWNERS} <= room.awaited()
            return
        release, receipt = room.result(room.run())
        assert release.tables[0].data.to_pydict()["patients"] == [80, 80, 80]
        assert receipt.computation.name == "by_group"
    finally:
        room.stop()
        assert room.process is not None
        assert "Traceback" not in room.process.log


def _leaves(room: Operated) -> tuple[bytes, ...]:
    for member in room.members.values():
        if member.channel is not None and member.channel._token is not None:
            return member.channel.log(0).leaves
    return ()
