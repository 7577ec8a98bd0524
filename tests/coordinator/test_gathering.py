"""Signatures on their way to an agreement: each travels without the contract, and who waits costs next to nothing."""

from pathlib import Path

import pytest

from mpc.canonical import canonical_json, sha256
from mpc.contract.consent import consent_of, sign_consent, signature_of
from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract
from mpc.coordinator.gathering import Gathering
from mpc.coordinator.state import StateFolder
from mpc.errors import Malformed, Untrusted
from mpc.messages import MESSAGE_MAX_BYTES, AgreeRequest, encode
from mpc.signing import Signature
from tests.coordinator.room import Member, contract_of


def _signatures(raw: bytes, members: dict[str, Member]) -> tuple[bytes, ...]:
    return tuple(signature_of(sign_consent(raw, member.signing)) for member in members.values())


def test_sixty_four_parties_agree_in_messages_that_are_small(tmp_path: Path) -> None:
    members = {name: Member(name) for name in (f"party_{number:02}" for number in range(61))}
    members |= {name: Member(name) for name in ("north", "south", "university")}
    raw = contract_of(members)
    gathering, (*others, last) = Gathering(StateFolder(tmp_path), parse_contract), _signatures(raw, members)
    reply, agreement = gathering.take(AgreeRequest(raw, tuple(others)))
    assert (reply.missing, agreement) == (("university",), None)
    reply, agreement = gathering.take(AgreeRequest(raw, (last,)))
    assert reply.missing == ()
    assert agreement is not None
    assert {consent_of(raw, signature) for signature in reply.signatures} == set(agreement.consents)
    assert len(agreement.consents) == 64
    assert len(encode(reply)) < len(raw) + (64 << 10)
    assert len(raw) * 64 > MESSAGE_MAX_BYTES  # which is why the contract comes once


def test_who_waits_for_the_others_has_no_contract_read_again(tmp_path: Path) -> None:
    members = {name: Member(name) for name in ("north", "south", "university")}
    raw = contract_of(members)
    one, two, _ = _signatures(raw, members)
    read: list[bytes] = []

    def reading(bytes_: bytes) -> Contract:
        read.append(bytes_)
        return parse_contract(bytes_)

    gathering = Gathering(StateFolder(tmp_path), reading)
    first, _ = gathering.take(AgreeRequest(raw, (one,)))
    for _ in range(5):
        assert gathering.take(AgreeRequest(raw, (one,))) == (first, None)
        assert gathering.take(AgreeRequest(raw, ())) == (first, None)
    assert len(read) == 1
    second, _ = gathering.take(AgreeRequest(raw, (two,)))
    assert (len(read), second.missing) == (2, ("university",))
    assert gathering.take(AgreeRequest(raw, (one,))) == (second, None)


def test_a_signature_on_another_contract_or_by_a_stranger_is_not_kept(tmp_path: Path) -> None:
    members = {name: Member(name) for name in ("north", "south", "university")}
    raw, other = contract_of(members), contract_of(members, title="Another")
    gathering = Gathering(StateFolder(tmp_path), parse_contract)
    for signature, code in (
        (_signatures(other, members)[0], "signature.invalid"),
        (canonical_json(Signature(keyid=sha256(b"nobody").hex(), sig="AAAA")), "signature.foreign"),
    ):
        with pytest.raises(Untrusted) as refused:
            gathering.take(AgreeRequest(raw, (signature,)))
        assert refused.value.code == code
    assert gathering.take(AgreeRequest(raw, ()))[0].signatures == ()


@pytest.mark.parametrize("signature", [b"", b"{}", b"{" * 2000, b'{"keyid":"00","sig":"AA=="}', b"\xff"])
def test_what_is_no_signature_is_malformed(signature: bytes) -> None:
    with pytest.raises(Malformed):
        consent_of(b"{}", signature)


def test_a_signature_and_its_contract_are_the_consent_again() -> None:
    members = {name: Member(name) for name in ("north", "south", "university")}
    raw = contract_of(members)
    for member in members.values():
        consent = sign_consent(raw, member.signing)
        assert consent_of(raw, signature_of(consent)) == consent
