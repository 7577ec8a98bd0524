"""What a contract means, read from the contract alone: the content of the data officer's page.

Nothing on the page is taken from anyone's word: which column is used how is read from the questions themselves, by the
same code that the enclave reads them with.
"""

from collections.abc import Mapping
from typing import Literal

from mpc.canonical import digest_of
from mpc.contract.diff import diff
from mpc.contract.document import read_questions, strictest
from mpc.contract.enclaves import forgers_of, program_of, waived_by
from mpc.contract.page import (
    ROLES,
    ColumnLine,
    ComputationPage,
    DatasetPage,
    EnclavePage,
    Explanation,
    PartyLine,
    many,
    share,
)
from mpc.contract.terms import Computation, Contract
from mpc.errors import Misconfigured
from mpc.evidence.claims import TpmReference
from mpc.evidence.reference_values import ReferenceValues
from mpc.questions import CheckedQuestion
from mpc.questions.linkage import printed
from mpc.questions.terms import LinkageQuestion, Parameter, SqlQuestion
from mpc.questions.uses import ColumnUse
from mpc.signing import VerifyingKey
from mpc.table.schema import Column, Dataset

__all__ = ["Explanation", "explain"]

DESTROYED = (
    "the contract's keys, with the process that holds them: nobody can open the uploaded rows again",
    "the chance of any further run: each needs a permit signed for it by every owner of its datasets",
    "every party's own keys to its rows, and after a withdrawal its share of the history; the enclave's log says so",
)
NOT_RECALLED = (
    "answers that recipients have received already, and what they have learnt from them",
    "receipts and the log, which prove what was run; they hold no row, no count and no value",
)


def explain(contract: Contract, digest: bytes, *, party: str | None, previous: Contract | None = None) -> Explanation:
    """Return what ``contract`` means, for ``party`` (None: for nobody in particular).

    Args:
        contract: a checked contract.
        digest: the 32-byte SHA-256 of its bytes.
        party: whose datasets come first and are called "yours"; ``Misconfigured`` for who is no party.
        previous: the contract that the party signed before, to show what changed.
    """
    if party is not None and contract.party(party) is None:
        raise Misconfigured(
            "contract.party.not_me", f"{party} is no party of this contract", why="there is no page for it",
            remedy="name a party of the contract", field="party", found=party,
            expected=" or ".join(each.name for each in contract.parties),
        )  # fmt: skip
    checked = read_questions(contract)
    uses = {name: question.uses for name, question in checked.items()}
    datasets = tuple(_dataset_page(dataset, uses, contract, party) for dataset in contract.datasets)
    return Explanation(
        title=contract.title,
        purpose=contract.purpose,
        digest=digest.hex(),
        party=party,
        parties=tuple(_party_line(name, contract) for name in (each.name for each in contract.parties)),
        datasets=tuple(sorted(datasets, key=lambda page: not page.yours)),
        computations=tuple(_computation_page(each, checked[each.name], contract) for each in contract.computations),
        rules=_rules(contract),
        enclaves=tuple(_enclave_page(reference, contract, party) for reference in contract.enclaves),
        valid_from=contract.valid_from,
        valid_until=contract.valid_until,
        validity=_validity(contract),
        withdrawal_destroys=DESTROYED,
        withdrawal_cannot_recall=NOT_RECALLED,
        changes=None if previous is None else diff(previous, contract),
        compared_with_its_predecessor=_is_superseded(previous, contract),
        history_begins_anew=contract.supersedes is not None and contract.supersedes.history == "begins_anew",
    )


def _is_superseded(previous: Contract | None, contract: Contract) -> bool | None:
    if previous is None:
        return None
    return contract.supersedes is not None and digest_of(previous).hex() == contract.supersedes.contract


def _party_line(name: str, contract: Contract) -> PartyLine:
    party = next(party for party in contract.parties if party.name == name)
    return PartyLine(
        name,
        party.label,
        VerifyingKey(bytes.fromhex(party.signing_key)).keyid,
        tuple(dataset.name for dataset in contract.datasets if name in dataset.owners),
        tuple(computation.name for computation in contract.computations if name in computation.recipients),
    )


