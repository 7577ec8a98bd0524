"""Message wrappers: every real one is read, what we write is read again, and what is none is malformed."""

import base64
import json
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.errors import Malformed, Untrusted
from mpc.evidence.cmw import Collection, Indicator, Record, Wrapper, parse_wrapper, to_cbor, to_json, to_tag
from mpc.evidence.cmw.reading import EXTENSION, MAX_ITEMS
from mpc.evidence.cmw.wrapper import TAG_OF_FORMAT_0
from mpc.evidence.formats import parse_and_verify
from mpc.evidence.verdict import Verdict, examine, show
from tests.evidence.certificate_forge import mint_certificate, new_key
from tests.vectors import NO_TIME, assert_as_expected, entries, judge, named, needs_vectors, read

EAT = "application/eat+cwt"
RECORD = Record(EAT, b"evidence", Indicator.EVIDENCE | Indicator.ENDORSEMENTS)
BOTH = Collection({"a": Record(EAT, b"1"), 1024: Collection({"b": Record(0, b"2")}, "1.2.3"), -1: Record(30001, b"")})


def judged(raw: bytes, **changed: Any) -> Verdict:
    return examine(raw, **({"at": NO_TIME, "format": "cmw"} | changed))


@needs_vectors
def test_every_real_wrapper_is_read() -> None:
    ran = entries("cmw")
    for entry in ran:
        for name in ("cmw", None):
            verdict, expected = judge(entry, format=name), entry["expect"]
            assert_as_expected(entry, verdict)
            assert verdict.document is not None
            facts: Any = verdict.as_data()["claims"]
            for fact in ("keys", "serialization", "critical"):
                if fact in expected:
                    assert facts["facts"][fact] == expected[fact]
    assert len(ran) == 4


@needs_vectors
def test_no_truncation_or_extension_of_a_real_wrapper_is_read() -> None:
    for entry in entries("cmw"):
        raw = read(entry["file"])
        for end in range(0, len(raw) - 1, max(1, len(raw) // 50)):
            assert not judge(entry, raw=raw[:end]).accepted
        for more in (b"\0", b"x", raw):
            assert not judge(entry, raw=raw + more).accepted


@needs_vectors
def test_the_records_of_a_real_collection() -> None:
    wrapper, spelled = parse_wrapper(read("cmw/collection-cbor-ok.cbor"))
    assert spelled == "cbor"
    assert isinstance(wrapper, Collection)
    value = bytes.fromhex("d28443a10126a1")
    assert wrapper.items[1] == Record("application/signed-corim+cbor", value, Indicator(3))
    assert wrapper.items["s"] == Record(30001, bytes.fromhex("2347da55"))
    assert wrapper.items[2] == wrapper.items["s"]  # as a tag
    wrapper, spelled = parse_wrapper(read("cmw/collection-ok.json"))
    assert (wrapper, spelled) == (Collection({"a": Record("application/vnd.a", b"a"), "b": Record("application/vnd.b", b"b")}), "json")  # fmt: skip  # noqa: E501


_types = st.sampled_from([EAT, "application/vnd.a+json", "text/plain; charset=utf-8", 0, 263, 0xFFFF])
_records = st.builds(Record, _types, st.binary(max_size=20), st.none() | st.integers(1, 31).map(Indicator))
_labels = st.text(min_size=1, max_size=5).filter(lambda text: text != "__cmwc_t")


def _collections(labels: st.SearchStrategy[Any]) -> st.SearchStrategy[Wrapper]:
    kinds = st.none() | st.just("https://example.com/kind")
    return st.recursive(
        _records,
        lambda inner: st.builds(Collection, st.dictionaries(labels, inner, min_size=1, max_size=3), kinds),
        max_leaves=4,
    )


@given(_collections(_labels | st.integers(-5, 5)))
def test_cbor_is_read_as_it_was_written(wrapper: Wrapper) -> None:
    assert parse_wrapper(to_cbor(wrapper)) == (wrapper, "cbor")


@given(_collections(_labels))
def test_json_is_read_as_it_was_written(wrapper: Wrapper) -> None:
    assert parse_wrapper(to_json(wrapper)) == (wrapper, "json")


def test_a_tag_is_a_record_of_a_content_format() -> None:
    record = Record(263, b"evidence")
    assert to_tag(record) == cbor2.dumps(cbor2.CBORTag(TAG_OF_FORMAT_0 + 263, b"evidence"))
    assert parse_wrapper(to_tag(record)) == (record, "cbor")
    for other in (Record(EAT, b""), Record(263, b"", Indicator.EVIDENCE)):
        with pytest.raises(ValueError, match="tag"):
            to_tag(other)
    with pytest.raises(ValueError, match="labels"):
        to_json(BOTH)


def test_a_collection_may_mix_both_spellings_through_tunnels() -> None:
    inside = base64.urlsafe_b64encode(to_cbor(BOTH)).rstrip(b"=").decode()
    outer = json.dumps({"a": ["#cmw-c2j-tunnel", inside], "b": [EAT, "eA"]}).encode()
    assert parse_wrapper(outer) == (Collection({"a": BOTH, "b": Record(EAT, b"x")}), "json")
    assert parse_wrapper(cbor2.dumps({1: ["#cmw-j2c-tunnel", outer]})) == (
        Collection({1: Collection({"a": BOTH, "b": Record(EAT, b"x")})}), "cbor",
    )  # fmt: skip
    for raw in (
        json.dumps(["#cmw-j2c-tunnel", inside]).encode(), cbor2.dumps(["#cmw-c2j-tunnel", to_cbor(BOTH)]),
        cbor2.dumps(["#cmw-j2c-tunnel", to_cbor(BOTH)]), cbor2.dumps(["#cmw-j2c-tunnel", outer, 1]),
        json.dumps(["#cmw-c2j-tunnel", "AA"]).encode(),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            parse_wrapper(raw)


WRONG: dict[str, object] = {
    "nothing": None,
    "a number": 7,
    "an empty list": [],
    "no value": [EAT],
    "four parts": [EAT, b"", 1, 1],
    "a type that is none": ["evidence", b""],
    "a type with a line": ["application/a\n", b""],
    "an empty type": ["", b""],
    "a type that is true": [True, b""],
    "a format below zero": [-1, b""],
    "a format above all": [0x10000, b""],
    "a value that is text": [EAT, "text"],
    "a value that is a number": [EAT, 1],
    "an indicator of nothing": [EAT, b"", 0],
    "an unknown indicator": [EAT, b"", 32],
    "an indicator that is text": [EAT, b"", "1"],
    "an indicator that is true": [EAT, b"", True],
    "an empty collection": {},
    "a collection of a type alone": {"__cmwc_t": "1.2.3"},
    "a type of a collection that is none": {"__cmwc_t": 7, "a": [EAT, b""]},
    "a label of bytes": {b"a": [EAT, b""]},
    "a member that is none": {"a": b"value"},
    "a tag below": cbor2.CBORTag(TAG_OF_FORMAT_0 - 1, b""),
    "a tag above": cbor2.CBORTag(TAG_OF_FORMAT_0 + 0x10000, b""),
    "a tag over text": cbor2.CBORTag(TAG_OF_FORMAT_0, "text"),
    "too many members": {index: [EAT, b""] for index in range(MAX_ITEMS + 1)},
    "too deep": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {
        "a": [EAT, b""]}}}}}}}}}}}}}}}}},
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_wrapper_is_malformed(case: str) -> None:
    raw = cbor2.dumps(WRONG[case])
    with pytest.raises(Malformed):
        parse_wrapper(raw)
    assert not judged(raw).accepted


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"{}", b"[1]", b'["application/a","!"]', b'["application/a","YQ=="]', b'["application/a",["YQ"]]',
        b'["application/a","YQ"],"x":[1]', b'["application/a","YQ"]]', b'{"a":["application/a","YQ"],"a":[0,""]}',
        b'{"a":1}', b'{"1":["a","YQ"]}', b'["application/a","YR"]', b'["application/a","YQ",0]',
    ],
)  # fmt: skip
def test_json_that_is_no_wrapper_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_wrapper(raw)


