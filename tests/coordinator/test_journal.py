"""The coordinator obeys the session: what it does not allow changes nothing, and an impossible folder is refused."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mpc.canonical import sha256
from mpc.coordinator.journal import Journal
from mpc.coordinator.state import StateFolder
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal, Untrusted
from mpc.receipts.leaves import (
    ActivationLeaf,
    AttestedLeaf,
    ConsentLeaf,
    ContractLeaf,
    DestructionLeaf,
    Leaf,
    ReleaseLeaf,
    RunLeaf,
    leaf_bytes,
    parse_leaf,
)
from mpc.session import terms_of
from mpc.signing import SigningKey
from tests.coordinator.room import Room, computation, room_in, rows_of

A, B = "aa" * 32, "bb" * 32
STATEMENT = b"a signed statement"


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def journal_of(room: Room, folder: Path) -> Journal:
    return Journal(StateFolder(folder), SigningKey.generate(), terms_of(room.contract, room.digest))


def agreed_leaves(room: Room) -> list[Leaf]:
    consents = [ConsentLeaf(party=name, envelope=A) for name in ("north", "south", "university")]
    return [ContractLeaf(contract=room.digest.hex()), *consents, AttestedLeaf(instance=A, hpke=B)]


ILLEGAL: dict[str, Callable[[], Sequence[Leaf]]] = {
    "a consent that was given": lambda: [ConsentLeaf(party="north", envelope=B)],
    "an activation of another instance": lambda: [
        ActivationLeaf(party="north", instance=B, time="2027-03-01T12:00:00Z", envelope=sha256(STATEMENT).hex())
    ],
    "a run before there are rows": lambda: [
        RunLeaf(run=1, computation="by_group", parameters={}, requester="university", uploads=(), envelope=A)
    ],
    "a release of no run": lambda: [ReleaseLeaf(run=1, outcome="released", release=A)],
    "one that is allowed, then one that is not": lambda: [
        ActivationLeaf(party="north", instance=A, time="2027-03-01T12:00:00Z", envelope=A),
        ReleaseLeaf(run=1, outcome="released", release=A),
    ],
    "an end after the end": lambda: [
        DestructionLeaf(instance=A, reason="expired"), DestructionLeaf(instance=A, reason="expired")
    ],
}  # fmt: skip


@pytest.mark.parametrize("event", ILLEGAL)
def test_an_event_that_the_session_does_not_allow_changes_nothing(tmp_path: Path, event: str) -> None:
    with room_in(tmp_path / "room") as room:
        journal = journal_of(room, tmp_path / "own")
        journal.append(*agreed_leaves(room))
        before = (everything_in(tmp_path / "own"), journal.session, journal.log.root(), journal.changes)
        with pytest.raises(Refusal) as refused:
            journal.append(*ILLEGAL[event](), statements=(STATEMENT,))
        assert refused.value.code.startswith("session.")
        assert (everything_in(tmp_path / "own"), journal.session, journal.log.root(), journal.changes) == before
        journal.append(ActivationLeaf(party="north", instance=A, time="2027-03-01T12:00:00Z", envelope=A))
        journal.state.close()


def write_log(folder: Path, leaves: Sequence[bytes]) -> None:
    (folder / "log").write_bytes(b"".join(struct.pack("!I", len(leaf)) + leaf for leaf in leaves))


def without(kind: type) -> Callable[[list[bytes]], list[bytes]]:
    return lambda leaves: [leaf for leaf in leaves if not isinstance(parse_leaf(leaf), kind)]


@pytest.mark.parametrize(
    "rewrite",
    [
        without(ContractLeaf),
        without(ConsentLeaf),
        without(ActivationLeaf),
        lambda leaves: leaves + leaves[-1:],
        lambda leaves: [*leaves[:5], *reversed(leaves[5:])],
        lambda leaves: [leaves[0].replace(leaves[0][-70:-2], b'"' + b"0" * 64 + b'"'), *leaves[1:]],
        lambda leaves: [*leaves, b"{}"],
        lambda leaves: [*leaves, leaf_bytes(ReleaseLeaf(run=1, outcome="released", release=A))],
    ],
)
def test_a_folder_whose_log_cannot_have_happened_is_refused(
    tmp_path: Path, rewrite: Callable[[list[bytes]], list[bytes]]
) -> None:
    with room_in(tmp_path) as room:
        room.to_activated()
        leaves = list(room.members["north"].at.log(0).leaves)
        room.stop()
        write_log(tmp_path, rewrite(leaves))
        with pytest.raises(Untrusted) as refused:
            room.start()
        assert refused.value.code == "state.log"


def test_a_first_boot_that_ended_within_its_first_event_is_begun_anew(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.agree()
        room.appraise("north")
        room.authenticate("north")
        leaves = list(room.members["north"].at.log(0).leaves)
        assert isinstance(parse_leaf(leaves[4]), AttestedLeaf)
        room.stop()
        write_log(tmp_path, leaves[:3])
        room.start()
        room.to_activated()
        now = [parse_leaf(leaf) for leaf in room.members["north"].at.log(0).leaves]
        assert sum(isinstance(leaf, ContractLeaf) for leaf in now) == 1


def test_a_withdrawal_whose_last_leaf_was_cut_off_stays_a_withdrawal(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        room.withdraw("south")
        instance = room.instance
        assert instance is not None
        assert instance._agreed is not None
        leaves = instance._agreed.journal.log.leaves()
        assert isinstance(parse_leaf(leaves[-1]), DestructionLeaf)
        room.stop()
        write_log(tmp_path, leaves[:-1])
        room.start()
        with pytest.raises(OutOfOrder) as refused:
            room.enter("north")
        assert refused.value.code == "contract.ended"


def test_requests_beyond_the_session_are_refused_and_leave_no_leaf(tmp_path: Path) -> None:
    text = "SELECT count(*) AS patients FROM patients"
    terms = [computation("of_south", text, recipients=["south"]), computation("once", text, runs=1, unattended=1)]
    with room_in(tmp_path, computations=terms) as room:
        room.to_activated()
        room.upload("north", [rows_of(0, 60)])
        with pytest.raises(OutOfOrder) as refused:
            room.request(which="once")
        assert refused.value.code == "session.state"
        room.upload("south", [rows_of(1000, 60)])
        with pytest.raises(Forbidden) as forbidden:
            room.request(which="of_south")
        assert forbidden.value.code == "session.run.requester"
        room.run("once")
        before = everything_in(tmp_path)
        with pytest.raises(Exhausted) as spent:
            room.request(which="once")
        assert spent.value.code == "session.run.runs"
        assert everything_in(tmp_path) == before


def test_only_owners_of_the_rows_permit_and_once(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        run = room.request()
        with pytest.raises(OutOfOrder) as refused:
            room.permit("university", run)
        assert refused.value.code == "session.permit"
        room.permit("north", run)
        size = room.members["north"].at.log(0).leaves
        room.permit("north", run)  # sent again: neither refused nor counted twice
        assert room.members["north"].at.log(0).leaves == size
        assert room.members["north"].at.status().runs[0].missing == ("south",)


def test_an_upload_beyond_the_refreshes_is_refused_before_a_row_is_taken(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        vault = set((tmp_path / "vault").rglob("*"))
        with pytest.raises(Exhausted) as refused:
            room.upload("north", [rows_of(5000, 60)])
        assert refused.value.code == "session.upload.refreshes"
        assert set((tmp_path / "vault").rglob("*")) == vault


def test_a_refresh_keeps_what_an_unfinished_run_pins_and_an_old_version_takes_no_key(tmp_path: Path) -> None:
    with room_in(tmp_path) as made:
        dataset = made.contract.datasets[0].model_copy(deep=True).model_dump(mode="json")
    dataset["freshness"] = {"refreshes": 2, "until": "2027-12-01T00:00:00Z"}
    with room_in(tmp_path / "fresh", datasets=[dataset]) as room:
        room.to_loaded()
        first, second = room.request(), 2
        room.upload("north", [rows_of(0, 60, marked=3)])
        assert room.request() == second
        for run in (first, second):
            for owner in ("north", "south"):
                room.permit(owner, run)
            assert room.wait_for_run(run) == "released"
        (older, _), (newer, _) = room.result(first), room.result(second)
        assert sum(older.tables[0].data["total"].to_pylist()) == 240
        assert sum(newer.tables[0].data["total"].to_pylist()) == 300
        room.restart()
        for name in room.members:
            room.enter(name)
        north = room.members["north"]
        wanted = [each.subject for each in north.at.status().awaited if (each.party, each.what) == ("north", "rewrap")]
        assert [bytes.fromhex(upload) for upload in wanted] == list(north.uploads)[1:]
        with pytest.raises(OutOfOrder) as refused:
            room.rewrap("north")
        assert refused.value.code == "rewrap.unknown"


def test_an_event_that_is_too_long_for_the_log_changes_nothing(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        assert room.instance is not None
        assert room.instance._agreed is not None
        journal = room.instance._agreed.journal
        before, size = everything_in(tmp_path), journal.log.size
        leaf = RunLeaf(
            run=1, computation="by_group", parameters={f"p{i}": "x" * 90_000 for i in range(3)},
            requester="university", uploads=journal.session.pinned_for("by_group"), envelope=sha256(STATEMENT).hex(),
        )  # fmt: skip
        with pytest.raises(Exhausted, match=r"log\.leaf_size"):
            journal.append(leaf, statements=(STATEMENT,))
        assert (everything_in(tmp_path), journal.log.size) == (before, size)
        short = leaf.model_copy(update={"parameters": {}})
        journal.append(short, statements=(STATEMENT,))
        assert parse_leaf(StateFolder.leaves(room.instance._state)[-1]) == short