def _dataset_page(
    dataset: Dataset, uses: Mapping[str, tuple[ColumnUse, ...]], contract: Contract, party: str | None
) -> DatasetPage:
    return DatasetPage(
        dataset.name,
        dataset.description,
        tuple(_label(owner, contract) for owner in dataset.owners),
        party in dataset.owners,
        _subject(dataset),
        _freshness(dataset),
        tuple(_column_line(column, dataset, uses) for column in dataset.columns),
    )


def _column_line(column: Column, dataset: Dataset, uses: Mapping[str, tuple[ColumnUse, ...]]) -> ColumnLine:
    of_this = tuple(
        (computation, role)
        for computation, used in uses.items()
        for role in ROLES
        if ColumnUse(dataset.name, column.name, role) in used
    )
    return ColumnLine(column.name, column.description, _form(column), column.name == dataset.subject.column, of_this)


def _form(column: Column) -> str:
    form = column.type if column.precision is None else f"decimal({column.precision},{column.scale})"
    parts = [form if column.unit is None else f"{form} in {column.unit}"]
    if column.minimum is not None or column.maximum is not None:
        parts.append(f"{column.minimum or 'any'} to {column.maximum or 'any'}")
    if column.codes:
        parts.append(", ".join(f"{code.value} = {code.label}" for code in column.codes))
    if column.identifier:
        parts.append("identifier")
    return "; ".join(parts)


def _subject(dataset: Dataset) -> str:
    subject = dataset.subject
    if subject.column is None:
        return "public data: nobody is protected in it"
    counted = {
        "shared": f"the same {subject.domain} has the same identifier at every owner and counts once",
        "disjoint": f"the owners assert that no {subject.domain} occurs at two of them, so counts add up",
        "unknown": f"a {subject.domain} may occur at several owners unnoticed, so only the largest owner's count holds",
        "none": "nobody is protected",
    }[subject.identity]
    rows = "one row each, which is checked" if subject.rows == "one" else "any number of rows each"
    return f"protects each {subject.domain} (column {subject.column}, {rows}); {counted}"


def _freshness(dataset: Dataset) -> str:
    freshness = dataset.freshness
    if freshness.refreshes == 0:
        return "fixed: an owner uploads once and never replaces its rows"
    return f"an owner may replace its rows {_times(freshness.refreshes)}, until {freshness.until}"


def _computation_page(computation: Computation, checked: CheckedQuestion, contract: Contract) -> ComputationPage:
    question = computation.question
    if isinstance(question, SqlQuestion):
        language: Literal["sql", "text"] = "sql"
        exact = question.text
    elif isinstance(question, LinkageQuestion):
        language, exact = "text", printed(question)
    else:
        language = "text"
        arguments = "; ".join(f"{name}: {', '.join(values) or 'none'}" for name, values in question.arguments.items())
        exact = f"{question.method} of {question.dataset} ({arguments})"
    return ComputationPage(
        computation.name,
        computation.purpose,
        checked.sentence,
        exact,
        language,
        checked.datasets,
        tuple(_parameter(parameter) for parameter in computation.parameters),
        tuple(_label(recipient, contract) for recipient in computation.recipients),
        computation.runs,
        computation.unattended,
    )


def _parameter(parameter: Parameter) -> str:
    domain = (
        f"{parameter.minimum} to {parameter.maximum}"
        if parameter.allowed is None
        else f"one of {', '.join(parameter.allowed)}"
    )
    return f"${parameter.name}: {parameter.description}; the analyst chooses {domain}"


_MAGNITUDE_RULE = "a sum, a mean or a spread is told only where no single subject makes up more than 45 % of it"
_METHOD_RULES = (
    "as many subjects lie on either side of a quantile, and have the event or leave at a step of a survival curve",
    "a model has at least 10 residual degrees of freedom and as many subjects in each level of a category",
    "a model has parameters for at most 33 % of its rows and of its events",
    "in a model no subject has more than 90 % of the weight in any combination of its coefficients",
    "a concentration is told only where no two subjects make up more than 90 % of the whole",
)
"""What holds whatever the owners ask, of magnitudes and of statistical methods; the numbers are those of the rules."""


