"""The dry run of a study: synthetic rows, the enclave's own engines and disclosure rules; no key and no real row."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mpc.canonical import sha256
from mpc.contract.document import contract_bytes, strictest
from mpc.contract.terms import Contract
from mpc.disclosure import Release, control
from mpc.engines import answer
from mpc.errors import Refusal
from mpc.evidence.claims import SimulatedReference
from mpc.questions.terms import Parameter
from parties.report.building import build_report
from parties.report.view import Report
from scenarios.scenario import Scenario
from scenarios.synthetic import synthetic_tables

BEGINS = datetime(2000, 1, 1, tzinfo=UTC)
"""When a rehearsed contract begins; it is never signed and never in force."""

MIB = 1 << 20


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run would have released, and with which ``parameters``, by computation."""

    contract: Contract
    parameters: Mapping[str, Mapping[str, str]]
    releases: Mapping[str, Release]

    def reports(self) -> tuple[Report, ...]:
        """Return one report an answer, as a recipient would read it, without any receipt."""
        digest = sha256(contract_bytes(self.contract))
        return tuple(
            build_report(
                self.contract, digest, release, computation=name, parameters=self.parameters[name], provenance=None
            )
            for name, release in self.releases.items()
        )


def rehearse(
    scenario: Scenario, *, rows: int, seed: int, parameters: Mapping[str, Mapping[str, str]] | None = None
) -> Rehearsal:
    """Return what every computation of ``scenario`` would release over ``rows`` synthetic rows an owner.

    ``parameters`` gives, by computation, values for its parameters; the first value of its domain stands in for one
    that is not given. Refuses whatever a real contract or run of this study would refuse.
    """
    contract = rehearsal_contract(scenario)
    tables = synthetic_tables(contract, rows=rows, seed=seed)
    rules = strictest(contract)
    memory = contract.limits.run_memory_mib * MIB
    asked = {
        computation.name: _first_values(computation.parameters) | dict((parameters or {}).get(computation.name, {}))
        for computation in contract.computations
    }
    releases: dict[str, Release] = {}
    for name, values in asked.items():
        try:
            releases[name] = control(answer(contract, name, values, tables, memory_bytes=memory, threads=1), rules)
        except Refusal as refused:
            refused.field = ".".join(["computations", name, *filter(None, [refused.field])])
            raise
    return Rehearsal(contract, asked, releases)


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
