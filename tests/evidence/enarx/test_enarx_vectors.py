"""Real requests of keeps, and the files around them: each gets its verdict, its reason and its facts."""

import pytest

from mpc.evidence.claims import plain_facts
from mpc.evidence.enarx import parse_policy
from mpc.evidence.enarx.files import is_enarx
from mpc.evidence.formats import recognise
from mpc.evidence.verdict import show
from tests.vectors import Entry, assert_as_expected, entries, judge, named, needs_vectors, read

pytestmark = needs_vectors
ENTRIES = entries("enarx")
ABOUT_THE_VERDICT = {"verdict", "stage", "reason"}
REQUESTS = ("enarx-icelake.multi.xeon", "enarx-milan-crl")


def test_all_10_are_there() -> None:
    assert len(ENTRIES) == 10


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry["id"]))
def test_a_vector_gets_its_verdict_and_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    source = verdict.claims or verdict.document
    expected = {name: value for name, value in entry["expect"].items() if name not in ABOUT_THE_VERDICT}
    assert expected.items() <= (plain_facts(source.facts) if source else {}).items()


@pytest.mark.parametrize("name", REQUESTS)
def test_the_published_policy_accepts_the_published_requests(name: str) -> None:
    policy = parse_policy(read("enarx/steward.toml"))
    verdict = judge(named(name), references=[policy])
    assert verdict.accepted, verdict.refusal


@pytest.mark.parametrize("name", REQUESTS)
def test_no_flipped_byte_of_a_request_passes(name: str) -> None:
    entry = named(name)
    raw, policy = read(entry["file"]), parse_policy(read("enarx/steward.toml"))
    for at in [*range(0, len(raw), 61), *range(len(raw) - 120, len(raw))]:
        changed = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        verdict = judge(entry, raw=changed, references=[policy])
        assert not verdict.accepted, at
        assert verdict.stage in {"parse", "verify"}, at


@pytest.mark.parametrize("name", REQUESTS)
def test_no_truncation_and_no_extension_passes(name: str) -> None:
    entry = named(name)
    raw = read(entry["file"])
    for changed in (raw[:-1], raw[: len(raw) // 2], raw + b"\0", raw + raw):
        assert judge(entry, raw=changed).stage == "parse"


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_recognised_and_shown_whole(name: str) -> None:
    raw = read(named(name)["file"])
    assert recognise(raw) == "enarx"
    fields = {field.name: field.value for field in show(raw)[1]}
    assert fields["tee"] in {"sgx", "snp"}
    assert "https://" in fields["revocation_list"]
    assert all(fields.values()) or fields["csp_id"] == ""


def test_a_chain_alone_has_to_lead_to_amd() -> None:
    entry = named("enarx-chain-milan")
    raw = bytearray(read(entry["file"]))
    raw[-1] ^= 1
    assert judge(entry, raw=bytes(raw)).stage in {"parse", "verify"}
    assert not judge(entry, raw=bytes(raw)).accepted


def test_a_manifest_of_gramine_is_no_file_of_enarx() -> None:
    assert not is_enarx(b'libos.entrypoint = "x"\nsgx.trusted_files = ["file:x"]\n')
    assert is_enarx(b"[sgx]\nhash = []\n")
