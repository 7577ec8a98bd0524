"""Keystone: the real files get their verdicts, and a forge of devices fails exactly the check it was made to fail."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from mpc.errors import Malformed, Misconfigured
from mpc.evidence.appraisal import Exceptions
from mpc.evidence.claims import Given
from mpc.evidence.keystone import FORMAT, KeystoneReference, measure
from mpc.evidence.keystone.ed25519_sha3 import ORDER, verifies
from mpc.evidence.keystone.layout import parse
from mpc.evidence.keystone.verify import TEST_DEVICE_KEY
from mpc.evidence.verdict import Verdict, examine, parse_reference
from parties.cli.application import app
from tests.evidence.keystone.keystone_forge import Forge, Key
from tests.vectors import NO_TIME, Entry, assert_as_expected, entries, judge, named, needs_vectors, read

pytestmark = needs_vectors
FACTS = ("measurement", "sm_hash", "data", "device_key")
FORGE = Forge()


def reference(forge: Forge = FORGE, **changed: Any) -> KeystoneReference:
    values: dict[str, Any] = {
        "format": "keystone", "measurement": forge.measurement.hex(), "sm_hash": forge.monitor_hash.hex(),
        "device_keys": (forge.device.public.hex(),), "accepted": (), "measured_by": "hardware",
        "memory_protected": False,
    }  # fmt: skip
    return KeystoneReference(**(values | changed))


def judged(raw: bytes, wanted: KeystoneReference | None = None, nonce: bytes | None = None) -> Verdict:
    visible = Exceptions(accept_visible_memory=frozenset({"keystone"}))
    wanted = wanted or reference()
    return examine(raw, at=NO_TIME, references=[wanted], given=Given(nonce=nonce), exceptions=visible)


def refused_by(verdict: Verdict) -> str:
    assert not verdict.accepted
    (name,) = [check.name for check in verdict.checks if not check.passed]
    return name


@pytest.mark.parametrize("entry", entries("keystone"), ids=lambda entry: entry["id"])
def test_every_real_file_gets_its_verdict_its_reason_and_its_facts(entry: Entry) -> None:
    verdict = judge(entry)
    assert_as_expected(entry, verdict)
    assert judge(entry, format=None).as_data() == verdict.as_data()
    data: Any = verdict.as_data()
    found = data["fields"] or data["claims"]["facts"]
    for name in FACTS:
        if name in entry["expect"]:
            assert found[name] == entry["expect"][name]


def test_there_are_four_of_them() -> None:
    assert len(entries("keystone")) == 4


def test_the_published_key_is_refused_and_accepted_by_its_name_only() -> None:
    raw = read("keystone/minted.report")
    report = parse(raw)
    wanted = {
        "measurement": report.enclave_hash.hex(),
        "sm_hash": report.monitor_hash.hex(),
        "device_keys": (TEST_DEVICE_KEY.hex(),),
    }
    assert refused_by(judged(raw, reference(**wanted))) == "published_test_key"
    assert judged(raw, reference(**wanted, accepted=("published_test_key",))).accepted
    # Without reference values nobody has named it, and the verdict says that anybody can sign so.
    verdict = judge(named("keystone-minted"))
    assert verdict.claims is not None
    assert verdict.claims.facts["forgeable_by"] == "anybody"


def test_the_known_answer_of_the_variant_is_reproduced() -> None:
    # The enclave signature of the file is by a secret of zeros: scalar 0, and nonces from 32 zeros.
    report = parse(read("keystone/issue361.json"))
    assert Key(bytes(32), bytes(32)).sign(report.signed_by_monitor)[32:] != bytes(32)
    nonce = int.from_bytes(hashlib.sha3_512(bytes(32) + report.signed_by_monitor).digest(), "little") % ORDER
    assert int.from_bytes(report.enclave_signature[32:], "little") == nonce


def test_a_minted_report_is_accepted_as_bytes_as_json_and_as_the_example_prints_it() -> None:
    raw = FORGE.report()
    for form in (raw, FORGE.as_json(), raw + b"\x5a" * (2048 - len(raw))):
        verdict = judged(form, nonce=b"nonce")
        assert verdict.accepted, verdict.refusal
        assert verdict.claims is not None
        assert verdict.claims.bound == b"nonce"
    assert judged(FORGE.as_json(source="somebody's notes")).accepted
    assert judged(FORGE.but(data=bytes(1024)).report()).accepted
    assert judged(FORGE.but(data=b"").report()).accepted


def test_each_check_refuses_what_only_it_sees() -> None:
    other = Key.of("other")
    report = FORGE.report()
    swapped = report[:1320] + other.public
    assert refused_by(judged(swapped)) == "monitor_signature"
    assert refused_by(judged(report[:1096] + other.sign(b"") + report[1160:])) == "enclave_signature"
    assert refused_by(judged(FORGE.but(device=other).report())) == "device_key"
    assert refused_by(judged(FORGE.but(measurement=bytes(63) + b"\1").report())) == "measurement"
    assert refused_by(judged(FORGE.but(monitor_hash=bytes(63) + b"\1").report())) == "sm_hash"
    assert refused_by(judged(report, nonce=b"another")) == "nonce"
    without = examine(report, at=NO_TIME)
    assert without.refusal is not None
    assert without.refusal.code == "evidence.device_key"
    # Another party's devices are anchors of the same verification; the contract's own list still decides.
    among_others = [reference(device_keys=(other.public.hex(),)), reference(measurement="1" * 128)]
    assert not examine(report, at=NO_TIME, references=among_others).accepted
    (_, checks) = FORMAT.compare(judged(report).claims, reference(device_keys=(other.public.hex(),)))  # type: ignore[arg-type]
    assert [check.name for check in checks if not check.passed] == ["trusted_device"]


def test_a_device_key_in_a_file_is_an_anchor() -> None:
    key = FORGE.device.public
    for file in (key, key.hex().encode(), key.hex().encode() + b"\n"):
        assert examine(FORGE.report(), at=NO_TIME, roots=[file]).accepted
    for other in (Key.of("other").public, TEST_DEVICE_KEY):
        assert not examine(FORGE.report(), at=NO_TIME, roots=[other]).accepted
    for neither in (b"", key[:-1], b"zz" * 32, key.hex().encode()[:-2]):
        verdict = examine(FORGE.report(), at=NO_TIME, roots=[neither])
        assert verdict.refusal is not None
        assert verdict.refusal.code == "evidence.root"


def test_visible_memory_is_an_exception_that_somebody_has_to_name() -> None:
    verdict = examine(FORGE.report(), at=NO_TIME, references=[reference()])
    assert verdict.refusal is not None
    assert verdict.refusal.code == "evidence.visible_memory"


def test_no_flip_truncation_or_extension_is_accepted_but_in_bytes_that_nobody_signs() -> None:
    raw = FORGE.report()
    end = 72 + len(FORGE.data)
    unsigned = range(end, 1096)  # the rest of the data's 1024 bytes: the security monitor's memory, signed by nobody
    for position in [*range(0, end, 7), *range(1096, len(raw), 11), 64, 71, len(raw) - 1]:
        for bit in (0x01, 0x80):
            changed = bytearray(raw)
            changed[position] ^= bit
            assert not judged(bytes(changed)).accepted, position
    for position in (unsigned[0], unsigned[-1]):
        changed = bytearray(raw)
        changed[position] ^= 0xFF
        verdict = judged(bytes(changed))
        assert verdict.accepted
        assert verdict.claims is not None
        assert verdict.claims.bound == FORGE.data
    for changed in (*(raw[:length] for length in range(0, len(raw), 151)), raw[:-1], raw + b"\0", raw + raw):
        assert not judged(bytes(changed)).accepted


def test_json_in_another_form_is_malformed() -> None:
    good = json.loads(FORGE.as_json())
    bad = [
        {"enclave": good["enclave"] | {"datalen": 6}},
        {"enclave": good["enclave"] | {"datalen": True}},
        {"enclave": good["enclave"] | {"datalen": 1025}},
        {"enclave": good["enclave"] | {"hash": good["enclave"]["hash"][:-2]}},
        {"enclave": good["enclave"] | {"hash": good["enclave"]["hash"].replace("a", "A")}},
        {"enclave": []},
        {"device_pubkey": None},
        {"security_monitor": {}},
    ]
    for changed in bad:
        with pytest.raises(Malformed):
            parse(FORGE.as_json(**changed))
    for raw in (b"{}", b"{" * 100, b'{"enclave":{},"enclave":{}}', b'{"a":NaN}', b'{"a":' + b"1" * 5000 + b"}", b"[]"):
        with pytest.raises(Malformed):
            parse(raw)
    too_long = bytearray(FORGE.report())
    too_long[64:72] = (1025).to_bytes(8, "little")
    with pytest.raises(Malformed):
        parse(bytes(too_long))


def test_keys_and_signatures_of_a_second_spelling_do_not_verify() -> None:
    key = Key.of("signer")
    signature = key.sign(b"message")
    assert verifies(key.public, signature, b"message")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not verifies(key.public, signature[:32] + scalar.to_bytes(32, "little"), b"message")
    assert not verifies(key.public, signature[:-1], b"message")
    assert not verifies(key.public[:-1], signature, b"message")
    assert not verifies((2**255 - 19 + 1).to_bytes(32, "little"), signature, b"message")


def test_a_key_of_small_order_signs_nothing() -> None:
    # Under the key 1 (the identity), R = S·B "signs" every message: a verifier without the check accepts it.
    identity = (1).to_bytes(32, "little")
    assert not verifies(identity, identity + bytes(32), b"anything")
    assert not verifies(bytes(32), bytes(64), b"anything")


def test_a_reference_names_something() -> None:
    for changed in (
        {"measurement": "0" * 128}, {"sm_hash": "0" * 128}, {"device_keys": ()}, {"accepted": ("hope",)},
        {"memory_protected": True}, {"device_keys": ("b" * 64, "a" * 64)}, {"device_keys": ("a" * 64, "a" * 64)},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            reference(**changed)


def test_the_measurement_follows_sizes_order_and_pages() -> None:
    loader, runtime, application = b"\x7fELF loader", b"\x7fELF" + bytes(5000), b"\x7fELF app"
    pages = [file.ljust(-(-len(file) // 4096) * 4096, b"\0") for file in (loader, runtime, application)]
    sizes = b"".join(len(page).to_bytes(8, "little") for page in pages)
    assert measure(loader, runtime, application) == hashlib.sha3_512(sizes + b"".join(pages)).digest()
    assert [len(page) for page in pages] == [4096, 8192, 4096]
    assert measure(loader, application, runtime) != measure(loader, runtime, application)
    # Zeros at the end of a file are those that the loader fills in: the same pages, the same enclave.
    assert measure(loader + b"\0", runtime, application) == measure(loader, runtime, application)
    for wrong in ((b"", runtime, application), (loader, b"text", application), (loader, runtime, b"")):
        with pytest.raises(Malformed):
            measure(*wrong)


def test_the_command_measures_and_writes_reference_values(tmp_path: Path) -> None:
    for name, content in (("loader", b"loader"), ("runtime", b"\x7fELF runtime"), ("app", b"\x7fELF app")):
        (tmp_path / name).write_bytes(content)
    words = ["evidence", "measure-keystone", *(str(tmp_path / name) for name in ("loader", "runtime", "app"))]
    measured = CliRunner().invoke(app, words).stdout.strip()
    assert measured == measure(b"loader", b"\x7fELF runtime", b"\x7fELF app").hex()
    named = ["--sm-hash", FORGE.monitor_hash.hex(), "--device-key", FORGE.device.public.hex()]
    written = parse_reference(CliRunner().invoke(app, [*words, *named]).stdout.strip().encode())
    assert written == reference(FORGE.but(measurement=bytes.fromhex(measured)))
    assert isinstance(CliRunner().invoke(app, [*words, *named[:2]]).exception, Misconfigured)


def test_a_file_of_keys_that_do_not_belong_together_is_refused() -> None:
    keys = json.loads(read("keystone/keys.json"))
    verdict = judge(named("keystone-keys"), raw=json.dumps(keys | {"test_dev_public_key": "1" * 64}).encode())
    assert verdict.refusal is not None
    assert (verdict.stage, verdict.refusal.code) == ("parse", "evidence.key_pair")


def test_a_flip_in_the_file_of_keys_never_gives_another_key() -> None:
    # Not covered: the second half of the secret, which only makes nonces, the demo's hash, and names of no meaning.
    entry, raw = named("keystone-keys"), read("keystone/keys.json")
    for position in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[position] ^= 0x01
        verdict = judge(entry, raw=bytes(changed))
        assert not verdict.accepted or verdict.document is not None
        if verdict.document is not None and verdict.accepted:
            assert verdict.document.facts["device_key"] == entry["expect"]["device_key"]
    for changed_file in (raw[:-2], raw[: len(raw) // 2], raw + b"}", raw + raw):
        assert not judge(entry, raw=changed_file).accepted
