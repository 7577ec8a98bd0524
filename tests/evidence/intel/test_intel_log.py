"""The log of a TD's boot (CCEL) beside its quote: it explains RTMRs, and nothing depends on it."""

import hashlib

from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.intel_forge import FORGE, NOW, ROOT_DER, td_report

COLLATERAL = FORGE.collateral("TDX")


def number(value: int, count: int = 4) -> bytes:
    return value.to_bytes(count, "little")


def event(register: int, data: bytes) -> bytes:
    digests = number(1) + number(0xC, 2) + hashlib.sha384(data).digest()
    return number(register) + number(0x8) + digests + number(len(data)) + data


def log(*events: tuple[int, bytes]) -> bytes:
    data = b"Spec ID Event03\0" + bytes(8) + number(1) + number(0xC, 2) + number(48, 2) + b"\0"
    head = number(1) + number(3) + bytes(20) + number(len(data)) + data
    return head + b"".join(event(*each) for each in events) + bytes(64)


def extended(*texts: bytes) -> bytes:
    value = bytes(48)
    for text in texts:
        value = hashlib.sha384(value + hashlib.sha384(text).digest()).digest()
    return value


RTMRS = extended(b"firmware") + extended(b"loader", b"kernel") + bytes([7]) * 48 + bytes(48)
QUOTE = FORGE.quote(td_report(rtmr=RTMRS))


def judged(*files: bytes) -> Verdict:
    return examine(QUOTE, at=NOW, endorsements=[COLLATERAL, *files], roots=[ROOT_DER])


def test_the_log_explains_the_rtmrs_that_it_leads_to() -> None:
    claims = judged(log((1, b"firmware"), (2, b"loader"), (2, b"kernel"))).claims
    assert claims is not None
    assert claims.facts["event_log"] == {
        "rtmr0": ("EV_S_CRTM_VERSION: firmware",),
        "rtmr1": ("EV_S_CRTM_VERSION: loader", "EV_S_CRTM_VERSION: kernel"),
        "unexplained": ("2",),
    }


def test_a_log_that_lies_explains_nothing_and_decides_nothing() -> None:
    lied, without = judged(log((1, b"other firmware"), (2, b"loader"))), judged()
    assert lied.accepted == without.accepted
    assert lied.checks == without.checks
    assert lied.claims is not None
    assert lied.claims.facts["event_log"] == {"unexplained": ("0", "1", "2")}
    assert without.claims is not None
    assert "event_log" not in without.claims.facts


def test_the_log_is_shown_with_the_quote() -> None:
    _, fields = show(QUOTE, endorsements=[log((1, b"firmware"))])
    assert next(field.value for field in fields if field.name == "event_log") == "rtmr0: 1, unexplained: 1 2"
