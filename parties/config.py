"""``party.toml``: who this party is, whom it knows, what it trusts, what it lets happen unattended, where its rows are.

Unknown settings refuse, with the line and the nearest known name; paths are relative to the file. A default is what a
careful user would choose: nothing is signed unattended and no weak evidence is accepted unless the file says so.
``deploy/party.toml`` explains every setting.
"""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from mpc.canonical import Identifier, Text
from mpc.errors import Misconfigured

CONFIG_MAX_BYTES = 1 << 20


def _matching(pattern: str, form: str) -> AfterValidator:
    """Return a check of a text's whole form that says in words what the form is."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it is not {form}")
        return text

    return AfterValidator(check)


Number = Annotated[
    str,
    StringConstraints(max_length=64),
    _matching(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", 'a decimal number, as "0.1" or "-273.15"'),
]
Address = Annotated[
    str, _matching(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", "HOST:PORT, as coordinator.example:7443")
]
Service = Annotated[str, _matching(r"https?://[^\s/]+(/\S*)?", "an address that begins with https:// or http://")]


def _grouped_hex(text: str) -> str:
    plain = re.sub(r"[\s:]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise ValueError("a fingerprint is 64 hex digits, in groups or not")
    return plain


Fingerprint = Annotated[str, StringConstraints(max_length=200), AfterValidator(_grouped_hex)]


class Settings(BaseModel):
    """One section of ``party.toml``; frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PartySettings(Settings):
    """Who this party is; ``state`` is the folder of its ledger and socket, ``key`` its private key file."""

    name: Identifier
    label: Text
    state: Path
    key: Path


class CoordinatorSettings(Settings):
    """Where the coordinator listens, ``host:port``."""

    address: Address


class TrustSettings(Settings):
    """Evidence formats for which this party accepts what hardware does not vouch for; both empty unless written."""

    accept_self_measured: frozenset[Identifier] = frozenset()
    accept_visible_memory: frozenset[Identifier] = frozenset()


class ConsentSettings(Settings):
    """What the daemon may sign without a person.

    ``permit_unattended``: permits, within the number that the contract grants each computation.
    ``replace_unattended``: the activation of a restarted coordinator whose log goes on where the last one stood.
    """

    permit_unattended: StrictBool = False
    replace_unattended: StrictBool = False


class ReadSettings(Settings):
    """How a text file is read, where detection is not good enough; names as DuckDB's ``read_csv`` has them."""

    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=4)] | None = None
    quote: Annotated[str, StringConstraints(max_length=1)] | None = None
    header: StrictBool | None = None
    skip: Annotated[int, Field(ge=0)] | None = None
    encoding: Literal["utf-8", "utf-16", "latin-1"] | None = None
    date_format: str | None = None
    timestamp_format: str | None = None
    decimal_separator: Literal[".", ","] | None = None


class AdbcSettings(Settings):
    """A database behind an ADBC driver: the driver's shared library or Python module, its address and options."""

    driver: str
    uri: str | None = None
    entrypoint: str | None = None
    options: dict[str, str] = {}


class ColumnSettings(Settings):
    """How one column of the contract comes out of the source.

    ``from`` names a source column, ``expression`` is SQL over the source's own columns; then ``missing`` spellings
    become NULL, ``codes`` are translated, and a number becomes ``value * factor + offset``.
    """

    source: Annotated[str | None, Field(alias="from")] = None
    expression: str | None = None
    missing: tuple[str, ...] = ()
    codes: dict[str, str] = {}
    factor: Number | None = None
    offset: Number | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.source is not None and self.expression is not None:
            raise ValueError("give either `from` or `expression`")
        return self


