"""Keystone (RISC-V): reports signed by a security monitor, which a device's key vouches for."""

from collections.abc import Sequence

from mpc.errors import Malformed
from mpc.evidence.claims import Given
from mpc.evidence.format import Format
from mpc.evidence.keystone.keys import is_keys, read_keys
from mpc.evidence.keystone.layout import KeystoneReport, describe, parse, whole_file
from mpc.evidence.keystone.measurement import measure
from mpc.evidence.keystone.reference import compare, roots
from mpc.evidence.keystone.verify import TEST_DEVICE_KEY, anchor, anchors_in, careful, verify
from mpc.evidence.reference_values.keystone import KeystoneReference

__all__ = ["FORMAT", "KeystoneReference", "KeystoneReport", "measure"]


def _recognises(raw: bytes) -> bool:
    try:
        report = parse(whole_file(raw))
    except Malformed:
        return is_keys(raw)
    # Bytes of that length are many things; a report has no signature, hash or key of nothing but zeros.
    is_json = raw.lstrip().startswith(b"{")
    return is_json or all(any(value) for name, value in vars(report).items() if name != "data")


def _gather(raw: bytes, files: Sequence[bytes], given: Given) -> tuple[KeystoneReport, tuple[bytes, ...]]:
    del files, given  # a report brings its whole chain along
    return parse(whole_file(raw)), ()


FORMAT = Format(
    "keystone", _recognises, parse, _gather, verify, compare, describe, roots, careful,
    # Not trusted: it lets a report by the published key be told from one by nobody, and `careful` refuses it.
    pinned=(anchor(TEST_DEVICE_KEY),), anchors=anchors_in, document=read_keys,
)  # fmt: skip
