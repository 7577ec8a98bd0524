"""What a link may be: declared keys, compared in a way that means something; identifiers are joined, no more."""

from typing import Any

import pytest

from mpc.errors import Forbidden
from mpc.questions.linkage import printed
from mpc.questions.terms import LinkageQuestion
from mpc.questions.uses import ColumnUse
from tests.engines.linkage_rows import MEMBERS, SALES, checked, link, pair

CODE = [pair("code", "code")]


@pytest.mark.parametrize(
    ("passes", "code"),
    [
        ([[pair("amount", "age")]], "linkage.type"),
        ([[pair("code", "age")]], "linkage.key"),
        ([[pair("surname", "name", "name")]], "linkage.key"),
        ([[pair("born", "birthday")]], "linkage.type"),
        ([[pair("code", "code", "name")]], "linkage.type"),
        ([[pair("phone", "mobile", "phone")]], "linkage.country"),
        ([[pair("phone", "mobile", "digits 31")]], "linkage.country"),
        ([[pair("nothing", "code")]], "linkage.column"),
        ([CODE, CODE], "linkage.repeated"),
        ([[pair("code", "code"), pair("code", "code")]], "linkage.key"),
    ],
)
def test_a_link_that_makes_no_sense_is_refused(passes: Any, code: str) -> None:
    with pytest.raises(Forbidden, match=code.replace(".", r"\.")):
        checked(link(*passes))


def test_a_link_is_of_two_datasets_of_the_contract() -> None:
    with pytest.raises(Forbidden, match=r"linkage\.itself"):
        checked(link(CODE, right="sales"))
    with pytest.raises(Forbidden, match=r"linkage\.dataset"):
        checked(link(CODE, right="others"))


@pytest.mark.parametrize("by", ["sales_buyer", "members_member", "sales_email", "members_email"])
def test_identifiers_and_subjects_of_either_side_are_joined_and_nothing_else(by: str) -> None:
    with pytest.raises(Forbidden, match=r"statistics\.identifier"):
        checked(link(CODE), by=(by,))


def test_columns_are_named_with_their_dataset() -> None:
    with pytest.raises(Forbidden, match=r"statistics\.column"):
        checked(link(CODE), columns=("amount",))
    own = SALES.columns[0].model_copy(update={"name": "b_code"})
    ambiguous = SALES.model_copy(update={"name": "a", "columns": (*SALES.columns, own)})
    other = MEMBERS.model_copy(update={"name": "a_b"})
    with pytest.raises(Forbidden, match=r"linkage\.name"):
        checked(link(CODE, left="a", right="a_b"), sides=(ambiguous, other))


def test_every_use_of_a_column_is_of_its_own_dataset() -> None:
    question = checked(link(CODE), columns=("sales_amount",), by=("members_region",))
    assert question.uses == (
        ColumnUse("members", "code", "joined"), ColumnUse("members", "member", "counted"),
        ColumnUse("members", "region", "grouped"), ColumnUse("members", "region", "returned"),
        ColumnUse("sales", "amount", "aggregated"), ColumnUse("sales", "buyer", "counted"),
        ColumnUse("sales", "code", "joined"),
    )  # fmt: skip
    assert question.datasets == ("sales", "members")


def test_a_link_is_explained_in_words_and_printed_whole() -> None:
    how = link(
        [pair("phone", "mobile", "phone 31")], [pair("born", "birthday", "date"), pair("surname", "name", "name")]
    )
    question = checked(how, columns=("sales_amount",))
    assert question.sentence.startswith(
        "Links one row of sales with one of members where phone with mobile (as a telephone number) agrees; then of "
        "those that are left, where born with birthday (as a calendar day) and surname with name (its letters and "
        "digits, whatever their case and accents) agree; a key that is not unique links nobody. Number of rows of "
        "linked"
    )
    term = LinkageQuestion(kind="linkage", link=how, method="totals", arguments={"columns": ("sales_amount",)})
    assert printed(term) == (
        "totals of sales (one) linked with members by phone = mobile [phone 31] or born = birthday [date] and "
        "surname = name [name] (columns: sales_amount)"
    )
