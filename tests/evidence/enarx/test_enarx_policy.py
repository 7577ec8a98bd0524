"""``steward.toml`` and ``Enarx.toml``: read whole or refused, and every value of a policy is compared."""

from typing import Any

import pytest

from mpc.canonical import canonical_json
from mpc.errors import Malformed
from mpc.evidence.enarx import EnarxReference, parse_policy
from mpc.evidence.enarx.policy import version_matches
from mpc.evidence.enarx.settings import KeepFile, parse_settings
from mpc.evidence.verdict import parse_reference
from tests.vectors import judge, named, needs_vectors, read

DIGEST, WIDE = "ab" * 32, "ab" * 48


def refused(raw: str, why: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_policy(raw.encode())
    assert refusal.value.why == why


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "contradiction"),
        ("[sgx]\n", "missing field: one of signer, hash and hash_blacklist is needed"),
        ("[tdx]\n", "unknown key"),
        (f"[sgx]\nhash = ['{DIGEST}']\nsigners = []\n", "unknown key"),
        (f"[snp]\nhash = ['{WIDE}']\nfeatures = ['KSS']\n", "unknown key"),
        (f"[snp]\nhash = ['{DIGEST}']\n", "value out of range"),
        (f"[sgx]\nhash = ['{DIGEST[:-1]}']\n", "value out of range"),
        ("[sgx]\nhash = ['']\n", "value out of range"),
        (f"[sgx]\nhash = '{DIGEST}'\n", "value out of range"),
        (f"[sgx]\nhash = ['{'00' * 32}']\n", "value out of range: a digest of zeros names nothing"),
        (f"[sgx]\nhash = ['{DIGEST}', '{DIGEST}']\n", "value out of range: hash holds an entry twice"),
        (f"[sgx]\nhash = ['{DIGEST}']\nfeatures = ['Fast']\n", "value out of range"),
        (f"[sgx]\nhash = ['{DIGEST}']\nenclave_product_id = 65536\n", "value out of range"),
        (f"[sgx]\nhash = ['{DIGEST}']\nenclave_security_version = true\n", "value out of range"),
        (f"[snp]\nhash = ['{WIDE}']\nabi = 'new'\n", "value out of range"),
        (f"[snp]\nhash = ['{WIDE}']\nplatform_info_flags = 'SEV'\n", "value out of range"),
        ("sgx = 1\n", "wrong type"),
        ("[sgx\n", "malformed TOML: it does not parse"),
        ("\x00", "malformed TOML: it does not parse"),
        ("a = " + "[" * 5000, "malformed TOML: it does not parse"),
        ("# " + "a" * 70_000, "it is over the limit of size"),
        (
            f"[sgx]\nhash = ['{DIGEST}']\nhash_blacklist = ['{DIGEST}']\n",
            "contradiction: one hash is both wanted and refused",
        ),
    ],
)
def test_a_policy_that_says_less_than_it_seems_is_refused(raw: str, why: str) -> None:
    refused(raw, why)


def test_no_policy_accepts_debug_by_itself() -> None:
    raw = f"[sgx]\nhash = ['{DIGEST.upper()}']\nfeatures = ['Debug']\n".encode()
    assert parse_policy(raw).accepted == ()
    assert parse_policy(raw, accepted=frozenset({"debug"})).accepted == ("debug",)
    assert parse_policy(raw).sgx is not None
    assert parse_policy(raw).sgx.hash == (DIGEST,)
    with pytest.raises(Malformed):
        parse_policy(raw, accepted=frozenset({"everything"}))


def test_a_policy_is_a_term_of_a_contract() -> None:
    raw = f"[snp]\nhash = ['{WIDE}']\n".encode()
    policy = parse_policy(raw)
    assert parse_reference(canonical_json(policy)) == policy
    assert parse_reference(raw) == policy
    for other in (b"[tdx]\n", b"{}", b"", b"[snp]\n"):
        with pytest.raises(Malformed):
            parse_reference(other)


