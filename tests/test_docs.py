"""Holds the documentation to the code: what a page names exists, and what the code has a page names."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp
from typer.main import get_command

from mpc import messages
from mpc.coordinator.telemetry import Telemetry
from mpc.engines.sql import confirm
from mpc.errors import KINDS, Refusal
from mpc.evidence import FORMATS
from mpc.questions.sql.tree import ANONYMOUS, SHAPES
from mpc.questions.statistics import METHODS
from mpc.receipts.leaves import KINDS as LEAVES
from mpc.receipts.verification import PARTS
from mpc.sealing.hpke import SealedFor
from mpc.signing import Purpose
from mpc.wire import coordinator_pb2
from parties.cli.application import app
from scenarios.disclosure import PROFILES
from scenarios.loading import load_scenario
from scenarios.rehearsal import rehearsal_contract
from tests.sql_questions import check

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("scenarios/**/*.md")])
PROTOCOL = (DOCS / "protocol.md").read_text(encoding="utf-8")
SQL = (DOCS / "sql.md").read_text(encoding="utf-8")
RECORDS = sorted(DOCS.glob("adr/*.md"))

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s(|&;])(sealroom [a-z].*)")
SHELL_ENDS = re.compile(r"\s(?:[|&;>#]|2>).*|\s{2,}#.*|&$|\)\s*\|.*")


def commands_of(page: Path) -> Iterator[str]:
    """Yield every `sealroom …` that a page shows, in fenced blocks and in code spans."""
    text = page.read_text(encoding="utf-8")
    for language, block in FENCED.findall(text):
        if language in {"", "sh", "bash"}:
            for line in block.replace("\\\n", " ").splitlines():
                found = COMMAND.search(line)
                if found:
                    yield SHELL_ENDS.sub("", found[1])
    for span in re.findall(r"`(sealroom [^`]+)`", FENCED.sub("", text)):
        yield SHELL_ENDS.sub("", span)


COMMANDS = sorted({(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands_of(page)})


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that ``words`` name in the real command line, and the words that are left."""
    command: Any = get_command(app)
    context: Any = command.make_context("sealroom", [], resilient_parsing=True)
    while words and hasattr(command, "list_commands"):
        inner = command.get_command(context, words[0])
        assert inner is not None, f"there is no command {words[0]!r}"
        command, words = inner, words[1:]
    return command, words


