"""What a child does that only reads a contract, for a coordinator that believes nothing of it yet."""

from collections.abc import Mapping
from typing import Any

from mpc.contract.document import contract_bytes, parse_contract
from mpc.coordinator import sandbox
from mpc.coordinator.warmth import made_up_contract
from mpc.errors import Refusal

BOUNDS = sandbox.Bounds(memory_mib=512, cpu_seconds=10, file_mib=0)


def reported(raw: bytes) -> Mapping[str, Any]:
    """Return ``{"read"}`` for a contract that can be read within the bounds, or ``{"refused"}`` with the reason."""
    try:
        sandbox.enter(BOUNDS)
        parse_contract(raw)
    except Refusal as refusal:
        return {"refused": refusal.as_data()}
    return {"read": True}


def warm_up() -> None:
    """Read a contract once: after the sandbox is entered no file opens."""
    parse_contract(contract_bytes(made_up_contract()))
