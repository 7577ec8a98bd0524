"""A party's mapping of its own columns to the contract's, compiled to SQL over its own source.

Every column compiles to a value and to the rules that the value may break; a broken rule stops an upload and names
column and rule, never a value. What is deliberately not done: guessing. A naive timestamp, a fraction where a whole
number is agreed, a date that carries a time of day refuse, and the owner says in ``party.toml`` what is meant.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import rfc8785
import sqlglot
import sqlglot.errors
import sqlglot.expressions

from mpc.canonical import sha256
from mpc.errors import Misconfigured
from mpc.table.schema import Column, Dataset
from parties.config import ColumnSettings, DatasetSettings

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_WIDE = frozenset({"UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM"})
_FLOATING = frozenset({"FLOAT", "DOUBLE"})
_NAIVE = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
_ZONED = frozenset({"TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS WITH TIME ZONE"})
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_EXACT = "1e-9"


@dataclass(frozen=True)
class Rule:
    """A named condition; ``broken`` is SQL that is true for a row that breaks it."""

    name: str
    broken: str


@dataclass(frozen=True)
class Conversion:
    """SQL of a converted value, NULL where it cannot be converted, and the rules of that conversion."""

    value: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class MappedColumn:
    """One column of the contract, the source expression it comes from and the settings that shape it."""

    column: Column
    settings: ColumnSettings
    expression: str
    reads: frozenset[str] | None

    @property
    def is_plain(self) -> bool:
        """Whether one source column is taken as it is, without an expression of the owner's."""
        return self.settings.expression is None


