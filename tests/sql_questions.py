"""Terms and tables that the tests of questions in SQL share."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mpc.engines.sql import PlannedSql
from mpc.questions.sql import CheckedSql, check_sql
from mpc.questions.terms import Parameter
from mpc.results import RawResult
from mpc.table.batches import Table, arrow_schema, loaded_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Key, Subject
from tests.kept import kept

DAY = dt.date(2026, 1, 1)


def column(name: str, kind: Any = "float", **marks: Any) -> Column:
    is_decimal = kind == "decimal"
    return Column(
        name=name, description=name, type=kind, precision=12 if is_decimal else None, scale=2 if is_decimal else None,
        unit=marks.get("unit"), nullable=marks.get("nullable", True), missing=(), minimum=marks.get("minimum"),
        maximum=marks.get("maximum"), codes=tuple(Code(value=code, label=code) for code in marks.get("codes", ())),
        filterable=marks.get("filterable", False), identifier=marks.get("identifier", False),
    )  # fmt: skip


def dataset(name: str, columns: Sequence[Column], subject: str | None, **terms: Any) -> Dataset:
    return Dataset(
        name=name, description=name, owners=terms.get("owners", ("a", "b")), columns=tuple(columns),
        subject=Subject(
            domain=terms.get("domain", "person"), column=subject, identity=terms.get("identity", "disjoint"),
            normalisation=terms.get("normalisation", "exact"), rows=terms.get("rows", "one"),
        ),
        keys=tuple(Key(columns=columns, unique=unique) for columns, unique in terms.get("keys", ())),
        freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def people(**terms: Any) -> Dataset:
    columns = [
        column("pid", "text", nullable=False),
        column("badge", "integer", identifier=True),
        column("ward", "text", identifier=True),
        column("age", "integer", filterable=True, minimum="0", maximum="120", unit="year"),
        column("city", "category", filterable=True, codes=("x", "y", "z")),
        column("born", "date", filterable=True, minimum="1900-01-01", maximum="2026-12-31"),
        column("smokes", "boolean", filterable=True),
        column("amt", unit="EUR"),
        column("flag", "integer"),
        column("cents", "decimal"),
        column("note", "text"),
    ]
    keys = ((("pid",), True), (("ward",), False))
    return dataset("people", columns, "pid", **({"keys": keys} | terms))


def events(**terms: Any) -> Dataset:
    columns = [
        column("pid", "text", nullable=False),
        column("kind", "category", filterable=True, codes=("u", "v")),
        column("at", "timestamp", filterable=True),
        column("cost"),
    ]
    return dataset("events", columns, "pid", **({"keys": ((("pid",), False),), "rows": "many"} | terms))


def wards(**terms: Any) -> Dataset:
    columns = [column("ward", "text", nullable=False), column("region", "category", filterable=True, codes=("n", "s"))]
    public = {"identity": "none", "owners": ("a",), "domain": "wards", "keys": ((("ward",), True),)}
    return dataset("wards", columns, None, **(public | terms))


DATASETS: Mapping[str, Dataset] = {one.name: one for one in (people(), events(), wards())}
PARAMETERS = (
    Parameter(name="since", description="age", type="integer", allowed=None, minimum="18", maximum="99"),
    Parameter(name="town", description="city", type="category", allowed=("x", "y"), minimum=None, maximum=None),
    Parameter(name="free", description="no domain", type="text", allowed=None, minimum=None, maximum=None),
    Parameter(name="wide", description="age", type="integer", allowed=None, minimum="0", maximum="999"),
)


ALLOWED = [
    "select count(*) from people",
    "select count(*), count(amt), count(distinct pid), sum(amt), avg(amt) m, mean(flag) from people",
    "select stddev_samp(amt), stddev_pop(amt), stddev(flag), var_samp(amt), var_pop(amt), variance(flag) from people",
    "select covar_pop(amt, flag), covar_samp(amt, flag), corr(amt, flag), skewness(amt), kurtosis(amt) from people",
    "select regr_slope(amt, age), regr_intercept(amt, age), regr_r2(amt, age), regr_count(amt, age) from people",
    "select regr_avgx(amt, age), regr_avgy(amt, age), regr_sxx(amt, age), regr_sxy(amt, age) from people",
    "select regr_syy(amt, age), quantile(amt, 0.5) from people",
    "select median(amt), quantile_cont(amt, 0.05) low, quantile_cont(amt, 0.95) high from people",
    "select sum(amt * flag - amt + (-flag)) s from people",
    "select city, count(*) from people where age between 18 and 65 and not (city in ('x', 'y')) group by city",
    "select city, count(*) from people where age >= $since or city = $town group by all",
    "select count(*) from people where smokes and born >= date '2000-01-01' and born < '2020-01-01'",
    "select count(*) from people where smokes is true and city is not null and lower(city) like 'x%'",
    "select count(*) filter (where age > 20) from people",
    "select date_trunc('month', at) m, date_part('year', at) y, count(*) from events group by 1, 2",
    "select extract(year from born) y, year(born) y2, count(*) from people group by y, y2",
    "select case when age < 18 then 'child' when age < 65 then 'adult' end band, count(*) from people group by band",
    "select if(age < 18, 0, 1) k, floor(age / 10) * 10 d, age % 7 w, count(*) from people group by all",
    "select ln(age) l, sqrt(age) s, abs(age) a, ceil(age / 3) c, count(*) from people group by all",
    "select coalesce(city, 'x') c, nullif(age, 3) n, least(age, 60) l, count(*) from people group by all",
    "select greatest(age, 20) g, upper(trim(city)) u, date_diff('year', born, born) y from people group by all",
    "select try_cast(city as bigint) k, cast(age as varchar) a, round(age, -1) r, count(*) from people group by all",
    "select distinct city, smokes from people",
    "select city, smokes, count(*) from people group by grouping sets ((city, smokes), (city), ())",
    "select city, smokes, count(*) from people group by rollup (city, smokes)",
    "select city, smokes, count(*) from people group by city, cube (smokes)",
    "select city, count(*) n from people group by city having n > 5 and count(*) < 9 order by n desc, city limit 3",
    "select city c, sum(amt) from people group by city having c = 'x' order by 2",
    "select w.region, count(*) from people p left join wards w using (ward) group by w.region",
    "select p.city, sum(e.cost) from people p join events e on p.pid = e.pid group by p.city",
    'SELECT "City", COUNT(*) FROM People AS P GROUP BY P.CITY -- a comment',
]


def check(text: str, datasets: Mapping[str, Dataset] = DATASETS) -> CheckedSql:
    return check_sql("question", text, PARAMETERS, datasets)


def run_sql(
    checked: CheckedSql, tables: Mapping[str, tuple[Table, ...]], values: Mapping[str, object], *,
    memory_bytes: int, threads: int,
) -> RawResult:  # fmt: skip
    return PlannedSql(checked, memory_bytes=memory_bytes, threads=threads).answer(tables, values)


def table(terms: Dataset, owner: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of ``rows``; what a row leaves out is NULL."""
    schema = arrow_schema(terms)
    full = [{name: row.get(name) for name in schema.names} for row in rows]
    return loaded_table(terms, owner, kept(pa.Table.from_pylist(full, schema=schema), 7))
