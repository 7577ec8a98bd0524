"""The terms of a contract, exactly as they stand in its bytes.

No field has a default: what protects somebody is written out, and what is absent refuses.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mpc.canonical import Base64, Hex32, Identifier, Term, Text, Timestamp, parse_time
from mpc.evidence.reference_values import ReferenceValues
from mpc.questions.terms import Parameter, Question
from mpc.table.schema import Dataset

FORMAT = "sealroom.contract"
VERSION = 1


class Party(Term):
    """An organisation: its Ed25519 signing key (hex, 32 bytes) and X-Wing sealing key (base64, 1216 bytes)."""

    name: Identifier
    label: Text
    signing_key: Hex32
    sealing_key: Base64


class Computation(Term):
    """One agreed question, who receives the answer, and how often it may be asked.

    ``unattended`` is how many of the ``runs`` an owner's daemon may permit without a person.
    """

    name: Identifier
    purpose: Text
    question: Question
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=32)]
    recipients: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=256)]
    runs: Annotated[int, Field(ge=1, le=1_000_000)]
    unattended: Annotated[int, Field(ge=0, le=1_000_000)]


class Rules(Term):
    """Disclosure rules. ``threshold`` counts distinct subjects; ``coalition`` is how many parties' contributions
    are taken away before the rules are applied again (at least 1); ``zeros`` says whether an empty cell may be
    told; ``significant_digits`` is how many digits of a released float are kept.
    """  # noqa: D205

    profile: Identifier
    threshold: Annotated[int, Field(ge=2, le=1_000_000)]
    coalition: Annotated[int, Field(ge=1, le=1)]
    zeros: Literal["withhold", "release"]
    complementary: Literal["suppress"]
    significant_digits: Annotated[int, Field(ge=1, le=15)]


class PartyRules(Term):
    """The rules that one owner asks for; the strictest of all owners' hold."""

    party: Identifier
    rules: Rules


class Limits(Term):
    """What the enclave may spend on this contract."""

    upload_mib: Annotated[int, Field(ge=1, le=1 << 24)]
    resident_mib: Annotated[int, Field(ge=1, le=1 << 24)]
    run_memory_mib: Annotated[int, Field(ge=64, le=1 << 24)]
    run_seconds: Annotated[int, Field(ge=1, le=86_400)]


class Superseded(Term):
    """The contract (its digest) that another takes the place of.

    ``history``: ``follows`` means that its answers are remembered and its runs are counted under the new one, which
    every owner's share of the old state key makes possible; ``begins_anew`` that nothing of it is known there.
    """

    contract: Hex32
    history: Literal["follows", "begins_anew"]


class Contract(Term):
    """Everything that the parties agree on. ``attested_key_seconds`` is how long an appraisal may be relied on."""

    format: Literal["sealroom.contract"]
    version: Literal[1]
    title: Text
    purpose: Text
    parties: Annotated[tuple[Party, ...], Field(min_length=1, max_length=256)]
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1, max_length=256)]
    computations: Annotated[tuple[Computation, ...], Field(min_length=1, max_length=1024)]
    disclosure: Annotated[tuple[PartyRules, ...], Field(min_length=1, max_length=256)]
    enclaves: Annotated[tuple[ReferenceValues, ...], Field(min_length=1, max_length=64)]
    attested_key_seconds: Annotated[int, Field(ge=10, le=86_400)]
    limits: Limits
    valid_from: Timestamp
    valid_until: Timestamp
    supersedes: Superseded | None

    @property
    def predecessor(self) -> str | None:
        """The digest (hex) of the contract whose history this one takes over, or None."""
        before = self.supersedes
        return before.contract if before is not None and before.history == "follows" else None

    @property
    def owners(self) -> tuple[str, ...]:
        """All owners of any dataset, sorted: who holds a share of the state key."""
        return tuple(sorted({owner for dataset in self.datasets for owner in dataset.owners}))

    def party(self, name: str) -> Party | None:
        """Return the party called ``name``, or None."""
        return next((party for party in self.parties if party.name == name), None)

    def dataset(self, name: str) -> Dataset | None:
        """Return the dataset called ``name``, or None."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def computation(self, name: str) -> Computation | None:
        """Return the computation called ``name``, or None."""
        return next((computation for computation in self.computations if computation.name == name), None)

    @model_validator(mode="after")
    def _validity_is_a_span(self) -> Self:
        if parse_time(self.valid_from) >= parse_time(self.valid_until):
            raise ValueError("valid_until must be later than valid_from")
        return self
