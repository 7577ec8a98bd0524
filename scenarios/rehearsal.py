"""The dry run of a study: synthetic rows, the enclave's own engines and disclosure rules; no key and no real row."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mpc.contract.document import strictest
from mpc.contract.terms import Computation, Contract
from mpc.disclosure import Release, control
from mpc.engines import answer
from mpc.evidence.claims import SimulatedReference
from mpc.questions.terms import Parameter
from scenarios.scenario import Scenario
from scenarios.synthetic import synthetic_tables

BEGINS = datetime(2000, 1, 1, tzinfo=UTC)
"""When a rehearsed contract begins; it is never signed and never in force."""

_MIB = 1 << 20


@dataclass(frozen=True)
class Rehearsed:
    """One computation of a dry run: the parameters that stood in, and what would have been released."""

    computation: Computation
    parameters: Mapping[str, str]
    release: Release


def rehearse(
    scenario: Scenario, *, rows: int, seed: int, parameters: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[Rehearsed, ...]:
    """Return what every computation of ``scenario`` would release over ``rows`` synthetic rows an owner.

    ``parameters`` gives, by computation, values for its parameters; the first value of its domain stands in for one
    that is not given. Refuses whatever a real contract or run of this study would refuse.
    """
    contract = rehearsal_contract(scenario)
    tables = synthetic_tables(contract, rows=rows, seed=seed)
    given = parameters or {}
    rehearsed = []
    for computation in contract.computations:
        values = _first_values(computation.parameters) | dict(given.get(computation.name, {}))
        raw = answer(
            contract, computation.name, values, tables, memory_bytes=contract.limits.run_memory_mib * _MIB, threads=1
        )
        rehearsed.append(Rehearsed(computation, values, control(raw, strictest(contract))))
    return tuple(rehearsed)


def rehearsal_contract(scenario: Scenario) -> Contract:
    """Return the scenario's contract with keys to which nobody has the private half, and an enclave that is none."""
    cards = {party.name: _nobodys_card(party.name) for party in scenario.parties}
    nowhere = SimulatedReference(format="simulated", code_digest="0" * 64, measured_by="self", memory_protected=False)
    return scenario.contract(parties=cards, enclaves=[nowhere], now=BEGINS)


def _nobodys_card(name: str) -> dict[str, str]:
    label = f"sealroom rehearsal {name}".encode()
    return {
        "format": "sealroom.party",
        "name": name,
        "label": name,
        "signing_key": hashlib.sha256(label).hexdigest(),
        "sealing_key": base64.b64encode(hashlib.shake_256(label).digest(1216)).decode(),
    }


def _first_values(parameters: tuple[Parameter, ...]) -> dict[str, str]:
    return {
        parameter.name: parameter.allowed[0] if parameter.allowed else parameter.minimum or ""
        for parameter in parameters
    }
