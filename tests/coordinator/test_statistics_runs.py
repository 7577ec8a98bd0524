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
from tests.statistics_examples import EXAMPLES, VARIANTS, dataset, rows, study, tables

WHOLE = rows(700, seed=1)


ASKED = {**{method: (method, arguments) for method, arguments in EXAMPLES.items()}, **VARIANTS}


def computation(name: str) -> dict[str, Any]:
    method, given = ASKED[name]
    arguments = {argument: list(values) for argument, values in given.items()}
    return {
        "name": name, "purpose": "to test", "parameters": [], "recipients": ["university"], "runs": 2,
        "unattended": 2,
        "question": {"kind": "statistics", "method": method, "dataset": "patients", "arguments": arguments},
    }  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder: Path = tmp_path_factory.mktemp("statistics")
    asked = [computation(name) for name in sorted(ASKED)]
    with room_in(folder, datasets=[study()], computations=asked) as room:
        room.to_activated()
        for owner, name in enumerate(("north", "south")):
            part = WHOLE.take(list(range(owner, WHOLE.num_rows, 2)))
            room.upload(name, [part.slice(0, 100), part.slice(100)])
        yield room


def test_every_method_is_asked() -> None:
    assert {method for method, _ in ASKED.values()} == set(METHODS)


@pytest.mark.parametrize("asked", sorted(ASKED))
def test_a_method_from_contract_to_report(room: Room, asked: str) -> None:
    run = room.run(asked)
    release, receipt = room.result(run)
    assert release.failure is None
    assert receipt.computation.name == asked

    terms = dataset()
    question = room.contract.computation(asked)
    assert question is not None
    checked = check_statistics(asked, question.question, {"patients": terms})
    expected = control(run_statistics(checked, {"patients": tables(terms, WHOLE, 10_000)}), strictest(room.contract))
    for found, table in zip(release.tables, expected.tables, strict=True):
        assert (found.name, found.masks, found.withheld) == (table.name, table.masks, table.withheld)
        for line, same in zip(found.data.to_pylist(), table.data.to_pylist(), strict=True):
            assert line.keys() == same.keys()
            for name, value in line.items():
                close = pytest.approx(same[name], rel=1e-5) if isinstance(value, float) else same[name]
                assert value == close, name
    report = build_report(room.contract, room.digest, release, computation=asked, parameters={}, provenance=None)
    assert f"statistics.{ASKED[asked][0]}" in html([report])
    assert report_data.as_data(report)["tables"]
    assert canonical_json(question)


def test_left_truncation_and_robust_errors_reach_the_recipient(room: Room) -> None:
    def told(name: str, table: str, column: str) -> list[Any]:
        release, _ = room.result(room.run(name))
        return next(each for each in release.tables if each.name == table).data.column(column).to_pylist()

    plain, cut = (told(name, "survival", "survival") for name in ("kaplan_meier", "kaplan_meier_left_truncated"))
    # Few are left at the last step, which control withholds.
    assert None not in cut[:-1]
    assert all(one != other for one, other in zip(cut[:-1], plain, strict=False))
    model = told("cox", "coefficients", "standard_error")
    for name in ("cox_robust_by_cluster", "cox_robust_by_subject"):
        robust = told(name, "coefficients", "standard_error")
        assert None not in robust
        assert robust != model
