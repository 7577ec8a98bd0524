"""A study, written down once: parties, datasets, questions, rules. From it comes the contract that all sign.

    north = Party("north_hospital", "North Hospital")
    south = Party("south_hospital", "South Hospital")
    university = Party("university", "The University")

    patients = Dataset(
        "patients",
        "Patients operated on for breast cancer",
        owners=[north, south],
        subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
        columns={
            "pid": integer("patient number of the hospital", identifier=True),
            "grade": category("tumour grade", {"1": "well", "2": "moderately", "3": "poorly"}, filterable=True),
            "nodes": integer("positive lymph nodes", minimum=0, maximum=60),
        },
    )

    scenario = Scenario(
        title="Lymph nodes by grade",
        purpose="To learn how many lymph nodes are affected at each tumour grade.",
        parties=[north, south, university],
        datasets=[patients],
        recipients=[university],
        computations={
            "patients_by_grade": sql("SELECT grade, count(*) AS patients FROM patients GROUP BY grade",
                                     purpose="How many patients have each grade."),
            "nodes_by_grade": statistics.summary(patients["nodes"], by=["grade"],
                                                 purpose="Mean and spread of the nodes at each grade."),
        },
    )

``sealroom scenario run FILE`` rehearses it on synthetic rows; ``sealroom contract build FILE`` makes the contract.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import rfc8785
from pydantic.dataclasses import dataclass

from mpc.canonical import canonical_json, format_time
from mpc.contract import terms
from mpc.contract.document import parse_contract
from mpc.errors import Malformed, Misconfigured
from mpc.evidence.reference_values import ReferenceValues
from scenarios.columns import WELL_TYPED, Column, boolean, category, date, decimal, integer, real, text, timestamp
from scenarios.disclosure import ADS, CMS, DATASHIELD, SCQL, STANDARD
from scenarios.questions import Computation, between, link, linkage, one_of, sql, statistics

__all__ = [
    "ADS",
    "CMS",
    "DATASHIELD",
    "SCQL",
    "STANDARD",
    "Dataset",
    "Limits",
    "Party",
    "Scenario",
    "Subject",
    "between",
    "boolean",
    "category",
    "date",
    "decimal",
    "integer",
    "link",
    "linkage",
    "nobody",
    "one_of",
    "real",
    "sql",
    "statistics",
    "text",
    "timestamp",
]


@dataclass(frozen=True, config=WELL_TYPED)
class Party:
    """An organisation. ``name`` is a short identifier, such as ``north_hospital``; ``label`` is what people read."""

    name: str
    label: str


@dataclass(frozen=True, config=WELL_TYPED)
class Subject:
    """Whom disclosure control protects in a dataset, and how they are told apart.

    ``column`` holds their identifier; ``domain`` names what they are (``patient``). ``identity``: ``shared`` the same
    identifiers at all owners, ``disjoint`` nobody occurs at two owners, ``unknown`` only the largest owner counts.
    ``rows``: may an owner hold ``one`` row of a subject (checked at upload) or ``many``.
    """

    column: str | None
    domain: str
    identity: Literal["shared", "disjoint", "unknown", "none"]
    rows: Literal["one", "many"] = "many"
    normalisation: Literal["exact", "trim_casefold"] = "exact"

    def as_data(self) -> dict[str, Any]:
        """Return the subject as it stands in a contract."""
        return {
            "column": self.column,
            "domain": self.domain,
            "identity": self.identity,
            "rows": self.rows,
            "normalisation": self.normalisation,
        }


def nobody(domain: str) -> Subject:
    """Return the subject of public data: there is nobody to protect."""
    return Subject(None, domain, "none")


@dataclass(frozen=True, config=WELL_TYPED)
class ColumnOf:
    """A column of a dataset, as ``dataset["column"]`` names it."""

    dataset: str
    name: str


@dataclass(frozen=True, config=WELL_TYPED)
class Dataset:
    """A named table. Its rows are the union of what its ``owners`` upload; ``columns`` maps names to columns.

    ``keys`` are the columns by which it is joined; ``unique_keys`` occur once in the whole table, which is checked.
    ``refreshes`` is how often an owner may replace its rows, at most ``refresh_for`` after the contract begins.
    """

    name: str
    description: str
    owners: Sequence[Party]
    columns: Mapping[str, Column]
    subject: Subject
    keys: Sequence[Sequence[str]] = ()
    unique_keys: Sequence[Sequence[str]] = ()
    refreshes: int = 0
    refresh_for: timedelta | None = None

    def __getitem__(self, column: str) -> ColumnOf:
        if column not in self.columns:
            raise Misconfigured(
                "scenario.column", f"{self.name} has no column {column}", why="a question names it",
                remedy=f"choose one of {', '.join(self.columns)}", field=f"{self.name}.{column}",
            )  # fmt: skip
        return ColumnOf(self.name, column)

    def as_data(self, begins: datetime) -> dict[str, Any]:
        """Return the dataset as it stands in a contract that begins at ``begins``."""
        until = None if self.refresh_for is None else format_time(begins + self.refresh_for)
        keys = [(sorted(key), False) for key in self.keys] + [(sorted(key), True) for key in self.unique_keys]
        return {
            "name": self.name,
            "description": self.description,
            "owners": sorted(owner.name for owner in self.owners),
            "columns": [column.as_data(name) for name, column in self.columns.items()],
            "subject": self.subject.as_data(),
            "keys": [{"columns": columns, "unique": unique} for columns, unique in sorted(keys)],
            "freshness": {"refreshes": self.refreshes, "until": until},
        }


@dataclass(frozen=True, config=WELL_TYPED)
class Limits:
    """What the enclave may spend: MiB of one upload, of rows kept in memory and of one run; seconds of one run."""

    upload_mib: int = 4096
    resident_mib: int = 1024
    run_memory_mib: int = 1024
    run_seconds: int = 120


@dataclass(frozen=True, config=WELL_TYPED)
class Scenario:
    """A whole study.

    ``computations`` maps names to questions; ``recipients`` receive every answer for which the question names no
    recipients of its own. ``rules`` are every owner's disclosure rules, unless ``rules_of`` gives an owner stricter
    or other ones by name: the strictest hold. ``valid_for`` counts from the moment the contract is built.
    ``appraisal_for`` is how long a party may rely on one check of the enclave.
    """

    title: str
    purpose: str
    parties: Sequence[Party]
    datasets: Sequence[Dataset]
    computations: Mapping[str, Computation]
    recipients: Sequence[Party] = ()
    rules: terms.Rules = STANDARD
    rules_of: Mapping[str, terms.Rules] = field(default_factory=dict)
    valid_for: timedelta = timedelta(days=30)
    appraisal_for: timedelta = timedelta(minutes=10)
    limits: Limits = Limits()

    def contract(
        self,
        *,
        parties: Mapping[str, Mapping[str, str]],
        enclaves: Sequence[ReferenceValues],
        now: datetime,
        supersedes: bytes | None = None,
        history_begins_anew: bool = False,
    ) -> terms.Contract:
        """Return the contract of this study, checked as everybody will check it.

        Args:
            parties: for each party's name, its public card: the JSON that ``sealroom keys new`` writes into ``.pub``.
            enclaves: the reference values that the parties accept.
            now: when the contract begins; cut to whole seconds.
            supersedes: the digest of the contract that this one replaces, if any.
            history_begins_anew: forget what that contract answered, and count no run of it.

        Raises:
            Misconfigured: a card is missing, foreign or not a card.
            Malformed, Forbidden: the study contradicts itself, or asks what may not be asked.
        """
        self._check_cards(parties)
        data = {
            "format": terms.FORMAT,
            "version": terms.VERSION,
            "title": self.title,
            "purpose": self.purpose,
            "parties": [_party(party, parties[party.name]) for party in _by_name(self.parties)],
            "datasets": [dataset.as_data(now) for dataset in _by_name(self.datasets)],
            "computations": [self._computation(name) for name in sorted(self.computations)],
            "disclosure": [
                {"party": owner, "rules": self.rules_of.get(owner, self.rules).model_dump(mode="json")}
                for owner in sorted({owner.name for dataset in self.datasets for owner in dataset.owners})
            ],
            "enclaves": [reference.model_dump(mode="json") for reference in sorted(enclaves, key=canonical_json)],
            "attested_key_seconds": int(self.appraisal_for.total_seconds()),
            "limits": vars(self.limits),
            "valid_from": format_time(now),
            "valid_until": format_time(now + self.valid_for),
            "supersedes": None if supersedes is None
            else {"contract": supersedes.hex(), "history": "begins_anew" if history_begins_anew else "follows"},
        }  # fmt: skip
        return _parsed(data)

    def _computation(self, name: str) -> dict[str, Any]:
        computation = self.computations[name]
        recipients = computation.recipients or tuple(party.name for party in self.recipients)
        return replace(computation, recipients=recipients).as_data(name)

    def _check_cards(self, cards: Mapping[str, Mapping[str, str]]) -> None:
        wanted = {party.name for party in self.parties}
        for name in sorted(wanted.symmetric_difference(cards)):
            absent = name in wanted
            raise Misconfigured(
                "scenario.party", f"no card is given for {name}" if absent else f"{name} is no party of the scenario",
                why="every party of the scenario, and no other, brings its public keys",
                remedy=f"give --party {name}=FILE.pub" if absent else f"choose among {', '.join(sorted(wanted))}",
                field="parties",
            )  # fmt: skip


def _party(party: Party, card: Mapping[str, str]) -> dict[str, str]:
    if card.get("format") != "sealroom.party" or not {"signing_key", "sealing_key"} <= set(card):
        raise Misconfigured(
            "scenario.party.card", f"what was given for {party.name} is no public card of a party",
            why="its format is not sealroom.party", remedy="give the .pub file that `sealroom keys new` wrote",
            field=f"parties.{party.name}",
        )  # fmt: skip
    if card.get("name") != party.name:
        raise Misconfigured(
            "scenario.party.name", f"the card given for {party.name} is another party's",
            why="a card carries the name of its party", remedy="give each party its own .pub file",
            field=f"parties.{party.name}", expected=party.name, found=str(card.get("name")),
        )  # fmt: skip
    return {
        "name": party.name,
        "label": party.label,
        "signing_key": card["signing_key"],
        "sealing_key": card["sealing_key"],
    }


def _by_name(named: Sequence[Any]) -> list[Any]:
    return sorted(named, key=lambda each: str(each.name))


def _parsed(data: dict[str, Any]) -> terms.Contract:
    """Return the contract that ``data`` is; a field that breaks its form is told by the names in the file."""
    try:
        return parse_contract(_canonical(data))
    except Malformed as refusal:
        if refusal.code != "json.field" or refusal.field is None:
            raise
        place = _place(data, refusal.field)
        raise Malformed(
            "scenario.field", "the scenario makes no contract", why=refusal.why.replace(refusal.field, place, 1),
            remedy=f"correct {place} in the scenario", field=place,
        ) from None  # fmt: skip


def _place(data: Any, path: str) -> str:  # noqa: ANN401 - walks plain data
    """Return ``path`` with the names of things in place of their numbers, as far as they have any."""
    words = []
    for part in path.split("."):
        data = _below(data, part)
        words.append(str(data["name"]) if part.isdigit() and isinstance(data, dict) and "name" in data else part)
    return ".".join(words)


def _below(data: Any, part: str) -> Any:  # noqa: ANN401 - walks plain data
    if isinstance(data, list) and part.isdigit() and int(part) < len(data):
        return data[int(part)]
    return data.get(part) if isinstance(data, dict) else None


def _canonical(data: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(data)
    except (rfc8785.CanonicalizationError, UnicodeError) as problem:
        raise Malformed(
            "scenario.value", "the scenario holds a value that a contract cannot", why=str(problem),
            remedy="write text and whole numbers",
        ) from None  # fmt: skip
