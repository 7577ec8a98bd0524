"""The one page that a data officer reads before signing: its parts as plain values, and as lines to show."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mpc.contract.diff import Change
from mpc.questions.uses import Role

ROLES: Mapping[Role, str] = {
    "returned": "its values head the groups of an answer",
    "aggregated": "only inside totals, means and the like",
    "counted": "only how many different ones there are",
    "filtered": "decides which rows take part",
    "grouped": "splits rows into groups",
    "joined": "matches rows with another dataset",
}
"""What each role of a column means for its owner."""

NEVER_READ = "never read"
COUNTED = "tells disclosure control how many stand behind an answer, and is in none"


HISTORY_BEGINS_ANEW = (
    "History begins anew: what the superseded contract answered is forgotten. Its questions can be asked again over "
    "rows that changed a little, and the difference tells about those; its runs are not counted."
)


@dataclass(frozen=True)
class PartyLine:
    """A party: name, label, fingerprint of its key (hex SHA-256), whether it owns rows, whether it receives answers."""

    name: str
    label: str
    fingerprint: str
    owns: tuple[str, ...]
    receives: tuple[str, ...]


@dataclass(frozen=True)
class ColumnLine:
    """A column and each of its uses: (computation, role). ``subject`` columns tell whose a row is; disclosure control
    reads them in every run. Every other column without a use is never read.
    """  # noqa: D205

    name: str
    description: str
    form: str
    subject: bool
    uses: tuple[tuple[str, Role], ...]

    @property
    def sentence(self) -> str:
        """What happens to the column, in words."""
        parts = [COUNTED] if self.subject else []
        for role, meaning in ROLES.items():
            asked = [name for name, used in self.uses if used == role and not self._goes_without_saying(name, role)]
            if asked:
                parts.append(f"{meaning} ({', '.join(asked)})")
        return "; ".join(parts) or NEVER_READ

    def _goes_without_saying(self, computation: str, role: Role) -> bool:
        """Tell whether another part of the sentence says it: groups in the answer, subjects that are counted."""
        return (role == "grouped" and (computation, "returned") in self.uses) or (role == "counted" and self.subject)


@dataclass(frozen=True)
class DatasetPage:
    """A dataset: whose rows, who is protected in it and how, how often it may be replaced, and every column."""

    name: str
    description: str
    owners: tuple[str, ...]
    yours: bool
    subject: str
    freshness: str
    columns: tuple[ColumnLine, ...]


@dataclass(frozen=True)
class ComputationPage:
    """A computation: why, what in a sentence, the exact question, who receives it, how often."""

    name: str
    purpose: str
    sentence: str
    question: str
    language: Literal["sql", "text"]
    reads: tuple[str, ...]
    parameters: tuple[str, ...]
    recipients: tuple[str, ...]
    runs: int
    unattended: int


@dataclass(frozen=True)
class EnclavePage:
    """An accepted enclave; ``forged_by`` says who could forge its evidence, ``warning`` that this should stop you."""

    format: str
    code_digest: str
    measured: str
    forged_by: str
    memory: str
    warning: bool


@dataclass(frozen=True)
class Line:
    """One line of the page as it is shown; ``warning`` lines belong in red."""

    kind: Literal["title", "heading", "text", "item", "code", "warning"]
    text: str


@dataclass(frozen=True)
class Explanation:
    """What a contract means; ``digest`` is the hex SHA-256 that everybody signs, ``party`` whose page this is."""

    title: str
    purpose: str
    digest: str
    party: str | None
    parties: tuple[PartyLine, ...]
    datasets: tuple[DatasetPage, ...]
    computations: tuple[ComputationPage, ...]
    rules: tuple[str, ...]
    enclaves: tuple[EnclavePage, ...]
    valid_from: str
    valid_until: str
    validity: tuple[str, ...]
    withdrawal_destroys: tuple[str, ...]
    withdrawal_cannot_recall: tuple[str, ...]
    changes: tuple[Change, ...] | None
    compared_with_its_predecessor: bool | None
    history_begins_anew: bool

    def as_data(self) -> dict[str, Any]:
        """Return the whole page as plain data, for ``--json``."""
        data = asdict(self)
        for dataset, page in zip(data["datasets"], self.datasets, strict=True):
            for column, line in zip(dataset["columns"], page.columns, strict=True):
                column["sentence"] = line.sentence
        data["changes"] = None if self.changes is None else [change.as_data() for change in self.changes]
        return data

    @property
    def lines(self) -> tuple[Line, ...]:
        """The page, line by line, for a screen that can show warnings in red.

        Text of the contract stays within its line: nobody's description can pose as a line of the page.
        """
        return tuple(
            line if line.kind == "code" else Line(line.kind, " ".join(line.text.split())) for line in _lines(self)
        )

    @property
    def markdown(self) -> str:
        """The page as Markdown."""
        return "\n".join(_marked(line) for line in self.lines) + "\n"

    @property
    def text(self) -> str:
        """The page as plain text."""
        return "\n".join(_plain(line) for line in self.lines) + "\n"


def _lines(page: Explanation) -> Iterator[Line]:
    yield Line("title", page.title)
    yield Line("text", page.purpose)
    yield Line("text", f"What everybody signs: SHA-256 {page.digest}")
    for enclave in page.enclaves:
        if enclave.warning:
            yield Line("warning", f"The {enclave.format} enclave's evidence can be forged by {enclave.forged_by}.")
    if page.history_begins_anew:
        yield Line("warning", HISTORY_BEGINS_ANEW)
    if page.changes is not None:
        yield Line("heading", "What changed since the contract signed before")
        if not page.compared_with_its_predecessor:
            yield Line("warning", "The contract compared with is not the one that this contract says it supersedes.")
        yield from _items((change.words for change in page.changes), none="Nothing.")
    yield Line("heading", "Who takes part")
    yield from _items(map(_party_sentence, page.parties))
    for dataset in page.datasets:
        yield from _dataset_lines(dataset)
    for computation in page.computations:
        yield from _computation_lines(computation)
    yield Line("heading", "What is let out")
    yield from _items(page.rules)
    yield Line("heading", "Which enclaves are accepted")
    for enclave in page.enclaves:
        yield from _enclave_lines(enclave)
    yield Line("heading", "Until when, and how often")
    yield from _items(page.validity)
    yield Line("heading", "If a party withdraws, or at the end")
    yield from _items(f"Destroyed: {what}" for what in page.withdrawal_destroys)
    yield from _items(f"Cannot be called back: {what}" for what in page.withdrawal_cannot_recall)


def _party_sentence(party: PartyLine) -> str:
    owns = f"brings rows to {', '.join(party.owns)}" if party.owns else "brings no rows"
    receives = f"receives {', '.join(party.receives)}" if party.receives else "receives nothing"
    return f"{party.label} ({party.name}) {owns} and {receives}. Key fingerprint {party.fingerprint}."


def _dataset_lines(dataset: DatasetPage) -> Iterator[Line]:
    whose = "your dataset" if dataset.yours else "the dataset"
    yield Line("heading", f"{whose.capitalize()} {dataset.name}: {dataset.description}")
    yield Line("text", f"Rows of {_and(dataset.owners)}. It {dataset.subject}. It is {dataset.freshness}.")
    for column in dataset.columns:
        yield Line("item", f"{column.name}, {column.description} ({column.form}): {column.sentence}")


def _computation_lines(computation: ComputationPage) -> Iterator[Line]:
    yield Line("heading", f"Question {computation.name}: {computation.purpose}")
    yield Line("text", computation.sentence)
    yield Line("code", computation.question)
    yield from _items(computation.parameters)
    yield Line(
        "text",
        f"Received by {_and(computation.recipients)}; at most {many(computation.runs, 'run')}, "
        f"{share(computation.unattended, computation.runs)} of them without a person.",
    )


def _enclave_lines(enclave: EnclavePage) -> Iterator[Line]:
    yield Line("item", f"{enclave.format}, program {enclave.code_digest}: {enclave.measured}")
    kind: Literal["warning", "item"] = "warning" if enclave.warning else "item"
    yield Line(kind, f"Its evidence could be forged by {enclave.forged_by}.")
    yield Line(kind, f"Memory: {enclave.memory}.")


def _items(texts: Iterable[str], *, none: str | None = None) -> Iterator[Line]:
    empty = True
    for text in texts:
        empty = False
        yield Line("item", text)
    if empty and none is not None:
        yield Line("text", none)


def _marked(line: Line) -> str:
    if line.kind == "code":
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", line.text))])
        return f"{fence}sql\n{line.text}\n{fence}\n"
    text = re.sub(r"([\\`*_<>\[\]#|!])", r"\\\1", line.text)
    return {
        "title": f"# {text}\n",
        "heading": f"\n## {text}\n",
        "text": f"{text}\n",
        "item": f"- {text}",
        "warning": f"\n> **Warning**: {text}\n",
    }[line.kind]


def _plain(line: Line) -> str:
    return {
        "title": f"{line.text}\n{'=' * len(line.text)}",
        "heading": f"\n{line.text}\n{'-' * len(line.text)}",
        "text": line.text,
        "item": f"  - {line.text}",
        "code": "\n".join(f"    {part}" for part in line.text.splitlines()),
        "warning": f"  ! WARNING: {line.text}",
    }[line.kind]


def _and(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def many(count: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun in the right form; 1 of a phrase is the phrase alone."""
    if count == 1:
        return one if " " in one else f"1 {one}"
    return f"{count} {several or f'{one}s'}"


def share(part: int, whole: int) -> str:
    """Return how many of ``whole`` things are meant: none, all, or their number."""
    return "none" if part == 0 else "all" if part == whole else str(part)
