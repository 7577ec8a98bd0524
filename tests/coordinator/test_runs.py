"""Runs that fail on the way, runs of several recipients at once, and who gets what of them."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mpc.canonical import sha256
from mpc.contract.statements import Checkpoint
from mpc.disclosure import Release, failed_release
from mpc.errors import Exhausted, Forbidden, OutOfOrder, Refusal, Untrusted
from mpc.messages import Run
from mpc.receipts.leaves import RunLeaf, parse_leaf
from mpc.receipts.log import sign_checkpoint, verify_checkpoint
from mpc.receipts.verification import VerifiedReceipt
from mpc.sealing.hpke import SealedFor, open_sealed
from mpc.signing import VerifyingKey
from tests.coordinator.room import COUNT, LATER, Room, column, computation, room_in, rows_of

OWNERS = ("north", "south")
SMALL = "SELECT count(*) AS patients FROM patients"
MANY_GROUPS = "SELECT grp, count(*) AS patients, sum(amount) AS total FROM patients GROUP BY grp"
MANY_COUNTS = ", ".join(f"count(DISTINCT amount) FILTER (WHERE grp > {number}) AS n{number}" for number in range(60))
LONG = f"SELECT {MANY_COUNTS} FROM patients"  # noqa: S608 - a question of the contract
BATCHES = 5
BATCH_ROWS = 50_000


def wide_rows(start: int) -> pa.RecordBatch:
    """Rows of which every one is a group of its own."""
    numbers = pa.array(np.arange(start, start + BATCH_ROWS))
    return pa.record_batch([numbers] * 3, schema=rows_of(0, 1).schema)


def wide_room(folder: Path, *, heavy: str, memory_mib: int, seconds: int) -> AbstractContextManager[Room]:
    """A room with the computations ``heavy`` and ``small`` over half a million rows, when ``loaded``."""
    dataset = {
        "name": "patients", "description": "patients", "owners": ["north", "south"],
        "columns": [
            column("pid", identifier=True), column("grp", filterable=True, minimum="0", maximum="999999999"),
            column("amount"),
        ],
        "subject": {
            "domain": "patient", "column": "pid", "identity": "disjoint", "normalisation": "exact", "rows": "one",
        },
        "keys": [], "freshness": {"refreshes": 0, "until": None},
    }  # fmt: skip
    limits = {"upload_mib": 64, "resident_mib": 64, "run_memory_mib": memory_mib, "run_seconds": seconds}
    computations = [
        computation("heavy", heavy, runs=2, unattended=0),
        computation("small", SMALL, runs=6, unattended=0),
    ]
    return room_in(folder, datasets=[dataset], limits=limits, computations=computations)


def load_wide(room: Room) -> None:
    room.to_activated()
    for owner, start in (("north", 0), ("south", 1_000_000)):
        room.upload(owner, [wide_rows(start + batch * BATCH_ROWS) for batch in range(BATCHES)])


def test_one_question_under_two_names_has_one_answer_under_the_name_that_was_asked_for(tmp_path: Path) -> None:
    with room_in(tmp_path, computations=[computation("by_group", COUNT), computation("grouped", COUNT)]) as room:
        room.to_loaded()
        first, _ = room.result(room.run("by_group"))
        second, _ = room.result(room.run("grouped"))
        assert [release.tables[0].name for release in (first, second)] == ["by_group", "grouped"]
        assert second == first.named("grouped")
        assert room.instance is not None
        assert room.instance._agreed is not None
        assert len(room.instance._agreed.shares.history.releases) == 1  # the second was not computed


def run_of(room: Room, number: int, name: str) -> Run:
    return room.members[name].at.status().runs[number - 1]


def check_failed(room: Room, number: int, code: str) -> None:
    """One code to recipients whatever the reason, the class of it to owners, and nothing to anyone else."""
    release, receipt = room.result(number)
    computation_name = run_of(room, number, "university").computation
    assert release == failed_release(computation_name)
    assert release.failure == "run.failed"
    assert receipt.outcome == "failed"
    assert [run_of(room, number, owner).code for owner in OWNERS] == [code, code]
    assert run_of(room, number, "university").code == ""
    assert run_of(room, number, "university").state == "failed"
    assert code not in room.log.getvalue()  # nor to the operator: it could speak of rows


def test_a_run_over_its_memory_or_killed_fails_alone_and_is_spent(tmp_path: Path) -> None:
    with wide_room(tmp_path, heavy=MANY_GROUPS, memory_mib=64, seconds=60) as room:
        load_wide(room)
        check_failed(room, room.run("heavy"), "run.memory")
        check_failed(room, kill_in_the_middle(room, "small", signal.SIGKILL), "run.crashed")
        release, _ = room.result(room.run("small"))
        assert release.failure is None
        assert release.tables[0].data.to_pydict() == {"patients": [500_000]}
        check_failed(room, room.run("heavy"), "run.memory")
        with pytest.raises(Exhausted) as spent:
            room.request(which="heavy")
        assert spent.value.code == "session.run.runs"


def test_a_run_over_its_time_fails_alone_and_the_next_one_works(tmp_path: Path) -> None:
    with wide_room(tmp_path, heavy=LONG, memory_mib=2048, seconds=1) as room:
        load_wide(room)
        check_failed(room, room.run("heavy"), "run.time")
        # A child that hangs is as one that computes.
        check_failed(room, kill_in_the_middle(room, "small", signal.SIGSTOP), "run.time")
        assert any(
            room.result(room.run("small"))[0].failure is None for _ in range(4)
        )  # a second is short on a full machine


def kill_in_the_middle(room: Room, which: str, number: signal.Signals) -> int:
    """Signal the run's child as soon as there is one; return the run after its end."""
    assert room.instance is not None
    assert room.instance._agreed is not None
    runs, caught = room.instance._agreed.runs, threading.Event()

    def watch() -> None:
        while not caught.is_set():
            execution = runs._current
            if execution is not None:
                os.kill(execution._child.process.pid, number)
                caught.set()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        return room.run(which)
    finally:
        caught.set()
        watching.join()


