"""Every statistical method from the signed contract over sealed uploads of two owners to the recipient's report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpc.canonical import canonical_json
from mpc.contract.document import strictest
from mpc.disclosure import control
from mpc.engines.statistics import run_statistics
from mpc.questions.statistics import METHODS, check_statistics
from parties.report import data as report_data
from parties.report.building import build_report
from parties.report.html import html
from tests.coordinator.room import Room, room_in
from tests.statistics_examples import EXAMPLES, dataset, rows, study, tables

WHOLE = rows(700, seed=1)


def computation(method: str) -> dict[str, Any]:
    arguments = {name: list(values) for name, values in EXAMPLES[method].items()}
    return {
        "name": method, "purpose": "to test", "parameters": [], "recipients": ["university"], "runs": 2,
        "unattended": 2,
        "question": {"kind": "statistics", "method": method, "dataset": "patients", "arguments": arguments},
    }  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder: Path = tmp_path_factory.mktemp("statistics")
    asked = [computation(method) for method in sorted(EXAMPLES)]
    with room_in(folder, datasets=[study()], computations=asked) as room:
        room.to_activated()
        for owner, name in enumerate(("north", "south")):
            part = WHOLE.take(list(range(owner, WHOLE.num_rows, 2)))
            room.upload(name, [part.slice(0, 100), part.slice(100)])
        yield room


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_from_contract_to_report(room: Room, method: str) -> None:
    run = room.run(method)
    release, receipt = room.result(run)
    assert release.failure is None
    assert receipt.computation.name == method

    terms = dataset()
    question = room.contract.computation(method)
    assert question is not None
    checked = check_statistics(method, question.question, {"patients": terms})
    expected = control(run_statistics(checked, {"patients": tables(terms, WHOLE, 10_000)}), strictest(room.contract))
    for found, table in zip(release.tables, expected.tables, strict=True):
        assert (found.name, found.masks, found.withheld) == (table.name, table.masks, table.withheld)
        for line, same in zip(found.data.to_pylist(), table.data.to_pylist(), strict=True):
            assert line.keys() == same.keys()
            for name, value in line.items():
                close = pytest.approx(same[name], rel=1e-5) if isinstance(value, float) else same[name]
                assert value == close, name
    report = build_report(room.contract, room.digest, release, computation=method, parameters={}, provenance=None)
    assert f"statistics.{method}" in html([report])
    assert report_data.as_data(report)["tables"]
    assert canonical_json(question)