def quoted(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def map_columns(dataset: Dataset, settings: DatasetSettings) -> tuple[MappedColumn, ...]:
    """Return the mapping of every column of ``dataset``, in its order; a column not named maps from its own name."""
    names = [column.name for column in dataset.columns]
    for name in settings.columns:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise Misconfigured(
                "mapping.column", f"the contract's dataset {dataset.name} has no column {name}",
                why="a mapping for it stands in the configuration",
                remedy=f"did you mean `{near[0]}`?" if near else f"its columns are: {', '.join(names)}",
                field=f"datasets.{dataset.name}.columns.{name}",
            )  # fmt: skip
    return tuple(
        _mapped(dataset, column, settings.columns.get(column.name, ColumnSettings())) for column in dataset.columns
    )


def mapping_digest(dataset: Dataset, settings: DatasetSettings) -> bytes:
    """Return the SHA-256 of the mapping as canonical JSON: what it does to values, not where the rows are."""
    mapping = {
        mapped.column.name: {
            "expression": mapped.expression,
            "missing": sorted(mapped.settings.missing),
            "codes": dict(mapped.settings.codes),
            "factor": mapped.settings.factor,
            "offset": mapped.settings.offset,
        }
        for mapped in map_columns(dataset, settings)
    }
    return sha256(rfc8785.dumps({"format": "sealroom.mapping", "dataset": dataset.name, "columns": mapping}))


def select_bases(columns: Iterable[MappedColumn], relation: str) -> str:
    """Return the SELECT of the columns' source expressions, named b0, b1 and so on."""
    bases = ", ".join(f"{mapped.expression} AS b{index}" for index, mapped in enumerate(columns))
    return f"SELECT {bases} FROM {relation}"  # noqa: S608 - the owner's own expressions over the owner's own source


def select_mapped(
    columns: tuple[MappedColumn, ...], types: tuple[str, ...], relation: str, settings: DatasetSettings
) -> str:
    """Return the one SELECT of an upload: the contract's columns, and ``error('index|rule')`` on a broken rule."""
    outputs = ", ".join(
        f"{_strict(convert(mapped, types[index], f'b{index}', settings), index)} AS {quoted(mapped.column.name)}"
        for index, mapped in enumerate(columns)
    )
    return f"SELECT {outputs} FROM ({select_bases(columns, relation)})"  # noqa: S608


def convert(mapped: MappedColumn, source_type: str, base: str, settings: DatasetSettings) -> Conversion:
    """Return the conversion of SQL ``base`` (a column name) of ``source_type`` to the contract's type."""
    kind = re.sub(r"\(.*", "", source_type, flags=re.DOTALL)
    kind = "VARCHAR" if kind == "ENUM" else kind
    if (
        settings.read.decimal_separator == ","
        and kind == "VARCHAR"
        and mapped.column.type in {"integer", "float", "decimal"}
    ):
        base = f"replace({base}, ',', '.')"
    base = _without_missing(mapped, kind, base)
    if mapped.settings.codes:
        base, kind = _translated(mapped.settings.codes, kind, base), "VARCHAR"
    conversion = _CONVERSIONS[mapped.column.type](mapped, kind, base, settings)
    if conversion is None:
        raise _type_refusal(mapped, source_type)
    return conversion


def domain_rules(column: Column, value: str) -> tuple[Rule, ...]:
    """Return the contract's own rules on SQL ``value`` of the column's type: NULLs, range, codebook."""
    rules = [] if column.nullable else [Rule("nullable", f"{value} IS NULL")]
    kind = _sql_type(column)
    if column.minimum is not None:
        rules.append(Rule("minimum", f"{value} < CAST({literal(column.minimum)} AS {kind})"))
    if column.maximum is not None:
        rules.append(Rule("maximum", f"{value} > CAST({literal(column.maximum)} AS {kind})"))
    if column.codes:
        codes = ", ".join(literal(code.value) for code in column.codes)
        rules.append(Rule("codes", f"{value} NOT IN ({codes})"))
    return tuple(rules)


def _mapped(dataset: Dataset, column: Column, settings: ColumnSettings) -> MappedColumn:
    if settings.expression is None:
        source = settings.source or column.name
        return MappedColumn(column, settings, quoted(source), frozenset({source}))
    try:
        tree = sqlglot.parse_one(settings.expression, read="duckdb")
    except sqlglot.errors.SqlglotError:
        raise Misconfigured(
            "mapping.expression", f"the expression for {dataset.name}.{column.name} does not parse",
            why="it is not SQL", remedy="write one SQL expression over the source's own columns",
            field=f"datasets.{dataset.name}.columns.{column.name}.expression",
        ) from None  # fmt: skip
    reads = frozenset(found.name for found in tree.find_all(sqlglot.expressions.Column))
    return MappedColumn(column, settings, f"({settings.expression})", reads)


def _strict(conversion: Conversion, index: int) -> str:
    if not conversion.rules:
        return conversion.value
    whens = " ".join(f"WHEN {rule.broken} THEN error({literal(f'{index}|{rule.name}')})" for rule in conversion.rules)
    return f"CASE {whens} ELSE {conversion.value} END"


def _number(text: str) -> str | None:
    return text if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else None


def _is_number(kind: str) -> bool:
    return kind in _WHOLE | _WIDE | _FLOATING or kind == "DECIMAL"


def _without_missing(mapped: MappedColumn, kind: str, base: str) -> str:
    spellings = tuple(dict.fromkeys((*mapped.column.missing, *mapped.settings.missing)))
    if _is_number(kind):
        numbers = ", ".join(number for spelling in spellings if (number := _number(spelling)))
        return f"CASE WHEN {base} IN ({numbers}) THEN NULL ELSE {base} END" if numbers else base
    listed = ", ".join(map(literal, spellings))
    return f"CASE WHEN CAST({base} AS VARCHAR) IN ({listed}) THEN NULL ELSE {base} END" if listed else base


def _translated(codes: Mapping[str, str], kind: str, base: str) -> str:
    def matches(code: str) -> str:
        number = _number(code) if _is_number(kind) else None
        return f"{base} = {number}" if number else f"CAST({base} AS VARCHAR) = {literal(code)}"

    whens = " ".join(f"WHEN {matches(code)} THEN {literal(value)}" for code, value in codes.items())
    return f"CASE {whens} ELSE CAST({base} AS VARCHAR) END"


def _scaled(mapped: MappedColumn, base: str) -> str | None:
    """Return ``base`` as a double times factor plus offset, or None when neither is set."""
    factor, offset = mapped.settings.factor, mapped.settings.offset
    if factor is None and offset is None:
        return None
    times, plus = (f"CAST({literal(number)} AS DOUBLE)" for number in (factor or "1", offset or "0"))
    return f"(TRY_CAST({base} AS DOUBLE) * {times} + {plus})"


def _castable(base: str, value: str, name: str) -> Rule:
    return Rule(name, f"{base} IS NOT NULL AND {value} IS NULL")


def _integer(mapped: MappedColumn, kind: str, base: str, _: DatasetSettings) -> Conversion | None:
    if not (_is_number(kind) or kind in {"VARCHAR", "BOOLEAN"}):
        return None
    if scaled := _scaled(mapped, base):
        value = f"TRY_CAST(round({scaled}) AS BIGINT)"
        fraction = f"abs({scaled} - round({scaled})) > {_EXACT} * greatest(1, abs({scaled}))"
        return Conversion(value, (_castable(base, value, "integer"), Rule("whole", fraction)))
    if kind in _WHOLE or kind == "BOOLEAN":
        return Conversion(f"CAST({base} AS BIGINT)")
    value = f"TRY_CAST({base} AS BIGINT)"
    if kind in _WIDE:
        return Conversion(value, (_castable(base, value, "integer"),))
    # DuckDB rounds '12.5' to 13 in this cast, so the value is compared with what it was.
    whole = Rule("whole", f"TRY_CAST({base} AS DOUBLE) <> CAST({value} AS DOUBLE)")
    return Conversion(value, (_castable(base, value, "integer"), whole))


def _float(mapped: MappedColumn, kind: str, base: str, _: DatasetSettings) -> Conversion | None:
    if not (_is_number(kind) or kind == "VARCHAR"):
        return None
    value = _scaled(mapped, base) or f"TRY_CAST({base} AS DOUBLE)"
    return Conversion(value, (_castable(base, value, "float"),) if kind == "VARCHAR" else ())


def _decimal(mapped: MappedColumn, kind: str, base: str, _: DatasetSettings) -> Conversion | None:
    if not (_is_number(kind) or kind == "VARCHAR"):
        return None
    target = _sql_type(mapped.column)
    scaled = _scaled(mapped, base)
    value = f"TRY_CAST({scaled or base} AS {target})"
    rules = [_castable(base, value, "decimal")]
    if scaled is None and (kind in {"VARCHAR", "DECIMAL"}):
        rules.append(Rule("scale", f"TRY_CAST({base} AS DECIMAL(38, 18)) <> {value}"))
    return Conversion(value, tuple(rules))


def _boolean(_m: MappedColumn, kind: str, base: str, _: DatasetSettings) -> Conversion | None:
    if kind == "BOOLEAN":
        return Conversion(base)
    if _is_number(kind):
        return Conversion(f"({base} <> 0)", (Rule("boolean", f"{base} NOT IN (0, 1)"),))
    if kind != "VARCHAR":
        return None
    value = f"TRY_CAST(lower({base}) AS BOOLEAN)"
    return Conversion(value, (_castable(base, value, "boolean"),))


def _text(_m: MappedColumn, kind: str, base: str, _: DatasetSettings) -> Conversion | None:
    return None if kind == "BLOB" else Conversion(f"CAST({base} AS VARCHAR)")


def _date(_m: MappedColumn, kind: str, base: str, settings: DatasetSettings) -> Conversion | None:
    if kind == "DATE":
        return Conversion(base)
    if kind in _NAIVE:
        return Conversion(f"CAST({base} AS DATE)", (Rule("time_of_day", f"{base} <> date_trunc('day', {base})"),))
    if kind != "VARCHAR":
        return None
    if settings.read.date_format:
        value = f"CAST(try_strptime({base}, {literal(settings.read.date_format)}) AS DATE)"
        return Conversion(value, (_castable(base, value, "date"),))
    value = f"TRY_CAST({base} AS DATE)"
    timed = Rule("time_of_day", f"NOT regexp_matches({base}, '^[0-9]{{1,6}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}$')")
    return Conversion(value, (_castable(base, value, "date"), timed))


def _timestamp(_m: MappedColumn, kind: str, base: str, settings: DatasetSettings) -> Conversion | None:
    if kind in _ZONED:
        return Conversion(f"CAST({base} AS TIMESTAMPTZ)")
    if kind != "VARCHAR":
        return None
    written = settings.read.timestamp_format
    if written and "%z" not in written:
        return None
    value = f"try_strptime({base}, {literal(written)})" if written else f"TRY_CAST({base} AS TIMESTAMPTZ)"
    zone = Rule("zone", f"NOT regexp_matches({base}, {literal(_OFFSET)})")
    return Conversion(value, (zone, _castable(base, value, "timestamp")))


_CONVERSIONS = {
    "integer": _integer,
    "float": _float,
    "decimal": _decimal,
    "boolean": _boolean,
    "text": _text,
    "category": _text,
    "date": _date,
    "timestamp": _timestamp,
}


def _sql_type(column: Column) -> str:
    if column.type == "decimal":
        return f"DECIMAL({column.precision}, {column.scale})"
    types = {
        "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMPTZ",
    }  # fmt: skip
    return types.get(column.type, "VARCHAR")


def _type_refusal(mapped: MappedColumn, source_type: str) -> Misconfigured:
    naive = mapped.column.type == "timestamp" and (source_type in _NAIVE or source_type == "VARCHAR")
    example = "expression = \"timezone('Europe/Berlin', COLUMN)\""
    return Misconfigured(
        "mapping.naive_timestamp" if naive else "mapping.type",
        f"the source of {mapped.column.name} cannot become a {mapped.column.type}",
        why="its times carry no zone, and nobody else knows which was meant" if naive else "the types do not fit",
        remedy=f"say the zone: {example}" if naive else "convert it in `expression`",
        field=mapped.column.name,
        expected=mapped.column.type,
        found=source_type.lower()[:60],
    )
