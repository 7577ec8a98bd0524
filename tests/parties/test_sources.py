import importlib.util
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from mpc.errors import Forbidden, Misconfigured
from mpc.table.batches import BatchChecker, arrow_schema, checked_table
from mpc.table.schema import Code, Column, Dataset, Freshness, Subject
from parties.config import DatasetSettings
from parties.mapping import mapping_digest
from parties.profile import profile
from parties.sources import BATCH_BYTES, batches, opened

SECRET = "S3CRET-VALUE"


def column(name: str, kind: str, **changes: object) -> Column:
    plain = {
        "name": name, "description": name, "type": kind, "precision": None, "scale": None, "unit": None,
        "nullable": True, "missing": (), "minimum": None, "maximum": None, "codes": (), "filterable": False,
        "identifier": False,
    }  # fmt: skip
    return Column.model_validate(plain | changes)


def dataset(*columns: Column, **subject: object) -> Dataset:
    who = {"domain": "public", "column": None, "identity": "none", "normalisation": "exact", "rows": "many"} | subject
    return Dataset(
        name="visits", description="Visits", owners=("north",), columns=columns, subject=Subject.model_validate(who),
        keys=(), freshness=Freshness(refreshes=0, until=None),
    )  # fmt: skip


def settings(path: Path, columns: dict[str, Any] | None = None, **changes: Any) -> DatasetSettings:
    return DatasetSettings.model_validate({"source": path, "columns": columns or {}} | changes)


def rows(data: Dataset, place: DatasetSettings) -> list[dict[str, Any]]:
    return checked_table(data, "north", batches(data, place)).whole().to_pylist()


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "visits.csv"
    path.write_text(text)
    return path


def test_renames_units_codes_and_missing_codes_of_a_text_file(tmp_path: Path) -> None:
    data = dataset(
        column("code", "text"),
        column("age", "integer", missing=("-9",)),
        column("size_cm", "float"),
        column("smoker", "category", codes=(Code(value="no", label="no"), Code(value="yes", label="yes"))),
        column("agreed", "boolean"),
        column("day", "date"),
    )
    path = csv(
        tmp_path, "nr,alter,mm,rauch,ok,tag\n007,44,125,0,yes,2020-02-29\n008,-9,-1,1,no,\n009,,70,9,true,2020-03-01\n"
    )
    place = settings(
        path,
        {
            "code": {"from": "nr"},
            "age": {"from": "alter"},
            "size_cm": {"from": "mm", "factor": "0.1", "missing": ["-1"]},
            "smoker": {"from": "rauch", "codes": {"0": "no", "1": "yes"}, "missing": ["9"]},
            "agreed": {"from": "ok"},
            "day": {"from": "tag"},
        },
    )
    found = rows(data, place)
    assert [row["code"] for row in found] == ["007", "008", "009"]  # no detection took the zeros away
    assert [row["age"] for row in found] == [44, None, None]
    assert [row["size_cm"] for row in found] == [12.5, None, 7.0]
    assert [row["smoker"] for row in found] == ["no", "yes", None]
    assert [row["agreed"] for row in found] == [True, False, True]
    assert [str(row["day"]) for row in found] == ["2020-02-29", "None", "2020-03-01"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows", "feather", "json", "duckdb"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    table = pa.table({"alter": pa.array([31, 32, None], pa.int32()), "text": ["a", "b", "ä"], "flag": [1, 0, 1]})
    path = tmp_path / f"rows.{suffix}"
    place = settings(path, {"age": {"from": "alter"}, "word": {"from": "text"}})
    match suffix:
        case "parquet":
            pa.parquet.write_table(table, path)
        case "arrow" | "feather":
            with pa.ipc.new_file(path, table.schema) as file:
                file.write_table(table, max_chunksize=1)
        case "arrows":
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        case "json":
            path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
        case "duckdb":
            with duckdb.connect(str(path)) as database:
                database.register("given", table)
                database.execute("CREATE TABLE rows AS SELECT * FROM given")
            place = DatasetSettings.model_validate(
                {"database": path, "table": "rows", "columns": {"age": {"from": "alter"}, "word": {"from": "text"}}}
            )
    data = dataset(column("age", "integer"), column("word", "text"), column("flag", "boolean"))
    assert rows(data, place) == [
        {"age": 31, "word": "a", "flag": True},
        {"age": 32, "word": "b", "flag": False},
        {"age": None, "word": "ä", "flag": True},
    ]


@pytest.mark.skipif(importlib.util.find_spec("adbc_driver_manager") is None, reason="the adbc extra is not installed")
def test_a_database_behind_adbc_is_streamed_by_its_query(tmp_path: Path) -> None:
    path = tmp_path / "hospital.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE visit AS SELECT range AS n, 'w' || range AS word FROM range(5)")
    import _duckdb  # noqa: PLC0415 - only where the driver is

    place = DatasetSettings.model_validate(
        {
            "adbc": {"driver": _duckdb.__file__, "entrypoint": "duckdb_adbc_init", "options": {"path": str(path)}},
            "query": "SELECT * FROM visit WHERE n > 1",
            "columns": {"age": {"from": "n"}},
        }
    )
    data = dataset(column("age", "integer"), column("word", "text"))
    assert [row["word"] for row in rows(data, place)] == ["w2", "w3", "w4"]
    assert profile(data, place).rows == 3
    spoilt = place.model_copy(update={"query": f"SELECT '{SECRET}' FROM nowhere"})  # noqa: S608
    with pytest.raises(Misconfigured, match=r"source\.adbc") as refusal:
        rows(data, spoilt)
    assert SECRET not in str(refusal.value)


