"""The contract as a document: exact bytes in, one checked ``Contract`` out.

What the terms cannot say of themselves is said here: sets are sorted and unique, every name resolves, keys are
well formed, every owner has stated its rules, and every question is one that the engines may answer.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from asn1crypto import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import TypeAdapter, ValidationError

from mpc.canonical import JSON_MAX_BYTES, canonical_json, parse_json, parse_time
from mpc.contract.schemas import check_dataset, check_domains, check_set
from mpc.contract.strictness import strictest
from mpc.contract.terms import Computation, Contract, Party
from mpc.errors import Malformed
from mpc.evidence.claims import TpmReference
from mpc.evidence.reference_values import ReferenceValues
from mpc.questions import CheckedQuestion, check_question

__all__ = [
    "WHAT_TO_WRITE",
    "check_contract",
    "contract_bytes",
    "parse_contract",
    "parse_reference",
    "read_question",
    "read_questions",
    "strictest",
]

_REFERENCE: TypeAdapter[ReferenceValues] = TypeAdapter(ReferenceValues)

SEALING_KEY_BYTES = 1216  # X-Wing public key: ML-KEM-768 (1184) and X25519 (32), draft-connolly-cfrg-xwing-kem

WHAT_TO_WRITE: Mapping[str, str] = MappingProxyType({
    "parties": "name every organisation that must sign, with its two public keys",
    "owners": "name the parties whose rows make up the dataset",
    "subject": "say whom disclosure control protects: domain, column, identity, normalisation, rows",
    "identity": 'write "shared", "disjoint", "unknown", or "none" for public data',
    "recipients": "name the parties that may receive the answer",
    "runs": "write how many times the question may be asked, at least 1",
    "unattended": "write how many runs a daemon may permit without a person; 0 asks a person every time",
    "disclosure": "write the disclosure rules of every owner",
    "rules": "write the owner's disclosure rules",
    "threshold": "write the least number of distinct subjects behind a released cell, such as 10",
    "coalition": "write 1: every rule must also hold without any single party's rows",
    "zeros": 'write "withhold", or "release" if an empty cell may be told',
    "complementary": 'write "suppress": cells from which a withheld one could be derived are withheld too',
    "significant_digits": "write how many digits of a released number are kept, such as 6",
    "enclaves": "write the reference values of at least one enclave that the parties accept",
    "code_digest": "write the digest that `sealroom measure` prints on your own trusted copy",
    "measured_by": "write who measured the code: hardware, boot or self",
    "memory_protected": "write whether the hardware hides memory from its host",
    "attested_key_seconds": "write how long an appraisal may be relied on, such as 600",
    "limits": "write what the enclave may spend: upload_mib, resident_mib, run_memory_mib, run_seconds",
    "freshness": "write how often owners may replace their rows; refreshes 0 is never",
    "refreshes": "write how often owners may replace their rows; 0 is never",
    "valid_from": "write when the contract begins, as YYYY-MM-DDTHH:MM:SSZ",
    "valid_until": "write when the contract ends, as YYYY-MM-DDTHH:MM:SSZ",
    "filterable": "write true if the column may stand in WHERE and GROUP BY, else false",
    "identifier": "write true if the column names somebody, else false",
})  # fmt: skip
"""The fields that protect somebody, and what to write in each."""


def parse_contract(raw: bytes) -> Contract:
    """Return the contract that ``raw`` exactly spells, checked; ``Malformed`` or ``Forbidden`` otherwise.

    A protective field that is absent or null refuses as ``contract.protection.unset``, an empty one as
    ``contract.protection.empty``, and the remedy says what to write.
    """
    try:
        contract = parse_json(Contract, raw, what="the contract", max_bytes=JSON_MAX_BYTES)
    except Malformed as refusal:
        raise _unprotected(raw, refusal) or refusal from None
    check_contract(contract)
    return contract


def contract_bytes(contract: Contract) -> bytes:
    """Return the canonical bytes of ``contract``, which everybody signs; refuses what ``parse_contract`` refuses."""
    raw = canonical_json(contract)
    parse_contract(raw)
    return raw


def check_contract(contract: Contract) -> None:
    """Refuse a contract whose parts do not fit each other; each reason has its own ``contract.…`` code."""
    _check_parties(contract.parties)
    names = frozenset(party.name for party in contract.parties)
    check_set("datasets", (dataset.name for dataset in contract.datasets))
    for dataset in contract.datasets:
        _check_are_parties(f"datasets.{dataset.name}.owners", dataset.owners, names)
        check_dataset(dataset, until=parse_time(contract.valid_until))
    check_domains(contract.datasets)
    _check_disclosure(contract)
    _check_enclaves(contract, names)
    check_set("computations", (computation.name for computation in contract.computations))
    for computation in contract.computations:
        _check_computation(computation, names)
    read_questions(contract)


def parse_reference(raw: bytes) -> ReferenceValues:
    """Return the reference values of one enclave that the JSON ``raw`` spells in any layout, or raise ``Malformed``."""
    try:
        return _REFERENCE.validate_json(raw, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise Malformed(
            "contract.enclave.reference", "the reference values of an enclave cannot be read",
            why=f"{field}: {first['msg']}", remedy="write what `sealroom measure` prints on your own trusted copy",
            field=field,
        ) from None  # fmt: skip


def read_questions(contract: Contract) -> Mapping[str, CheckedQuestion]:
    """Return every computation's question as the engines will read it, by name; ``Forbidden`` for one they may not."""
    return {computation.name: read_question(contract, computation) for computation in contract.computations}


