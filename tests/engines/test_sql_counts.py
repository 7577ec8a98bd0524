"""Contributors of every cell, held against a count in plain Python that knows nothing of SQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.questions.sql import CheckedSql
from mpc.results import Largest, RawTable
from mpc.table.schema import Dataset
from tests.sql_questions import check, events, people, run_sql, table

Row = Mapping[str, Any]
Joined = Mapping[str, Row | None]
"""One joined row: for each alias its row, None where a LEFT JOIN found nothing."""

Condition = Callable[[Joined], bool]
Count = tuple[int, tuple[tuple[str, int], ...]]


def value(row: Joined, alias: str, column: str) -> Any:
    source = row[alias]
    return None if source is None else source[column]


def present(*places: tuple[str, str]) -> Condition:
    return lambda row: all(value(row, *place) is not None for place in places)


def adds(*terms: Sequence[tuple[str, str]], there: Sequence[tuple[str, str]]) -> list[Condition]:
    """One condition a term: everything in the argument is there, and the term is not zero."""

    def condition(term: Sequence[tuple[str, str]]) -> Condition:
        return lambda row: present(*there)(row) and all(value(row, *place) != 0 for place in term)

    return [condition(term) for term in terms]


def both(left: Condition, right: Condition) -> Condition:
    return lambda row: left(row) and right(row)


def every(_: Joined) -> bool:
    return True


def old(row: Joined) -> bool:
    age = value(row, "p", "age")
    return age is not None and age > 50


def kind_u(row: Joined) -> bool:
    return value(row, "e", "kind") == "u"


AMT, FLAG, COST = ("p", "amt"), ("p", "flag"), ("e", "cost")
ALONE = {
    "n": ("count(*)", [every]),
    "o": ("count(*) filter (age > 50)", [old]),
    "c": ("count(amt)", [present(AMT)]),
    "s": ("sum(amt)", adds([AMT], there=[AMT])),
    "f": ("sum(amt) filter (age > 50)", [both(old, one) for one in adds([AMT], there=[AMT])]),
    "a": ("avg(flag)", adds([FLAG], there=[FLAG])),
    "t": ("sum(amt * flag + amt)", adds([AMT, FLAG], [AMT], there=[AMT, FLAG])),
}
NOT_IN_PARTS = {
    "d": ("count(distinct pid)", [present(("p", "pid"))]),
    "v": ("var_pop(amt)", adds([AMT], there=[AMT])),
    "r": ("corr(amt, flag)", adds([AMT, FLAG], there=[AMT, FLAG])),
}
JOINED = {
    "n": ("count(*)", [every]),
    "u": ("count(*) filter (e.kind = 'u')", [kind_u]),
    "c": ("sum(e.cost)", adds([COST], there=[COST])),
    "s": ("sum(p.amt)", adds([AMT], there=[AMT])),
    "d": ("count(distinct e.pid)", [present(("e", "pid"))]),
}
WEIGHED: Mapping[str, tuple[Condition, list[Sequence[tuple[str, str]]]]] = {
    "s": (every, [[AMT]]),
    "f": (old, [[AMT]]),
    "a": (every, [[FLAG]]),
    "t": (present(AMT, FLAG), [[AMT, FLAG], [AMT]]),
    "v": (every, [[AMT]]),
}
"""Of measures of magnitudes: which rows are weighed, and the terms whose absolute values are."""
WEIGHED_JOINED: Mapping[str, tuple[Condition, list[Sequence[tuple[str, str]]]]] = {
    "c": (every, [[COST]]), "s": (every, [[AMT]]),
}  # fmt: skip
Measures = Mapping[str, tuple[str, list[Condition]]]


def question(measures: Measures, rest: str) -> str:
    return f"select {', '.join(f'{text} {name}' for name, (text, _) in measures.items())}, city {rest}"


IDENTITIES = st.sampled_from(["shared", "disjoint", "unknown"])
NORMALISATIONS = st.sampled_from(["exact", "trim_casefold"])
SUBJECTS = st.sampled_from(["p1", " P1", "p2", "P2 ", "p3", "p4", "p5"])
PEOPLE = st.fixed_dictionaries({
    "pid": SUBJECTS, "city": st.sampled_from(["x", "y", None]), "age": st.sampled_from([None, 30, 60, 70]),
    "amt": st.sampled_from([None, 0.0, 1.5, -2.0]), "flag": st.sampled_from([None, 0, 0, 1]),
})  # fmt: skip
EVENTS = st.fixed_dictionaries({
    "pid": SUBJECTS, "kind": st.sampled_from(["u", "v", None]), "cost": st.sampled_from([None, 0.0, 4.0]),
})  # fmt: skip


def owned(rows: st.SearchStrategy[Row], owners: Sequence[str], *, unique: bool) -> st.SearchStrategy[Any]:
    key = (lambda row: row["pid"].strip().lower()) if unique else None
    return st.fixed_dictionaries(
        {owner: st.lists(rows, max_size=6, unique_by=key) if key else st.lists(rows, max_size=6) for owner in owners}
    )


def run(
    text: str, datasets: Mapping[str, Dataset], rows: Mapping[str, Mapping[str, Sequence[Row]]]
) -> tuple[CheckedSql, RawTable]:
    checked = check(text, datasets)
    tables = {
        name: tuple(table(terms, owner, rows[name][owner]) for owner in terms.owners)
        for name, terms in datasets.items()
    }
    return checked, run_sql(checked, tables, {}, memory_bytes=1 << 30, threads=1).tables[0]


def flat(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    return [{"owner": owner} | row for owner, each in rows.items() for row in each]


def subject(row: Row, terms: Dataset) -> str:
    folds = terms.subject.normalisation == "trim_casefold"
    return str(row["pid"]).strip().lower() if folds else str(row["pid"])


def counted(rows: Iterable[Joined], alias: str, terms: Dataset, condition: Condition) -> Count:
    """Return how many distinct subjects of ``alias`` stand behind a cell, in all and without each owner."""
    held: dict[str, set[str]] = {owner: set() for owner in terms.owners}
    for row in rows:
        source = row[alias]
        if source is not None and condition(row):
            held[source["owner"]].add(subject(source, terms))

    def together(owners: Iterable[str]) -> int:
        sets = [held[owner] for owner in owners]
        if terms.subject.identity == "shared":
            return len(set().union(*sets))
        sizes = [len(one) for one in sets]
        return max(sizes, default=0) if terms.subject.identity == "unknown" else sum(sizes)

    without = () if len(terms.owners) == 1 else terms.owners
    return together(terms.owners), tuple((p, together(o for o in terms.owners if o != p)) for p in without)


Weight = tuple[float, float, tuple[tuple[str, float, float], ...]]


def weighed(
    rows: Iterable[Joined], alias: str, terms: Dataset, condition: Condition, term: Sequence[tuple[str, str]]
) -> Weight:
    """Return the absolute values of ``term`` added, and the largest subject's, in all and without each owner."""
    held: dict[tuple[str, str], float] = {}
    for row in rows:
        source = row[alias]
        factors = [value(row, *place) for place in term]
        if source is not None and condition(row) and None not in factors:
            at = source["owner"], subject(source, terms)
            held[at] = held.get(at, 0.0) + abs(float(np.prod(factors)))

    def together(owners: Sequence[str]) -> tuple[float, float]:
        kept = {at: weight for at, weight in held.items() if at[0] in owners}
        shared = terms.subject.identity == "shared"
        names = {name for _, name in kept}
        units = [sum(w for (_, n), w in kept.items() if n == name) for name in names] if shared else kept.values()
        largest = max(units, default=0.0)
        if terms.subject.identity == "unknown":
            largest = sum(max((w for (o, _), w in kept.items() if o == owner), default=0.0) for owner in owners)
        return sum(kept.values()), largest

    without = () if len(terms.owners) == 1 else terms.owners
    return *together(terms.owners), tuple((p, *together([o for o in terms.owners if o != p])) for p in without)


