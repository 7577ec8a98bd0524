"""Children that are prepared before they are wanted: handed out once, alive, to whom they were prepared for."""

import os
from collections.abc import Iterator

import pytest

from mpc.contract.document import parse_contract
from mpc.coordinator.children import READY_MAX, Preparation, Template
from mpc.coordinator.execution import Execution, Input, RunFailed, RunOrder, preparation
from mpc.coordinator.loading import Rows
from mpc.sealing.stream import DataKey
from tests.coordinator.room import Member, contract_of

RAW = contract_of({name: Member(name) for name in ("north", "south", "university")})
LIMITS = parse_contract(RAW).limits


def prepared_for(seconds: int = 30) -> Preparation:
    """Return what a child is told that may run so long."""
    return preparation(RAW, "by_group", LIMITS.model_copy(update={"run_seconds": seconds}))


@pytest.fixture
def template() -> Iterator[Template]:
    made = Template("runner")
    yield made
    made.close()


def ready(template: Template) -> list[int]:
    return [child.process.pid for _, child in template._ready]


def test_a_prepared_child_is_handed_out_once_and_only_to_whom_it_was_prepared_for(template: Template) -> None:
    template.make_ready(prepared_for(), 2)
    first, second = ready(template)
    others = [template.take(prepared_for(31)), template.take(preparation(RAW, "another", LIMITS))]
    taken = [template.take(prepared_for()) for _ in range(3)]
    assert {child.process.pid for child in taken[:2]} == {first, second}
    assert not {child.process.pid for child in (*others, taken[2])} & {first, second}
    for child in (*others, *taken):
        child.kill()


def test_a_prepared_child_that_has_ended_is_not_handed_out(template: Template) -> None:
    template.make_ready(prepared_for())
    ((_, ended),) = template._ready
    ended.process.kill()
    ended.process.wait()
    child = template.take(prepared_for())
    assert child.process.pid != ended.process.pid
    assert not child.process.has_ended()
    child.kill()


def test_those_prepared_first_go_when_there_are_too_many_and_all_with_the_template(template: Template) -> None:
    processes = []
    for number in range(READY_MAX + 1):
        template.make_ready(prepared_for(30 + number), READY_MAX + 5 if number == 0 else 1)
        processes += [child.process for _, child in template._ready if child.process not in processes]
    assert len(processes) == 2 * READY_MAX
    assert ready(template) == [process.pid for process in processes[-READY_MAX:]]
    template.close()
    assert all(process._ended(20_000) for process in processes)


def test_a_run_is_handed_more_tables_than_a_process_may_usually_open(template: Template) -> None:
    tables = 150
    rows = [Rows(bytes(32), bytes(32), 1, os.memfd_create("rows"), DataKey(bytes(32)), int) for _ in range(tables)]
    inputs = [Input("patients", "north", None, each) for each in rows]  # type: ignore[arg-type] - it is not streamed
    child = template.take(prepared_for())
    with pytest.raises(RunFailed) as failed:
        Execution(child, RunOrder({}, inputs, 30), None).result()  # type: ignore[arg-type]
    assert failed.value.code == "run.rows_missing"  # each was read, and they are not one of each owner
    for each in rows:
        each.close()
