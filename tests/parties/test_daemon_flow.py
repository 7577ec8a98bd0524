"""Daemons and the real coordinator, end to end over loopback: the whole way, restarts, and hosts that cheat."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mpc.canonical import sha256
from mpc.contract.document import contract_bytes
from mpc.errors import Forbidden, OutOfOrder
from mpc.evidence.appraisal import Exceptions
from mpc.measurement import measure
from mpc.receipts.verification import VerifiedReceipt, verify_receipt
from tests.parties.conftest import MARKS, contract_of
from tests.parties.coordinators import (
    CODE_DIGEST,
    Boot,
    Process,
    losing_activations,
    telling_only_of_countersignatures,
    too_busy_to_attest_for_uploads,
)
from tests.parties.gathering import PATIENCE_SECONDS, Gathering, gathered

pytestmark = pytest.mark.slow

UNATTENDED = "[consent]\npermit_unattended = true\nreplace_unattended = true"


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    booted = Boot(tmp_path / "coordinator")
    yield booted
    booted.stop()


def loaded(gathering: Gathering) -> bool:
    return all(client.status()["stage"] in {"loaded", "released"} for client in gathering.clients.values())


def test_from_three_folders_to_a_verified_result(
    boot: Boot, member: Callable[..., Any], cards: Any, capfd: Any
) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    rows = {"north": 3000, "south": 2000, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        digest = party.sign_all(raw)
        party.until(lambda: loaded(party))
        run = party.clients["university"].run("weight_by_grade")
        party.until(party.clients["university"].results)
        release = party.clients["university"].release(run)
        table = release.tables[0].data.to_pydict()
        assert sum(table["patients"]) == 5000
        party.until(lambda: party.clients["university"].results()[0]["shown"])
        verdict = verified(members[2], party.clients["university"].receipt(run)).verdict
        assert re.fullmatch(r"genuine, shown at \S+Z by (north|south|north, south)", verdict)
        assert party.clients["north"].log(digest)[0] == {"contract": digest, "leaf": "contract"}
        assert [event["kind"] for event in party.clients["north"].events() if event["kind"] == "refused"] == []
        told = [str(client.status()) + str(client.events()) for client in party.clients.values()]
    written = [path.read_bytes() for path in member_files(members[0].folder.parent)]
    printed = capfd.readouterr()
    told += [printed.out, printed.err, boot.log.getvalue()]
    assert MARKS[0] in (members[0].folder / "patients.csv").read_bytes()
    assert len(written) > 20
    assert not any(mark in content for mark in MARKS for content in (*written, *(text.encode() for text in told)))


def verified(member: Any, receipt: bytes) -> VerifiedReceipt:
    config = member.config
    exceptions = Exceptions(config.trust.accept_self_measured, config.trust.accept_visible_memory)
    known = member.keys.known(config.known_parties)
    return verify_receipt(receipt, known=known, exceptions=exceptions, beneficiary=member.name)


def test_status_names_whose_signature_has_not_come(boot: Boot, member: Callable[..., Any], cards: Any) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    members = [member(name, address=boot.address) for name in ("north", "south", "university")]
    with gathered(*(each.config for each in members)) as party:
        digest = sha256(raw).hex()
        for name in ("north", "university"):
            party.clients[name].add_contract(raw)
            party.clients[name].sign(digest, digest[:8])
        for name in ("north", "university"):
            party.until(lambda name=name: awaited(party.clients[name]) == [("south", "consent")])


def awaited(client: Any) -> list[tuple[str, str]]:
    return [(entry["party"], entry["what"]) for entry in client.status()["awaited"]]


def test_owners_that_receive_vouch_for_each_other_and_nobody_for_itself(
    boot: Boot, member: Callable[..., Any], cards: Any
) -> None:
    contract = contract_of(cards, CODE_DIGEST)
    computation = contract.computations[0].model_copy(update={"recipients": ("north", "south")})
    raw = contract_bytes(contract.model_copy(update={"computations": (computation,)}))
    rows = {"north": 50, "south": 50, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        party.sign_all(raw)
        party.until(lambda: loaded(party))
        run = party.clients["north"].run("weight_by_grade")
        for reader, other in ((members[0], "south"), (members[1], "north")):
            client = party.clients[reader.name]
            party.until(lambda client=client: client.results() and client.results()[0]["shown"])
            receipt = verified(reader, client.receipt(run))
            assert receipt.countersigners == (other,)
        kinds = [event["kind"] for client in party.clients.values() for event in client.events()]
        assert "refused" not in kinds


def test_a_coordinator_that_only_tells_of_countersignatures_makes_no_daemon_run_in_circles(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    with telling_only_of_countersignatures() as dropped:
        boot = Boot(tmp_path / "coordinator")
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    rows = {"north": 50, "south": 50, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        party.sign_all(raw)
        party.until(lambda: loaded(party))
        university = party.clients["university"]
        for run in (1, 2):
            assert university.run("weight_by_grade") == run
            party.until(lambda run=run: len(university.results()) == run)
            party.until(lambda run=run: len(university.status()["awaits_you"]) == run)
            assert blocked(university) == {"result.renewed"}
            party.until(lambda: all(client.status()["next"] == "Watch" for client in party.clients.values()))
            assert len(dropped) <= run * 4  # two owners, with their permits and at the end
        assert [result["shown"] for result in university.results()] == [None, None]
        assert verified(members[2], university.receipt(1)).verdict == "genuine, time not shown"
    boot.stop()


def member_files(folder: Path) -> list[Path]:
    """Every file that anybody wrote, but for the owners' own sources."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "patients.csv"]