def assert_weights(
    raw: RawTable,
    rows: Sequence[Joined],
    measures: Mapping[str, tuple[Condition, list[Sequence[tuple[str, str]]]]],
    datasets: Mapping[str, Dataset],
) -> None:
    def shown(largest: Largest, i: int) -> Weight:
        left = ((party, float(one.total[i]), float(one.first[i])) for party, one in largest.without.items())
        return float(largest.total[i]), float(largest.first[i]), tuple(left)

    assert set(raw.largest) == set(measures)
    for i, (city, margin) in enumerate(zip(raw.data.column("city").to_pylist(), raw.margins.tolist(), strict=True)):
        group = [row for row in rows if margin or value(row, "p", "city") == city]
        for name, (condition, terms_of) in measures.items():
            expected = {
                weighed(group, alias, terms, condition, term) for alias, terms in datasets.items() for term in terms_of
            }
            assert {shown(one, i) for one in raw.largest[name]} == expected, (name, city)
            assert all((one.second == one.first).all() for one in raw.largest[name])


def assert_counts(raw: RawTable, rows: Sequence[Joined], measures: Measures, datasets: Mapping[str, Dataset]) -> None:
    for i, (city, margin) in enumerate(zip(raw.data.column("city").to_pylist(), raw.margins.tolist(), strict=True)):
        group = [row for row in rows if margin or value(row, "p", "city") == city]
        for name, (_, conditions) in measures.items():
            found = {
                (int(one.total[i]), tuple((party, int(left[i])) for party, left in one.without.items()))
                for one in raw.contributors[name]
            }
            expected = {
                counted(group, alias, terms, one) for alias, terms in datasets.items() for one in [*conditions, every]
            }
            assert found == expected, (name, city)