def test_the_pages_show_commands_at_all() -> None:
    assert len(COMMANDS) > 40
    assert {"README.md", "docs/operating.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "shown"), COMMANDS)
def test_a_command_that_a_page_shows_exists_with_its_options(page: str, shown: str) -> None:
    words = shlex.split(shown.replace("…", ""))[1:]
    command, rest = resolve(words)
    options = {spelling for parameter in command.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    assert used <= options | {"--help", "--version"}, f"{page}: {shown}"


def slug(heading: str) -> str:
    """Return the anchor that a heading gets, as GitHub makes it."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)}


LINKS = sorted(
    {
        (page.relative_to(ROOT).as_posix(), target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8")))
        if not re.match(r"[a-z]+:", target)
    }
)


def test_the_pages_link_at_all() -> None:
    assert len(LINKS) > 40


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    wanted = (ROOT / page).parent / path if path else ROOT / page
    assert wanted.exists()
    if anchor:
        assert anchor in anchors(wanted)


def section(number: int) -> str:
    """Return one numbered section of the protocol."""
    return PROTOCOL.partition(f"\n## {number} ")[2].partition(f"\n## {number + 1} ")[0]


def test_the_protocol_describes_every_payload_type_refusal_purpose_leaf_and_part() -> None:
    for purpose in Purpose:
        assert f"| `{purpose.value}` |" in PROTOCOL
    for name, kind in KINDS.items():
        status = messages.STATUS[kind].name
        assert re.search(rf"^\| `{name}` \|.*\| `{status}` \| \d+ \| {kind.exit_code} \|$", PROTOCOL, re.MULTILINE)
    for sealed_for in SealedFor:
        assert f'| `"{sealed_for.value}"` |' in PROTOCOL
    for part in PARTS:
        assert f"`{part}`" in PROTOCOL
    assert re.findall(r"^### ([\w-]+)$", PROTOCOL, re.MULTILINE) == list(FORMATS)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_the_protocol_lists_the_fields_of_every_leaf(leaf: Any) -> None:
    name = leaf.model_fields["leaf"].default
    row = re.search(rf"^\| `{name}` \| (.*) \|$", section(13), re.MULTILINE)
    assert row is not None
    spans = {word.strip() for span in re.findall(r"`([^`]*)`", row[1]) for word in span.split(",")}
    assert set(leaf.model_fields) - {"leaf"} <= spans


def test_the_protocol_lists_every_method_of_the_service() -> None:
    service = coordinator_pb2.DESCRIPTOR.services_by_name["Coordinator"]
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section(16), re.MULTILINE)
    assert {name for row in listed for name in re.findall(r"`(\w+)`", row)} == {each.name for each in service.methods}


EXAMPLES = [
    question.strip()
    for language, block in FENCED.findall(SQL)
    if language == "sql"
    for question in block.split(";")
    if question.strip()
]
REFUSED = re.findall(r"^\| `sql\.([a-z_]+)` \| `([^`]*)` \|", SQL, re.MULTILINE)


@pytest.mark.parametrize("question", EXAMPLES)
def test_a_question_that_the_page_allows_is_allowed(question: str) -> None:
    check(question)


def test_the_allowed_examples_show_every_form_on_the_list_and_every_function_of_it() -> None:
    shown = {type(node) for question in EXAMPLES for node in sqlglot.parse_one(question, dialect="duckdb").walk()}
    assert set(SHAPES) - shown == {exp.DataTypeParam}  # varchar(5), which the check on casts refuses
    spelled = {word.lower() for question in EXAMPLES for word in re.findall(r"\b(\w+)\(", question)}
    assert spelled >= ANONYMOUS


ALSO_NAMED = frozenset({
    "mean", "stddev", "variance", "median", "quantile", "count_if",  # other spellings of what runs
    "coalesce", "if", "try", "extract", "year", "quarter", "month", "day",  # read into other forms
    "week", "hour", "minute", "dow", "isodow", "doy", "isoyear",  # parts of a date
    "bigint", "double", "varchar", "boolean", "date", "timestamptz", "cast", "try_cast",  # types
    "p",  # a quantile's level
})  # fmt: skip


def test_the_tables_of_functions_name_the_list_that_the_engine_confirms_and_nothing_else() -> None:
    tables = FENCED.sub("", SQL.partition("## Aggregates")[2].partition("## Groups")[0])
    rows = [line for line in tables.splitlines() if line.startswith("| ")]
    named = {word.lower() for row in rows for word in re.findall(r"`([A-Za-z_]\w*)(?:\([^`]*\))?`", row)}
    confirmed = {name for name in confirm._FUNCTIONS if name.isidentifier()} - {"count_star"}
    assert named == confirmed | ALSO_NAMED


@pytest.mark.parametrize(("code", "question"), REFUSED)
def test_a_question_that_the_page_refuses_is_refused_with_its_code(code: str, question: str) -> None:
    with pytest.raises(Refusal) as refused:
        check(question)
    assert refused.value.code == f"sql.{code}"


def test_the_page_on_sql_lists_every_refusal_of_the_check() -> None:
    sources = "".join(path.read_text() for path in ROOT.glob("mpc/questions/sql/*.py"))
    codes = set(re.findall(r'forbidden\(\s*"([a-z_]+)"', sources)) | set(re.findall(r'"sql\.([a-z]+)"', sources))
    assert len(codes) > 40
    assert set(re.findall(r"^\| `sql\.([a-z_]+)` \|", SQL, re.MULTILINE)) == codes | {"unconfirmed"}
    assert len(REFUSED) > 40


def test_the_operators_page_lists_the_metrics_and_no_others() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    listed = {name.removesuffix("_total") for name in re.findall(r"^\| `(sealroom_\w+)` \|", page, re.MULTILINE)}
    assert listed == {family.name for family in Telemetry().registry.collect()}


def test_the_study_on_the_page_about_scenarios_is_one(tmp_path: Path) -> None:
    page = (DOCS / "writing-a-scenario.md").read_text(encoding="utf-8")
    (whole,) = [block for language, block in FENCED.findall(page) if language == "python" and "Scenario(" in block]
    (tmp_path / "study.py").write_text(whole, encoding="utf-8")
    contract = rehearsal_contract(load_scenario(tmp_path / "study.py"))
    assert [computation.name for computation in contract.computations] == ["nodes_by_grade", "patients_by_grade"]
    for method in METHODS:
        assert f"statistics.{method}(" in page
    zeros = {"withhold": "withheld", "release": "released"}
    for name, rules in PROFILES.items():
        stated = rf"\| {rules.threshold} \| {zeros[rules.zeros]} \| {rules.significant_digits} \|"
        assert re.search(rf"^\| `{name.upper()}`[^|]*{stated}", page, re.MULTILINE), name


def test_decision_records_have_numbers_of_their_own_and_tell_what_they_cost() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert len(set(numbers)) == len(numbers) > 10
    for number, record in zip(numbers, RECORDS, strict=True):
        text = record.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert headings[0].startswith(f"{number}. "), record.name
        assert headings[1:] == ["Context", "Decision", "Consequences"], record.name
        assert "Status: " in text, record.name
