"""What was refused, and whether it is tried again: soon what may pass by itself, the rest once a person says so."""

from dataclasses import dataclass, field

from mpc.errors import Exhausted, OutOfOrder, Refusal, Unavailable
from parties.decisions import Action, Appraise, Authenticate, Connect, ExchangeConsents, Rest, Watch

_IDLE = (Watch(), Rest())


@dataclass(frozen=True)
class Pace:
    """How eagerly the daemon tries, in seconds; failures double ``first_retry`` up to ``last_retry``.

    ``patience`` is how often the same action is tried while its state is "not yet", before a person is asked.
    """

    first_retry: float = 0.1
    last_retry: float = 15.0
    consents: float = 0.25
    watch: float = 20.0
    patience: int = 10


@dataclass
class Trouble:
    """Refusals that a person has to see: ``blocked`` by action, and the ``last`` of all, None after a success."""

    blocked: dict[Action, Refusal] = field(default_factory=dict)
    last: Refusal | None = None
    failures: int = 0
    tried: dict[Action, int] = field(default_factory=dict)

    def passed(self, action: Action) -> None:
        """Note a success; waiting for something to do is none that ends a trouble."""
        self.failures = 0
        self.tried.pop(action, None)
        if action not in _IDLE:
            self.last = None

    def is_told(self, refusal: Refusal) -> bool:
        """Whether the same was refused the last time."""
        return self.last is not None and self.last.code == refusal.code

    def may_pass(self, action: Action, refusal: Refusal, pace: Pace) -> bool:
        """Note a refusal; tell whether the action may succeed later although nobody here changes anything.

        What may not is blocked.
        """
        self.last = refusal
        if not (isinstance(refusal, Unavailable) or is_about_the_connection(action)):
            tried = self.tried[action] = self.tried.get(action, 0) + 1
            if not isinstance(refusal, OutOfOrder | Exhausted) or tried > pace.patience:
                self.blocked[action] = refusal
                return False
        self.failures += 1
        return True

    def wait_seconds(self, pace: Pace) -> float:
        """How long to wait before the next try."""
        return float(min(pace.first_retry * 2 ** min(self.failures - 1, 16), pace.last_retry))


def is_about_the_connection(action: Action) -> bool:
    """Whether the action is a step on the way to an enclave that this party trusts: it is tried for ever."""
    return isinstance(action, Connect | ExchangeConsents | Appraise | Authenticate)
