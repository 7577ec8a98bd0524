"""What a child does that only reads a contract, for a coordinator that believes nothing of it yet."""

import base64
from collections.abc import Mapping
from typing import Any

from mpc.contract.document import SEALING_KEY_BYTES, contract_bytes, parse_contract
from mpc.contract.terms import Contract
from mpc.coordinator import sandbox
from mpc.coordinator.warmth import made_up_dataset
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
    parse_contract(contract_bytes(_made_up_contract()))


def _made_up_contract() -> Contract:
    """Return a contract of one party over the made-up dataset, with a question of each language."""
    texts = {
        "sql": {"kind": "sql", "text": "SELECT category, count(*) AS n FROM made_up GROUP BY category"},
        "statistics": {
            "kind": "statistics", "method": "summary", "dataset": "made_up",
            "arguments": {"columns": ["float"], "by": ["category"]},
        },
    }  # fmt: skip
    computations = [
        {
            "name": name, "purpose": "p", "question": question, "parameters": [], "recipients": ["nobody"],
            "runs": 1, "unattended": 0,
        }
        for name, question in texts.items()
    ]  # fmt: skip
    rules = {
        "profile": "standard", "threshold": 10, "coalition": 1, "zeros": "withhold", "complementary": "suppress",
        "significant_digits": 6,
    }  # fmt: skip
    return Contract.model_validate(
        {
            "format": "sealroom.contract", "version": 1, "title": "t", "purpose": "p",
            "parties": [
                {
                    "name": "nobody", "label": "nobody", "signing_key": "01" * 32,
                    "sealing_key": base64.b64encode(bytes(SEALING_KEY_BYTES)).decode(),
                }
            ],
            "datasets": [made_up_dataset()], "computations": computations,
            "disclosure": [{"party": "nobody", "rules": rules}],
            "enclaves": [
                {"format": "simulated", "code_digest": "01" * 32, "measured_by": "self", "memory_protected": False}
            ],
            "attested_key_seconds": 600,
            "limits": {"upload_mib": 1, "resident_mib": 1, "run_memory_mib": 64, "run_seconds": 1},
            "valid_from": "2000-01-01T00:00:00Z", "valid_until": "2000-01-02T00:00:00Z", "supersedes": None,
        },
        strict=False,
    )  # fmt: skip
