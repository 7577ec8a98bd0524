"""What was told already: the same question over the same rows gets the very same bytes, from contract to successor.

Guarantees: asking twice tells nothing new. Sums differ in their last bits between runs, and noise would be averaged
away; so a repeated question is answered from here, never computed again. Failures are not kept: they told nothing.
Rows are known by their content, so that an upload of the same rows, under this contract or one that takes over its
history, is recognised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mpc.canonical import canonical_cbor, parse_cbor, sha256
from mpc.contract.terms import Rules
from mpc.disclosure.release import Release
from mpc.errors import Malformed
from mpc.questions.terms import Question, question_name

_LABEL = "sealroom history v2"
_DIGEST_BYTES = 32


def question_digest(
    question: Question, parameters: Mapping[str, str], rows: Mapping[str, bytes], rules: Rules
) -> bytes:
    """Return the 32-byte name of one question: its terms, parameters, the rows that it reads, and the rules.

    ``rows`` maps ``dataset/owner`` to the digest of the rows as they were packed. The computation's name
    is left out: two names for one question are one question, and get one answer, under the name that was asked for
    (``Release.named``).
    """
    return sha256(
        canonical_cbor([
            "sealroom question v2", question_name(question), dict(parameters), dict(rows),
            rules.model_dump(mode="json"),
        ])
    )  # fmt: skip


@dataclass(frozen=True)
class History:
    """The releases of a contract and of those whose history it takes over, by question.

    It is a value of its own, so that its keeper decides when it holds.
    """

    releases: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def recall(self, question: bytes) -> bytes | None:
        """Return the bytes that answered ``question`` before, or None."""
        return self.releases.get(question)

    def remember(self, question: bytes, release: Release) -> "History":
        """Return the history with ``release`` as the answer to ``question``; the first answer stays."""
        if release.failure is not None or question in self.releases:
            return self
        return History(MappingProxyType({**self.releases, question: release.to_bytes()}))

    def to_bytes(self) -> bytes:
        """Return deterministic CBOR, for the encrypted state of the contract."""
        return canonical_cbor([_LABEL, dict(self.releases)])

    @staticmethod
    def from_bytes(raw: bytes, *, max_bytes: int = 1 << 30) -> "History":
        """Return the history that ``raw`` spells, or raise ``Malformed``."""
        match parse_cbor(raw, what="the history of releases", max_bytes=max_bytes):
            case [label, dict() as releases] if label == _LABEL and all(map(_is_entry, releases.items())):
                return History(MappingProxyType(releases))
            case _:
                raise Malformed(
                    "history.invalid", "the history of releases does not have the agreed form",
                    why="an entry is not a question's digest and a release",
                    remedy="restore the sealed state as it was",
                )  # fmt: skip


def _is_entry(entry: tuple[object, object]) -> bool:
    digest, release = entry
    return isinstance(digest, bytes) and len(digest) == _DIGEST_BYTES and isinstance(release, bytes)