def read_question(contract: Contract, computation: Computation) -> CheckedQuestion:
    """Return the question of one ``computation`` of ``contract``, as ``read_questions`` does: each takes a while."""
    datasets = {dataset.name: dataset for dataset in contract.datasets}
    return check_question(computation.name, computation.question, computation.parameters, datasets)


def _check_parties(parties: tuple[Party, ...]) -> None:
    check_set("parties", (party.name for party in parties))
    for party in parties:
        _check_keys(party)
    for what in ("signing_key", "sealing_key"):
        keys: dict[str, str] = {}
        for party in parties:
            other = keys.setdefault(getattr(party, what), party.name)
            if other != party.name:
                raise Malformed(
                    "contract.party.same_key", f"{other} and {party.name} have the same {what}",
                    why="one organisation would stand for two", remedy="ask each party for its own public keys",
                    field=f"parties.{party.name}.{what}",
                )  # fmt: skip


def _check_keys(party: Party) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(party.signing_key))
        sealing = base64.b64decode(party.sealing_key, validate=True)
    except ValueError:
        sealing = b""
    if len(sealing) != SEALING_KEY_BYTES or base64.b64encode(sealing).decode() != party.sealing_key:
        raise Malformed(
            "contract.party.key", f"a public key of {party.name} is not well formed",
            why=f"signing keys are 32 bytes in hex, sealing keys {SEALING_KEY_BYTES} bytes in base64",
            remedy="ask the party for the .pub file that `sealroom keys new` wrote", field=f"parties.{party.name}",
        )  # fmt: skip


def _check_are_parties(field: str, named: tuple[str, ...], parties: frozenset[str]) -> None:
    check_set(field, named)
    for name in named:
        if name not in parties:
            raise Malformed(
                "contract.party.unnamed", f"{field} names {name}, which is not a party", why="only parties sign",
                remedy="add it to the parties, or remove it", field=field,
            )  # fmt: skip


def _check_disclosure(contract: Contract) -> None:
    stated = tuple(entry.party for entry in contract.disclosure)
    check_set("disclosure", stated)
    owners = {owner for dataset in contract.datasets for owner in dataset.owners}
    for owner in sorted(owners.difference(stated)):
        raise Malformed(
            "contract.protection.unset", f"{owner} owns rows and states no disclosure rules",
            why="what protects somebody is written out", remedy=WHAT_TO_WRITE["disclosure"], field="disclosure",
        )  # fmt: skip
    for party in sorted(set(stated).difference(owners)):
        raise Malformed(
            "contract.disclosure.no_owner", f"disclosure names {party}, which owns no rows",
            why="rules are those of owners", remedy="remove the entry", field="disclosure",
        )  # fmt: skip


def _check_enclaves(contract: Contract, parties: frozenset[str]) -> None:
    check_set("enclaves", (canonical_json(reference).decode() for reference in contract.enclaves))
    for reference in contract.enclaves:
        if isinstance(reference, TpmReference):
            _check_tpm(reference, parties)


def _check_tpm(reference: TpmReference, parties: frozenset[str]) -> None:
    field = "enclaves.tpm"
    _check_are_parties(f"{field}.issuer", (reference.issuer,), parties)
    try:
        der = base64.b64decode(reference.authority, validate=True)
        authority = x509.Certificate.load(der, strict=True)
        whole = authority.dump(force=True) == der and base64.b64encode(der).decode() == reference.authority
    except (ValueError, TypeError):
        whole = False
    if not whole:
        raise Malformed(
            "contract.enclave.authority", "a TPM reference names no certificate authority",
            why="authority is not the base64 of one DER certificate",
            remedy="write the certificate that `sealroom tpm ca new` made", field=f"{field}.authority",
        )  # fmt: skip


def _check_computation(computation: Computation, parties: frozenset[str]) -> None:
    at = f"computations.{computation.name}"
    _check_are_parties(f"{at}.recipients", computation.recipients, parties)
    check_set(f"{at}.parameters", (parameter.name for parameter in computation.parameters))
    if computation.unattended > computation.runs:
        raise Malformed(
            "contract.computation.unattended", f"{at} permits more unattended runs than there are runs",
            why="unattended runs are some of the runs", remedy="write at most as many as runs",
            field=f"{at}.unattended", expected=f"at most {computation.runs}", found=str(computation.unattended),
        )  # fmt: skip


def _unprotected(raw: bytes, refusal: Malformed) -> Malformed | None:
    """Say what to write, when what the parser missed is a protective field; None for every other reason."""
    path = (refusal.field or "").split(".")
    name = next((part for part in reversed(path[-2:]) if part in WHAT_TO_WRITE), None)
    if name is None or refusal.code not in {"json.missing_field", "json.field"}:
        return None
    found = None if refusal.code == "json.missing_field" else _value_at(json.loads(raw), path)
    if found not in (None, [], {}, "") or (found is None and path[-1] != name):
        return None
    state = "unset" if found is None else "empty"
    code = f"contract.protection.{state}"
    return Malformed(
        code, f"the contract leaves {refusal.field} {state}", why="what protects somebody is written out",
        remedy=WHAT_TO_WRITE[name], field=refusal.field,
    )  # fmt: skip


def _value_at(document: Any, path: Iterable[str]) -> Any:  # noqa: ANN401 - plain JSON of any shape
    """Return what stands at ``path``; names of union members, which pydantic adds to paths, are stepped over."""
    for part in path:
        if isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
    return document
