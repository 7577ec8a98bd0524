"""From what was released to what is shown: the one place where a contract, a release and a receipt become a report."""

from collections.abc import Mapping
from typing import Any

from mpc.canonical import sha256
from mpc.contract.strictness import strictest
from mpc.contract.terms import Computation, Contract
from mpc.disclosure.release import Release, ReleasedTable
from mpc.errors import Forbidden
from mpc.receipts.verification import VerifiedReceipt
from parties.report.view import (
    Cell,
    Provenance,
    Report,
    ReportColumn,
    ReportTable,
    Value,
    Withholding,
    codebooks,
    question_text,
    signers_of,
    term_in_words,
    terms,
    trust_of,
    units,
)

_KEYS_OF = {
    "kaplan_meier": ("time", ("time",)), "histogram": ("column", ("from", "to")), "roc": ("score", ("threshold",)),
}  # fmt: skip
"""The argument that names the column whose values are keys of the method's table, and those keys."""


def build_report(
    contract: Contract,
    digest: bytes,
    release: Release,
    *,
    computation: str,
    parameters: Mapping[str, str],
    provenance: Provenance | None,
) -> Report:
    """Return the report of one release under ``contract``, whose SHA-256 is ``digest``.

    A failed run has no report: ``Forbidden`` with the one code that recipients are told.
    """
    asked = contract.computation(computation)
    if asked is None:
        raise Forbidden(
            "report.computation", "the result answers no question of the contract", why="no computation has its name",
            remedy="give the contract that the receipt names", field="computation", found=computation,
            expected=" or ".join(each.name for each in contract.computations),
        )  # fmt: skip
    if release.failure is not None:
        raise Forbidden(
            release.failure, f"the run of {computation} gave no result", why="it failed; the reason may speak of data",
            remedy="ask the owners: their daemons know the kind of failure", field="computation", found=computation,
        )  # fmt: skip
    labels = {**codebooks(contract), "term": terms(contract)}
    key_units = {**units(contract), **_units_of_keys(contract, asked)}
    method = None if asked.question.kind == "sql" else asked.question.method
    return Report(
        title=contract.title,
        contract_purpose=contract.purpose,
        contract_digest=digest.hex(),
        valid=(contract.valid_from, contract.valid_until),
        computation=computation,
        purpose=asked.purpose,
        question=question_text(asked),
        question_kind=asked.question.kind,
        parameters=dict(parameters),
        recipients=tuple(_label(contract, name) for name in asked.recipients),
        sources=_sources(contract, asked),
        rules=strictest(contract),
        tables=tuple(_table(table, labels, key_units, method) for table in release.tables),
        signers=signers_of(contract),
        trust=trust_of(contract),
        provenance=provenance,
    )


def _table(
    table: ReleasedTable, labels: Mapping[str, Mapping[str, str]], key_units: Mapping[str, str], method: str | None
) -> ReportTable:
    keys = tuple(
        ReportColumn(name, "key", key_units.get(name), _labels(table, name, labels), labels_alone=name == "term")
        for name in table.keys
    )
    measures = tuple(ReportColumn(measure.name, measure.kind, measure.unit) for measure in table.measures)
    data = [table.data.column(name).to_pylist() for name in (*table.keys, *(measure.name for measure in measures))]
    rows = []
    for index in range(table.data.num_rows):
        masks = [False] * len(keys) + [mask[index] for mask in table.masks]
        rows.append(
            tuple(
                Cell(None, withheld=True) if held else Cell(_plain(values[index]))
                for values, held in zip(data, masks, strict=True)
            )
        )
    return ReportTable(
        name=table.name,
        columns=(*keys, *measures),
        rows=tuple(rows),
        withheld=tuple(
            Withholding(held.rule, held.measure, held.cells, held.remedy, held.check) for held in table.withheld
        ),
        totals=tuple(
            frozenset(key for bit, key in enumerate(table.keys) if margin >> bit & 1) for margin in table.margins
        ),
        method=method,
    )


def _labels(table: ReleasedTable, name: str, labels: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    own = dict(labels.get(name, {}))
    if name != "term":
        return own
    shown = {str(term): term_in_words(str(term), own) for term in table.data.column(name).to_pylist()}
    return {term: words for term, words in shown.items() if words != term}


def _units_of_keys(contract: Contract, asked: Computation) -> dict[str, str]:
    """Return the units of keys that have a name of their own, whatever the column is called that they are of."""
    if asked.question.kind == "sql" or asked.question.method not in _KEYS_OF:
        return {}
    argument, keys = _KEYS_OF[asked.question.method]
    unit = units(contract).get(asked.question.arguments[argument][0])
    return dict.fromkeys(keys, unit) if unit else {}


def _plain(value: Any) -> Value:  # noqa: ANN401 - what Arrow hands out
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _label(contract: Contract, name: str) -> str:
    party = contract.party(name)
    return name if party is None else party.label


def _sources(contract: Contract, asked: Computation) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Return the datasets that a question reads, as far as its text names them, with their owners' labels."""
    text = question_text(asked)
    return tuple(
        (dataset.name, dataset.description, tuple(_label(contract, owner) for owner in dataset.owners))
        for dataset in contract.datasets
        if dataset.name in text
    )


def provenance_of(receipt: bytes, verified: VerifiedReceipt) -> Provenance:
    """Return what a verified receipt says, links of its chain first, then each check of the enclave."""
    return Provenance(
        digest=sha256(receipt).hex(),
        run=verified.run,
        checks=(*verified.checks, *verified.attested.checks),
        shown=verified.verdict,
    )
