"""A released result as people see it: plain cells, words and marks, before anything is drawn.

Every renderer (terminal, JSON, CSV, Arrow, HTML) starts from one ``Report``, so they cannot tell different stories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from mpc.contract.terms import Computation, Contract, Party, Rules
from mpc.disclosure.rules import RULES
from mpc.evidence.claims import Check, MeasuredBy
from mpc.questions.linkage import linked_name, printed
from mpc.results import MeasureKind
from mpc.signing import VerifyingKey

Value = str | int | float | bool | None

UPRIGHT_FROM = 6
"""From how many measures on a table of one row is read better from top to bottom."""

_WHY: Mapping[str, str] = MappingProxyType({rule.name: rule.why for rule in RULES})


@dataclass(frozen=True)
class Cell:
    """One cell. ``value`` is None for a cell without a value and for a withheld one; ``withheld`` tells them apart."""

    value: Value
    withheld: bool = False


@dataclass(frozen=True)
class ReportColumn:
    """One column: a key (``kind`` ``key``) or a measure; ``labels`` gives the codebook's words for a key's values.

    ``labels_alone`` says that the words stand for the value without it beside them.
    """

    name: str
    kind: Literal["key"] | MeasureKind
    unit: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    labels_alone: bool = False

    @property
    def is_key(self) -> bool:
        """Whether rows are grouped by this column."""
        return self.kind == "key"

    @property
    def heading(self) -> str:
        """The column's name as words, with its unit."""
        words = self.name.replace("_", " ")
        return f"{words} ({self.unit})" if self.unit and self.unit not in words.split() else words


@dataclass(frozen=True)
class Withholding:
    """Some cells of one measure that a rule held back, and what to change; never their values."""

    rule: str
    measure: str
    cells: int
    remedy: str
    check: str = ""

    @property
    def why(self) -> str:
        """Why the rule withholds, in words; an output checker's name for it where it is a rule of another version."""
        return _WHY.get(self.rule) or self.check or self.rule


@dataclass(frozen=True)
class ReportTable:
    """One table. ``totals`` names, for each row, the keys that are totalled over.

    ``method`` is the statistical method that made it; None for a table of SQL.
    """

    name: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    withheld: tuple[Withholding, ...] = ()
    totals: tuple[frozenset[str], ...] = ()
    method: str | None = None

    @property
    def keys(self) -> tuple[int, ...]:
        """The positions of the key columns."""
        return tuple(position for position, column in enumerate(self.columns) if column.is_key)

    @property
    def measures(self) -> tuple[int, ...]:
        """The positions of the measures."""
        return tuple(position for position, column in enumerate(self.columns) if not column.is_key)

    @property
    def stands_upright(self) -> bool:
        """Whether it is one row of many numbers, which is written from top to bottom."""
        return len(self.rows) == 1 and len(self.measures) >= UPRIGHT_FROM

    @property
    def reasons(self) -> tuple[tuple[str, int, str, str], ...]:
        """Each reason once: the measures that it concerns, cells in all, why, and what would help."""
        grouped: dict[tuple[str, str], list[Withholding]] = {}
        for held in self.withheld:
            grouped.setdefault((held.why, held.remedy), []).append(held)
        return tuple(
            (", ".join(dict.fromkeys(held.measure for held in each)), sum(held.cells for held in each), why, remedy)
            for (why, remedy), each in grouped.items()
        )

    @property
    def marked_cells(self) -> int:
        """How many cells stand in the table as withheld."""
        return sum(cell.withheld for row in self.rows for cell in row)

    @property
    def withheld_cells(self) -> int:
        """How many cells were held back: those that are marked, and those of groups that are left out whole."""
        return max(self.marked_cells, sum(held.cells for held in self.withheld))

    @property
    def cells(self) -> int:
        """How many cells the answer had, released and withheld."""
        return len(self.rows) * len(self.measures) - self.marked_cells + self.withheld_cells

    @property
    def in_words(self) -> str:
        """What was withheld, in a sentence."""
        held, absent = self.withheld_cells, self.withheld_cells - self.marked_cells
        if held == 0:
            return "Nothing was withheld."
        words = f"{held} of {self.cells} cells {'is' if held == 1 else 'are'} withheld"
        if absent == 0:
            return f"{words}, and marked."
        left_out = "groups are left out whole, as their names alone would tell that somebody is there"
        return f"{words}: {left_out}." if absent == held else f"{words}: {self.marked_cells} are marked; {left_out}."

    def totalled(self, row: int) -> frozenset[str]:
        """Return the names of the keys that ``row`` is a total over."""
        return self.totals[row] if self.totals else frozenset()


@dataclass(frozen=True)
class Signer:
    """A party that signed, and the fingerprint of the key it signed with."""

    name: str
    label: str
    fingerprint: str
    role: str


@dataclass(frozen=True)
class Trust:
    """What the evidence proves. ``severity`` ``none`` means that it protects nobody.

    ``accepted_by`` are the options of `sealroom verify` with which a reader accepts its weaknesses by name.
    """

    severity: Literal["none", "partial", "full"]
    headline: str
    text: str
    accepted_by: str