@given(st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_are_a_wrapper_or_malformed(noise: bytes, at: int) -> None:
    right = to_cbor(BOTH)
    for raw in (noise, right[:at] + noise + right[at:], b"[" + noise, b"{" + noise):
        with suppress(Malformed):
            parse_wrapper(raw)


def certificate(*values: bytes, critical: bool = False) -> bytes:
    return mint_certificate(new_key(), [(EXTENSION, critical, value) for value in values])


def der(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def test_a_certificate_holds_cbor_in_octets_and_json_in_text() -> None:
    spelled = to_json(Record(EAT, b"x"))
    for value, serialization in ((der(4, to_cbor(RECORD)), "cbor"), (der(12, spelled), "json")):
        for critical in (False, True):
            document = judged(certificate(value, critical=critical)).document
            assert document is not None
            assert document.facts["serialization"] == serialization
            assert document.facts["critical"] == critical
    for value in (
        der(12, to_cbor(RECORD)), der(4, spelled), to_cbor(RECORD), der(4, to_cbor(RECORD)) + b"\0", der(4, b""), b"",
    ):  # fmt: skip
        assert not judged(certificate(value)).accepted
    assert judged(certificate()).reason == "the certificate holds no message wrapper"
    ours = Record("application/vnd.sealroom.certificate-evidence+cbor", b"")
    assert judged(certificate(der(4, to_cbor(ours))), format=None).format != "cmw"


def test_a_wrapper_is_shown_and_never_taken_for_evidence() -> None:
    name, fields = show(to_cbor(BOTH))
    assert name == "cmw"
    assert {field.name for field in fields} == {"a", "1024/b", "-1"}
    assert "evidence" in show(to_cbor(RECORD))[1][0].meaning
    with pytest.raises(Untrusted):
        parse_and_verify("cmw", to_cbor(RECORD), (), roots=(), at=NO_TIME)
    assert json.dumps(judged(to_cbor(BOTH)).as_data())


@needs_vectors
def test_pem_holds_one_certificate() -> None:
    body = base64.encodebytes(read(named("cmw-x509-cert-cbor-cmw")["file"]))
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    assert judged(pem).accepted
    assert not judged(pem + pem).accepted
