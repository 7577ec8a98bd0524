import contextlib
import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.errors import Forbidden, Malformed, Refusal
from mpc.questions import check_question
from mpc.questions.terms import SqlQuestion
from mpc.questions.uses import ColumnUse
from tests.sql_questions import ALLOWED, DATASETS, PARAMETERS, check

# Each attack broke a naive rewriter, or would: its name, the question, the code that refuses it.
ATTACKS = {
    "one amount in the low digits": (
        "select sum(age + case when pid = 'P7' then amt * 1e-9 else 0 end) from people", "argument"),
    "case smuggles one amount into a sum": ("select sum(case when pid = 'P7' then amt end) from people", "argument"),
    "case over a filterable column": ("select sum(case when age = 42 then amt end) from people", "argument"),
    "literal scaling": ("select sum(amt * 1000000007) from people", "argument"),
    "literal shift": ("select avg(amt + 1) from people", "argument"),
    "comparison in an argument": ("select avg(amt > 3) from people", "argument"),
    "parameter in an argument": ("select sum(amt * $since) from people", "argument"),
    "division in an argument": ("select sum(amt / flag) from people", "argument"),
    "salary from a derived table": (
        "select city, sum(b.s) from people, (select amt s from people where age = 7) b group by city", "not_listed"),
    "scalar subquery in where": (
        "select count(*) from people where age > (select max(age) from people)", "not_listed"),
    "scalar subquery selected": ("select (select amt from people limit 1), count(*) from people", "not_listed"),
    "exists": ("select count(*) from people where exists (select 1 from events where cost > 5)", "not_listed"),
    "in subquery": ("select count(*) from people where age in (select age from people)", "not_listed"),
    "common table": ("with t as (select * from people) select count(*) from t", "not_listed"),
    "having as an oracle": ("select city, count(*) from people group by city having max(amt) > 447", "not_listed"),
    "having on what is not released": (
        "select city, count(*) from people group by city having sum(amt) > 447", "not_released"),
    "having over rows": ("select city, count(*) from people group by city having amt > 4", "not_filterable"),
    "avg over an inner group": (
        "select avg(s) from (select sum(amt) s from people group by age)", "not_listed"),
    "lag mixes subjects": ("select sum(lag(amt) over (order by age)) from people", "not_listed"),
    "window": ("select count(*) over (partition by pid) from people", "not_listed"),
    "qualify": ("select city, count(*) from people group by city qualify row_number() over () = 1", "not_listed"),
    "aggregate in where": ("select count(*) from people where sum(amt) > 3", "aggregate_in_where"),
    "min": ("select min(amt) from people", "not_listed"),
    "max": ("select max(amt) from people", "not_listed"),
    "list": ("select list(amt) from people", "not_listed"),
    "array_agg": ("select array_agg(amt) from people", "not_listed"),
    "string_agg": ("select string_agg(note, ',') from people", "not_listed"),
    "group_concat": ("select group_concat(note) from people", "not_listed"),
    "first": ("select first(amt) from people", "not_listed"),
    "any_value": ("select any_value(amt) from people", "not_listed"),
    "arg_min": ("select arg_min(amt, age) from people", "not_listed"),
    "mode": ("select mode(amt) from people", "not_listed"),
    "histogram": ("select histogram(amt) from people", "not_listed"),
    "approx_top_k": ("select approx_top_k(note, 3) from people", "not_listed"),
    "reservoir": ("select reservoir_quantile(amt, 0.5) from people", "not_listed"),
    "bit_or": ("select bit_or(flag) from people", "not_listed"),
    "product": ("select product(amt) from people", "not_listed"),
    "entropy": ("select entropy(note) from people", "not_listed"),
    "quantile 0": ("select quantile_cont(amt, 0) from people", "quantile"),
    "quantile 1": ("select quantile_cont(amt, 1) from people", "quantile"),
    "quantile nan": ("select quantile_cont(amt, 'nan') from people", "quantile"),
    "quantile negative": ("select quantile_cont(amt, -0.5) from people", "quantile"),
    "quantile list": ("select quantile_cont(amt, [0.1, 0.5]) from people", "not_listed"),
    "quantile_disc is a value of a row": ("select quantile_disc(amt, 0.5) from people", "not_listed"),
    "sum distinct": ("select sum(distinct amt) from people", "argument"),
    "sum in an order": ("select sum(amt order by age) from people", "not_listed"),
    "to_json": ("select to_json(people) from people", "not_listed"),
    "whole row": ("select people, count(*) from people group by people", "unknown_column"),
    "whole row counted": ("select count(people) from people", "unknown_column"),
    "rowid": ("select rowid, count(*) from people group by rowid", "unknown_column"),
    "star": ("select * from people", "star"),
    "star of a source": ("select people.*, count(*) from people", "name"),
    "columns": ("select columns(*) from people", "not_listed"),
    "from first": ("from people", "star"),
    "a row": ("select city from people", "not_grouped"),
    "a row beside an aggregate": ("select city, count(*) from people", "not_grouped"),
    "query": ("select count(*) from query('select * from people')", "not_listed"),
    "query_table": ("select count(*) from query_table('people')", "not_listed"),
    "query in a condition": ("select count(*) from people where query('select 1')", "not_listed"),
    "duckdb tables": ("select count(*) from duckdb_settings()", "not_listed"),
    "system table": ("select count(*) from duckdb_columns", "unknown_dataset"),
    "information schema": ("select count(*) from information_schema.tables", "not_listed"),
    "file": ("select count(*) from 'people.csv'", "name"),
    "read_csv": ("select count(*) from read_csv('/etc/passwd')", "not_listed"),
    "range": ("select count(*) from range(10)", "not_listed"),
    "unnest": ("select count(*) from unnest([1, 2])", "not_listed"),
    "values": ("select count(*) from (values (1)) t", "not_listed"),
    "error is free": ("select count(*) from people where error('hit') is null", "not_listed"),
    "hash": ("select hash(city), count(*) from people group by 1", "not_listed"),
    "md5": ("select md5(city), count(*) from people group by 1", "not_listed"),
    "random": ("select count(*) from people where random() < 0.5", "not_listed"),
    "uuid": ("select count(*) from people where uuid() is null", "not_listed"),
    "now": ("select count(*) from people where born < now()", "not_listed"),
    "current_date": ("select count(*) from people where born < current_date", "not_listed"),
    "current_setting": ("select count(*) from people where current_setting('threads') = '1'", "not_listed"),
    "getvariable": ("select count(*) from people where getvariable('x') = 1", "not_listed"),
    "strptime quotes": ("select count(*) from people where strptime(city, '%Y') is null", "not_listed"),
    "subject in where": ("select count(*) from people where pid = 'P7'", "key_column"),
    "subject in filter": ("select count(*) filter (pid = 'P7') from people", "key_column"),
    "subject in count_if": ("select count_if(pid = 'P7') from people", "key_column"),
    "subject grouped": ("select pid, count(*) from people group by pid", "key_column"),
    "subject distinct": ("select distinct pid from people", "key_column"),
    "subject summed": ("select sum(badge) from people", "key_column"),
    "subject counted plainly": ("select count(pid) from people", "key_column"),
    "subject in order": ("select city, count(*) from people group by city order by pid", "key_column"),
    "identifier in where": ("select count(*) from people where badge = 7", "key_column"),
    "unfilterable in where": ("select count(*) from people where amt > 447", "not_filterable"),
    "unfilterable grouped": ("select amt, count(*) from people group by amt", "not_filterable"),
    "unfilterable in case": (
        "select case when amt > 447 then 1 else 0 end k, count(*) from people group by k", "not_filterable"),
    "unfilterable in distinct": ("select distinct note from people", "not_filterable"),
    "two columns in a grouping": (
        "select case when smokes then city end k, count(*) from people group by k", "grouping_columns"),
    "coalesce of a party tag": (
        "select coalesce(p.city, e.kind) k, sum(cost) from people p left join events e on p.pid = e.pid group by k",
        "grouping_columns"),
    "argument over two sources": (
        "select sum(p.flag * e.cost) from people p join events e on p.pid = e.pid", "argument_sources"),
    "arithmetic of aggregates": ("select sum(amt) - avg(amt) d from people", "aggregate_arithmetic"),
    "constant": ("select 1", "no_source"),
    "constant key": ("select 1 k, count(*) from people group by k", "grouping_columns"),
    "literal outside of the range": ("select count(*) from people where age > 121", "domain"),
    "literal outside of the codes": ("select count(*) from people where city = 'P7'", "domain"),
    "literal of IN outside": ("select count(*) from people where city in ('x', 'q')", "domain"),
    "date outside": ("select count(*) from people where born < '1800-01-01'", "domain"),
    "parameter outside of the range": ("select count(*) from people where age > $wide", "domain"),
    "parameter without a domain": ("select count(*) from people where city = $free", "parameter_domain"),
    "unknown parameter": ("select count(*) from people where age > $other", "unknown_parameter"),
    "positional parameter": ("select count(*) from people where age > ?", "unknown_parameter"),
    "constants alone": ("select count(*) from people where 1 = 1", "constant_comparison"),
    "another kind": ("select count(*) from people where city = 3", "kind"),
    "a date that is none": ("select count(*) from people where born = 'P0'", "time"),
    "naive time": ("select count(*) from events where at > '2026-01-01 00:00:00'", "time"),
    "pattern out of a column": ("select count(*) from people where city like city", "kind"),
    "milliseconds": ("select date_trunc('millisecond', at) k, count(*) from events group by k", "unit"),
    "cast to a struct": ("select count(*) from people where city::json is null", "cast"),
    "cross join": ("select count(*) from people cross join events", "join_kind"),
    "comma join": ("select count(*) from people, events", "join_kind"),
    "right join": ("select count(*) from people p right join events e on p.pid = e.pid", "join_kind"),
    "full join": ("select count(*) from people p full join events e on p.pid = e.pid", "join_kind"),
    "semi join": ("select count(*) from people p semi join events e on p.pid = e.pid", "join_kind"),
    "anti join": ("select count(*) from people p anti join events e on p.pid = e.pid", "join_kind"),
    "natural join": ("select count(*) from people natural join events", "not_listed"),
    "positional join": ("select count(*) from people positional join events", "not_listed"),
    "asof join": ("select count(*) from people p asof join events e on p.pid = e.pid and p.age >= e.cost",
        "not_listed"),
    "lateral": ("select count(*) from people p, lateral (select 1) e", "not_listed"),
    "join on a range": ("select count(*) from people p join events e on p.pid >= e.pid", "join_key"),
    "join on an undeclared key": ("select count(*) from people p join events e on p.city = e.kind", "join_key"),
    "join on a constant": ("select count(*) from people p join events e on p.pid = 'P7'", "join_key"),
    "join on true": ("select count(*) from people p join events e on true", "join_key"),
    "join on or": ("select count(*) from people p join events e on p.pid = e.pid or p.pid = e.kind", "join_key"),
    "many to many": ("select count(*) from events e join events f on e.pid = f.pid", "many_to_many"),
    "one alias twice": ("select count(*) from people p join events p on p.pid = p.pid", "alias"),
    "ambiguous": ("select count(distinct pid) from people p join events e on p.pid = e.pid", "ambiguous"),
    "sample": ("select count(*) from people using sample 10%", "not_listed"),
    "table sample": ("select count(*) from people tablesample 10%", "not_listed"),
    "inner limit": ("select count(*) from (select * from people limit 1)", "not_listed"),
    "limit in percent": ("select city, count(*) from people group by city limit 10%", "not_listed"),
    "limit by a parameter": ("select city, count(*) from people group by city limit $since", "limit"),
    "offset": ("select city, count(*) from people group by city limit 1 offset 2", "not_listed"),
    "distinct on": ("select distinct on (city) city, count(*) from people group by city", "not_listed"),
    "count of two": ("select count(distinct (age, city)) from people", "count"),
    "count of several": ("select count(distinct age, city) from people", "count"),
    "union": ("select count(*) from people union all select count(*) from people", "statement"),
    "two statements": ("select count(*) from people; select count(*) from people", "statement"),
    "insert": ("insert into people select * from people", "statement"),
    "attach": ("attach 'x.db'", "statement"),
    "copy": ("copy people to 'x.csv'", "statement"),
    "set": ("set threads = 1", "statement"),
    "pivot": ("pivot people on city using sum(amt)", "statement"),
    "summarize": ("summarize people", "statement"),
    "into": ("select count(*) into t from people", "not_listed"),
    "another catalog": ("select count(*) from main.people", "not_listed"),
    "same output name": ("select sum(amt) s, avg(amt) s from people", "output_name"),
    "unnamed band": ("select age // 10, count(*) from people group by 1", "output_name"),
    "grouping()": ("select city, grouping(city), count(*) from people group by rollup(city)", "not_listed"),
    "cube of too many": (
        "select age a, age+1 b, age+2 c, age+3 d, age+4 e, age+5 f, age+6 g from people group by cube(1,2,3,4,5,6,7)",
        "grouping_sets"),
    "too many terms": (
        "select sum((amt + flag + amt + flag + amt) * (amt + flag + amt + flag)) from people", "argument_terms"),
    "a power that is nearly the maximum": ("select sum(amt * amt * amt) from people", "argument_factors"),
    "a power of a sum": ("select avg((amt + flag) * amt * amt) from people", "argument_factors"),
    "a power in an association": ("select regr_sxx(amt, flag * flag * flag) from people", "argument_factors"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_says_what_to_write_instead(name: str) -> None:
    text, code = ATTACKS[name]
    with pytest.raises(Forbidden) as refused:
        check(text)
    assert refused.value.code == f"sql.{code}"
    assert refused.value.why
    assert refused.value.remedy


@pytest.mark.parametrize("text", ALLOWED)
def test_a_listed_form_is_printed_anew_with_every_name_qualified(text: str) -> None:
    checked = check(text)
    assert checked.text.startswith("SELECT ")
    assert "--" not in checked.text
    assert all(f'"."{use.column}"' in checked.text for use in checked.uses if use.role != "counted")


def test_every_column_in_every_clause_is_told_with_its_role() -> None:
    checked = check(
        "select p.city, count(distinct p.pid), sum(e.cost) filter (e.kind = 'u') c from people p "
        "left join events e on p.pid = e.pid where p.age > 20 group by p.city having c > 4 order by p.city"
    )
    assert checked.uses == tuple(
        sorted(
            ColumnUse(*use)
            for use in (
                ("people", "city", "grouped"), ("people", "city", "returned"), ("people", "pid", "counted"),
                ("people", "pid", "joined"), ("people", "age", "filtered"), ("events", "pid", "joined"),
                ("events", "pid", "counted"), ("events", "cost", "aggregated"), ("events", "kind", "filtered"),
            )
        )
    )  # fmt: skip
    assert checked.datasets == ("events", "people")


def test_having_order_and_limit_are_split_off_and_act_on_output_columns_only() -> None:
    checked = check("select city, sum(amt) s from people group by city having sum(amt) > -4.5 order by s desc limit 2")
    assert (checked.shown.having, checked.shown.order, checked.shown.limit) == ('("s" > (-4.5))', (("s", True),), 2)
    assert "HAVING" not in checked.text
    assert "LIMIT" not in checked.text


def test_a_sum_is_multiplied_out_into_the_terms_whose_subjects_are_counted() -> None:
    (measure,) = check("select sum(amt * flag + amt) s from people").measures
    assert [condition.count("<> 0") for condition in measure.conditions] == [1, 1]
    assert 'TRY("people"."amt" * "people"."flag") <> 0' in measure.conditions[0]
    assert '"people"."amt" <> 0' in measure.conditions[1]


def test_a_source_that_is_left_joined_by_a_sure_key_bears_only_on_what_reads_it() -> None:
    sure = DATASETS | {"wards": DATASETS["wards"].model_copy(
        update={"subject": DATASETS["people"].subject.model_copy(update={"column": "ward", "domain": "ward"})}
    )}  # fmt: skip
    text = "select {} from people p left join wards w using (ward)"
    assert check(text.format("count(*)"), sure).measures[0].sources == ("p",)
    assert check(text.format("count(*) filter (w.region = 'n')"), sure).measures[0].sources == ("p", "w")
    assert check(text.format("count(*)") + " where w.region = 'n'", sure).measures[0].sources == ("p", "w")


def test_a_join_by_a_key_that_two_owners_might_repeat_is_not_relied_on() -> None:
    checked = check("select count(*) from events e left join people p on e.pid = p.pid")
    assert {source.alias: source.multiplied for source in checked.sources} == {"e": True, "p": True}
    assert checked.measures[0].sources == ("e", "p")


def test_the_sentence_says_what_is_computed_over_what() -> None:
    sentence = check("select city, count(*), avg(amt) from people where age > 20 group by city limit 3").sentence
    for words in (
        "number of rows",
        "mean of people.amt",
        "over people",
        "conditions",
        "for each city",
        "released rows",
    ):
        assert words in sentence


def test_a_checked_question_is_frozen_and_comes_through_the_common_door() -> None:
    question = SqlQuestion(kind="sql", text="select count(*) from people")
    checked = check_question("n", question, PARAMETERS, DATASETS)
    assert checked == check_question("n", question, PARAMETERS, DATASETS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        checked.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("text", [
    "select " + "(" * 200 + "1" + ")" * 200, "select " + "-" * 3 + "- " * 500 + "a", "select [" * 100,
    "select count(*) from people where " + "not " * 300 + "smokes", "select " + "a + " * 4000 + "a",
    "x" * 20_001, "select \x00", "select '", "", ";", "select case", "\ud800",
])  # fmt: skip
def test_deep_long_and_broken_text_is_refused_in_bounded_work(text: str) -> None:
    with pytest.raises((Malformed, Forbidden)):
        check(text)


_WORDS = st.sampled_from(
    (  # noqa: SIM905 - a list of forty words reads better as words
        "select from people events where group by having order limit count ( ) * , . + - / case when then else end and "
        "or not in is null join left on using age city amt pid $since 'x' 1 0.5 sum avg over filter rollup with as "
        "distinct union cast interval exists :: [ ] { } => -> ? @ ; -- /* */ ' between like lateral pivot sample all"
    ).split()
)
_TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(_WORDS, max_size=30).map(" ".join),
    st.lists(_WORDS, max_size=12).map(lambda words: " ".join(["select", *words, "from people"])),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_TEXTS)
def test_hostile_text_is_answered_or_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(Refusal):
        check(text)