# Two recipients at once

PARTIES = ("analyst", "north", "south", "university")
BY_GROUP = "SELECT grp, count(*) AS patients FROM patients GROUP BY grp"
TOTAL = "SELECT count(*) AS patients, sum(amount) AS total FROM patients"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, dict[int, str]]]:
    """Six runs that two recipients asked for at once, and that owners permitted in another order."""
    computations = [
        computation("of_analyst", TOTAL, recipients=["analyst"]),
        computation("of_both", BY_GROUP, recipients=["analyst", "university"]),
        computation("of_university", COUNT),
    ]
    folder = tmp_path_factory.mktemp("busy")
    with room_in(folder, names=PARTIES, computations=computations) as room, ThreadPoolExecutor(4) as pool:
        room.to_loaded()
        wishes = [
            ("analyst", "of_analyst"), ("university", "of_university"), ("analyst", "of_both"),
            ("university", "of_both"), ("analyst", "of_analyst"), ("university", "of_university"),
        ]  # fmt: skip
        numbers = list(pool.map(lambda wish: room.request(*wish), wishes))
        assert sorted(numbers) == list(range(1, 7))
        runs = {number: which for number, (_, which) in zip(numbers, wishes, strict=True)}

        def permit_all(owner: str, order: list[int]) -> None:
            for number in order:
                room.permit(owner, number, runs[number])

        upwards = pool.submit(permit_all, "north", sorted(numbers))
        pool.submit(permit_all, "south", sorted(numbers, reverse=True)).result(60)
        upwards.result(60)
        assert {room.wait_for_run(number) for number in numbers} == {"released"}
        yield room, runs
        assert "bug." not in room.log.getvalue()


RECIPIENTS = {"of_analyst": {"analyst"}, "of_both": {"analyst", "university"}, "of_university": {"university"}}


def test_each_recipient_opens_its_own_results_and_is_refused_the_others(busy: tuple[Room, dict[int, str]]) -> None:
    room, runs = busy
    for number, which in runs.items():
        for name in PARTIES:
            if name in RECIPIENTS[which]:
                check_result(*room.result(number, name), number, which)
                continue
            with pytest.raises(Forbidden) as refused:
                room.members[name].at.result(number)
            assert refused.value.code == "result.recipient"


def check_result(release: Release, receipt: VerifiedReceipt, number: int, which: str) -> None:
    assert (receipt.run, receipt.computation.name, release.tables[0].name) == (number, which, which)
    table = release.tables[0].data.to_pydict()
    assert table["patients"] == ([240] if which == "of_analyst" else [80, 80, 80])


