"""How things stand, in plain data for people: what is awaited from whom, what was refused and what to do about it.

Nothing in it is of anybody's rows: names, states, numbers of chunks.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mpc.contract.consent import missing_consents
from mpc.messages import Awaited, StatusReply
from parties.daemon import Daemon
from parties.decisions import Situation, awaits_person, decide
from parties.ledger import Agreed

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "no contract": "your daemon holds no contract yet",
        "unsigned": "the contract awaits your signature",
        "withdrawn": "you have left the contract; nothing more is permitted",
        "ended": "the contract is over; results and receipts stay with you",
        "connecting": "your daemon looks for the coordinator, and goes on trying",
        "agreeing": "the coordinator gathers the signatures of all parties",
        "appraising": "your daemon appraises the coordinator's evidence",
        "boot": "the coordinator has no contract yet",
        "agreed": "all have signed; the enclave proves itself to every party",
        "attested": "the enclave is attested; every party has to activate it",
        "activated": "every party has activated the enclave; the owners' rows are on their way",
        "loaded": "the enclave holds the rows of every owner; a recipient may ask for a run",
        "permitted": "a run is permitted; its result comes by itself",
        "released": "a result is out; a recipient may ask for the next run",
    }
)
"""What each stage means, in a sentence."""


def overview(daemon: Daemon) -> dict[str, Any]:
    """Return the daemon's state for ``sealroom status``, the API and a console."""
    situation, agreed, talk = daemon.situation(), daemon.current(), daemon.conversation
    activated = None if agreed is None else daemon.ledger.activation(agreed.digest)
    ended = None if agreed is None else daemon.ledger.ended(agreed.digest)
    head = None if agreed is None else daemon.ledger.head(agreed.digest)
    last = daemon.trouble.last
    reached = stage(situation, agreed)
    return {
        "party": daemon.config.party.name,
        "label": daemon.config.party.label,
        "coordinator": daemon.config.coordinator.address,
        "stage": reached,
        "meaning": STAGES.get(reached, ""),
        "next": type(decide(situation)).__name__,
        "contract": None if agreed is None else _contract(agreed),
        "instance": None if talk is None else talk.instance.hex(),
        "ended": None if ended is None else {"reason": ended.reason, "by": ended.by, "sentence": ended.sentence},
        "activated": None if activated is None else activated.instance.hex(),
        "log": None if head is None else {"size": head.size, "root": head.root.hex()},
        "awaits_you": _awaits_you(daemon, situation, agreed),
        "sending": [vars(submission.progress) for submission in tuple(daemon.party.submissions.values())],
        "results": [] if agreed is None else [result.run for result in daemon.ledger.results(agreed.digest)],
        "trouble": None if last is None else last.as_data(),
        **_told(situation.status),
        **({"awaited": _signatures_awaited(daemon, agreed)} if reached == "agreeing" and agreed is not None else {}),
    }


def stage(situation: Situation, agreed: Agreed | None) -> str:
    """Return one word for how far this party is; from ``attested`` on it is the session's own state."""
    reached = (
        (agreed is None, "no contract"),
        (not situation.signed, "unsigned"),
        (situation.withdrawal != "none", "withdrawn"),
        (situation.over, "ended"),
        (not situation.connected, "connecting"),
        (not situation.agreed, "agreeing"),
        (not situation.appraised, "appraising"),
    )
    word = next((word for holds, word in reached if holds), None)
    return word or ("attested" if situation.status is None else situation.status.state)


def _told(status: StatusReply | None) -> dict[str, Any]:
    """Return what the coordinator last said."""
    if status is None:
        return {"awaited": [], "uploads": [], "runs": []}
    return {
        "awaited": [vars(entry) for entry in status.awaited],
        "uploads": [{**vars(upload), "upload": upload.upload.hex()} for upload in status.uploads],
        "runs": [
            {**vars(run), "parameters": dict(run.parameters), "missing": list(run.missing)} for run in status.runs
        ],
    }


def _signatures_awaited(daemon: Daemon, agreed: Agreed) -> list[dict[str, Any]]:
    """Return whose signatures have not come here; the coordinator tells nobody in particular before all have."""
    missing = missing_consents(agreed.raw, daemon.ledger.consents(agreed.digest))
    return [vars(Awaited(party, "consent")) for party in missing]


def _awaits_you(daemon: Daemon, situation: Situation, agreed: Agreed | None) -> list[dict[str, Any]]:
    waiting: list[dict[str, Any]] = []
    if agreed is None:
        waiting.append({"what": "contract", "remedy": "sealroom contract sign FILE --config party.toml"})
    elif agreed.signed is None:
        waiting.append(
            {"what": "signature", "remedy": "read it: sealroom contract explain; then sealroom contract sign"}
        )
    waiting += [
        {"what": "permit", "subject": str(run), "remedy": f"sealroom permit {run}"} for run in awaits_person(situation)
    ]
    return waiting + [
        {"what": type(action).__name__, **vars(action), "refusal": refusal.as_data()}
        for action, refusal in tuple(daemon.trouble.blocked.items())
    ]


def _contract(agreed: Agreed) -> dict[str, Any]:
    return {
        "digest": agreed.digest.hex(),
        "title": agreed.contract.title,
        "signed": None if agreed.signed is None else agreed.signed.isoformat(),
        "withdrawn": None if agreed.withdrawn is None else agreed.withdrawn.isoformat(),
        "valid_until": agreed.contract.valid_until,
    }
