"""What parties sign during the life of a contract; one DSSE payload type each (``mpc.signing.Purpose``)."""

from typing import Annotated, Literal

from pydantic import Field

from mpc.canonical import Hex32, Identifier, Term, Text, Timestamp


class Replaced(Term):
    """The instance that an activation replaces, with the last checkpoint the party saw of it."""

    instance: Hex32
    log_size: Annotated[int, Field(ge=0)]
    log_root: Hex32


class Inherited(Term):
    """The contract whose history is taken over, with the last state of its log that the party saw."""

    contract: Hex32
    log_size: Annotated[int, Field(ge=0)]
    log_root: Hex32


class Activation(Term):
    """A party's choice of one instance (hex SHA-256 of its receipt key) for a contract.

    ``inherits`` is stated by who signed the predecessor too, where history follows: no older copy of it is taken over.
    """

    contract: Hex32
    party: Identifier
    instance: Hex32
    replaces: Replaced | None
    inherits: Inherited | None
    time: Timestamp


class Permit(Term):
    """An owner's leave for one run on one instance at one state of its log."""

    contract: Hex32
    party: Identifier
    instance: Hex32
    run: Annotated[int, Field(ge=1)]
    computation: Identifier
    parameters: dict[Identifier, Text]
    log_size: Annotated[int, Field(ge=0)]
    log_root: Hex32
    time: Timestamp


class RunRequest(Term):
    """A recipient's wish to have a computation run."""

    contract: Hex32
    party: Identifier
    instance: Hex32
    computation: Identifier
    parameters: dict[Identifier, Text]
    time: Timestamp


class Withdrawal(Term):
    """A party leaves: no further permit, and the enclave drops the contract."""

    contract: Hex32
    party: Identifier
    reason: Text
    time: Timestamp


class ChallengeAnswer(Term):
    """Proof that a party holds its key on the channel whose certificate *it* pinned (hex SHA-256 of the SPKI)."""

    label: Literal["sealroom channel v1"]
    contract: Hex32
    party: Identifier
    challenge: Hex32
    spki: Hex32


class Checkpoint(Term):
    """A state of an instance's log: its size and Merkle root (RFC 9162), as the instance or a party signs it."""

    contract: Hex32
    instance: Hex32
    size: Annotated[int, Field(ge=0)]
    root: Hex32
    time: Timestamp
