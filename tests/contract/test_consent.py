import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_json, parse_json, sha256
from mpc.contract.consent import Agreement, agree, check_known, missing_consents, sign_consent
from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract
from mpc.errors import Forbidden, Malformed, Misconfigured, OutOfOrder, Refusal, Untrusted
from mpc.signing import Envelope, Purpose, SigningKey

Document = dict[str, Any]
KeyOf = Callable[[str], SigningKey]

AT = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("north", "south", "university")
UNSPOILED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def consents(raw: bytes, key_of: KeyOf) -> list[bytes]:
    return [sign_consent(raw, key_of(name)) for name in NAMES]


def refused(raw: bytes, consents: list[bytes], at: datetime = AT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        agree(raw, consents, at=at)
    return caught.value


def test_everybodys_signature_makes_an_agreement(raw: bytes, consents: list[bytes]) -> None:
    agreement = agree(raw, reversed(consents), at=AT)
    assert agreement.raw == raw
    assert agreement.digest == sha256(raw)
    assert agreement.contract == parse_contract(raw)
    assert agreement.consents == tuple(consents)


def test_an_agreement_is_made_by_agree_alone(raw: bytes, contract: Contract) -> None:
    with pytest.raises(TypeError):
        Agreement(contract, raw, sha256(raw), (), object())


@pytest.mark.parametrize("absent", range(3))
def test_a_missing_signature_is_awaited_by_name(raw: bytes, consents: list[bytes], absent: int) -> None:
    del consents[absent]
    refusal = refused(raw, consents)
    assert (type(refusal), refusal.code) == (OutOfOrder, "contract.signature.missing")
    assert NAMES[absent] in refusal.why
    assert missing_consents(raw, consents) == (NAMES[absent],)


def test_nobody_is_awaited_in_the_end(raw: bytes, consents: list[bytes]) -> None:
    assert missing_consents(raw, consents) == ()
    assert missing_consents(raw, []) == NAMES


def test_a_second_signature_of_one_party_refuses(raw: bytes, consents: list[bytes]) -> None:
    refusal = refused(raw, [*consents, consents[1]])
    assert (type(refusal), refusal.code) == (Untrusted, "contract.signature.second")


def test_a_second_signature_does_not_stand_in_for_a_missing_one(raw: bytes, consents: list[bytes]) -> None:
    assert refused(raw, [consents[0], consents[0], consents[2]]).code == "contract.signature.second"


def test_a_foreign_signature_refuses(raw: bytes, consents: list[bytes], key_of: KeyOf) -> None:
    foreign = key_of("stranger").envelope(Purpose.CONTRACT, raw)
    for spoiled in ([*consents, foreign], [*consents[:2], foreign]):
        refusal = refused(raw, spoiled)
        assert (type(refusal), refusal.code) == (Untrusted, "signature.foreign")


def test_a_signature_for_another_purpose_refuses(raw: bytes, consents: list[bytes], key_of: KeyOf) -> None:
    consents[0] = key_of("north").envelope(Purpose.PERMIT, raw)
    assert refused(raw, consents).code == "signature.purpose"


def test_a_signature_on_another_contract_refuses(
    document: Document, raw: bytes, consents: list[bytes], key_of: KeyOf, spell: Callable[[Document], bytes]
) -> None:
    document["title"] = "Something else"
    consents[1] = sign_consent(spell(document), key_of("south"))
    refusal = refused(raw, consents)
    assert (type(refusal), refusal.code) == (Untrusted, "contract.signature.other_contract")


def test_no_contract_may_be_exchanged_under_the_signatures(
    document: Document, consents: list[bytes], spell: Callable[[Document], bytes]
) -> None:
    document["disclosure"][0]["rules"]["threshold"] = 2
    assert refused(spell(document), consents).code == "contract.signature.other_contract"


@UNSPOILED
@given(position=st.integers(min_value=0), byte=st.integers(min_value=1, max_value=255))
def test_any_byte_of_the_contract_changed_refuses(raw: bytes, consents: list[bytes], position: int, byte: int) -> None:
    spoiled = bytearray(raw)
    spoiled[position % len(raw)] ^= byte
    refused(bytes(spoiled), consents)


@UNSPOILED
@given(position=st.integers(min_value=0), byte=st.integers(min_value=1, max_value=255))
def test_any_byte_of_a_signature_changed_refuses(raw: bytes, consents: list[bytes], position: int, byte: int) -> None:
    spoiled = bytearray(consents[0])
    spoiled[position % len(spoiled)] ^= byte
    refused(raw, [bytes(spoiled), *consents[1:]])


def test_an_envelope_of_two_signatures_refuses(raw: bytes, consents: list[bytes]) -> None:
    envelopes = [parse_json(Envelope, consent, what="it") for consent in consents[:2]]
    both = envelopes[0].model_copy(update={"signatures": envelopes[0].signatures + envelopes[1].signatures})
    assert refused(raw, [canonical_json(both), consents[2]]).code == "signature.count"


@pytest.mark.parametrize(
    ("at", "kind", "code"),
    [
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), OutOfOrder, "contract.not_yet_valid"),
        (datetime(2027, 1, 1, tzinfo=UTC), Forbidden, "contract.expired"),
    ],
)
def test_out_of_its_time_a_contract_binds_nobody(
    raw: bytes, consents: list[bytes], at: datetime, kind: type[Refusal], code: str
) -> None:
    refusal = refused(raw, consents, at)
    assert (type(refusal), refusal.code) == (kind, code)