def assert_groups(raw: RawTable, rows: Sequence[Joined]) -> None:
    plain = [
        city
        for city, margin in zip(raw.data.column("city").to_pylist(), raw.margins.tolist(), strict=True)
        if not margin
    ]
    assert sorted(map(str, plain)) == sorted({str(value(row, "p", "city")) for row in rows})


@pytest.mark.parametrize("extra", [{}, NOT_IN_PARTS], ids=["in one pass", "in several"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_source(extra: Measures, data: st.DataObject) -> None:
    rows_of = data.draw(st.sampled_from(["one", "many"]))
    owners = data.draw(st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")]))
    terms = people(identity=data.draw(IDENTITIES), normalisation=data.draw(NORMALISATIONS), rows=rows_of, owners=owners)
    rows = data.draw(owned(PEOPLE, owners, unique=rows_of == "one"))
    grouping = data.draw(st.sampled_from(["city", "rollup (city)"]))
    measures = {**ALONE, **extra}
    _, raw = run(question(measures, f"from people p group by {grouping}"), {"people": terms}, {"people": rows})
    joined = [{"p": row} for row in flat(rows)]
    assert_groups(raw, joined)
    assert_counts(raw, joined, measures, {"p": terms})
    assert_weights(raw, joined, {name: each for name, each in WEIGHED.items() if name in measures}, {"p": terms})


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_two_sources_that_are_joined(data: st.DataObject) -> None:
    left = people(identity=data.draw(IDENTITIES), rows=data.draw(st.sampled_from(["one", "many"])))
    right = events(
        identity=data.draw(IDENTITIES), rows=data.draw(st.sampled_from(["one", "many"])),
        owners=data.draw(st.sampled_from([("a",), ("b", "c")])),
    )  # fmt: skip
    rows = {
        "people": data.draw(owned(PEOPLE, left.owners, unique=left.subject.rows == "one")),
        "events": data.draw(owned(EVENTS, right.owners, unique=right.subject.rows == "one")),
    }
    kind = data.draw(st.sampled_from(["join", "left join"]))
    text = question(JOINED, f"from people p {kind} events e on p.pid = e.pid group by city")
    _, raw = run(text, {"people": left, "events": right}, rows)
    joined: list[Joined] = []
    for person in flat(rows["people"]):
        found = [event for event in flat(rows["events"]) if event["pid"] == person["pid"]]
        joined += [{"p": person, "e": event} for event in found]
        if not found and kind == "left join":
            joined.append({"p": person, "e": None})
    assert_groups(raw, joined)
    assert_counts(raw, joined, JOINED, {"p": left, "e": right})
    assert_weights(raw, joined, WEIGHED_JOINED, {"p": left, "e": right})


def test_values_are_those_of_the_question_in_one_pass_and_in_several() -> None:
    rows = {"a": [{"pid": "p1", "city": "x", "amt": 1.0, "flag": 1}], "b": [{"pid": "p2", "city": "x", "amt": 4.0}]}
    for extra in ({}, NOT_IN_PARTS):
        _, raw = run(
            question({**ALONE, **extra}, "from people p group by city"), {"people": people()}, {"people": rows}
        )
        (row,) = raw.data.to_pylist()
        assert {name: row[name] for name in ALONE} == {
            "n": 2, "o": 0, "c": 2, "s": 5.0, "f": None, "a": 1.0, "t": 2.0,
        }  # fmt: skip
