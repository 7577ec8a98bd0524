"""Collateral from a service to a verdict: fetched from a stand-in on loopback, packed, carried, used offline."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from mpc.canonical import format_time, parse_json
from mpc.errors import Malformed, Misconfigured, Unavailable
from mpc.evidence.collateral_bundle import Bundle, expiries, is_bundle, pack, parse_bundle, unpacked
from mpc.evidence.verdict import examine
from parties import collateral
from parties.cli.application import app
from parties.cli.collateral import EXPIRED, EXPIRES_SOON
from parties.collateral import AmdKey, IntelPlatform, Services, fetch, wanted_for
from tests.collateral.services import Served, amd_services, answer, intel_services, serving
from tests.evidence.intel_forge import END, FMSPC, NEXT, NOW, IntelForge, enclave_report, pem, td_report
from tests.evidence.snp_forge import NOW as SNP_NOW
from tests.evidence.snp_forge import YEAR, SnpForge

INTEL, AMD = IntelForge(), SnpForge()
PLATFORM = IntelPlatform("tdx", FMSPC.hex(), "platform")
QUOTE = INTEL.quote(td_report())
REPORT = AMD.report()
COLLATERAL = INTEL.collateral()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with collateral.new_client() as made:
        yield made


def fetched(served: Served, wanted: Any, client: httpx.Client) -> tuple[tuple[str, bytes], ...]:
    with serving(served) as address:
        return fetch(wanted, Services(address, None, address), client)


def test_what_intels_service_answers_verifies_a_quote(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    raw = pack(fetched(served, wanted_for(QUOTE), client), at=NOW)
    assert len(served.asked) == 4
    verdict = examine(QUOTE, at=NOW, endorsements=[raw], roots=[INTEL.root_certificate()])
    assert verdict.accepted, verdict.refusal
    without = examine(QUOTE, at=NOW, roots=[INTEL.root_certificate()])
    assert (without.accepted, without.reason.partition(":")[0]) == (False, "no collateral")
    # The same parts as single files: a bundle adds nothing.
    assert examine(QUOTE, at=NOW, endorsements=unpacked(raw), roots=[INTEL.root_certificate()]).accepted


def test_a_root_in_a_bundle_is_no_anchor(client: httpx.Client) -> None:
    raw = pack(fetched(intel_services(INTEL, FMSPC.hex()), PLATFORM, client), at=NOW)
    verdict = examine(QUOTE, at=NOW, endorsements=[raw])
    assert (verdict.accepted, verdict.stage) == (False, "verify")


def test_what_amds_service_answers_verifies_a_report(client: httpx.Client) -> None:
    served = amd_services(AMD)
    raw = pack(fetched(served, wanted_for(REPORT), client), at=SNP_NOW)
    assert len(served.asked) == 3
    verdict = examine(REPORT, at=SNP_NOW, endorsements=[raw], roots=[AMD.root])
    assert verdict.accepted, verdict.refusal
    assert verdict.claims is not None
    assert verdict.claims.facts["revocation"] == "checked by AMD's list"


def test_what_to_fetch_is_read_out_of_evidence() -> None:
    assert wanted_for(QUOTE) == PLATFORM
    assert wanted_for(INTEL.quote(enclave_report(), version=3, tee=0)) == IntelPlatform("sgx", FMSPC.hex(), "platform")
    assert wanted_for(SnpForge("Turin").report()) == AmdKey(
        "Turin", bytes(range(100, 108)).hex(), (("bl", 4), ("fmc", 2), ("snp", 24), ("tee", 1), ("ucode", 219))
    )
    assert wanted_for(SnpForge(kind="VLEK").report()) == AmdKey("Milan")
    for unfit in (SnpForge(version=2).report(), b"{}"):
        with pytest.raises(Malformed):
            wanted_for(unfit)


@pytest.mark.parametrize(
    "spoiled",
    [(404, b"not found", {}), (301, b"moved", {"Location": "http://127.0.0.1:1/"}), (200, b"", {}),
     (200, b"x" * ((1 << 20) + 1), {})],
    ids=["absent", "elsewhere", "empty", "endless"],
)  # fmt: skip
def test_a_service_that_does_not_answer_rightly_is_unavailable(spoiled: Any, client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    served.answers["/tdx/certification/v4/qe/identity"] = spoiled
    with pytest.raises(Unavailable):
        fetched(served, PLATFORM, client)


IDENTITY = "/tdx/certification/v4/qe/identity"


def test_an_answer_that_ends_before_its_length_is_unavailable(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    status, content, headers = served.answers[IDENTITY]
    served.answers[IDENTITY] = (status, content, headers | {"Content-Length": str(len(content) + 1)})
    with pytest.raises(Unavailable, match="RemoteProtocolError"):
        fetched(served, PLATFORM, client)


def test_an_answer_that_trickles_is_given_up(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    served.pause_seconds = 0.05
    with serving(served) as address, pytest.raises(Unavailable, match="takes too long"):
        fetch(PLATFORM, Services(address, None, address), client, answer_seconds=0.1)


def test_nothing_that_a_service_packed_is_unpacked(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    bomb = gzip.compress(bytes(64 << 20))
    served.answers[IDENTITY] = (200, bomb, {"Content-Encoding": "gzip"})
    tracemalloc.start()
    found = fetched(served, PLATFORM, client)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    with pytest.raises(Malformed):
        pack(found, at=NOW)


def test_an_answer_about_another_machine_is_told_by_verification(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    other = INTEL.collateral(tcb_info=INTEL.tcb_info(fmspc="112233445566"))
    path = f"/tdx/certification/v4/tcb?fmspc={FMSPC.hex().upper()}"
    served.answers[path] = (200, answer("tcbInfo", json.loads(other), "tcb_info"), served.answers[path][2])
    raw = pack(fetched(served, PLATFORM, client), at=NOW)
    verdict = examine(QUOTE, at=NOW, endorsements=[raw], roots=[INTEL.root_certificate()])
    assert [check.name for check in verdict.checks if not check.passed] == ["tcb_info_platform"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://", "nothing"])
def test_a_service_that_is_not_there_is_unavailable(address: str, client: httpx.Client) -> None:
    with pytest.raises(Unavailable):
        fetch(PLATFORM, Services(address, None, address), client)


def test_a_service_that_serves_no_collateral_makes_no_bundle(client: httpx.Client) -> None:
    served = intel_services(INTEL, FMSPC.hex())
    served.add("/tdx/certification/v4/qe/identity", b'{"enclaveIdentity": {}}')
    with pytest.raises(Malformed):
        pack(fetched(served, PLATFORM, client), at=NOW)


def intel_files() -> list[tuple[str, bytes]]:
    return [("collateral.json", COLLATERAL)]


def test_a_bundle_is_canonical_and_finds_damage() -> None:
    raw = pack([*intel_files(), *intel_files()], at=NOW)
    bundle = parse_bundle(raw)
    assert (is_bundle(raw), len(bundle.parts), bundle.made_at) == (True, 1, format_time(NOW))
    assert unpacked(raw) == (bundle.parts[0].raw,)
    assert pack([("other", raw)], at=NOW) == raw
    for changed in (raw[:-1], raw + b"\n", raw.replace(b'"version":1', b'"version":2'), raw.replace(b"{", b"{ ", 1)):
        with pytest.raises(Malformed):
            parse_bundle(changed)
    content = raw.index(b'"content":"') + 40
    for position in (content, raw.index(b'"sha256":"') + 12):
        changed = raw[:position] + (b"0" if raw[position : position + 1] != b"0" else b"1") + raw[position + 1 :]
        with pytest.raises(Malformed):
            parse_bundle(changed)
        assert not examine(QUOTE, at=NOW, endorsements=[changed], roots=[INTEL.root_certificate()]).accepted


def test_a_part_has_one_spelling_in_base64() -> None:
    odd = COLLATERAL + b" " * ((1 - len(COLLATERAL)) % 3)
    raw = pack([("collateral.json", odd)], at=NOW)
    end = raw.index(b'=="')
    assert parse_bundle(raw).parts[0].raw == odd
    other = raw[: end - 1] + bytes([raw[end - 1] + 1]) + raw[end:]  # four bits of the last letter are none of a byte
    with pytest.raises(Malformed):
        parse_bundle(other)


def test_a_bundle_holds_the_collateral_of_one_kind_of_machine() -> None:
    older = IntelForge().collateral()
    amd = pem(AMD.issuer, AMD.root).encode()
    for files in (
        [*intel_files(), ("older", older)], [*intel_files(), ("amd", amd)], [("text", b"hello")], [],
    ):  # fmt: skip
        with pytest.raises(Malformed):
            pack(files, at=NOW)


def test_parts_in_another_order_or_twice_are_malformed() -> None:
    raw = pack([("a", AMD.issuer), ("b", AMD.root)], at=NOW)
    fields = json.loads(raw)
    for parts in (fields["parts"][::-1], fields["parts"][:1] * 2, []):
        with pytest.raises(Malformed):
            parse_json(Bundle, json.dumps(fields | {"parts": parts}, separators=(",", ":")).encode(), what="it")


def test_everything_that_ends_is_told_first_things_first() -> None:
    ends = expiries(parse_bundle(pack(intel_files(), at=NOW)))
    untils = [end.until for end in ends]
    assert untils == sorted(untils)
    assert untils[0] == NEXT
    names = " ".join(end.what for end in ends)
    for part in ("TCB information", "enclave identity", "revocation list of", "certificate"):
        assert part in names
    assert END in untils
    (first, *_) = ends
    assert not first.is_near(NEXT - timedelta(days=15), 14)
    assert first.is_near(NEXT - timedelta(days=14), 14)
    assert not first.is_over(NEXT - timedelta(seconds=1))
    assert first.is_over(NEXT)


def test_amds_certificates_and_lists_end_as_well() -> None:
    ends = expiries(parse_bundle(pack([("crl", AMD.crl()), ("ask", AMD.issuer)], at=NOW)))
    assert [end.until for end in ends] == [SNP_NOW + YEAR] * 2


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_commands_from_service_to_verdict(tmp_path: Path) -> None:
    (tmp_path / "quote.bin").write_bytes(QUOTE)
    (tmp_path / "root.der").write_bytes(INTEL.root_certificate())
    bundle = tmp_path / "machine.collateral"
    with serving(intel_services(INTEL, FMSPC.hex())) as address:
        made = run("collateral", "fetch", "--for", tmp_path / "quote.bin", "--intel", f"{address}/", "-o", bundle)
    assert made.exit_code == 0, made.output
    at = format_time(NOW)
    verified = run(
        "evidence", "verify", tmp_path / "quote.bin", "--endorsements", bundle, "--root", tmp_path / "root.der",
        "--at", at, "--json",
    )  # fmt: skip
    assert json.loads(verified.stdout)["verdict"] == "accept"
    shown = run("collateral", "show", bundle, "--at", at, "--json")
    assert shown.exit_code == 0
    assert {end["state"] for end in json.loads(shown.stdout)["expiries"]} == {"in date"}
    soon = run("collateral", "show", bundle, "--at", at, "--warn", 30)
    assert (soon.exit_code, "ends within 30 days" in " ".join(soon.stdout.split())) == (EXPIRES_SOON, True)
    assert run("collateral", "show", bundle, "--at", format_time(NEXT)).exit_code == EXPIRED
    # Nobody pinned the false Intel, and `use` takes no roots: the verdict is a refusal, with the reason.
    used = run("collateral", "use", bundle, tmp_path / "quote.bin", "--at", at, "--warn", 30, "--json")
    assert json.loads(used.stdout)["stage"] == "verify"
    assert used.exit_code == 4
    packed = run("collateral", "pack", bundle, "-o", tmp_path / "again.collateral")
    assert packed.exit_code == 0
    assert unpacked((tmp_path / "again.collateral").read_bytes()) == unpacked(bundle.read_bytes())


@pytest.mark.parametrize(
    "words",
    [(), ("--fmspc", "00"), ("--product", "Rome"), ("--fmspc", FMSPC.hex(), "--product", "Milan"),
     ("--fmspc", FMSPC.hex(), "--tee", "sev"), ("--fmspc", FMSPC.hex(), "--authority", "nobody")],
)  # fmt: skip
def test_a_machine_that_is_not_named_is_a_misconfiguration(words: tuple[str, ...], tmp_path: Path) -> None:
    refused = run("collateral", "fetch", *words, "-o", tmp_path / "out")
    assert isinstance(refused.exception, Misconfigured)


def test_the_addresses_come_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "party.toml"
    served = intel_services(INTEL, FMSPC.hex())
    with serving(served) as address:
        config.write_text(
            '[party]\nname = "a"\nlabel = "A"\nstate = "s"\nkey = "k"\n[coordinator]\naddress = "x:1"\n'
            f'[known_parties]\n[collateral]\nintel = "{address}"\nwarn_days = 3\n'
        )
        words = ("--fmspc", FMSPC.hex(), "--config", config, "-o", tmp_path / "out")
        done = run("collateral", "fetch", *words)
    assert done.exit_code == 0, done.exception
    assert len(served.asked) == 4
    at = format_time(NEXT - timedelta(days=4))
    assert run("collateral", "show", tmp_path / "out", "--config", config, "--at", at).exit_code == 0
    assert run("collateral", "show", tmp_path / "out", "--at", at).exit_code == EXPIRES_SOON


def test_any_bytes_are_a_bundle_or_a_refusal() -> None:
    raw = pack(intel_files(), at=NOW)
    for position in range(0, len(raw), 997):
        for changed in (raw[:position], raw[:position] + b"\xff" + raw[position + 1 :]):
            with suppress(Malformed):
                unpacked(changed)
