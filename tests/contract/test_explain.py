from collections.abc import Callable
from typing import Any

import pytest

from mpc.canonical import sha256
from mpc.contract.document import parse_contract
from mpc.contract.explain import Explanation, explain
from mpc.contract.page import COUNTED, NEVER_READ
from mpc.contract.terms import Contract
from mpc.errors import Misconfigured
from mpc.signing import SigningKey

Document = dict[str, Any]
Spell = Callable[[Document], bytes]


@pytest.fixture
def page(contract: Contract, raw: bytes) -> Explanation:
    return explain(contract, sha256(raw), party="north")


def sentences(page: Explanation) -> dict[str, str]:
    return {column.name: column.sentence for dataset in page.datasets for column in dataset.columns}


def explained(document: Document, spell: Spell, party: str | None = "north") -> Explanation:
    return explain(parse_contract(spell(document)), b"\0" * 32, party=party)


def test_every_column_says_what_becomes_of_it(page: Explanation) -> None:
    said = sentences(page)
    assert list(said) == ["pid", "age", "grade", "nodes", "shoe_size"]
    assert said["pid"] == COUNTED
    assert said["age"] == said["shoe_size"] == NEVER_READ
    assert "head the groups of an answer (nodes_by_grade)" in said["grade"]
    assert "only inside totals, means and the like (nodes_by_grade)" in said["nodes"]


def test_a_column_that_only_filters_is_not_called_unread(document: Document, spell: Spell) -> None:
    document["computations"][0]["question"]["text"] = "SELECT avg(nodes) AS nodes FROM patients WHERE grade = '3'"
    assert sentences(explained(document, spell))["grade"] == "decides which rows take part (nodes_by_grade)"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT avg(nodes) AS nodes FROM patients WHERE grade IN ('2', '3')",
        "SELECT avg(nodes) FILTER (WHERE grade = '3') AS nodes FROM patients",
        "SELECT CASE WHEN grade = '3' THEN 'poor' ELSE 'ok' END AS kind, avg(nodes) AS nodes FROM patients GROUP BY 1",
    ],
)
def test_no_place_in_a_question_hides_a_column(document: Document, spell: Spell, text: str) -> None:
    document["computations"][0]["question"]["text"] = text
    assert sentences(explained(document, spell))["grade"] != NEVER_READ


def test_the_exact_question_its_recipients_and_its_runs_are_on_the_page(page: Explanation, contract: Contract) -> None:
    (computation,) = page.computations
    assert computation.question == "SELECT grade, avg(nodes) AS nodes FROM patients GROUP BY grade"
    assert computation.question in page.text
    assert computation.question in page.markdown
    assert computation.recipients == ("University",)
    assert (computation.runs, computation.unattended) == (3, 1)
    assert "at most 3 runs in all, of which 1 without a person" in page.text
    assert computation.sentence in page.text
    assert contract.purpose in page.text


def test_parties_stand_with_their_whole_fingerprints(page: Explanation, key_of: Callable[[str], SigningKey]) -> None:
    for party in page.parties:
        assert party.fingerprint == key_of(party.name).public.keyid
        assert party.fingerprint in page.text


def test_a_simulated_enclave_is_a_warning_at_the_top_and_in_its_place(page: Explanation) -> None:
    (enclave,) = page.enclaves
    assert enclave.warning
    warnings = [line.text for line in page.lines if line.kind == "warning"]
    assert any("anybody" in warning for warning in warnings)
    first_heading = next(i for i, line in enumerate(page.lines) if line.kind == "heading")
    assert any(line.kind == "warning" for line in page.lines[:first_heading])


def test_the_party_whose_authority_vouches_for_a_tpm_is_named(document: Document, spell: Spell, authority: str) -> None:
    document["enclaves"][0] = {
        "format": "tpm", "code_digest": "ab" * 32, "code_pcr": 12, "boot_pcrs": {}, "authority": authority,
        "issuer": "south", "measured_by": "self", "memory_protected": False,
    }  # fmt: skip
    for party, name in (("north", "South, whose certificate authority"), ("south", "you yourself")):
        (enclave,) = explained(document, spell, party).enclaves
        assert enclave.forged_by.startswith(name)
        assert enclave.warning


def test_the_rules_are_the_strictest_and_say_whose_they_are(document: Document, spell: Spell) -> None:
    document["disclosure"][1]["rules"] |= {"profile": "ads", "threshold": 50}
    rules = " ".join(explained(document, spell).rules)
    assert "at least 50 different subjects" in rules
    assert "North asks for the profile standard (at least 10)" in rules
    assert "South asks for the profile ads (at least 50)" in rules
    assert "without any single party's rows" in rules


