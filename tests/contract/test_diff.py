from collections.abc import Callable
from typing import Any

import pytest

from mpc.contract.diff import Change, diff, only_enclaves_differ
from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract

Document = dict[str, Any]
Spell = Callable[[Document], bytes]


def changed(document: Document, contract: Contract, spell: Spell) -> tuple[Change, ...]:
    return diff(contract, parse_contract(spell(document)))


def test_equal_contracts_do_not_differ(contract: Contract) -> None:
    assert diff(contract, contract) == ()
    assert not only_enclaves_differ(contract, contract)


def test_a_change_names_its_place_and_both_sides(document: Document, contract: Contract, spell: Spell) -> None:
    document["datasets"][0]["columns"][1]["maximum"] = "120"
    (change,) = changed(document, contract, spell)
    assert change == Change("datasets.patients.columns.age.maximum", "110", "120")
    assert change.words == "dataset patients: column age: maximum was 110 and is now 120"
    assert change.area == "datasets"
    assert change.as_data() == {"path": change.path, "old": "110", "new": "120", "words": change.words}


def test_what_is_added_and_what_is_gone_are_told_apart(document: Document, contract: Contract, spell: Spell) -> None:
    document["computations"][0]["name"] = "grades"
    new, old = changed(document, contract, spell)[::-1]
    assert (old.path, old.new) == ("computations.nodes_by_grade", None)
    assert (new.path, new.old) == ("computations.grades", None)
    assert old.words.startswith("computation nodes_by_grade is gone")
    assert new.words.startswith("computation grades is new")


def test_columns_in_another_order_are_a_difference(document: Document, contract: Contract, spell: Spell) -> None:
    columns = document["datasets"][0]["columns"]
    columns[3], columns[4] = columns[4], columns[3]
    (change,) = changed(document, contract, spell)
    assert change.path == "datasets.patients.columns.order"


def test_a_changed_rule_of_one_owner_is_named(document: Document, contract: Contract, spell: Spell) -> None:
    document["disclosure"][1]["rules"]["threshold"] = 3
    (change,) = changed(document, contract, spell)
    assert change.words == "disclosure rules of south: rules: threshold was 10 and is now 3"


@pytest.mark.parametrize(
    "path",
    [
        ("title",), ("purpose",), ("parties", 0, "label"), ("datasets", 0, "description"),
        ("datasets", 0, "subject", "normalisation"), ("computations", 0, "purpose"),
        ("computations", 0, "question", "text"), ("limits", "run_seconds"), ("attested_key_seconds",),
        ("valid_until",), ("supersedes",), ("enclaves", 0, "code_digest"),
    ],
)  # fmt: skip
def test_no_field_changes_unseen(
    document: Document, contract: Contract, spell: Spell, path: tuple[str | int, ...]
) -> None:
    values = {
        "text": "SELECT avg(age) AS age FROM patients", "normalisation": "trim_casefold", "run_seconds": 31,
        "attested_key_seconds": 61, "valid_until": "2026-12-01T00:00:00Z", "code_digest": "cd" * 32,
        "supersedes": {"contract": "ab" * 32, "history": "follows"},
    }  # fmt: skip
    at: Any = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = values.get(str(path[-1]), "Something else")
    changes = changed(document, contract, spell)
    assert changes
    assert all(change.area == path[0] for change in changes)


def test_an_amendment_of_enclaves_alone_is_recognised(document: Document, contract: Contract, spell: Spell) -> None:
    document["enclaves"][0]["code_digest"] = "cd" * 32
    document["supersedes"] = {"contract": "ab" * 32, "history": "follows"}
    assert only_enclaves_differ(contract, parse_contract(spell(document)))
    document["computations"][0]["runs"] = 4
    assert not only_enclaves_differ(contract, parse_contract(spell(document)))


def test_a_change_at_the_end_of_a_long_text_shows(document: Document, contract: Contract, spell: Spell) -> None:
    document["purpose"] = "long " * 100 + "one"
    before = parse_contract(spell(document))
    document["purpose"] = "long " * 100 + "two"
    (change,) = diff(before, parse_contract(spell(document)))
    assert change.old is not None
    assert change.old.endswith("one")


def test_another_key_shows_as_another(document: Document, contract: Contract, spell: Spell) -> None:
    key = document["parties"][0]["sealing_key"]
    document["parties"][0]["sealing_key"] = f"{key[:800]}{'A' if key[800] != 'A' else 'B'}{key[801:]}"
    (change,) = changed(document, contract, spell)
    assert change.old != change.new
    assert len(change.words) < 400