@dataclass(frozen=True)
class Provenance:
    """What a verified receipt says of a result. ``shown`` is the earliest time somebody else vouches for, in words."""

    digest: str
    run: int | None
    checks: tuple[Check, ...]
    shown: str
    file: str | None = None

    @property
    def verified(self) -> bool:
        """Whether checks were made and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Report:
    """One answer with everything that a reader needs to judge it."""

    title: str
    contract_purpose: str
    contract_digest: str
    valid: tuple[str, str]
    computation: str
    purpose: str
    question: str
    question_kind: str
    parameters: Mapping[str, str]
    recipients: tuple[str, ...]
    sources: tuple[tuple[str, str, tuple[str, ...]], ...]
    rules: Rules
    tables: tuple[ReportTable, ...]
    signers: tuple[Signer, ...]
    trust: tuple[Trust, ...]
    provenance: Provenance | None

    @property
    def withheld_cells(self) -> int:
        """How many cells were held back in all tables."""
        return sum(table.withheld_cells for table in self.tables)

    @property
    def cells(self) -> int:
        """How many cells the answer had, released and withheld."""
        return sum(table.cells for table in self.tables)


def trust_of(contract: Contract) -> tuple[Trust, ...]:
    """Return what the evidence that ``contract`` accepts can and cannot prove, gravest first."""
    said = {
        _trust(enclave.format, enclave.measured_by, memory_protected=enclave.memory_protected)
        for enclave in contract.enclaves
    }
    return tuple(sorted(said, key=lambda trust: ("none", "partial", "full").index(trust.severity)))


def _trust(form: str, measured_by: MeasuredBy, *, memory_protected: bool) -> Trust:
    weaknesses = [f"--accept-self-measured {form}"] if measured_by == "self" else []
    weaknesses += [] if memory_protected else [f"--accept-visible-memory {form}"]
    accepted_by = " ".join(weaknesses)
    if form == "simulated":
        return Trust(
            "none",
            "No protection: simulated evidence",
            "Anybody can forge simulated evidence, and whoever runs the machine could read every row. "
            "This contract is for trying things out, never for data that matters.",
            accepted_by,
        )
    if measured_by == "self":
        return Trust(
            "none",
            f"No protection against a changed coordinator: {form} evidence that the program gives of itself",
            "A coordinator that measures itself can lie about what it is. This finds accidents, not adversaries, "
            "and whoever changed it can read every row.",
            accepted_by,
        )
    if not memory_protected:
        return Trust(
            "partial",
            f"Memory is visible to the host: {form} evidence",
            "The boot chain measured the program, so a changed one is found. But nothing hides memory from whoever "
            "runs the machine, and a TPM that the host emulates proves nothing against it.",
            accepted_by,
        )
    return Trust(
        "full",
        f"Vouched for by hardware: {form} evidence",
        "The processor measured the program and hides its memory from whoever runs the machine, as far as its maker "
        "can be relied on.",
        accepted_by,
    )


def signers_of(contract: Contract) -> tuple[Signer, ...]:
    """Return the parties of ``contract`` with their fingerprints and what each does in it."""
    return tuple(
        Signer(party.name, party.label, _fingerprint(party), _role(contract, party.name)) for party in contract.parties
    )


def _fingerprint(party: Party) -> str:
    return VerifyingKey(bytes.fromhex(party.signing_key)).keyid


def _role(contract: Contract, party: str) -> str:
    owns = [dataset.name for dataset in contract.datasets if party in dataset.owners]
    receives = any(party in computation.recipients for computation in contract.computations)
    words = [f"owns rows of {', '.join(owns)}"] if owns else []
    return " · ".join([*words, *(["receives results"] if receives else [])]) or "signs"


def question_text(computation: Computation) -> str:
    """Return the question as it was agreed: its SQL, or its method with arguments."""
    question = computation.question
    if question.kind == "sql":
        return question.text
    if question.kind == "linkage":
        return printed(question)
    arguments = ", ".join(f"{name}=[{', '.join(values)}]" for name, values in sorted(question.arguments.items()))
    return f"statistics.{question.method}({question.dataset}, {arguments})"


def codebooks(contract: Contract) -> dict[str, dict[str, str]]:
    """Return the labels of every category by column name, also in linked rows; a name with two meanings has none."""
    found: dict[str, dict[str, str]] = {}
    for dataset in contract.datasets:
        for column in dataset.columns:
            codes = {code.value: code.label for code in column.codes}
            for name in (column.name, linked_name(dataset.name, column.name)):
                found[name] = codes if found.get(name, codes) == codes else {}
    return found


def terms(contract: Contract) -> dict[str, str]:
    """Return the labels of terms of models that stand for a value or a party, such as ``grade[2]``."""
    parties = {f"party[{party.name}]": f"party: {party.label}" for party in contract.parties}
    yes = {
        f"{name}[true]": f"{name.replace('_', ' ')}: yes"
        for dataset in contract.datasets
        for column in dataset.columns
        if column.type == "boolean"
        for name in (column.name, linked_name(dataset.name, column.name))
    }
    return (
        parties
        | yes
        | {
            f"{column}[{value}]": f"{column.replace('_', ' ')}: {label}"
            for column, labels in codebooks(contract).items()
            for value, label in labels.items()
            if label != value
        }
    )


def term_in_words(term: str, known: Mapping[str, str]) -> str:
    """Return a term of a model by the labels of ``known`` terms, in an interaction each part by its own."""
    return " \N{MULTIPLICATION SIGN} ".join(known.get(part, part) for part in term.split(":"))


def units(contract: Contract) -> dict[str, str]:
    """Return the unit of every column by name, where all columns of that name have the same."""
    found: dict[str, set[str | None]] = {}
    for dataset in contract.datasets:
        for column in dataset.columns:
            found.setdefault(column.name, set()).add(column.unit)
    return {name: unit for name, (unit, *others) in found.items() if unit is not None and not others}