@pytest.mark.skipif(importlib.util.find_spec("adbc_driver_sqlite") is None, reason="the driver is not installed")
def test_an_adbc_driver_may_be_a_python_package(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hospital.sqlite")) as database:
        database.executescript("CREATE TABLE visit AS SELECT 1 AS n, 'a' AS word UNION ALL SELECT 2, 'b';")
    adbc = {"driver": "adbc_driver_sqlite", "uri": str(tmp_path / "hospital.sqlite")}
    place = DatasetSettings.model_validate({"adbc": adbc, "query": "SELECT n AS age, word FROM visit"})
    data = dataset(column("age", "integer"), column("word", "text"))
    assert rows(data, place) == [{"age": 1, "word": "a"}, {"age": 2, "word": "b"}]
    absent = {"adbc": adbc | {"driver": "adbc_driver_absent"}, "query": "SELECT 1"}
    with pytest.raises(Misconfigured, match=r"source\.adbc\.driver"):
        rows(data, DatasetSettings.model_validate(absent))


@pytest.mark.parametrize(
    ("kind", "changes", "value", "rule"),
    [
        ("integer", {}, "12.5", "whole"),
        ("integer", {}, f"{SECRET}", "integer"),
        ("integer", {}, "9223372036854775808", "integer"),
        ("float", {}, f"{SECRET}", "float"),
        ("decimal", {"precision": 5, "scale": 2}, "1.239", "scale"),
        ("decimal", {"precision": 5, "scale": 2}, "123456.5", "decimal"),
        ("boolean", {}, "perhaps", "boolean"),
        ("date", {}, "30.02.2020", "date"),
        ("date", {}, "2020-02-28 10:00:00", "time_of_day"),
        ("timestamp", {}, "2020-02-28 10:00:00", "zone"),
        ("timestamp", {}, "whenever+01", "timestamp"),
    ],
)
def test_a_broken_rule_names_column_and_rule_and_never_the_value(
    tmp_path: Path, kind: str, changes: dict[str, object], value: str, rule: str
) -> None:
    data = dataset(column("n", "integer"), column("x", kind, **changes))
    place = settings(csv(tmp_path, f"n,x\n1,\n2,{value}\n"))
    with pytest.raises(Forbidden) as refusal:
        rows(data, place)
    assert (refusal.value.code, refusal.value.field) == ("source.rule", "x")
    assert f"`{rule}`" in refusal.value.what
    assert value not in json.dumps(refusal.value.as_data())
    problems = {problem.rule: problem for problem in profile(data, place).columns[1].problems}
    assert problems[rule].examples == (value,)  # the owner, on its own machine, sees which
    assert problems[rule].rows == 1


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("CAST('2020-01-01 00:00:00' AS TIMESTAMP)", "mapping.naive_timestamp"),
        ("DATE '2020-01-01'", "mapping.type"),
        ("no_such_function(n)", "mapping.expression"),
        ("SELECT (", "mapping.expression"),
        ("missing_column + 1", "mapping.source_column"),
    ],
)
def test_what_cannot_become_a_time_is_told_before_any_row_is_read(tmp_path: Path, expression: str, code: str) -> None:
    data = dataset(column("n", "integer"), column("x", "timestamp"))
    place = settings(csv(tmp_path, "n\n1\n"), {"x": {"expression": expression}})
    with pytest.raises(Misconfigured) as refusal:
        rows(data, place)
    assert refusal.value.code == code


