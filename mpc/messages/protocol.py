"""What both sides hold to: names, versions and limits, and what a well-formed request for evidence is."""

from collections.abc import Iterable
from typing import Literal, TypeAlias, cast

from mpc.errors import OutOfOrder
from mpc.messages.encoding import malformed
from mpc.messages.values import AttestRequest

SERVICE = "sealroom.wire.v1.Coordinator"
VERSIONS = (1,)
"""Protocol versions that this program speaks, best last."""

NONCE_BYTES = 32
TOKEN_METADATA = "authorization"  # noqa: S105 - the name of a header, not a token
MESSAGE_MAX_BYTES = 4 << 20
UNAUTHENTICATED_MAX_BYTES = 64 << 10
RESULT_PIECE_BYTES = 2 << 20

Purpose: TypeAlias = Literal["boot", "contract"]


def negotiate(versions: Iterable[int]) -> int:
    """Return the best protocol version that both sides speak, or refuse in one sentence."""
    offered = sorted(set(versions))
    common = [version for version in offered if version in VERSIONS]
    if not common:
        raise OutOfOrder(
            "protocol.version", "the two programs speak no common version of the protocol",
            why="one of them is older", remedy="install the same release on both sides", field="versions",
            expected=" or ".join(map(str, VERSIONS)), found=", ".join(map(str, offered[:8])) or "none",
        )  # fmt: skip
    return common[-1]


def attest_purpose(request: AttestRequest) -> Purpose:
    """Return the purpose of an attestation whose nonce and contract digest have their lengths, else refuse."""
    digest_bytes = {"boot": 0, "contract": 32}.get(request.purpose)
    if len(request.nonce) != NONCE_BYTES or len(request.contract) != digest_bytes:
        raise malformed("an attestation wants a nonce of 32 bytes, and a contract's digest exactly for its purpose")
    return cast("Purpose", request.purpose)