def _rules(contract: Contract) -> tuple[str, ...]:
    rules = strictest(contract)
    zeros = (
        "an empty cell is withheld as well"
        if rules.zeros == "withhold"
        else "an empty cell may be told: it says nobody"
    )
    stated = (
        f"{_label(entry.party, contract)} asks for the profile {entry.rules.profile} (at least {entry.rules.threshold})"
        for entry in contract.disclosure
    )
    return (
        f"a cell is released only if at least {rules.threshold} different subjects stand behind it",
        "where several parties bring subjects of one kind, as many must be left without any single party's rows",
        zeros,
        _MAGNITUDE_RULE,
        "cells from which a withheld one could be worked out are withheld too",
        *(_METHOD_RULES if any(each.question.kind != "sql" for each in contract.computations) else ()),
        f"released numbers are rounded to {many(rules.significant_digits, 'significant digit')}",
        "every withheld cell is reported with its rule, never with its value",
        f"these are the strictest of what the owners ask: {'; '.join(stated)}",
    )


def _enclave_page(reference: ReferenceValues, contract: Contract, party: str | None) -> EnclavePage:
    measured = {
        "hardware": "the hardware measured the program itself",
        "boot": "the machine's boot chain measured the program and all that started before it",
        "self": "the program measured itself: this finds accidents, not adversaries",
    }[reference.measured_by]
    forgers = _tpm_forgers(reference, contract, party) if reference.format == "tpm" else forgers_of(reference)
    memory = (
        "the hardware hides its memory from whoever runs the machine"
        if reference.memory_protected
        else "whoever runs the machine can read its memory, and so every row"
    )
    waived = waived_by(reference)
    if waived:
        memory += f"; accepted all the same: {', '.join(waived)}"
    weak = reference.measured_by == "self" or not reference.memory_protected or bool(waived)
    return EnclavePage(reference.format, program_of(reference), measured, forgers, memory, weak)


def _tpm_forgers(reference: TpmReference, contract: Contract, party: str | None) -> str:
    issuer = "you yourself" if reference.issuer == party else _label(reference.issuer, contract)
    return (
        f"{issuer}, whose certificate authority vouches for the TPM's key; whoever runs the machine, if the TPM is "
        "one that the machine emulates" + ("" if reference.measured_by == "boot" else "; a changed program")
    )


def _validity(contract: Contract) -> tuple[str, ...]:
    runs = sum(computation.runs for computation in contract.computations)
    unattended = sum(computation.unattended for computation in contract.computations)
    refreshes = sum(dataset.freshness.refreshes for dataset in contract.datasets)
    limits = contract.limits
    return (
        f"from {contract.valid_from} until {contract.valid_until}, both UTC",
        f"at most {many(runs, 'run')} in all, of which {share(unattended, runs)} without a person at the owners",
        f"at most {many(refreshes, 'refresh', 'refreshes')} of rows" if refreshes else "no rows are ever replaced",
        f"one check of the enclave may be relied on for {many(contract.attested_key_seconds, 'second')}",
        f"an upload holds at most {limits.upload_mib} MiB",
        f"a run takes at most {limits.run_memory_mib} MiB of memory and {many(limits.run_seconds, 'second')}",
        *_succession(contract),
    )


def _succession(contract: Contract) -> tuple[str, ...]:
    before = contract.supersedes
    if before is None:
        return ("it supersedes no earlier contract",)
    superseded = f"it supersedes the contract {before.contract}, under which nothing more is permitted"
    if before.history == "begins_anew":
        return (superseded, "nothing of what was asked and answered under that contract is remembered or counted here")
    return (
        superseded,
        (
            "the history of that contract follows: a question that was answered under it over the same rows gets the "
            "same answer, and runs of the same question count together, over all contracts of the chain"
        ),
    )


def _label(name: str, contract: Contract) -> str:
    party = contract.party(name)
    return name if party is None else party.label


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
