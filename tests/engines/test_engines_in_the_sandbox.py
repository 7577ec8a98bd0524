"""Survival and linkage inside of a run's sandbox: nothing that they use asks the system for a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyseccomp")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CHILD = """
import importlib.util, sys
from datetime import date
from mpc.coordinator import sandbox
from mpc.coordinator.runner import warm_up

def loaded(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

link, people = loaded("linkage_rows", sys.argv[1]), loaded("survival_rows", sys.argv[2])
rows, terms = people.drawn(1, 200, entry=True), people.people(2, rows="many")
tables = people.shared_out(terms, rows)
warm_up()
sandbox.enter(sandbox.Bounds(memory_mib=1024, cpu_seconds=60, file_mib=0))

followed = {"time": ("time",), "entry": ("entry",)}
people.asked(terms, tables, "kaplan_meier", by=("arm",), at=("50", "100"), event=("event",), **followed)
people.asked(terms, tables, "log_rank", by=("arm",), event=("event",), **followed)
people.asked(
    terms, tables, "cox", formula=("event ~ x + arm",), ties=("efron",), baseline=("party",), variance=("robust",),
    transform=("km",), residuals=("bands",), confidence=("0.9",), **followed,
)
sales = [
    {"buyer": str(i), "email": f"A {i}@x", "phone": f"06123456{i:02}", "born": date(1980, 3, 1 + i % 20),
     "surname": f"Müller {i}", "code": i} for i in range(50)
]
members = [
    {"member": str(i), "email": f"a  {i}@X", "mobile": f"+316123456{i:02}", "birthday": f"{1 + i % 20}.3.1980",
     "name": f"MULLER{i}", "code": i} for i in range(40)
]
for how in (
    [link.pair("email", "email", "text")], [link.pair("phone", "mobile", "phone 31")], [link.pair("code", "code")],
    [link.pair("born", "birthday", "date"), link.pair("surname", "name", "name")],
):
    found = link.run(link.checked(link.link(how)), {"shop_a": sales, "shop_b": []}, members)
    assert found.tables[0].data["n"].to_pylist() == [40], how
print("done")
"""


def test_survival_and_linkage_need_nothing_of_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(HERE / "linkage_rows.py"), str(HERE / "statistics" / "survival_rows.py")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "done", done.stderr[-2000:]
