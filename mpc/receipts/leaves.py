"""The events of a contract's life, as they stand in its log; one kind of leaf each.

A leaf tells what happened and digests of what proves it, never a row count, a size or a value. ``envelope`` is
the hex SHA-256 of the DSSE envelope that somebody signed; ``time`` is the time that was signed in it. The
session (``mpc.session``) is what these leaves add up to.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from mpc.canonical import Hex32, Identifier, Term, Text, Timestamp, canonical_json, parse_json
from mpc.errors import Exhausted
from mpc.receipts.log import LEAF_MAX_BYTES

UploadId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
RunNumber = Annotated[int, Field(ge=1, le=2**31)]


class ContractLeaf(Term):
    """The log's first leaf: the contract that it is about."""

    leaf: Literal["contract"] = "contract"
    contract: Hex32


class ConsentLeaf(Term):
    """A party signed the contract."""

    leaf: Literal["consent"] = "consent"
    party: Identifier
    envelope: Hex32


class AttestedLeaf(Term):
    """An instance verified all consents and made its key for the contract (``hpke``: hex SHA-256 of it)."""

    leaf: Literal["attested"] = "attested"
    instance: Hex32
    hpke: Hex32


class ActivationLeaf(Term):
    """A party chose the instance."""

    leaf: Literal["activation"] = "activation"
    party: Identifier
    instance: Hex32
    time: Timestamp
    envelope: Hex32


class ShareLeaf(Term):
    """An owner took its share of the state key, or handed it back to a new instance; ``share`` commits to it."""

    leaf: Literal["share"] = "share"
    party: Identifier
    given: Literal["to_owner", "to_instance"]
    share: Hex32


class UploadLeaf(Term):
    """An owner's rows of a dataset arrived whole and passed the schema; a later upload replaces an earlier one."""

    leaf: Literal["upload"] = "upload"
    dataset: Identifier
    owner: Identifier
    upload: UploadId
    header: Hex32
    commitment: Hex32


class RewrapLeaf(Term):
    """An owner handed a new instance the data key of rows that are in the vault, and they were opened again."""

    leaf: Literal["rewrap"] = "rewrap"
    upload: UploadId


class RunLeaf(Term):
    """A recipient asked for a run, which pins the uploads that it will read (sorted)."""

    leaf: Literal["run"] = "run"
    run: RunNumber
    computation: Identifier
    parameters: dict[Identifier, Text]
    requester: Identifier
    uploads: tuple[UploadId, ...]
    envelope: Hex32


class PermitLeaf(Term):
    """An owner permitted a run on the instance."""

    leaf: Literal["permit"] = "permit"
    run: RunNumber
    party: Identifier
    instance: Hex32
    time: Timestamp
    envelope: Hex32


class ReleaseLeaf(Term):
    """A run ended; ``release`` is the salted commitment to what its recipients got."""

    leaf: Literal["release"] = "release"
    run: RunNumber
    outcome: Literal["released", "failed"]
    release: Hex32


class WithdrawalLeaf(Term):
    """A party left: there are no further permits."""

    leaf: Literal["withdrawal"] = "withdrawal"
    party: Identifier
    envelope: Hex32


class DestructionLeaf(Term):
    """The instance drops the contract's keys by ending; the last leaf."""

    leaf: Literal["destruction"] = "destruction"
    instance: Hex32
    reason: Literal["completed", "expired", "withdrawn", "share_lost"]


class InheritanceLeaf(Term):
    """The instance read and verified the folder of the contract that this one supersedes, up to this state of its log.

    ``holders`` are the owners whose shares open its history, none where it has none; ``spent`` says how often each
    question (hex digest of its terms) was asked under that contract and those before it.
    """

    leaf: Literal["inheritance"] = "inheritance"
    predecessor: Hex32
    size: Annotated[int, Field(ge=0)]
    root: Hex32
    holders: tuple[Identifier, ...]
    spent: dict[Hex32, Annotated[int, Field(ge=1)]]


class InheritedShareLeaf(Term):
    """An owner handed its share of the predecessor's state key to this instance; ``share`` commits to it."""

    leaf: Literal["inherited_share"] = "inherited_share"
    party: Identifier
    share: Hex32


class RestartLeaf(Term):
    """A new instance took up the contract's public state; it holds no key of the ``previous`` one."""

    leaf: Literal["restart"] = "restart"
    instance: Hex32
    previous: Hex32


Leaf = (
    ContractLeaf
    | ConsentLeaf
    | AttestedLeaf
    | ActivationLeaf
    | ShareLeaf
    | UploadLeaf
    | RewrapLeaf
    | RunLeaf
    | PermitLeaf
    | ReleaseLeaf
    | WithdrawalLeaf
    | DestructionLeaf
    | InheritanceLeaf
    | InheritedShareLeaf
    | RestartLeaf
)


class _AnyLeaf(Term):
    leaf: Annotated[Leaf, Field(discriminator="leaf")]


_WRAPPED = b'{"leaf":%s}'
KINDS: tuple[type[Term], ...] = get_args(Leaf)


def leaf_bytes(leaf: Leaf) -> bytes:
    """Return the canonical bytes of ``leaf``, as the log holds them; ``Exhausted`` where a log takes none so long."""
    raw = canonical_json(leaf)
    if len(raw) > LEAF_MAX_BYTES:
        raise Exhausted(
            "log.leaf_size", f"an event of kind {leaf.leaf} is too long for the log",
            why="a leaf of the log is an event and not a place for data",
            remedy="give shorter parameters; take over fewer questions, or let the history begin anew",
            expected=f"at most {LEAF_MAX_BYTES} bytes",
        )  # fmt: skip
    return raw


def parse_leaf(raw: bytes) -> Leaf:
    """Return the event that ``raw`` canonically spells, or raise ``Malformed``."""
    return parse_json(_AnyLeaf, _WRAPPED % raw, what="the log's leaf", max_bytes=LEAF_MAX_BYTES).leaf
