"""Linkage from a scenario in Python to released tables: contract, page, synthetic rows, engine, disclosure."""

from datetime import timedelta

import pytest

from mpc.canonical import canonical_json, sha256
from mpc.contract.document import contract_bytes, parse_contract
from mpc.contract.explain import explain
from mpc.errors import Forbidden, Misconfigured
from scenarios.rehearsal import rehearsal_contract, rehearse
from scenarios.scenario import (
    Dataset,
    Party,
    Scenario,
    Subject,
    category,
    integer,
    link,
    linkage,
    real,
    statistics,
    text,
)

shop = Party("shop", "Shop")
club = Party("club", "Club")

sales = Dataset(
    "sales", "What the shop sold", owners=[shop], subject=Subject("buyer", domain="buyer", identity="disjoint"),
    keys=[("code",), ("email",)],
    columns={
        "buyer": text("who bought", identifier=True), "email": text("e-mail", identifier=True, nullable=True),
        "code": integer("number of the card", minimum=0, maximum=300),
        "amount": real("paid", unit="EUR", minimum=0, maximum=100),
    },
)  # fmt: skip
members = Dataset(
    "members", "Members of the club", owners=[club],
    subject=Subject("member", domain="member", identity="disjoint", rows="one"), keys=[("code",), ("email",)],
    columns={
        "member": text("who is a member", identifier=True), "email": text("e-mail", identifier=True, nullable=True),
        "code": integer("number of the card", minimum=0, maximum=300),
        "region": category("where", {"n": "north", "s": "south"}, filterable=True),
    },
)  # fmt: skip

same = link(sales, members, ["code"], [("email", "email", "text")], left_rows="many")

study = Scenario(
    title="What members buy", purpose="To learn how much of the sales is members'.", parties=[shop, club],
    datasets=[sales, members], recipients=[shop, club], valid_for=timedelta(days=3),
    computations={
        "common": linkage.intersection(same, purpose="How many sales are members'.", runs=2),
        "sold": linkage.intersection_sum(same, [sales["amount"]], by=[members["region"]]),
        "spread": linkage.over(same, statistics.summary(same[sales["amount"]], by=["members_region"])),
    },
)  # fmt: skip


def test_a_linked_study_is_a_contract_that_spells_itself() -> None:
    contract = rehearsal_contract(study)
    raw = contract_bytes(contract)
    assert parse_contract(raw) == contract
    assert canonical_json(contract) == raw
    (common, sold, spread) = contract.computations
    assert {each.question.kind for each in (common, sold, spread)} == {"linkage"}


def test_the_page_names_what_is_joined_and_what_is_read() -> None:
    contract = rehearsal_contract(study)
    page = explain(contract, sha256(contract_bytes(contract)), party="club")
    (own,) = [dataset for dataset in page.datasets if dataset.yours]
    uses = {column.name: set(column.uses) for column in own.columns}
    assert uses["email"] == {(name, "joined") for name in ("common", "sold", "spread")}
    assert uses["region"] == {(name, role) for name in ("sold", "spread") for role in ("grouped", "returned")}
    text_of = {each.name: each for each in page.computations}
    assert "Links any number of rows of sales with one of members where code agrees" in text_of["common"].sentence
    assert "never which" in text_of["common"].sentence
    assert "Number of rows of linked in each group of members_region" in text_of["sold"].sentence


def test_a_rehearsal_links_synthetic_rows_and_reports_both_sides() -> None:
    reports = {report.computation: report for report in rehearse(study, rows=400, seed=3).reports()}
    assert {table.name for table in reports["common"].tables} == {"totals", "match_sales", "match_members"}
    assert {table.name for table in reports["spread"].tables} == {"summary", "match_sales", "match_members"}
    (totals, *_) = reports["sold"].tables
    assert totals.columns[0].labels == {"n": "north", "s": "south"}
    assert [column.name for column in totals.columns[1:]] == [
        "n", "subjects_sales", "sales_amount_sum", "subjects_members"
    ]  # fmt: skip
    assert "linked with members" in reports["sold"].question


def test_every_method_is_asked_of_linked_rows_with_its_own_arguments() -> None:
    asked = {
        "fit": linkage.over(same, statistics.linear("sales_amount ~ C(members_region)", same, errors="HC1", runs=2)),
        "plain": linkage.method(same, "linear", {
            "formula": ["sales_amount ~ C(members_region)"], "errors": ["HC1"], "residuals": ["none"],
            "parties": ["pooled"], "confidence": ["0.95"],
        }),
    }  # fmt: skip
    contract = rehearsal_contract(Scenario(**{**vars(study), "computations": asked}))
    fit, plain = (contract.computation(name) for name in asked)
    assert fit is not None
    assert plain is not None
    assert fit.question == plain.question
    assert (fit.runs, plain.runs) == (2, 1)
    with pytest.raises(Misconfigured, match=r"scenario\.linkage"):
        linkage.over(same, statistics.summary(sales["amount"]))


def test_a_key_that_nobody_declared_makes_no_contract() -> None:
    undeclared = link(sales, members, [("buyer", "member")])
    with pytest.raises(Forbidden, match=r"linkage\.key"):
        rehearsal_contract(Scenario(**{**vars(study), "computations": {"c": linkage.intersection(undeclared)}}))
