"""Logs of a measured boot: what they lead to, and that a lie in them leads nowhere."""

import hashlib
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Malformed
from mpc.evidence.claims import Given
from mpc.evidence.event_log import MAX_BYTES, is_event_log, parse_event_log
from mpc.evidence.verdict import examine
from tests.evidence.tpm_forge import NOW, Forge, ecc_public, selection, sized

SEPARATOR, NO_ACTION, IPL, HCRTM = 0x4, 0x3, 0xD, 0x80000010


def number(value: int, count: int = 4) -> bytes:
    return value.to_bytes(count, "little")


def header(*banks: tuple[int, int]) -> bytes:
    banks = banks or ((0xB, 32), (0xC, 48))
    data = (
        b"Spec ID Event03\0" + bytes(8) + number(len(banks)) + b"".join(number(a, 2) + number(s, 2) for a, s in banks)
    )
    data += b"\0"
    return number(0) + number(NO_ACTION) + bytes(20) + number(len(data)) + data


def event(register: int, kind: int, data: bytes, *, measured: bytes | None = None) -> bytes:
    said = data if measured is None else measured
    digests = number(0xB, 2) + hashlib.sha256(said).digest() + number(0xC, 2) + hashlib.sha384(said).digest()
    return number(register) + number(kind) + number(2) + digests + number(len(data)) + data


def extend(start: bytes, *texts: bytes, bank: str = "sha256") -> bytes:
    for text in texts:
        start = hashlib.new(bank, start + hashlib.new(bank, text).digest()).digest()
    return start


LOG = header() + event(0, 8, b"v1") + event(7, SEPARATOR, bytes(4)) + event(0, SEPARATOR, bytes(4))


def test_a_log_is_played_again_in_every_bank() -> None:
    log = parse_event_log(LOG)
    assert log.replay("sha256") == {0: extend(bytes(32), b"v1", bytes(4)), 7: extend(bytes(32), bytes(4))}
    assert log.replay("sha384")[0] == extend(bytes(48), b"v1", bytes(4), bank="sha384")
    assert log.replay("sha1") == {}


def test_register_0_begins_at_the_locality_that_started_it() -> None:
    told = header() + event(0, NO_ACTION, b"StartupLocality\0\x03") + event(0, 8, b"v1")
    assert parse_event_log(told).replay("sha256") == {0: extend(bytes(31) + b"\3", b"v1")}
    hardware = header() + event(0, HCRTM, b"H") + event(7, SEPARATOR, bytes(4))
    assert parse_event_log(hardware).replay("sha256") == {
        0: extend(bytes(31) + b"\4", b"H"), 7: extend(bytes(32), bytes(4)),
    }  # fmt: skip


def test_only_registers_that_it_leads_to_are_explained() -> None:
    log = parse_event_log(LOG)
    quoted = log.replay("sha256") | {7: bytes(32)}
    assert log.explained("sha256", quoted) == {0: ("EV_S_CRTM_VERSION: v1", "EV_SEPARATOR: ")}


@pytest.mark.parametrize(
    ("kind", "data", "measured", "shown"),
    [
        (8, b"v1", b"v1", "EV_S_CRTM_VERSION: v1"),
        (8, b"v1", b"v2", "EV_S_CRTM_VERSION"),
        (8, "v1".encode("utf-16-le"), None, "EV_S_CRTM_VERSION: v1"),
        (8, b"\x1b[31m", None, "EV_S_CRTM_VERSION: 5 bytes"),
        (IPL, b"grub_cmd: boot\0", b"boot", "EV_IPL: grub_cmd: boot"),
        (IPL, b"/vmlinuz\0", b"kernel", "EV_IPL"),
        (0x77, b"v1", None, "0x77: v1"),
    ],
)  # fmt: skip
def test_data_that_was_not_measured_is_not_shown(kind: int, data: bytes, measured: bytes | None, shown: str) -> None:
    log = parse_event_log(header() + event(1, kind, data, measured=measured))
    assert log.explained("sha256", log.replay("sha256")) == {1: (shown,)}


def test_padding_is_no_event() -> None:
    for padding in (bytes(100), b"\xff" * 100, b"\0", b"\xff"):
        assert parse_event_log(LOG + padding) == parse_event_log(LOG)
    for more in (bytes(100) + b"\1", b"\xff" * 100 + b"\0", b"\0\xff"):
        with pytest.raises(Malformed):
            parse_event_log(LOG + more)