@pytest.mark.parametrize("at", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_the_first_and_the_last_moment_are_within(raw: bytes, consents: list[bytes], at: datetime) -> None:
    assert agree(raw, consents, at=at).raw == raw


def test_what_is_no_contract_is_not_signed(key_of: KeyOf) -> None:
    with pytest.raises(Malformed):
        sign_consent(b"{}", key_of("north"))


def test_a_key_of_no_party_does_not_sign(raw: bytes, key_of: KeyOf) -> None:
    with pytest.raises(Misconfigured) as caught:
        sign_consent(raw, key_of("stranger"))
    assert caught.value.code == "contract.signature.not_mine"


def test_the_payload_is_the_exact_contract(raw: bytes, consents: list[bytes]) -> None:
    assert base64.b64encode(raw) in consents[0]


@pytest.fixture
def known(key_of: KeyOf) -> dict[str, str]:
    return {name: key_of(name).public.keyid for name in NAMES[1:]}


def test_parties_that_are_known_pass(contract: Contract, known: dict[str, str], key_of: KeyOf) -> None:
    check_known(contract, known, "north")
    check_known(contract, known | {"north": key_of("north").public.keyid, "other": "00" * 32}, "north")


@pytest.mark.parametrize(
    ("spoil", "own", "kind", "code"),
    [
        (lambda known: known.pop("south"), "north", Untrusted, "contract.party.unknown"),
        (lambda known: known.update(south="00" * 32), "north", Untrusted, "contract.party.other_key"),
        (lambda known: known.update(south=known["university"]), "north", Untrusted, "contract.party.other_key"),
        (lambda known: known.update(north="00" * 32), "north", Untrusted, "contract.party.other_key"),
        (lambda known: known.clear(), "north", Untrusted, "contract.party.unknown"),
        (len, "east", Misconfigured, "contract.party.not_me"),
        (len, "south", Untrusted, "contract.party.unknown"),
    ],
)
def test_parties_that_are_not_known_refuse(  # noqa: PLR0917 - one a parametrized value
    contract: Contract,
    known: dict[str, str],
    spoil: Callable[[dict[str, str]], object],
    own: str,
    kind: type[Refusal],
    code: str,
) -> None:
    spoil(known)
    with pytest.raises(kind) as caught:
        check_known(contract, known, own)
    assert caught.value.code == code
