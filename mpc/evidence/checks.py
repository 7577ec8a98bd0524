"""Checks as they are made: each one is written down, and the first that fails refuses with all of them."""

from collections.abc import Iterable

from mpc.errors import Forbidden, Refusal, Untrusted
from mpc.evidence.claims import Check


class NotBelieved(Untrusted):
    """Evidence that is not believed; ``checks`` are those made until then, the failed ones among them."""

    checks: tuple[Check, ...] = ()


class NotWanted(Forbidden):
    """Genuine evidence of something that contract or party does not want; ``checks`` as in ``NotBelieved``."""

    checks: tuple[Check, ...] = ()


class Checks:
    """The list of checks of one verification."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._made: list[Check] = []

    @property
    def made(self) -> tuple[Check, ...]:
        """All checks made until now, in order."""
        return tuple(self._made)

    def require(self, name: str, *, expected: str, found: str, passed: bool, why: str, remedy: str) -> None:
        """Write a check down, and raise ``NotBelieved`` with code ``evidence.<name>`` unless it passed."""
        check = Check(name, expected, found, passed, why, remedy)
        self._made.append(check)
        if not passed:
            raise refusal_of(check, self.made, what=self._what)

    def extend(self, checks: Iterable[Check]) -> None:
        """Take over checks that were made elsewhere and passed."""
        self._made.extend(checks)


def refusal_of(check: Check, checks: tuple[Check, ...], *, what: str, genuine: bool = False) -> Refusal:
    """Return the refusal that a failed ``check`` is: ``NotWanted`` for ``genuine`` evidence, else ``NotBelieved``."""
    kind = NotWanted if genuine else NotBelieved
    refusal = kind(
        f"evidence.{check.name}", what, why=check.why, remedy=check.remedy,
        field=check.name, expected=check.expected, found=check.found,
    )  # fmt: skip
    refusal.checks = checks
    return refusal