def test_a_result_opens_under_its_recipients_key_alone(busy: tuple[Room, dict[int, str]]) -> None:
    room, runs = busy
    number = next(number for number, which in runs.items() if which == "of_both")
    sealed = {name: room.members[name].at.result(number)[1] for name in ("analyst", "university")}
    assert sealed["analyst"] != sealed["university"]
    leaves = room.members["north"].at.log(0).leaves
    context = next(sha256(raw) for raw in leaves if isinstance(leaf := parse_leaf(raw), RunLeaf) and leaf.run == number)
    for name, result in sealed.items():
        assert open_sealed(SealedFor.RESULT, context, room.members[name].sealing, result)
        for other in set(PARTIES) - {name}:
            with pytest.raises(Untrusted):
                open_sealed(SealedFor.RESULT, context, room.members[other].sealing, result)


@pytest.mark.parametrize(
    ("name", "which"), [("analyst", "of_university"), ("university", "of_analyst"), ("north", "of_both")]
)
def test_only_a_recipient_may_ask(busy: tuple[Room, dict[int, str]], name: str, which: str) -> None:
    room, _ = busy
    with pytest.raises(Forbidden) as refused:
        room.request(name, which)
    assert refused.value.code == "session.run.requester"


def test_a_permit_for_another_run_starts_none(busy: tuple[Room, dict[int, str]]) -> None:
    room, _ = busy
    number = room.request("analyst", "of_analyst")
    with pytest.raises(Refusal) as other:
        room.permit("north", number, "of_both")
    assert other.value.code == "permit.other_run"
    with pytest.raises(Refusal):
        room.permit("university", number, "of_analyst")  # owns nothing
    with pytest.raises((Forbidden, OutOfOrder)):
        room.permit("north", number, "of_analyst", log_size=1)  # signed before the run was asked for
    assert run_of(room, number, "analyst").state == "permitting"
    assert run_of(room, number, "analyst").missing == OWNERS


def countersigned(room: Room, name: str) -> None:
    """Sign the log as it stands, at this party's own time."""
    member = room.members[name]
    assert member.attested is not None
    instance = member.attested.instance.hex()
    own = verify_checkpoint(
        member.at.status().checkpoint, contract=room.digest.hex(), instance=instance,
        keys=(VerifyingKey(member.attested.transcript.receipt_key),),
    ).checkpoint  # fmt: skip
    signed = Checkpoint(contract=own.contract, instance=own.instance, size=own.size, root=own.root, time=LATER)
    member.at.countersign(sign_checkpoint(signed, member.signing))


def test_receipts_show_the_time_once_owners_countersign(busy: tuple[Room, dict[int, str]]) -> None:
    room, runs = busy
    number = next(number for number, which in runs.items() if which == "of_analyst")
    _, before = room.result(number, "analyst")
    assert before.time_shown is None
    assert before.verdict == "genuine, time not shown"
    for owner in OWNERS:
        countersigned(room, owner)
    _, after = room.result(number, "analyst")
    assert after.time_shown is not None
    assert after.countersigners == OWNERS
    assert "2027-03-01T12:00:00Z" in after.verdict


Lie = Callable[[Checkpoint], Checkpoint]


@pytest.mark.parametrize(
    "lie",
    [
        lambda own: own.model_copy(update={"root": "ab" * 32}),
        lambda own: own.model_copy(update={"size": own.size + 1}),
        lambda own: own.model_copy(update={"instance": "ab" * 32}),
        lambda own: own.model_copy(update={"contract": "ab" * 32}),
    ],
    ids=["another log", "a longer log", "another instance", "another contract"],
)
def test_a_countersignature_on_another_log_is_refused(busy: tuple[Room, dict[int, str]], lie: Lie) -> None:
    room, _ = busy
    member = room.members["south"]
    assert member.attested is not None
    own = Checkpoint(
        contract=room.digest.hex(), instance=member.attested.instance.hex(), size=member.head[0], root=member.head[1],
        time=LATER,
    )  # fmt: skip
    with pytest.raises(Refusal):
        member.at.countersign(sign_checkpoint(lie(own), member.signing))
    with pytest.raises(Refusal):  # nor is one that somebody else signed
        member.at.countersign(sign_checkpoint(own, room.members["north"].signing))


def test_a_child_reads_the_question_while_permits_are_awaited(tmp_path: Path) -> None:
    with room_in(tmp_path) as room:
        room.to_loaded()
        run = room.request()
        assert room.instance is not None
        runners = room.instance._runners
        end = time.monotonic() + 20
        while not runners._ready and time.monotonic() < end:
            time.sleep(0.02)
        (_, child), *others = runners._ready
        assert not others
        for name in ("north", "south"):
            room.permit(name, run)
        assert room.wait_for_run(run) == "released"
        child.process.wait()  # it is the one that ran: nobody else would have ended it
