"""One exception family. Everything raised that is not a ``Refusal`` is a bug.

    Refusal
    ├── Malformed      the bytes are not what they claim to be
    ├── Untrusted      a signature, a chain or an evidence is not believed
    ├── Forbidden      understood and genuine, but the contract or a rule says no
    ├── OutOfOrder     right request, wrong state: something else has to happen first
    ├── Exhausted      a limit is reached: size, memory, time, disk, runs
    ├── Unavailable    the other side cannot be reached, or went away
    └── Misconfigured  a local setting, file or key is missing or wrong

A refusal says *what* was refused, *why*, and the *remedy*; its ``code`` is stable and may be matched by
programs. It never speaks of rows: no cell, count or value of a party's data enters any of its fields.
"""

from typing import ClassVar


class Refusal(Exception):  # noqa: N818 - "refusal" is the domain's word; these are answers, not crashes
    """Something was asked that cannot be granted; never raised directly, always by one of its kinds.

    ``code`` is dotted lower case, such as ``contract.signature.missing``. ``field``, ``expected`` and
    ``found`` are given wherever two things were compared.
    """

    kind: ClassVar[str] = "refusal"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        what: str,
        *,
        why: str,
        remedy: str,
        field: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.remedy = remedy
        self.field = field
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        compared = "" if self.expected is None else f" [expected {self.expected}, found {self.found}]"
        return f"{self.what}: {self.why}{compared} — {self.remedy} ({self.code})"

    def as_data(self) -> dict[str, str | None]:
        """Return the refusal as plain data, for ``--json`` and for the wire."""
        return {
            "kind": self.kind,
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "remedy": self.remedy,
            "field": self.field,
            "expected": self.expected,
            "found": self.found,
        }


class Malformed(Refusal):
    """The bytes are not what they claim to be."""

    kind = "malformed"
    exit_code = 3


class Untrusted(Refusal):
    """A signature, a certificate chain or an evidence is not believed."""

    kind = "untrusted"
    exit_code = 4


class Forbidden(Refusal):
    """Understood and genuine, but the contract or a rule says no."""

    kind = "forbidden"
    exit_code = 5


class OutOfOrder(Refusal):
    """The right request in the wrong state: something else has to happen first."""

    kind = "out_of_order"
    exit_code = 6


class Exhausted(Refusal):
    """A limit is reached: size, memory, time, disk or number of runs."""

    kind = "exhausted"
    exit_code = 7


class Unavailable(Refusal):
    """The other side cannot be reached, or went away."""

    kind = "unavailable"
    exit_code = 8


class Misconfigured(Refusal):
    """A local setting, file or key is missing or wrong."""

    kind = "misconfigured"
    exit_code = 9


KINDS: dict[str, type[Refusal]] = {
    kind.kind: kind for kind in (Malformed, Untrusted, Forbidden, OutOfOrder, Exhausted, Unavailable, Misconfigured)
}
