"""Everybody's signature on the same bytes: the consents of the parties, and the ``Agreement`` they make."""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime

from mpc.canonical import canonical_json, format_time, parse_time, sha256
from mpc.contract.document import parse_contract
from mpc.contract.terms import Contract, Party
from mpc.errors import Forbidden, Misconfigured, OutOfOrder, Untrusted
from mpc.signing import (
    Purpose,
    SigningKey,
    VerifyingKey,
    envelope_of,
    open_envelope,
    read_signature,
    read_unverified,
)

_DOOR = object()


@dataclass(frozen=True)
class Agreement:
    """A contract that every party has signed and that was in force at some time: proof, made only by ``agree``.

    ``digest`` is the 32-byte SHA-256 of ``raw``; ``consents`` are the parties' envelopes in the order of the parties.
    """

    contract: Contract
    raw: bytes
    digest: bytes
    consents: tuple[bytes, ...]
    made_by: InitVar[object]

    def __post_init__(self, made_by: object) -> None:
        if made_by is not _DOOR:
            raise TypeError("an Agreement is made only by agree()")


def sign_consent(raw: bytes, key: SigningKey) -> bytes:
    """Return the DSSE envelope in which the holder of ``key`` consents to exactly the contract ``raw``.

    Refuses to sign what is no contract, and a contract to which ``key`` is no party (``contract.signature.not_mine``).
    """
    contract = parse_contract(raw)
    if all(key.public != _key_of(party) for party in contract.parties):
        raise Misconfigured(
            "contract.signature.not_mine", "this key belongs to no party of the contract",
            why="a consent by it would be refused as foreign",
            remedy="sign with the key whose .pub file the contract names", field="keyid",
            expected=" or ".join(_key_of(party).keyid for party in contract.parties), found=key.public.keyid,
        )  # fmt: skip
    return key.envelope(Purpose.CONTRACT, raw)


def signature_of(consent: bytes) -> bytes:
    """Return the signature of a consent without the contract, as it travels to who has that; ``consent_of`` undoes it.

    A contract of many parties, once for each of them, is more than a message takes.
    """
    _, (signature, *_) = read_unverified(consent)
    return canonical_json(signature)


def consent_of(raw: bytes, signature: bytes) -> bytes:
    """Return the consent to the contract ``raw`` whose ``signature`` came alone; nothing is verified."""
    return envelope_of(Purpose.CONTRACT, raw, read_signature(signature))


def agree(raw: bytes, consents: Iterable[bytes], *, at: datetime) -> Agreement:
    """Return the ``Agreement`` on ``raw`` when every party, and nobody else, signed it once and it is in force ``at``.

    Refusals: ``contract.not_yet_valid``, ``contract.expired``, ``contract.signature.missing``, ``.second``,
    ``.other_contract``, those of ``parse_contract``, and those of ``mpc.signing.open_envelope`` (``signature.foreign``,
    ``signature.invalid``, ...).
    """
    contract = parse_contract(raw)
    return Agreement(contract, raw, sha256(raw), check_signed(contract, raw, consents, at=at), _DOOR)


def check_signed(contract: Contract, raw: bytes, consents: Iterable[bytes], *, at: datetime) -> tuple[bytes, ...]:
    """Refuse as ``agree`` does, for a ``contract`` that was parsed from ``raw``; return the consents by party."""
    check_in_force(contract, at)
    signed = _signers(contract, raw, consents)
    missing = tuple(party.name for party in contract.parties if party.name not in signed)
    if missing:
        raise OutOfOrder(
            "contract.signature.missing", "the contract is not signed by everybody",
            why=f"no signature by {', '.join(missing)}", remedy="wait until each of them has signed", field="consents",
            expected=", ".join(party.name for party in contract.parties), found=", ".join(sorted(signed)) or "nobody",
        )  # fmt: skip
    return tuple(signed[party.name] for party in contract.parties)


def missing_consents(raw: bytes, consents: Iterable[bytes]) -> tuple[str, ...]:
    """Return the names of the parties that have not signed ``raw`` yet; refuses any consent that ``agree`` would."""
    contract = parse_contract(raw)
    signed = _signers(contract, raw, consents)
    return tuple(party.name for party in contract.parties if party.name not in signed)


def check_in_force(contract: Contract, at: datetime) -> None:
    """Refuse outside of ``valid_from <= at < valid_until``."""
    if at < parse_time(contract.valid_from):
        raise OutOfOrder(
            "contract.not_yet_valid", "the contract has not begun", why="its first moment lies ahead",
            remedy="wait, or set the clock right", field="valid_from",
            expected=f"{contract.valid_from} or later", found=format_time(at),
        )  # fmt: skip
    if at >= parse_time(contract.valid_until):
        raise Forbidden(
            "contract.expired", "the contract has ended", why="its last moment is past",
            remedy="agree on a new contract that supersedes this one", field="valid_until",
            expected=f"earlier than {contract.valid_until}", found=format_time(at),
        )  # fmt: skip


def check_known(contract: Contract, known: Mapping[str, str], own: str) -> None:
    """Refuse unless ``own`` is a party and every other party's key is the one in ``known`` (name to fingerprint).

    Fingerprints are the hex SHA-256 of Ed25519 keys, confirmed out of band. An entry for ``own`` is compared too.
    """
    if contract.party(own) is None:
        raise Misconfigured(
            "contract.party.not_me", f"{own} is no party of this contract", why="there is nothing for it to sign",
            remedy="set the name in the configuration to the one in the contract", field="parties",
            expected=own, found=", ".join(party.name for party in contract.parties),
        )  # fmt: skip
    for party in contract.parties:
        _check_known_party(party, known, own)


def _check_known_party(party: Party, known: Mapping[str, str], own: str) -> None:
    fingerprint = _key_of(party).keyid
    expected = known.get(party.name)
    if expected is None and party.name != own:
        raise Untrusted(
            "contract.party.unknown", f"{party.name} is not among the parties you know",
            why="its key was never confirmed", field=f"known_parties.{party.name}",
            remedy="ask the organisation itself, on another channel, for its fingerprint; write it into known_parties",
            expected="a fingerprint", found=fingerprint,
        )  # fmt: skip
    if expected is not None and expected != fingerprint:
        raise Untrusted(
            "contract.party.other_key", f"the contract gives {party.name} another key than the one you know",
            why="somebody may be posing as it, or it has a new key", field=f"known_parties.{party.name}",
            remedy="ask the organisation itself, on another channel, before you change anything",
            expected=expected, found=fingerprint,
        )  # fmt: skip


def _signers(contract: Contract, raw: bytes, consents: Iterable[bytes]) -> dict[str, bytes]:
    names = {_key_of(party): party.name for party in contract.parties}
    signed: dict[str, bytes] = {}
    for consent in consents:
        opened = open_envelope(consent, Purpose.CONTRACT, tuple(names))
        if opened.body != raw:
            raise Untrusted(
                "contract.signature.other_contract", "a signature is on another contract",
                why="its bytes differ from this one's", remedy="sign exactly the bytes that all others sign",
                field="payload", expected=sha256(raw).hex(), found=sha256(opened.body).hex(),
            )  # fmt: skip
        name = names[opened.key]
        if name in signed:
            raise Untrusted(
                "contract.signature.second", f"{name} has signed twice", why="one signature a party is expected",
                remedy="send one consent of each party", field="consents",
            )  # fmt: skip
        signed[name] = consent
    return signed


def _key_of(party: Party) -> VerifyingKey:
    return VerifyingKey(bytes.fromhex(party.signing_key))