@pytest.mark.parametrize(
    ("requirement", "matching", "others"),
    [
        (">=1.51", [(1, 51), (1, 55), (2, 0)], [(1, 50), (0, 99)]),
        (">1.51", [(1, 52), (2, 0)], [(1, 51), (1, 50)]),
        ("<=1.51", [(1, 51), (0, 99)], [(1, 52), (2, 0)]),
        ("<2", [(1, 99)], [(2, 0)]),
        ("<1.51", [(1, 50)], [(1, 51)]),
        ("=1", [(1, 0), (1, 99)], [(2, 0)]),
        ("=1.51", [(1, 51)], [(1, 52)]),
        ("1.51", [(1, 51), (1, 99)], [(2, 51), (1, 50)]),
        ("^0.31", [(0, 31)], [(0, 32), (1, 31)]),
        ("~1.51", [(1, 51)], [(1, 52), (1, 50)]),
        ("~1", [(1, 0), (1, 99)], [(2, 0)]),
        (">=1.49, <1.55", [(1, 49), (1, 54)], [(1, 48), (1, 55)]),
    ],
)
def test_versions_are_compared_as_cargo_does(
    requirement: str, matching: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    assert all(version_matches(requirement, version) for version in matching)
    assert not any(version_matches(requirement, version) for version in others)


@needs_vectors
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, "accepted"),
        ({"signer": ("01" * 32,)}, "evidence.mrsigner"),
        ({"hash": ("01" * 32,)}, "evidence.mrenclave"),
        (
            {"hash": (), "hash_blacklist": ("4046ea255f0455131a024e1265ac1ebd131fdbd1240f1712a00381f6f04e8c15",)},
            "evidence.mrenclave_blacklist",
        ),
        ({"enclave_product_id": 1}, "evidence.isvprodid"),
        ({"enclave_security_version": 1}, "evidence.isvsvn"),
        ({"allowed_advisories": ("INTEL-SA-00586",)}, "evidence.advisories"),
        ({"misc_select": ("EXINFO",)}, "accepted"),
        ({"features": ("CET",)}, "accepted"),
    ],
)
def test_a_real_enclave_against_a_changed_policy(changed: dict[str, Any], code: str) -> None:
    published = parse_policy(read("enarx/steward.toml"))
    assert published.sgx is not None
    sgx = type(published.sgx).model_validate(published.sgx.model_dump() | changed)
    verdict = judge(named("enarx-icelake.multi.xeon"), references=[published.model_copy(update={"sgx": sgx})])
    assert (verdict.refusal.code if verdict.refusal else "accepted") == code


@needs_vectors
def test_a_machine_out_of_date_is_accepted_only_by_name() -> None:
    published = parse_policy(read("enarx/steward.toml"))
    unnamed = EnarxReference.model_validate(published.model_dump() | {"accepted": ()})
    verdict = judge(named("enarx-icelake.multi.xeon"), references=[unnamed])
    assert verdict.reason.startswith("TCB out of date")


SETTINGS = """
steward = "https://steward.example"
args = ["7"]
surplus = 1
[env]
LEVEL = "high"
[[files]]
kind = "null"
name = "sink"
[[files]]
kind = "listen"
name = "door"
prot = "tls"
[[files]]
kind = "connect"
host = "db.example"
prot = "tcp"
"""


def test_settings_are_read_whole() -> None:
    settings = parse_settings(SETTINGS.encode())
    assert settings.steward == "https://steward.example"
    assert (settings.args, settings.env, settings.ignored) == (("7",), {"LEVEL": "high"}, ("surplus",))
    assert settings.files == (
        KeepFile("null", "sink"),
        KeepFile("listen", "door", "tls", "::", 443),
        KeepFile("connect", "db.example", "tcp", "db.example", 80),
    )


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("args = 7", "wrong type"),
        ("args = [7]", "wrong type"),
        ("env = {A = 1}", "wrong type"),
        ("steward = 'example'", "value out of range"),
        ("files = 'stdin'", "wrong type"),
        ("files = ['stdin']", "wrong type"),
        ("[[files]]\nname = 'x'", "missing field"),
        ("[[files]]\nkind = 'disk'", "unknown file kind"),
        ("[[files]]\nkind = 'stdin'\nport = 1", "unknown key"),
        ("[[files]]\nkind = 'stdin'\nname = 'a:b'", "value out of range"),
        ("[[files]]\nkind = 'listen'\nname = 'x'", "missing field"),
        ("[[files]]\nkind = 'listen'\nprot = 'tls'", "missing field"),
        ("[[files]]\nkind = 'listen'\nname = 'x'\nprot = 'udp'", "value out of range"),
        ("[[files]]\nkind = 'listen'\nname = 'x'\nprot = 'tls'\nhost = 'y'", "unknown key"),
        ("[[files]]\nkind = 'connect'\nprot = 'tls'", "missing field"),
        ("[[files]]\nkind = 'connect'\nprot = 'tls'\nhost = 'y'\nport = 65536", "value out of range"),
        ("[[files]]\nkind = 'connect'\nprot = 'tls'\nhost = 'y'\nport = '1'", "wrong type"),
    ],
)
def test_settings_that_enarx_would_not_read_are_refused(raw: str, why: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_settings(raw.encode())
    assert refusal.value.why == why