def test_a_naive_time_becomes_one_when_its_owner_says_the_zone(tmp_path: Path) -> None:
    data = dataset(column("x", "timestamp"))
    place = settings(csv(tmp_path, "t\n2020-07-01 12:00:00\n"), {"x": {"expression": "timezone('Europe/Berlin', t)"}})
    assert rows(data, place)[0]["x"].isoformat() == "2020-07-01T10:00:00+00:00"


def test_the_formats_of_another_country(tmp_path: Path) -> None:
    data = dataset(column("x", "float"), column("day", "date"), column("at", "timestamp"))
    place = settings(
        csv(tmp_path, "x;day;at\n1,5;31.12.2020;31.12.2020 23:00 +0100\n"),
        read={
            "delimiter": ";", "decimal_separator": ",", "date_format": "%d.%m.%Y",
            "timestamp_format": "%d.%m.%Y %H:%M %z",
        },
    )  # fmt: skip
    (row,) = rows(data, place)
    assert (row["x"], str(row["day"]), row["at"].isoformat()) == (1.5, "2020-12-31", "2020-12-31T22:00:00+00:00")


def test_a_column_that_the_source_lacks_is_met_with_the_nearest(tmp_path: Path) -> None:
    data = dataset(column("age", "integer"))
    with pytest.raises(Misconfigured) as refusal:
        rows(data, settings(csv(tmp_path, "n,alter\n1,2\n"), {"age": {"from": "altr"}}))
    assert refusal.value.code == "mapping.source_column"
    assert "did you mean `alter`?" in refusal.value.remedy
    with pytest.raises(Misconfigured) as refusal:
        rows(data, settings(csv(tmp_path, "n,age\n1,2\n"), {"agee": {"from": "age"}}))
    assert (refusal.value.code, refusal.value.remedy) == ("mapping.column", "did you mean `age`?")


def test_absent_and_unreadable_sources_are_refusals(tmp_path: Path) -> None:
    data = dataset(column("n", "integer"))
    with pytest.raises(Misconfigured, match=r"source\.absent"):
        rows(data, settings(tmp_path / "none.csv"))
    for name in ("bad.parquet", "bad.arrow", "bad.unknown"):
        (tmp_path / name).write_text(SECRET)
        with pytest.raises(Misconfigured) as refusal:
            rows(data, settings(tmp_path / name))
        assert SECRET not in str(refusal.value)


def test_the_empty_source_gives_one_empty_batch(tmp_path: Path) -> None:
    data = dataset(column("n", "integer"))
    found = list(batches(data, settings(csv(tmp_path, "n\n"))))
    assert [batch.num_rows for batch in found] == [0]
    assert found[0].schema.equals(arrow_schema(data))


def test_batches_are_of_the_agreed_size_whatever_the_rows_are_like(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT range AS n, repeat('x', 2000) AS word FROM range(20000)) TO '{path}'")  # noqa: S608
    data = dataset(column("n", "integer"), column("word", "text"))
    checker = BatchChecker(data)
    sizes = [checker.check(batch).nbytes for batch in batches(data, settings(path))]
    assert len(sizes) > 10
    assert max(sizes) < 1.5 * BATCH_BYTES


def test_the_profile_tells_an_owner_everything_that_an_upload_would_refuse(tmp_path: Path) -> None:
    data = dataset(
        column("pid", "text"),
        column("age", "integer", minimum="18", maximum="110", nullable=False),
        column("grade", "category", codes=(Code(value="1", label="one"),)),
        domain="patient", column="pid", identity="shared", normalisation="trim_casefold", rows="one",
    )  # fmt: skip
    place = settings(csv(tmp_path, "pid,age,grade\nA1,17,1\n a1,111,2\n,50,1\nB,,1\nC,x,1\n"))
    found = profile(data, place)
    told = {column.name: {problem.rule: problem.examples for problem in column.problems} for column in found.columns}
    assert told == {
        "pid": {"subject": ()},
        "age": {"integer": ("x",), "nullable": (), "minimum": ("17",), "maximum": ("111",)},
        "grade": {"codes": ("2",)},
    }
    assert found.repeated == ("pid",)
    assert not found.passed
    assert json.loads(json.dumps(found.as_data()))["rows"] == 5


