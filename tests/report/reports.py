"""A report by hand: every kind of cell, column and warning that a real one may hold."""

from mpc.contract.terms import Rules
from mpc.evidence.claims import Check
from parties.report.view import (
    Cell,
    Provenance,
    Report,
    ReportColumn,
    ReportTable,
    Signer,
    Trust,
    Withholding,
)

HELD = Cell(None, withheld=True)
GRADES = {"1": "well differentiated", "2": "moderately differentiated", "3": "poorly differentiated"}

RULES = Rules(
    profile="standard", threshold=10, coalition=1, zeros="withhold", complementary="suppress", significant_digits=4
)

COUNTS = ReportTable(
    name="counts",
    columns=(
        ReportColumn("grade", "key", labels=GRADES),
        ReportColumn("hormon", "key"),
        ReportColumn("patients", "count"),
        ReportColumn("recurrence_rate", "mean"),
    ),
    rows=(
        (Cell("3"), Cell("no"), Cell(12_345), Cell(0.5471)),
        (Cell("3"), Cell("yes"), Cell(212), Cell(None)),
        (Cell("1"), Cell("no"), Cell(48), Cell(0.25)),
        (Cell("1"), Cell("yes"), HELD, HELD),
        (Cell("3"), Cell(None), Cell(12_557), Cell(0.5)),
    ),
    withheld=(
        Withholding("threshold", "patients", 1, "ask for coarser groups"),
        Withholding("threshold", "recurrence_rate", 1, "ask for coarser groups"),
    ),
    totals=(frozenset(), frozenset(), frozenset(), frozenset(), frozenset({"hormon"})),
)

SPREADS = ReportTable(
    name="ages",
    columns=(
        ReportColumn("grade", "key", labels=GRADES),
        ReportColumn("mean_age", "mean", "years"),
        ReportColumn("sd_age", "spread", "years"),
    ),
    rows=((Cell("2"), Cell(54.21), Cell(12.11)), (Cell("3"), HELD, HELD), (Cell("1"), Cell(51.0), Cell(9.5))),
    withheld=(
        Withholding("coalition", "mean_age", 1, "group more coarsely"),
        Withholding("coalition", "sd_age", 1, "group more coarsely"),
    ),
)

PROVENANCE = Provenance(
    digest="99" * 32,
    run=1,
    checks=(Check("code digest", "ab" * 32, "ab" * 32, passed=True), Check("debug", "off", "off", passed=True)),
    shown="shown at 2026-11-23T21:00:00Z by gbsg",
)

REPORT = Report(
    title="Two <cohorts> & one answer",
    contract_purpose="Describe both cohorts together.",
    contract_digest="3f" * 32,
    valid=("2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"),
    computation="patients_by_grade",
    purpose="How many patients have each grade",
    question="SELECT grade, count(*) FROM patients WHERE age < 50 GROUP BY grade",
    question_kind="sql",
    parameters={"age_from": "50"},
    recipients=("University",),
    sources=(("patients", "One row for each patient", ("Rotterdam tumour bank", "German Breast Cancer Study Group")),),
    rules=RULES,
    tables=(COUNTS, SPREADS),
    signers=(Signer("gbsg", "German Breast Cancer Study Group", "ab" * 32, "owns rows of patients"),),
    trust=(Trust("none", "No protection: simulated evidence", "Anybody can forge it.", "--accept-self-measured x"),),
    provenance=PROVENANCE,
)