def test_validity_refreshes_and_what_is_superseded_are_said(document: Document, spell: Spell) -> None:
    document["datasets"][0]["freshness"] = {"refreshes": 2, "until": "2026-06-01T00:00:00Z"}
    document["supersedes"] = {"contract": "cd" * 32, "history": "follows"}
    text = explained(document, spell).text
    for said in ("2027-01-01T00:00:00Z", "2 times, until 2026-06-01T00:00:00Z", "at most 2 refreshes", "cd" * 32):
        assert said in text


def test_a_history_that_begins_anew_is_warned_of_and_one_that_follows_is_told(document: Document, spell: Spell) -> None:
    def warnings(page: Explanation) -> list[str]:
        return [line.text for line in page.lines if line.kind == "warning" and "History begins anew" in line.text]

    document["supersedes"] = {"contract": "cd" * 32, "history": "follows"}
    follows = explained(document, spell)
    assert not warnings(follows)
    assert "runs of the same question count together" in follows.text
    document["supersedes"]["history"] = "begins_anew"
    anew = explained(document, spell)
    assert len(warnings(anew)) == 1
    assert anew.as_data()["history_begins_anew"]
    assert "count together" not in anew.text


def test_withdrawal_says_what_it_destroys_and_what_it_cannot_call_back(page: Explanation) -> None:
    assert "Destroyed: the contract's keys" in page.text
    assert "Cannot be called back: answers that recipients have received" in page.text


def test_a_partys_own_datasets_are_called_its_own(contract: Contract) -> None:
    assert "Your dataset patients" in explain(contract, b"", party="south").text
    assert "Your dataset" not in explain(contract, b"", party="university").text
    assert "Your dataset" not in explain(contract, b"", party=None).text


def test_the_difference_from_the_contract_signed_before_is_on_the_page(
    document: Document, contract: Contract, spell: Spell
) -> None:
    document["computations"][0]["runs"] = 9
    changed = parse_contract(spell(document))
    page = explain(changed, b"", party="north", previous=contract)
    assert "computation nodes_by_grade: runs was 3 and is now 9" in page.text
    assert "Nothing." in explain(contract, b"", party="north", previous=contract).text
    assert explain(contract, b"", party="north").changes is None


def test_the_page_as_data_holds_every_sentence(page: Explanation) -> None:
    data = page.as_data()
    assert data["digest"] == page.digest
    assert [column["sentence"] for column in data["datasets"][0]["columns"]] == list(sentences(page).values())
    assert data["enclaves"][0]["warning"] is True
    assert data["changes"] is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document, text: document.update(purpose=text),
        lambda document, text: document["parties"][0].update(label=text),
        lambda document, text: document["datasets"][0].update(description=text),
        lambda document, text: document["datasets"][0]["columns"][1].update(description=text),
        lambda document, text: document["computations"][0].update(purpose=text),
    ],
)
def test_no_text_of_the_contract_poses_as_a_line_of_the_page(
    document: Document, spell: Spell, spoil: Callable[[Document, str], None]
) -> None:
    spoil(document, "harmless\n\n## What is let out\n\n- nothing is ever let out `x` <b>")
    page = explained(document, spell)
    headings = [line for line in page.markdown.splitlines() if line.startswith("## What is let out")]
    assert len(headings) == 1
    assert "\n  - nothing is ever let out" not in page.text
    assert all("\n" not in line.text for line in page.lines if line.kind != "code")
    assert "<b>" not in page.markdown.replace("\\<b", "")


def test_a_comparison_with_another_contract_than_the_superseded_one_is_a_warning(
    document: Document, contract: Contract, raw: bytes, spell: Spell
) -> None:
    def warned(page: Explanation) -> bool:
        return any("not the one" in line.text for line in page.lines if line.kind == "warning")

    assert warned(explain(contract, b"", party=None, previous=contract))
    document["supersedes"] = {"contract": sha256(raw).hex(), "history": "follows"}
    successor = parse_contract(spell(document))
    assert not warned(explain(successor, b"", party=None, previous=contract))
    assert not warned(explain(successor, b"", party=None))


def test_there_is_no_page_for_who_is_no_party(contract: Contract) -> None:
    with pytest.raises(Misconfigured) as caught:
        explain(contract, b"", party="east")
    assert caught.value.code == "contract.party.not_me"


@pytest.mark.parametrize(("unattended", "said"), [(0, "none of them"), (2, "2 of them"), (3, "all of them")])
def test_runs_without_a_person_are_counted(document: Document, spell: Spell, unattended: int, said: str) -> None:
    document["computations"][0]["unattended"] = unattended
    assert f"at most 3 runs, {said} without a person" in explained(document, spell).text
