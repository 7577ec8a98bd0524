import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from mpc.contract.terms import Contract
from mpc.disclosure.release import Release, ReleasedMeasure, ReleasedTable, Withheld, failed_release
from mpc.errors import Forbidden
from mpc.evidence.claims import SimulatedReference, TpmReference
from mpc.evidence.reference_values import ReferenceValues
from parties.report.building import build_report
from parties.report.view import Cell, Withholding, trust_of
from parties.report.words import said
from scenarios.breast_cancer import scenario

DIGEST = b"\x01" * 32
SIMULATED = SimulatedReference(format="simulated", code_digest="0" * 64, measured_by="self", memory_protected=False)


def card(name: str, label: str) -> dict[str, str]:
    return {
        "format": "sealroom.party",
        "name": name,
        "label": label,
        "signing_key": hashlib.sha256(name.encode()).hexdigest(),
        "sealing_key": base64.b64encode(hashlib.shake_256(name.encode()).digest(1216)).decode(),
    }


def contract(*enclaves: ReferenceValues) -> Contract:
    cards = {party.name: card(party.name, party.label) for party in scenario.parties}
    return scenario.contract(parties=cards, enclaves=enclaves or (SIMULATED,), now=datetime(2026, 1, 1, tzinfo=UTC))


RELEASE = Release(
    (
        ReleasedTable(
            name="crosstab",
            keys=("grade", "hormon"),
            measures=(ReleasedMeasure("n", "count", "Frequencies", None, "fail"),),
            data=pa.table({"grade": ["1", "2", None], "hormon": ["no", "no", "no"], "n": [None, 20, 25]}),
            masks=((True, False, False),),
            margins=(0, 0, 1),
            withheld=(Withheld("threshold", "LowCount", "minimum threshold", "n", 1, "group more coarsely"),),
        ),
    )
)


def test_a_release_becomes_cells_with_their_marks_labels_and_totals() -> None:
    report = build_report(contract(), DIGEST, RELEASE, computation="patients_by_grade", parameters={}, provenance=None)
    table = report.tables[0]
    assert [row[2] for row in table.rows] == [Cell(None, withheld=True), Cell(20), Cell(25)]
    assert table.columns[0].labels["1"] == "well differentiated"
    assert [table.totalled(row) for row in range(3)] == [frozenset(), frozenset(), frozenset({"grade"})]
    held = table.withheld[0]
    assert (held.why, held.remedy) == ("too few subjects stand behind the cell", "group more coarsely")
    assert report.contract_digest == "01" * 32
    assert set(report.recipients) == {"Rotterdam tumour bank", "German Breast Cancer Study Group", "University"}
    assert report.sources[0][0] == "patients"


def test_a_rule_of_another_version_is_told_by_its_check() -> None:
    known = Withholding("threshold", "n", 1, "group more coarsely", "minimum threshold")
    assert "too few" in known.why
    assert replace(known, rule="of tomorrow").why == "minimum threshold"
    assert replace(known, rule="of tomorrow", check="").why == "of tomorrow"


def released(name: str, key: str, value: object) -> Release:
    data = pa.table({key: [value], "estimate": [0.5]})
    measures = (ReleasedMeasure("estimate", "parameter", "Models", None, "pass"),)
    return Release((ReleasedTable(name, (key,), measures, data, ((False,),), (0,), ()),))


def test_a_term_of_a_model_is_told_in_the_codebooks_words() -> None:
    release = released("coefficients", "term", "grade[2]")
    (table,) = build_report(
        contract(), DIGEST, release, computation="prognosis", parameters={}, provenance=None
    ).tables  # fmt: skip
    assert said(table, 0)[0].text == "grade: moderately differentiated"
    assert table.rows[0][0].value == "grade[2]"  # data keep the term


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("grade[2]:grade[3]", "grade: moderately differentiated \N{MULTIPLICATION SIGN} grade: poorly differentiated"),
        ("age:grade[2]", "age \N{MULTIPLICATION SIGN} grade: moderately differentiated"),
        ("party[gbsg]", "party: German Breast Cancer Study Group"),
        ("grade[9]:age", "grade[9] \N{MULTIPLICATION SIGN} age"),
    ],
)  # fmt: skip
def test_each_part_of_an_interaction_is_told_in_words(term: str, words: str) -> None:
    (table,) = build_report(
        contract(), DIGEST, released("coefficients", "term", term), computation="prognosis", parameters={},
        provenance=None,
    ).tables  # fmt: skip
    assert said(table, 0)[0].text == words


def test_the_times_of_a_survival_curve_have_the_unit_of_their_column() -> None:
    release = released("survival", "time", 365)
    (table,) = build_report(
        contract(), DIGEST, release, computation="recurrence_free_survival", parameters={}, provenance=None
    ).tables  # fmt: skip
    assert table.columns[0].heading == "time (days)"


def test_a_failed_run_has_no_report_and_one_code() -> None:
    with pytest.raises(Forbidden) as refused:
        build_report(
            contract(), DIGEST, failed_release("patients_by_grade"), computation="patients_by_grade", parameters={},
            provenance=None,
        )  # fmt: skip
    assert refused.value.code == "run.failed"


def test_a_result_of_no_computation_of_the_contract_is_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        build_report(contract(), DIGEST, RELEASE, computation="other", parameters={}, provenance=None)
    assert refused.value.code == "report.computation"


@pytest.mark.parametrize(("measured_by", "severity"), [("self", "none"), ("boot", "partial")])
def test_evidence_is_called_what_it_is(measured_by: str, severity: str) -> None:
    tpm = TpmReference.model_validate(
        {
            "format": "tpm", "code_digest": "0" * 64, "code_pcr": 12, "measured_by": measured_by,
            "boot_pcrs": {str(register): "1" * 64 for register in (*range(8), 9)} if measured_by == "boot" else {},
            "memory_protected": False,
            "authority": base64.b64encode(b"no certificate").decode(), "issuer": "gbsg",
        }
    )  # fmt: skip
    terms = contract().model_copy(update={"enclaves": (tpm, SIMULATED)})
    said = trust_of(terms)
    assert said[0].severity == "none"
    assert severity in {trust.severity for trust in said if "tpm" in trust.headline}
    assert all("--accept-visible-memory" in trust.accepted_by for trust in said)
