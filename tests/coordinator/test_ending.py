"""How a contract ends: by a signed time past its last moment, and never while a recipient waits for a result."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import canonical_json
from mpc.contract.statements import RunRequest
from mpc.errors import Exhausted, Forbidden, OutOfOrder
from mpc.receipts.leaves import DestructionLeaf, WithdrawalLeaf, parse_leaf
from mpc.signing import Purpose
from tests.coordinator.room import Room, computation, room_in, rows_of

TOO_LATE = "2028-01-01T00:00:00Z"  # the room's contract is valid until then
TEXT = "SELECT grp, count(*) AS patients FROM patients GROUP BY grp"


def ask_too_late(room: Room, name: str = "university", **lies: Any) -> None:
    member = room.members[name]
    assert member.attested is not None
    request = RunRequest(
        contract=room.digest.hex(), party=name, instance=member.attested.instance.hex(),
        computation="by_group", parameters={}, time=TOO_LATE,
    ).model_copy(update=lies)  # fmt: skip
    with pytest.raises(Forbidden) as refused:
        member.at.request_run(member.signing.envelope(Purpose.REQUEST, canonical_json(request)))
    assert refused.value.code == ("statement.instance" if lies else "contract.expired")


def last_leaf(room: Room) -> object:
    assert room.instance is not None
    assert room.instance._agreed is not None
    return parse_leaf(room.instance._agreed.journal.log.leaves()[-1])


def test_a_time_past_the_contract_ends_the_instance_and_the_folder(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        assert room.keys is not None
        instance = room.keys.instance.hex()
        for _ in range(2):
            ask_too_late(room)  # one party's clock may be wrong, however often it says so
        assert room.ended == []
        ask_too_late(room, "north")
        assert room.ended == [True]
        assert last_leaf(room) == DestructionLeaf(instance=instance, reason="expired")
        with pytest.raises(OutOfOrder) as ended:
            room.request()
        assert ended.value.code == "contract.ended"
        room.stop()
        log = (tmp_path / "log").read_bytes()
        room.start()
        with pytest.raises(OutOfOrder) as refused:
            room.appraise("north")
        assert refused.value.code == "contract.ended"
        assert (tmp_path / "log").read_bytes() == log


def test_who_was_away_learns_of_the_end_and_nothing_else_from_a_later_instance(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.withdraw("north")
        room.restart()
        south = room.members["south"]
        with pytest.raises(OutOfOrder) as refused:
            room.agree()
        assert (refused.value.code, refused.value.what) == ("contract.ended", "north has withdrawn from this contract")
        room.connect("south")
        room.authenticate("south")
        assert south.at.status().state == "ended"
        last = [parse_leaf(leaf) for leaf in south.at.log(0).leaves[-2:]]
        assert [type(leaf) for leaf in last] == [WithdrawalLeaf, DestructionLeaf]
        for ask in (lambda: room.request("south"), south.at.take_share, lambda: room.appraise("south")):
            with pytest.raises(OutOfOrder) as refused:
                ask()
            assert refused.value.code == "contract.ended"


def test_who_asks_after_a_withdrawal_is_told_who_left_and_gets_the_log_alone(tmp_path: Path) -> None:
    with room_in(tmp_path) as room, ThreadPoolExecutor(1) as pool:
        room.to_loaded()
        south = room.members["south"].at
        seen = south.status().change
        waiting = pool.submit(south.status, seen=seen, wait_milliseconds=15_000)
        room.withdraw("north")
        assert waiting.result(timeout=5).state == "ended"
        with pytest.raises(OutOfOrder) as refused:
            room.request()
        assert (refused.value.code, refused.value.what) == ("contract.ended", "north has withdrawn from this contract")
        with pytest.raises(OutOfOrder, match="north has withdrawn"):
            room.upload("south", [rows_of(0, 60)])
        assert room.instance is not None
        started = time.monotonic()
        room.instance.bid_farewell(0.05)  # south and the university have not been told
        assert time.monotonic() - started >= 0.05
        for name in ("south", "university"):
            last = [parse_leaf(leaf) for leaf in room.members[name].at.log(0).leaves[-2:]]
            assert [type(leaf) for leaf in last] == [WithdrawalLeaf, DestructionLeaf]
        room.instance.bid_farewell(60)  # both were: it returns at once
        assert time.monotonic() - started < 30


def test_a_stop_answers_who_waits_and_does_not_wait_for_them(tmp_path: Path) -> None:
    with room_in(tmp_path) as room, ThreadPoolExecutor(1) as pool:
        room.to_activated()
        north = room.members["north"].at
        waiting = pool.submit(north.status, seen=north.status().change, wait_milliseconds=20_000)
        assert room.serving is not None
        assert room.instance is not None
        assert room.instance._agreed is not None
        changed = room.instance._agreed.journal.changed
        while not changed._waiters:  # type: ignore[attr-defined]
            time.sleep(0.01)
        started = time.monotonic()
        room.serving.stop(15)
        assert time.monotonic() - started < 5
        assert waiting.result(timeout=5).state == "activated"


def test_a_late_statement_about_another_instance_ends_nothing(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        for name in room.members:
            ask_too_late(room, name, instance="ab" * 32)
        assert room.ended == []
        room.request()


def test_no_result_is_lost_to_the_end_of_the_contract(tmp_path: Path) -> None:
    terms = [computation("by_group", TEXT, recipients=["north", "university"])]
    with room_in(tmp_path, computations=terms) as room:
        room.to_loaded()
        run = room.run()
        room.result(run)
        ask_too_late(room)
        ask_too_late(room, "south")
        assert room.ended == []  # north has not fetched its own
        release, _ = room.result(run, "north")
        assert release.failure is None
        assert room.ended == []  # and looks at the log before it keeps it
        ask_too_late(room)
        assert room.ended == [True]
        assert isinstance(last_leaf(room), DestructionLeaf)


def test_using_up_all_runs_ends_nothing_and_results_stay(tmp_path: Path) -> None:
    with room_in(tmp_path, computations=[computation("by_group", TEXT, runs=1, unattended=1)]) as room:
        room.to_loaded()
        run = room.run()
        first, _ = room.result(run)
        with pytest.raises(Exhausted):
            room.request()
        assert room.ended == []
        room.restart()
        room.back_after_restart()
        again, _ = room.result(run)
        assert again == first
        assert room.members["north"].at.status().state == "released"