def test_the_mapping_digest_names_what_is_done_to_values_and_nothing_else(tmp_path: Path) -> None:
    data = dataset(column("age", "integer"))
    plain = settings(tmp_path / "a.csv", {"age": {"from": "alter"}})
    elsewhere = settings(tmp_path / "b.csv", {"age": {"from": "alter"}})
    scaled = settings(tmp_path / "a.csv", {"age": {"from": "alter", "factor": "2"}})
    assert mapping_digest(data, plain) == mapping_digest(data, elsewhere)
    assert mapping_digest(data, plain) != mapping_digest(data, scaled)


_GROWTH = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_sources as t
data = t.dataset(t.column("n", "integer"), t.column("x", "float"), t.column("word", "text"))
total = sum(batch.num_rows for batch in t.batches(data, t.settings(Path(sys.argv[1]))))
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    peaks = []
    for rows_there in (250_000, 4_000_000):
        path = tmp_path / f"{rows_there}.parquet"
        with duckdb.connect() as database:
            database.execute(
                f"COPY (SELECT range AS n, range * 0.5::DOUBLE AS x, 'w' || range AS word FROM range({rows_there}))"  # noqa: S608
                f" TO '{path}'"
            )
        ran = subprocess.run(
            [sys.executable, "-c", _GROWTH, str(path), str(Path(__file__).parent)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        total, peak = map(int, ran.stdout.split())
        assert total == rows_there
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 64  # MiB; the larger table alone is over 100


AGES = "age\n30\n31\n"


def refusal_of(place: DatasetSettings) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        rows(dataset(column("age", "integer")), place)
    assert SECRET not in f"{caught.value.what} {caught.value.why} {caught.value.remedy}"
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "code", "why", "remedy"),
    [
        ("visits.csv", b"", "source.empty", "not one byte", "holds the rows"),
        ("visits.csv", b"age,name\n30,M\xfcller " + SECRET.encode() + b"\n", "source.unreadable", "UTF-8", "latin-1"),
        ("visits.parquet", AGES.encode(), "source.unreadable", "not a Parquet file", "ending"),
        ("visits.json", b"{" + SECRET.encode(), "source.unreadable", "JSON", "one object a line"),
        ("visits.dat", AGES.encode(), "source.unreadable", ".dat", ".parquet"),
        ("visits.csv", b"age;name\n30;" + SECRET.encode() + b"\n", "source.one_column", "delimiter", "delimiter"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_why_without_a_word_of_it(  # noqa: PLR0917 - one line a case
    tmp_path: Path, name: str, content: bytes, code: str, why: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(content)
    read = {"delimiter": ","} if code == "source.one_column" else {}
    refusal = refusal_of(settings(tmp_path / name, read=read))
    assert refusal.code == code
    assert why in refusal.why
    assert remedy in refusal.remedy


def test_the_engine_draws_no_bar_where_results_go(tmp_path: Path) -> None:
    with opened(dataset(column("age", "integer")), settings(csv(tmp_path, AGES))) as source:
        shown = source.connection.sql("SELECT current_setting('enable_progress_bar')").fetchall()
    assert shown == [(False,)]


def test_text_of_another_encoding_is_read_once_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_bytes("age,name\n30,Müller\n".encode("latin-1"))
    data = dataset(column("age", "integer"), column("name", "text"))
    place = settings(path, read={"encoding": "latin-1"})
    assert [row["name"] for row in rows(data, place)] == ["Müller"]


@pytest.mark.parametrize(
    ("asked", "why", "remedy"),
    [
        ({"table": "visit"}, "no such table", "visits"),
        ({"query": "SELEC age FROM visits"}, "does not parse", "SELECT"),
        ({"query": "SELECT ages FROM visits"}, "column that is not there", "query"),
    ],
)
def test_a_database_that_lacks_what_is_asked_says_what_it_has(
    tmp_path: Path, asked: dict[str, str], why: str, remedy: str
) -> None:
    path = tmp_path / "visits.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE visits AS SELECT 30 AS age")
    refusal = refusal_of(DatasetSettings.model_validate({"database": path, **asked}))
    assert refusal.code == "source.unreadable"
    assert why in refusal.why
    assert remedy in refusal.remedy
