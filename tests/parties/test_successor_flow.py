"""Daemons go on under a successor: they hand down their shares by themselves, and the old answers and counts hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.contract.document import contract_bytes
from mpc.errors import Exhausted
from tests.parties.conftest import contract_of, superseding
from tests.parties.coordinators import CODE_DIGEST, Boot
from tests.parties.gathering import Gathering, gathered

pytestmark = pytest.mark.slow

UNATTENDED = "[consent]\npermit_unattended = true\nreplace_unattended = true"
ROWS = {"north": 300, "south": 200, "university": 0}


def members(member: Callable[..., Any], address: str) -> list[Any]:
    return [member(name, address=address, rows=count, settings=UNATTENDED) for name, count in ROWS.items()]


def contracts(cards: Any) -> tuple[bytes, bytes]:
    """The contract before and its successor: two runs of one question in all, unattended."""
    computation = contract_of(cards, CODE_DIGEST).computations[0].model_copy(update={"runs": 2})
    before = contract_bytes(contract_of(cards, CODE_DIGEST, computations=(computation,)))
    superseded = superseding(sha256(before))
    after = contract_of(cards, CODE_DIGEST, computations=(computation,), title="The next", supersedes=superseded)
    return before, contract_bytes(after)


def to_loaded(party: Gathering, digest: str) -> None:
    party.until(lambda: all(is_loaded(client, digest) for client in party.clients.values()))


def is_loaded(client: Any, digest: str) -> bool:
    told = client.status()
    return told["contract"]["digest"] == digest and told["stage"] == "loaded"


def answered(party: Gathering) -> bytes:
    """Ask once more, and return the release as the university holds it."""
    university = party.clients["university"]
    run = university.run("weight_by_grade")
    party.until(lambda: any(result["run"] == run for result in university.results()))
    return university.release(run).to_bytes()


def share(party: Gathering, name: str, digest: str) -> bytes | None:
    return party.services[name].daemon.ledger.share(bytes.fromhex(digest))


def test_the_answer_and_the_count_of_the_contract_before_hold_under_the_successor(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    before, after = contracts(cards)
    boot = Boot(tmp_path / "before")
    with gathered(*(each.config for each in members(member, boot.address))) as party:
        first_contract = party.sign_all(before)
        to_loaded(party, first_contract)
        first = answered(party)
        party.until(lambda: all(client.status()["next"] == "Watch" for client in party.clients.values()))
        boot.stop()
        boot = Boot(tmp_path / "after", address=boot.address, predecessor=tmp_path / "before")
        to_loaded(party, party.sign_all(after))
        kinds = [event["kind"] for event in party.clients["north"].events()]
        assert "share_handed_down" in kinds
        assert answered(party) == first
        for owner in ("north", "south"):  # what was taken over lives on; nothing of the contract before is needed
            party.until(lambda owner=owner: share(party, owner, first_contract) is None)
        with pytest.raises(Exhausted, match=r"session\.run\.runs"):
            party.clients["university"].run("weight_by_grade")
    boot.stop()


def test_the_history_of_a_contract_that_expired_can_be_taken_over(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    before, after = contracts(cards)
    boot = Boot(tmp_path / "before")
    with gathered(*(each.config for each in members(member, boot.address))) as party:
        first_contract = party.sign_all(before)
        to_loaded(party, first_contract)
        first = answered(party)
        assert boot.instance._agreed is not None
        boot.instance._agreed.ending._late |= {"north", "south"}
        boot.instance._agreed.ending._expire()
        party.until(lambda: all(client.status()["stage"] == "ended" for client in party.clients.values()))
        boot.stop()
        for owner in ("north", "south"):
            (upload,) = party.services[owner].daemon.ledger.uploads(bytes.fromhex(first_contract))
            assert upload.data_key == b""
            assert share(party, owner, first_contract) is not None
        boot = Boot(tmp_path / "after", address=boot.address, predecessor=tmp_path / "before")
        to_loaded(party, party.sign_all(after))
        assert answered(party) == first
    boot.stop()


def test_status_names_whose_share_of_the_contract_before_is_missing(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    before, after = contracts(cards)
    boot = Boot(tmp_path / "before")
    with gathered(*(each.config for each in members(member, boot.address))) as party:
        first_contract = bytes.fromhex(party.sign_all(before))
        to_loaded(party, first_contract.hex())
        answered(party)
        boot.stop()
        boot = Boot(tmp_path / "after", address=boot.address, predecessor=tmp_path / "before")
        party.sign_all(after)
        ledger = party.services["south"].daemon.ledger
        kept = ledger.share(first_contract)
        assert kept is not None
        ledger.drop_keys(first_contract)
        north, south = party.clients["north"], party.clients["south"]
        party.until(lambda: waiting(north) == [("south", "inheritance", first_contract.hex())])
        party.until(lambda: [entry["what"] for entry in south.status()["awaits_you"]] == ["HandDownShare"])
        assert south.status()["awaits_you"][0]["refusal"]["code"] == "share.missing"
        assert north.status()["stage"] == "activated"

        ledger.add_share(first_contract, kept)  # the ledger was restored
        south.retry()
        party.until(lambda: all(client.status()["stage"] == "loaded" for client in party.clients.values()))

        north.withdraw("enough", sha256(after).hex()[:8])  # who leaves takes its share of the contract before along
        party.until(lambda: north.status()["next"] == "Rest")
        assert share(party, "north", first_contract.hex()) is None
        assert share(party, "south", first_contract.hex()) == kept
    boot.stop()


def waiting(client: Any) -> list[tuple[str, str, str]]:
    return [(entry["party"], entry["what"], entry["subject"]) for entry in client.status()["awaited"]]
