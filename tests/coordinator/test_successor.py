"""A contract that takes over the history of the one before: what was answered and counted there holds here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.contract.consent import sign_consent
from mpc.errors import Exhausted, Forbidden, Misconfigured, OutOfOrder, Refusal, Untrusted
from tests.coordinator.room import COUNT, Before, Member, Room, computation, contract_of, room_in, rows_of

RUNS = 3
AVERAGE = "SELECT grp, avg(amount) AS mean FROM patients GROUP BY grp"
TERMS = [computation("averages", AVERAGE), computation("by_group", COUNT, runs=RUNS, unattended=0)]


def remembering(room: Room, member: Member) -> Member:
    """The same party, as its daemon goes on under the successor: with what it last saw of the contract before."""
    return Member(
        member.name, member.signing, member.sealing, before=Before(room.digest, member.head, member.share)
    )  # fmt: skip


@contextmanager
def successor_of(room: Room, folder: Path, *, names: tuple[str, ...] = (), **changes: Any) -> Iterator[Room]:
    """A coordinator of its own for the successor, not yet started; the one before has ended its process."""
    room.stop()
    members = {
        name: remembering(room, member) for name, member in room.members.items() if name in (names or room.members)
    }
    supersedes = {"contract": room.digest.hex(), "history": "follows"}
    raw = contract_of(members, **{"supersedes": supersedes, "computations": TERMS, **changes})
    successor = Room(folder, members, raw, predecessor=room.folder)
    try:
        yield successor
    finally:
        successor.stop()


@contextmanager
def asked_once(folder: Path) -> Iterator[Room]:
    """The contract before, under which one question was answered; every party has seen the end of its log."""
    with room_in(folder, computations=TERMS) as room:
        room.to_loaded()
        room.run()
        see_log(room)
        yield room


def see_log(room: Room) -> None:
    for member in room.members.values():
        room.note(member, member.at.status().checkpoint)


def history(room: Room) -> dict[bytes, bytes]:
    assert room.instance is not None
    assert room.instance._agreed is not None
    return dict(room.instance._agreed.shares.history.releases)


def to_loaded(room: Room, *, marked: int = 1) -> None:
    """Go all the way, with the very rows that ``Room.to_loaded`` brings if ``marked`` is 1."""
    room.to_activated()
    for owner in ("north", "south"):
        room.hand_down(owner)
    for start, name in ((0, "north"), (10_000, "south")):
        room.upload(name, [rows_of(start, 60, marked), rows_of(start + 100, 60, marked)])


def test_the_same_question_over_the_same_rows_gets_the_answer_it_had_and_counts_on(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room:
        first, _ = room.result(1)
        known = history(room)
        with successor_of(room, tmp_path / "after") as successor:
            successor.start()
            to_loaded(successor)
            assert history(successor) == known
            again, receipt = successor.result(successor.run())
            assert again == first
            assert history(successor) == known  # recalled: nothing new was computed
            assert receipt.contract_digest == successor.digest
            for _ in range(RUNS - 2):
                successor.run()
            with pytest.raises(Exhausted) as refused:
                successor.request()
            assert refused.value.code == "session.run.runs"
            successor.run("averages")  # nobody asked that before


def test_other_rows_or_rules_make_another_question(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        to_loaded(successor, marked=2)
        successor.run()
        assert len(history(successor)) == 2


@pytest.mark.parametrize(("parts", "known"), [
    ([(0, 60), (100, 60)], 1),
    ([(0, 7), (7, 53), (100, 59), (159, 1)], 2),  # cut in another way they are not known again
])  # fmt: skip
def test_rows_are_the_same_in_whatever_chunks_their_batches_come(
    tmp_path: Path, parts: list[tuple[int, int]], known: int
) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        successor.to_activated()
        for start, name in ((0, "north"), (10_000, "south")):
            successor.hand_down(name)
            successor.upload(name, [rows_of(start + first, count) for first, count in parts], in_one_chunk=True)
        successor.run()
        assert len(history(successor)) == known


def test_a_folder_of_the_contract_before_that_was_set_back_is_refused(tmp_path: Path) -> None:
    with room_in(tmp_path / "before", computations=TERMS) as room:
        room.to_loaded()
        room.run()
        shutil.copytree(tmp_path / "before", tmp_path / "older")
        room.run("averages")
        see_log(room)
        with successor_of(room, tmp_path / "after") as successor:
            successor.predecessor = tmp_path / "older"
            successor.start()
            successor.agree()
            successor.appraise("university")
            successor.authenticate("university")
            with pytest.raises(Untrusted) as refused:
                successor.activate("university")
            assert refused.value.code == "predecessor.fork"


def test_a_sealed_history_that_alone_was_set_back_is_refused(tmp_path: Path) -> None:
    with room_in(tmp_path / "before", computations=TERMS) as room:
        room.to_loaded()
        room.run()
        shutil.copytree(tmp_path / "before" / "secret", tmp_path / "older")
        room.run("averages")
        see_log(room)
        with successor_of(room, tmp_path / "after") as successor:
            shutil.rmtree(tmp_path / "before" / "secret")
            shutil.copytree(tmp_path / "older", tmp_path / "before" / "secret")
            successor.start()
            successor.to_activated()
            successor.hand_down("north")
            with pytest.raises(Untrusted) as refused:
                successor.hand_down("south")
            assert refused.value.code == "state.rolled_back"
            assert waits_for(successor) == {("south", "inheritance")}


def waits_for(room: Room) -> set[tuple[str, str]]:
    awaited = room.members["north"].at.status().awaited
    return {(entry.party, entry.what) for entry in awaited if entry.what == "inheritance"}


def test_nothing_runs_while_a_share_of_the_contract_before_is_missing(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        successor.to_loaded()
        assert waits_for(successor) == {("north", "inheritance"), ("south", "inheritance")}
        successor.hand_down("north")
        assert waits_for(successor) == {("south", "inheritance")}
        with pytest.raises(OutOfOrder) as refused:
            successor.request()
        assert refused.value.code == "session.state"
        successor.hand_down("north")  # sent again, as the answer was lost
        successor.hand_down("south")
        successor.run()


@pytest.mark.parametrize(
    ("lies", "code"),
    [
        ({"share": bytes(32)}, "state.share_other"),
        ({"successor": bytes(32)}, "sealing.open"),
        ({"predecessor": bytes(32)}, "sealing.open"),
    ],
)
def test_a_share_is_handed_down_for_one_chain_and_is_the_one_that_was_given(
    tmp_path: Path, lies: dict[str, bytes], code: str
) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        successor.to_activated()
        with pytest.raises(Untrusted) as refused:
            successor.hand_down("north", **lies)
        assert refused.value.code == code
        with pytest.raises(OutOfOrder) as refused_party:
            successor.members["university"].at.hand_down_share(b"")
        assert refused_party.value.code == "session.inherited_share"


def test_a_restart_needs_nothing_of_the_contract_before_once_its_history_was_taken_over(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        to_loaded(successor)
        known = history(successor)
        shutil.rmtree(tmp_path / "before")
        successor.predecessor = None
        successor.restart()
        successor.back_after_restart()
        assert history(successor) == known
        successor.run()
        assert history(successor) == known


def test_what_was_taken_over_cannot_be_set_back_to_nothing(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        to_loaded(successor)
        (tmp_path / "after" / "secret" / "2").unlink()
        successor.restart()
        for name in successor.members:
            successor.enter(name)
        successor.return_share("north")
        with pytest.raises(Untrusted) as refused:
            successor.return_share("south")
        assert refused.value.code == "state.rolled_back"


def test_a_restart_before_that_takes_over_anew_and_needs_the_folder(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        successor.to_loaded()
        successor.hand_down("north")
        successor.predecessor = None
        successor.stop()
        with pytest.raises(Misconfigured) as refused:
            successor.start()
        assert refused.value.code == "predecessor.folder"
        successor.predecessor = tmp_path / "before"
        successor.start()
        successor.back_after_restart()
        assert waits_for(successor) == {("north", "inheritance"), ("south", "inheritance")}
        for owner in ("north", "south"):
            successor.hand_down(owner)
        assert len(history(successor)) == 1
        successor.run()
        assert len(history(successor)) == 1


def test_what_a_crash_left_sealed_before_its_event_does_not_stand_in_the_way(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        successor.to_activated()
        successor.hand_down("north")
        shutil.copytree(tmp_path / "after", tmp_path / "crashed")
        successor.hand_down("south")
        successor.stop()
        for sealed in (tmp_path / "after" / "secret").iterdir():  # on disk before the leaf that makes it so
            shutil.copy(sealed, tmp_path / "crashed" / "secret" / sealed.name)
        successor.folder = tmp_path / "crashed"
        successor.start()
        successor.back_after_restart()
        for owner in ("north", "south"):
            successor.hand_down(owner)
        for start, name in ((0, "north"), (10_000, "south")):
            successor.upload(name, [rows_of(start, 120)])
        successor.restart()
        successor.back_after_restart()
        assert len(history(successor)) == 1


def test_what_a_successor_took_over_its_own_successor_takes_over_from_it(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as second:
        second.start()
        to_loaded(second)
        second.run()
        see_log(second)
        with successor_of(second, tmp_path / "third") as third:
            shutil.rmtree(tmp_path / "before")
            third.start()
            to_loaded(third)
            assert len(history(third)) == 1
            third.run()
            with pytest.raises(Exhausted):  # three in all, one under each
                third.request()


def test_a_successor_that_took_nothing_over_hands_nothing_on(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as second:
        second.start()
        second.to_activated()
        see_log(second)
        with successor_of(second, tmp_path / "third") as third:
            assert refused_to_begin(third).code == "predecessor.empty"


def test_a_contract_before_under_which_nobody_asked_has_nothing_to_open(tmp_path: Path) -> None:
    with room_in(tmp_path / "before", computations=TERMS) as room:
        room.to_loaded()
        see_log(room)
        with successor_of(room, tmp_path / "after") as successor:
            successor.start()
            successor.to_loaded()
            assert waits_for(successor) == set()
            successor.run()


def refused_to_begin(room: Room) -> Refusal:
    """Let everybody sign, and return what the coordinator says to the last of them."""
    room.start()
    with pytest.raises(Refusal) as refused:
        room.agree()
    assert "agree.refused" in room.log.getvalue()
    with pytest.raises(OutOfOrder):
        room.appraise("north")
    return refused.value


def test_a_folder_that_is_missing_another_s_or_in_use_is_refused_and_parties_are_told(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room:
        with room_in(tmp_path / "other") as other:
            other.agree()
        with successor_of(room, tmp_path / "after") as successor:
            for folder, code in (
                (None, "predecessor.folder"),
                (tmp_path / "nothing", "predecessor.folder"),
                (tmp_path / "other", "predecessor.other"),
            ):
                successor.predecessor = folder
                assert refused_to_begin(successor).code == code
                assert not (tmp_path / "nothing").exists()
                successor.stop()
                shutil.rmtree(tmp_path / "after")
            successor.predecessor = tmp_path / "before"
            room.start()  # the contract before is served again
            assert refused_to_begin(successor).code == "predecessor.locked"
            room.stop()
            last = successor.members["university"]
            successor.connect(last.name).agree(successor.raw, (sign_consent(successor.raw, last.signing),))
            successor.appraise("north")  # goes on by itself once the other has ended


def test_the_contract_before_is_not_taken_up_in_its_successor_s_place(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.start()
        channel = successor.connect("north")
        for member in successor.members.values():
            with pytest.raises(OutOfOrder) as refused:
                channel.agree(room.raw, (sign_consent(room.raw, member.signing),))
            assert refused.value.code == "agree.superseded"
        successor.agree()
        successor.appraise("north")


def test_a_statement_of_the_contract_before_that_was_changed_is_refused(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        victim = next((tmp_path / "before" / "envelopes").iterdir())
        victim.write_bytes(victim.read_bytes() + b" ")
        assert refused_to_begin(successor).code == "state.statement"


def test_who_signed_both_has_to_say_what_it_saw_of_the_contract_before_and_nobody_else_may(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room, successor_of(room, tmp_path / "after") as successor:
        successor.members["east"] = Member("east")
        successor.raw = contract_of(
            successor.members, supersedes={"contract": room.digest.hex(), "history": "follows"}, computations=TERMS
        )
        successor.start()
        successor.agree()
        seen = successor.members["north"].before
        for name, before in (("north", None), ("east", seen)):
            member = successor.members[name]
            kept, member.before = member.before, before
            successor.appraise(name)
            successor.authenticate(name)
            with pytest.raises(Forbidden) as refused:
                successor.activate(name)
            assert refused.value.code == "activation.inherits"
            member.before = kept
            successor.activate(name)


def test_an_owner_that_left_leaves_no_history_to_follow(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room:
        dataset = room.contract.datasets[0].model_copy(update={"owners": ("north",)})
        alone: dict[str, Any] = {
            "names": ("north", "university"),
            "datasets": [dataset.model_dump(mode="json")],
            "disclosure": [room.contract.disclosure[0].model_dump(mode="json")],
        }
        with successor_of(room, tmp_path / "after", **alone) as successor:
            refusal = refused_to_begin(successor)
            assert refusal.code == "contract.history.owner_left"
            assert "south" in refusal.why
        anew = {"contract": room.digest.hex(), "history": "begins_anew"}
        with successor_of(room, tmp_path / "anew", supersedes=anew, **alone) as successor:
            successor.predecessor = None
            for member in successor.members.values():
                member.before = None
            successor.start()
            successor.agree()
            for name in successor.members:
                successor.enter(name)
            assert waits_for(successor) == set()
            assert history(successor) == {}


def test_a_withdrawal_from_the_contract_before_leaves_no_history_to_follow(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room:
        room.withdraw("south")
        with successor_of(room, tmp_path / "after") as successor:
            refusal = refused_to_begin(successor)
            assert (refusal.code, refusal.why[:5]) == ("predecessor.withdrawn", "south")


def test_the_contract_before_is_named_by_the_log_as_it_was_read(tmp_path: Path) -> None:
    with asked_once(tmp_path / "before") as room:
        assert room.instance is not None
        assert room.instance._agreed is not None
        log = room.instance._agreed.journal.log
        with successor_of(room, tmp_path / "after") as successor:
            successor.start()
            successor.agree()
            assert successor.instance is not None
            assert successor.instance._agreed is not None
            leaf = successor.instance._agreed.journal.session.inheritance
            assert leaf is not None
            assert (leaf.predecessor, leaf.size, leaf.root) == (room.digest.hex(), log.size, log.root().hex())
            assert (leaf.holders, list(leaf.spent.values())) == (("north", "south"), [1])
            assert sha256(room.raw) == room.digest
