"""What a party is made of: its configuration, keys and ledger, and what signs for it."""

from dataclasses import dataclass, field

import structlog

from mpc.evidence.appraisal import Exceptions
from parties.channel import Clock, Deadlines, Random
from parties.config import Config
from parties.keys import Keys
from parties.ledger import Ledger
from parties.signatory import Signatory
from parties.submission import Submission

_LOGGED = frozenset({"dataset", "run", "instance", "code", "action"})
log = structlog.get_logger("sealroom.party")


@dataclass(frozen=True)
class Party:
    """What a party brings to every conversation; ``submissions`` are uploads on their way, by dataset."""

    config: Config
    keys: Keys
    ledger: Ledger
    signatory: Signatory
    exceptions: Exceptions
    clock: Clock
    random: Random
    deadlines: Deadlines
    submissions: dict[str, Submission] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The party's name in contracts."""
        return self.config.party.name

    def record(self, kind: str, contract: bytes | None, **data: object) -> None:
        """Write an event to the ledger, and the part of it that may be shared to the log."""
        log.info(kind, **{name: value for name, value in data.items() if name in _LOGGED})
        self.ledger.record(kind, at=self.clock(), contract=contract, **data)
