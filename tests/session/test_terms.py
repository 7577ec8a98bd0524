"""What a session knows of a contract is what the contract says."""

import base64
import hashlib
from datetime import UTC, datetime

from mpc.evidence.claims import SimulatedReference
from mpc.sealing.hpke import SealingKey
from mpc.session import Session, awaited, terms_of
from mpc.signing import SigningKey
from scenarios.breast_cancer import scenario


def card(name: str) -> dict[str, str]:
    seed = hashlib.shake_256(name.encode()).digest(96)
    return {
        "format": "sealroom.party", "name": name, "label": name.title(),
        "signing_key": SigningKey(seed[:32]).public.raw.hex(),
        "sealing_key": base64.b64encode(SealingKey.from_seed(seed).public.raw).decode(),
    }  # fmt: skip


def test_the_terms_are_those_of_the_contract() -> None:
    reference = SimulatedReference(
        format="simulated", code_digest="00" * 32, measured_by="self", memory_protected=False
    )
    names = [party.name for party in scenario.parties]
    contract = scenario.contract(
        parties={name: card(name) for name in names}, enclaves=(reference,), now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    terms = terms_of(contract, b"\xcc" * 32)
    assert terms.contract == "cc" * 32
    assert sorted(terms.parties) == sorted(names)
    assert dict(terms.owners) == {dataset.name: dataset.owners for dataset in contract.datasets}
    assert set(terms.computations) == {computation.name for computation in contract.computations}
    for computation in contract.computations:
        own = terms.computations[computation.name]
        assert set(own.reads) <= set(terms.owners)
        assert own.reads
        assert (own.recipients, own.runs) == (computation.recipients, computation.runs)
    assert {item.party for item in awaited(Session(terms))} == set(names)
