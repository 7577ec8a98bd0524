"""What a format of evidence is: its functions, side by side, from bytes that are not believed to checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from mpc.evidence.certificate import certificates_of
from mpc.evidence.claims import Check, Claims, Fact, Given, Shown

Stage = Literal["parse", "verify", "appraise"]


@dataclass(frozen=True)
class Document:
    """What lies beside evidence and is no evidence: a chain, collateral, a policy, settings, a result.

    ``reaches`` is the last stage that such a thing has: a list of settings only ever parses.
    """

    kind: str
    reaches: Stage
    facts: Mapping[str, Fact] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


class ReadDocument(Protocol):
    """Reads a file that may be a document of the format."""

    def __call__(
        self, raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
    ) -> Document | None:
        """Return what was found, None when ``raw`` is no document of the format; refuse one that does not hold."""


def nothing_careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return no checks: the format knows no defaults beyond those that every format has."""
    del claims, accepted
    return ()


def no_roots(reference: object) -> tuple[bytes, ...]:
    """Return no anchors: none stand in the reference values."""
    del reference
    return ()


@dataclass(frozen=True)
class Format:
    """One format: ``parse`` believes nothing, ``verify`` believes signatures, ``compare`` looks at reference values.

    ``recognises`` tells whether bytes are in this format and no other. ``gather`` takes evidence and endorsements as
    they lie in files, and returns what ``parse`` would and the endorsements as ``verify`` takes them. ``careful``
    makes the checks that hold without any reference values; one whose name is in ``accepted`` passes. ``roots``
    gives the trust anchors under a reference; ``pinned`` holds those of the package, for where there is none;
    ``anchors`` reads those that a person names in a file.
    ``describe`` shows every field. ``document`` reads what is in the same format and is no evidence. ``policy`` reads
    a file in which another system writes what it accepts, as reference values; None where it is no such file.
    """

    name: str
    recognises: Callable[[bytes], bool]
    parse: Callable[[bytes], Any]
    gather: Callable[[bytes, Sequence[bytes], Given], tuple[Any, tuple[bytes, ...]]]
    verify: Callable[..., Claims]
    compare: Callable[[Claims, Any], tuple[Claims, tuple[Check, ...]]]
    describe: Callable[[Any], tuple[Shown, ...]]
    roots: Callable[[Any], tuple[bytes, ...]]
    careful: Callable[[Claims, frozenset[str]], tuple[Check, ...]] = nothing_careful
    pinned: tuple[bytes, ...] = ()
    anchors: Callable[[bytes], tuple[bytes, ...]] = certificates_of
    document: ReadDocument | None = None
    policy: Callable[[bytes], Any] | None = None
