"""An owner sends its rows anew because a person says so: later runs read the new ones, no more often than agreed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpc.contract.document import contract_bytes
from mpc.errors import Refusal
from mpc.table.schema import Freshness
from tests.parties.conftest import contract_of, patients, write_rows
from tests.parties.coordinators import CODE_DIGEST, Boot
from tests.parties.gathering import Gathering, gathered

pytestmark = pytest.mark.slow

UNATTENDED = "[consent]\npermit_unattended = true\n"
ONCE = Freshness(refreshes=1, until="2036-01-01T00:00:00Z")


def counted(party: Gathering) -> int:
    """Ask for a run and return how many patients its answer counts."""
    university = party.clients["university"]
    run = university.run("weight_by_grade")
    party.until(lambda: any(result["run"] == run for result in university.results()))
    return sum(university.release(run).tables[0].data.to_pydict()["patients"])


def test_later_runs_read_the_new_rows_and_a_refresh_too_many_is_refused(
    tmp_path: Path, member: Callable[..., Any], cards: Any
) -> None:
    raw = contract_bytes(contract_of(cards, CODE_DIGEST, datasets=(patients(freshness=ONCE),)))
    boot = Boot(tmp_path / "coordinator")
    rows = {"north": 300, "south": 200, "university": 0}
    members = [member(name, address=boot.address, rows=count, settings=UNATTENDED) for name, count in rows.items()]
    with gathered(*(each.config for each in members)) as party:
        party.sign_all(raw)
        party.until(lambda: all(client.status()["stage"] == "loaded" for client in party.clients.values()))
        assert counted(party) == 500

        north = party.clients["north"]
        write_rows(tmp_path / "north" / "patients.csv", 600)
        north.refresh("patients")
        party.until(lambda: [event["kind"] for event in north.events()].count("uploaded") == 2)
        assert counted(party) == 800

        with pytest.raises(Refusal, match=r"refresh\.fixed"):
            party.clients["university"].refresh("patients")
        with pytest.raises(Refusal, match=r"refresh\.spent"):
            north.refresh("patients")
        own = [upload["state"] for upload in north.status()["uploads"] if upload["owner"] == "north"]
        assert sorted(own) == ["loaded", "replaced"]

        # The enclave's own no, where the ledger did not know better, asks nothing of a person either.
        daemon = party.services["north"].daemon
        daemon.ask(lambda: daemon._refreshing.add("patients"))
        party.until(lambda: (north.status()["trouble"] or {}).get("code") == "session.upload.refreshes")
        assert north.status()["awaits_you"] == []
        assert daemon.ask(lambda: daemon._refreshing) == set()
    boot.stop()