def test_what_is_no_log_is_malformed() -> None:
    assert not is_event_log(b"")
    for raw in (
        b"", LOG[:40], header((0xB, 20)), header(*[(index, 1) for index in range(9)]), LOG[:-1] + b"", LOG + b"\1\2\3",
        header((0xB, 32)) + event(0, 8, b""),
        header() + number(0) + number(8) + number(2**32 - 1),
        header() + event(0, 8, b"")[:-4] + number(2**32 - 1),
        LOG + bytes(MAX_BYTES),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            parse_event_log(raw if raw != LOG[:-1] else LOG[:-9])


@given(st.binary(max_size=120), st.integers(0, len(LOG)))
def test_any_bytes_are_a_log_or_malformed(noise: bytes, at: int) -> None:
    for raw in (LOG[:at] + noise + LOG[at:], LOG[:at] + noise + LOG[at + len(noise) :], header() + noise):
        with suppress(Malformed):
            parse_event_log(raw).replay("sha256")


def test_a_long_log_is_read_in_time() -> None:
    raw = header() + event(0, SEPARATOR, bytes(4)) * 1024
    started = time.perf_counter()
    parse_event_log(raw)
    assert time.perf_counter() - started < 0.5
    with pytest.raises(Malformed):
        parse_event_log(raw + event(0, SEPARATOR, bytes(4)))


def test_a_log_beside_a_quote_explains_its_registers_and_decides_nothing() -> None:
    forge = Forge()
    area = ecc_public(forge.key)
    value = extend(bytes(32), b"v1", bytes(4))
    attest = forge.attest(public=area, selections=(selection((0,)),), digest=hashlib.sha256(value).digest())
    pieces = [forge.sign(attest), value, sized(area), LOG]
    claims = examine(attest, at=NOW, endorsements=pieces, given=Given()).claims
    assert claims is not None
    assert claims.facts["event_log"] == {"pcr0": ("EV_S_CRTM_VERSION: v1", "EV_SEPARATOR: "), "unexplained": ()}
    lie = header() + event(0, 8, b"v2")
    claims = examine(attest, at=NOW, endorsements=[*pieces[:3], lie]).claims
    assert claims is not None
    assert claims.facts["event_log"] == {"unexplained": ("0",)}


def older(register: int, kind: int, data: bytes, *, measured: bytes | None = None) -> bytes:
    digest = hashlib.sha1(data if measured is None else measured).digest()  # noqa: S324 - as TPM 1.2 does
    return number(register) + number(kind) + digest + number(len(data)) + data


OLDER = older(0, 8, b"v1") + older(2**32 - 1, NO_ACTION, b"a note") + older(4, SEPARATOR, bytes(4))


def test_a_log_of_tpm_1_2_is_played_again_in_its_one_bank() -> None:
    assert is_event_log(OLDER)
    log = parse_event_log(OLDER + bytes(100))
    assert (log.form, log.banks) == ("older", ("sha1",))
    assert log.replay("sha1") == {0: extend(bytes(20), b"v1", bank="sha1"), 4: extend(bytes(20), bytes(4), bank="sha1")}
    assert log.replay("sha256") == {}


@pytest.mark.parametrize(
    "raw",
    [
        bytes(64), OLDER[:-1], OLDER + b"\1", older(24, 8, b"v1"), older(0, 8, b"v1") + older(24, 8, b"v1"),
        older(0, 0x1234, b"v1"), number(0) + number(8) + bytes(20) + number(2**32 - 1),
    ],
)  # fmt: skip
def test_what_only_begins_as_an_older_log_is_none(raw: bytes) -> None:
    assert not is_event_log(raw)


def test_a_quote_of_the_sha1_bank_is_explained_by_an_older_log() -> None:
    forge = Forge()
    area = ecc_public(forge.key)
    value = extend(bytes(20), b"v1", bank="sha1")
    attest = forge.attest(
        public=area, selections=(selection((0,), bank=4),), digest=hashlib.sha256(value).digest()
    )  # fmt: skip
    verdict = examine(
        attest, at=NOW, endorsements=[forge.sign(attest), value, sized(area), OLDER], given=Given(bank="sha1")
    )
    assert verdict.claims is not None
    assert verdict.claims.facts["event_log"] == {"pcr0": ("EV_S_CRTM_VERSION: v1",), "unexplained": ()}


def test_a_log_alone_tells_what_it_leads_to_and_is_no_evidence() -> None:
    verdict = examine(LOG, at=NOW)
    assert (verdict.format, verdict.stage, verdict.claims) == ("tpm", "parse", None)
    assert verdict.document is not None
    assert verdict.document.facts["events"] == 3
    assert verdict.document.facts["leads_to"] == {
        bank: {f"pcr{index}": value.hex() for index, value in parse_event_log(LOG).replay(bank).items()}
        for bank in ("sha256", "sha384")
    }
    read = examine(OLDER, at=NOW).document
    assert read is not None
    assert read.facts["form"] == "older"
