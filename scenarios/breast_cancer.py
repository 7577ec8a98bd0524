"""Two hospitals and a university: breast cancer by tumour grade and hormone therapy, on real patients.

The Rotterdam tumour bank (2982 patients) and the German Breast Cancer Study Group (686) are the two cohorts that
Royston and Altman analysed (BMC Medical Research Methodology 13:33, 2013); ``scenarios/data/README.md`` gives the
source. The university asks and receives, and owns no row.
"""

from datetime import timedelta
from pathlib import Path

from scenarios.scenario import Dataset, Party, Scenario, Subject, category, integer, sql, statistics

DATA = Path(__file__).parent / "data"

rotterdam = Party("rotterdam", "Rotterdam tumour bank")
gbsg = Party("gbsg", "German Breast Cancer Study Group")
university = Party("university", "University")

patients = Dataset(
    "patients",
    "Women operated on for primary breast cancer, one row each",
    owners=[rotterdam, gbsg],
    subject=Subject("pid", domain="patient", identity="disjoint", rows="one"),
    columns={
        "pid": integer("the hospital's own patient number", identifier=True),
        "age": integer("age at surgery", unit="years", minimum=18, maximum=110),
        "menopausal": category(
            "menopausal status", {"before": "premenopausal", "after": "postmenopausal"}, filterable=True
        ),
        "size_mm": integer(
            "tumour size; class midpoints where only classes are known", unit="mm", minimum=0, maximum=150
        ),
        "size_class": category(
            "tumour size in the classes of the TNM staging",
            {"T1": "at most 20 mm", "T2": "over 20 to 50 mm", "T3": "over 50 mm"},
            filterable=True,
        ),
        "grade": category(
            "differentiation grade",
            {"1": "well differentiated", "2": "moderately differentiated", "3": "poorly differentiated"},
            filterable=True,
        ),
        "nodes": integer("positive lymph nodes", minimum=0, maximum=60),
        "pgr": integer("progesterone receptors", unit="fmol/l", minimum=0, maximum=10_000),
        "er": integer("oestrogen receptors", unit="fmol/l", minimum=0, maximum=10_000),
        "hormon": category("hormone therapy", {"no": "no therapy", "yes": "tamoxifen"}, filterable=True),
        "rfs_days": integer("time to relapse, death or last follow-up", unit="days", minimum=0, maximum=10_000),
        "rfs_event": integer("1 for relapse or death, 0 for censored", minimum=0, maximum=1),
    },
)

YEARS = [365, 548, 730, 1096, 1461, 1826, 2192]
"""One to six years, in days."""

scenario = Scenario(
    title="Breast cancer by grade and hormone therapy, in Rotterdam and Germany",
    purpose=(
        "To describe both cohorts together and to fit one prognostic model to them: who was treated, how far the "
        "disease had come, how soon it returned, and what that goes with."
    ),
    parties=[rotterdam, gbsg, university],
    datasets=[patients],
    recipients=[university],
    valid_for=timedelta(days=30),
    computations={
        "patients_by_hormone_therapy": sql(
            """
            SELECT hormon, size_class, count(*) AS patients
            FROM patients
            GROUP BY hormon, size_class
            ORDER BY hormon, size_class
            """,
            purpose="How many patients with each tumour size had hormone therapy.",
            recipients=[rotterdam, gbsg, university],
            runs=3,
            unattended=3,
        ),
        "patients_by_grade": sql(
            """
            SELECT grade, hormon, count(*) AS patients
            FROM patients
            GROUP BY grade, hormon
            ORDER BY grade, hormon
            """,
            purpose="How many patients of each grade had hormone therapy. Grade 1 was recorded at one hospital only.",
            recipients=[rotterdam, gbsg, university],
            runs=3,
            unattended=3,
        ),
        "disease_by_therapy": sql(
            """
            SELECT hormon, count(*) AS patients,
                   avg(age) AS mean_age, stddev_samp(age) AS sd_age,
                   avg(size_mm) AS mean_size, stddev_samp(size_mm) AS sd_size,
                   avg(nodes) AS mean_nodes, stddev_samp(nodes) AS sd_nodes
            FROM patients
            GROUP BY hormon
            ORDER BY hormon
            """,
            purpose="Age, tumour size and lymph nodes with and without hormone therapy.",
            runs=3,
            unattended=3,
        ),
        "recurrence": sql(
            """
            SELECT hormon, size_class, count(*) AS patients,
                   avg(rfs_event) AS recurrence_rate, avg(rfs_days) AS mean_days
            FROM patients
            GROUP BY hormon, size_class
            ORDER BY hormon, size_class
            """,
            purpose="How often the disease returned, or the patient died, by therapy and tumour size.",
            runs=3,
            unattended=3,
        ),
        "nodes_by_grade": statistics.summary(
            patients["nodes"],
            patients["age"],
            by=["grade"],
            purpose="Lymph nodes and age at each grade.",
            runs=3,
            unattended=3,
        ),
        "size_and_therapy": statistics.crosstab(
            patients["size_class"],
            patients["hormon"],
            purpose="Whether hormone therapy went with tumour size.",
            runs=3,
            unattended=3,
        ),
        "recurrence_free_survival": statistics.kaplan_meier(
            patients["rfs_days"],
            patients["rfs_event"],
            by=["hormon"],
            at=YEARS,
            purpose="How many live without recurrence for how long, with and without hormone therapy.",
            runs=3,
            unattended=3,
        ),
        "survival_by_therapy": statistics.log_rank(
            patients["rfs_days"],
            patients["rfs_event"],
            by=["hormon"],
            strata=["size_class"],
            purpose="Whether recurrence-free survival differs by hormone therapy, among tumours of one size class.",
            runs=3,
            unattended=3,
        ),
        "prognosis": statistics.cox(
            "rfs_event ~ age + size_class + grade + nodes + hormon",
            time=patients["rfs_days"],
            baseline="party",
            purpose="What recurrence or death go with: the joint prognostic model of both cohorts.",
            runs=3,
            unattended=3,
        ),
    },
)  # fmt: skip

REFUSED_QUESTION = "SELECT pid, age, nodes FROM patients WHERE grade = '3'"
"""A question that no contract can hold: it asks for patients, not for an answer about them. Identifiers may stand only
in joins and distinct counts, and values leave only inside aggregates or as groups of a filterable column.
"""

SOURCES = {"rotterdam": DATA / "rotterdam.toml", "gbsg": DATA / "gbsg.toml"}
"""For each owner, the ``[datasets…]`` part of its ``party.toml``; sources in it are named relative to that file."""