class DatasetSettings(Settings):
    """Where the rows of one dataset are: exactly one of ``source``, ``database`` and ``adbc``."""

    source: Path | None = None
    database: Path | None = None
    table: str | None = None
    adbc: AdbcSettings | None = None
    query: str | None = None
    read: ReadSettings = ReadSettings()
    columns: dict[Identifier, ColumnSettings] = {}

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        given = [name for name in ("source", "database", "adbc") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `source`, `database` and `adbc`")
        if given == ["source"] and (self.table or self.query):
            raise ValueError("`table` and `query` belong to a `database` or `adbc`, not to a file")
        if given == ["database"] and (self.table is None) == (self.query is None):
            raise ValueError("a `database` needs either `table` or `query`")
        if given == ["adbc"] and (self.query is None or self.table is not None):
            raise ValueError("`adbc` needs a `query`")
        return self


class CollateralSettings(Settings):
    """Where `sealroom collateral fetch` asks; the vendors' own services when left out. Nothing else asks anybody."""

    intel: Service | None = None
    amd: Service | None = None
    warn_days: Annotated[int, Field(ge=0, le=365)] = 14


class Config(Settings):
    """All of ``party.toml``."""

    party: PartySettings
    coordinator: CoordinatorSettings
    known_parties: dict[Identifier, Fingerprint]
    trust: TrustSettings = TrustSettings()
    consent: ConsentSettings = ConsentSettings()
    collateral: CollateralSettings = CollateralSettings()
    datasets: dict[Identifier, DatasetSettings] = {}

    @property
    def socket(self) -> Path:
        """Where the local API listens."""
        return self.party.state / "daemon.sock"

    @property
    def ledger(self) -> Path:
        """Where the ledger stands."""
        return self.party.state / "ledger.sqlite"


def load_config(path: Path) -> Config:
    """Return the settings in ``path``, or ``Misconfigured`` naming section, setting and line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            "config.unreadable", "the configuration cannot be read", why=error.strerror or "it cannot be opened",
            remedy="give the path of a party.toml; deploy/party.toml is a sample", field=str(path),
        ) from None  # fmt: skip
    if len(raw) > CONFIG_MAX_BYTES:
        raise Misconfigured(
            "config.size", "the configuration is too long", why="it is over 1 MiB", remedy="give a party.toml",
            field=str(path),
        )  # fmt: skip
    return parse_config(raw, folder=path.parent)


def parse_config(raw: bytes, *, folder: Path) -> Config:
    """Return the settings that ``raw`` spells, with paths relative to ``folder``, or ``Misconfigured``."""
    try:
        text = raw.decode()
        plain = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise Misconfigured(
            "config.syntax", "the configuration is not valid TOML", why=why, remedy="correct the line that is named",
        ) from None  # fmt: skip
    try:
        return _placed(Config.model_validate(plain), folder)
    except ValidationError as error:
        raise _misconfigured(error, text) from None


def _placed(config: Config, folder: Path) -> Config:
    def place(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    party = config.party.model_copy(update={"state": place(config.party.state), "key": place(config.party.key)})
    datasets = {
        name: dataset.model_copy(update={"source": place(dataset.source), "database": place(dataset.database)})
        for name, dataset in config.datasets.items()
    }
    return config.model_copy(update={"party": party, "datasets": datasets})


def _misconfigured(error: ValidationError, text: str) -> Misconfigured:
    errors = error.errors(include_url=False, include_input=False)
    # A typing error makes two, one of them misleading: that the right name is missing.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    path = tuple(str(part) for part in first["loc"])
    section, setting = ".".join(path[:-1]) or "(top)", path[-1] if path else ""
    field = ".".join(path)
    where = _line_of(text, path)
    if first["type"] == "extra_forbidden":
        known = _known_settings(path[:-1])
        near = difflib.get_close_matches(setting, known, n=1, cutoff=0.5)
        remedy = f"did you mean `{near[0]}`?" if near else f"known settings of [{section}]: {', '.join(known)}"
        return Misconfigured(
            "config.unknown", f"there is no setting `{setting}` in [{section}]{where}", why="it is not known",
            remedy=remedy, field=field,
        )  # fmt: skip
    if first["type"] == "missing":
        return Misconfigured(
            "config.missing", f"the setting `{setting}` is missing from [{section}]", why="it has no safe default",
            remedy=f"write `{setting} = …` under [{section}]", field=field,
        )  # fmt: skip
    return Misconfigured(
        "config.value", f"the setting `{field}` is not usable{where}", why=first["msg"].removeprefix("Value error, "),
        remedy="see deploy/party.toml for what it may hold", field=field,
    )  # fmt: skip


def _known_settings(path: tuple[str, ...]) -> list[str]:
    """Return the names of the settings in the section at ``path``, as the file spells them."""
    section: Any = Config
    for part in path:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            section = _models_within(section)  # a table of named sections: ``part`` is the name
            continue
        field = next((info for name, info in section.model_fields.items() if (info.alias or name) == part), None)
        section = None if field is None else field.annotation
    model = _models_within(section)
    return sorted(info.alias or name for name, info in model.model_fields.items()) if model else []


def _models_within(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - an annotation is any object
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _models_within(part))), None)


def _line_of(text: str, path: tuple[str, ...]) -> str:
    """Return `` (line N)`` for the setting at ``path``, as far as a plain reading of the lines can tell."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.match(r"\s*\[([^\]\[]+)\]", line):
            section = tuple(part.strip().strip("\"'") for part in heading[1].split("."))
        elif setting := re.match(r"\s*([A-Za-z0-9_-]+|\"[^\"]+\")(?:\.[^=\s]+)*\s*=", line):
            full = (*section, setting[1].strip('"'))
            if full == path[: len(full)]:
                return f" (line {number})"
        if section and section == path:
            return f" (line {number})"
    return ""