def blocked(client: Any) -> set[str]:
    """The codes of what only a person can go on with."""
    return {entry["refusal"]["code"] for entry in client.status()["awaits_you"] if "refusal" in entry}


def trouble(client: Any) -> str:
    return (client.status()["trouble"] or {}).get("code", "")


def test_a_restart_is_gone_on_from_and_a_host_that_sets_back_or_clones_is_refused(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    boot = Boot(tmp_path / "coordinator")
    address = boot.address
    north = member("north", address=address, rows=900, settings=UNATTENDED)
    south = member("south", address=address, rows=900)  # signs nothing without a person
    university = member("university", address=address, settings=UNATTENDED)
    with gathered(north.config, south.config, university.config) as party:
        digest = party.sign_all(raw)
        clients = party.clients
        party.until(lambda: loaded(party))
        first = clients["north"].status()["activated"]
        shutil.copytree(tmp_path / "coordinator", tmp_path / "clone")

        # A person permits where the configuration leaves it to one.
        run = clients["university"].run("weight_by_grade")
        party.until(lambda: any(entry["what"] == "permit" for entry in clients["south"].status()["awaits_you"]))
        party.until(lambda: [entry["missing"] for entry in clients["south"].status()["runs"]] == [["south"]])
        assert clients["university"].results() == []

        # The coordinator restarts: keys and shares come back, the ciphertext was never sent again.
        boot.stop()
        boot = Boot(tmp_path / "coordinator", address=address)
        party.until(lambda: "activation.second" in blocked(clients["south"]))
        assert clients["south"].status()["activated"] == first
        clients["south"].replace_instance()
        party.until(lambda: loaded(party))
        second = clients["south"].status()["activated"]
        assert second == boot.keys.instance.hex() != first
        assert len([entry for entry in clients["north"].log(digest) if entry["leaf"] == "upload"]) == 2
        clients["south"].permit(run)
        party.until(clients["university"].results)
        kinds = [event["kind"] for event in clients["north"].events()]
        assert {"share_taken", "share_returned", "rewrapped", "instance_replaced"} <= set(kinds)

        # A daemon restarts as well, and knows what it signed.
        party.stop("north")
        party.start(north.config)
        party.until(lambda: clients["north"].status()["stage"] == "released")

        # The folder as it was before the run, under a new instance: refused before anybody activates it.
        boot.stop()
        boot = Boot(tmp_path / "clone", address=address)
        for name in ("north", "university"):
            party.until(lambda name=name: trouble(clients[name]) == "log.rolled_back")
            assert clients[name].status()["activated"] == second
        boot.stop()


def test_a_copy_that_was_looked_at_and_not_chosen_is_not_held_against_the_right_one(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    boot = Boot(tmp_path / "coordinator")
    address = boot.address
    members = [member(name, address=address, rows=50) for name in ("north", "south", "university")]
    with gathered(*(each.config for each in members)) as party:
        party.sign_all(contract_bytes(contract_of(cards, CODE_DIGEST)))
        party.until(lambda: loaded(party))
        boot.stop()
        shutil.copytree(tmp_path / "coordinator", tmp_path / "clone")
        for folder in ("clone", "coordinator"):
            boot = Boot(tmp_path / folder, address=address)
            for client in party.clients.values():
                client.retry()
                party.until(lambda client=client, boot=boot: client.status()["instance"] == boot.keys.instance.hex())
                party.until(lambda client=client: blocked(client) == {"activation.second"})
            if folder == "clone":
                boot.stop()
        for client in party.clients.values():
            client.replace_instance()
        party.until(lambda: loaded(party))
    boot.stop()


def test_a_coordinator_that_dies_before_it_keeps_an_activation_is_gone_on_from(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    with losing_activations() as lost:
        boot = Boot(tmp_path / "coordinator")
    address = boot.address
    members = [member(name, address=address, rows=50) for name in ("north", "south", "university")]
    with gathered(*(each.config for each in members)) as party:
        party.sign_all(contract_bytes(contract_of(cards, CODE_DIGEST)))
        party.until(lambda: set(lost) == set(party.clients))
        boot.stop()
        boot = Boot(tmp_path / "coordinator", address=address)
        for client in party.clients.values():
            party.until(lambda client=client: "activation.second" in blocked(client))
            client.replace_instance()
        party.until(lambda: loaded(party))
    boot.stop()


def test_a_person_leaves_and_the_keys_go(boot: Boot, member: Callable[..., Any], cards: Any) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    rows = {"north": 50, "south": 50, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        digest = party.sign_all(raw)
        party.until(lambda: loaded(party))
        north = party.clients["north"]
        with pytest.raises(Forbidden, match=r"withdraw\.confirmation"):
            north.withdraw("no more", "00000000")
        north.withdraw("consent was withdrawn", digest[:8])
        party.until(lambda: north.status()["stage"] == "withdrawn" and north.status()["next"] == "Rest")
        ledger = party.services["north"].daemon.ledger
        assert [upload.data_key for upload in ledger.uploads(bytes.fromhex(digest))] == [b""]
        assert ledger.share(bytes.fromhex(digest)) is None

        # The others learn who left from the log that the enclave signed, and go on knowing it without the enclave.
        south, university = party.clients["south"], party.clients["university"]
        party.until(lambda: all(each.status()["stage"] == "ended" for each in (south, university)))
        boot.stop()
        for each in (south, university):
            told = each.status()
            assert (told["ended"]["by"], told["next"], told["trouble"]) == ("north", "Rest", None)
            assert [entry["leaf"] for entry in each.log(digest)[-2:]] == ["withdrawal", "destruction"]
        kept = party.services["south"].daemon.ledger
        assert [upload.data_key for upload in kept.uploads(bytes.fromhex(digest))] == [b""]
        assert kept.share(bytes.fromhex(digest)) is None
        with pytest.raises(OutOfOrder, match="north has withdrawn"):
            university.run("weight_by_grade")


def test_a_coordinator_too_busy_to_attest_leaves_a_prepared_upload_as_it_is(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    with too_busy_to_attest_for_uploads(4) as refused:
        boot = Boot(tmp_path / "coordinator")
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    rows = {"north": 50, "south": 50, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        digest = bytes.fromhex(party.sign_all(raw))
        party.until(lambda: loaded(party))
        assert len(refused) == 4
        for owner in ("north", "south"):
            (upload,) = party.services[owner].daemon.ledger.uploads(digest)
            assert upload.loaded
    boot.stop()


@pytest.mark.parametrize("after_a_restart", [False, True])
def test_a_daemon_that_was_away_when_a_party_left_learns_who_did(
    tmp_path: Path, member: Callable[..., Any], cards: Any, *, after_a_restart: bool
) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST))
    boot = Boot(tmp_path / "coordinator")
    rows = {"north": 50, "south": 50, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        digest = party.sign_all(raw)
        party.until(lambda: loaded(party))
        party.stop("south")
        party.clients["north"].withdraw("consent was withdrawn", digest[:8])
        party.until(lambda: party.clients["north"].status()["next"] == "Rest")
        if after_a_restart:
            boot.stop()
            boot = Boot(tmp_path / "coordinator", address=boot.address)
        south = party.start(members[1].config)
        party.until(lambda: south.status()["stage"] == "ended")
        boot.stop()
        told = south.status()
        assert told["ended"]["sentence"] == "north has withdrawn from it"
        assert (told["next"], told["trouble"], told["awaits_you"]) == ("Rest", None, [])
        assert [entry["leaf"] for entry in south.log(digest)[-2:]] == ["withdrawal", "destruction"]
        assert party.services["south"].daemon.ledger.share(bytes.fromhex(digest)) is None


def arriving(folder: Path, earlier: tuple[str, ...]) -> str:
    """Return the id of the upload of north's whose first chunks just became durable, as the disk shows at once."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        for durable in folder.glob("vault/*/durable"):
            upload = durable.parent
            if upload.name not in earlier and durable.stat().st_size and b"north" in (upload / "header").read_bytes():
                return upload.name
        time.sleep(0.002)
    raise AssertionError("nothing arrived")


def test_a_party_and_then_the_coordinator_die_in_the_middle_of_an_upload(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    rows = 1_200_000
    raw = contract_bytes(contract_of(cards, measure().code_digest))
    (tmp_path / "north").mkdir(exist_ok=True)
    with duckdb.connect() as database:
        columns = "range AS pid, 20 + range % 60 AS age, (1 + range % 3)::VARCHAR AS grade, 60.5::DOUBLE AS weight"
        database.execute(f"COPY (SELECT {columns} FROM range({rows})) TO '{tmp_path / 'north' / 'rows.parquet'}'")  # noqa: S608
    coordinator = Process(tmp_path / "coordinator")
    address = coordinator.address
    source = '[datasets.patients]\nsource = "rows.parquet"\n'
    north = member("north", address=address, settings=UNATTENDED, source=source)
    others = [
        member(name, address=address, rows=count, settings=UNATTENDED)
        for name, count in (("south", 50), ("university", 0))
    ]
    with gathered(north.config, *(each.config for each in others)) as party:
        digest = bytes.fromhex(party.sign_all(raw))
        first = arriving(tmp_path / "coordinator", ())
        party.services["north"].daemon.stop()
        party.stop("north")
        party.start(north.config)
        arriving(tmp_path / "coordinator", (first,))
        coordinator.kill()
        coordinator = Process(tmp_path / "coordinator", address=address)
        party.until(lambda: loaded(party))
        begun = party.services["north"].daemon.ledger.uploads(digest)
        assert [upload.loaded for upload in begun] == [False, True]  # another key after the party's own restart
        assert len({upload.data_key for upload in begun}) == 2
        run = party.clients["university"].run("weight_by_grade")
        party.until(party.clients["university"].results)
        table = party.clients["university"].release(run).tables[0].data.to_pydict()
        assert sum(table["patients"]) == rows + 50
    coordinator.kill()
