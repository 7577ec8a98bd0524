"""A file of published test keys, as it lies beside Keystone's vectors: read, so that one knows which key to refuse."""

from collections.abc import Sequence
from datetime import datetime

from mpc.errors import Malformed
from mpc.evidence.claims import Check, Given
from mpc.evidence.format import Document
from mpc.evidence.keystone.ed25519_sha3 import public_key
from mpc.evidence.keystone.layout import JSON_MAX_BYTES, hex_field
from mpc.evidence.keystone.verify import TEST_DEVICE_KEY
from mpc.evidence.loose_json import read_json

_SECRET, _PUBLIC = "test_dev_secret_key_expanded_64", "test_dev_public_key"
_DEMO = "keystone_demo_enclave_expected_hash"


def is_keys(raw: bytes) -> bool:
    """Tell whether ``raw`` is a JSON object with a test device's two keys."""
    try:
        fields = read_json(raw, what="the file of keys", max_bytes=JSON_MAX_BYTES)
    except Malformed:
        return False
    return {_SECRET, _PUBLIC} <= fields.keys()


def read_keys(
    raw: bytes, files: Sequence[bytes], given: Given, *, roots: Sequence[bytes], at: datetime
) -> Document | None:
    """Return the keys when ``raw`` is a file of them: the public one has to follow from the secret one."""
    del files, given, roots, at
    if not is_keys(raw):
        return None
    fields = read_json(raw, what="the file of keys", max_bytes=JSON_MAX_BYTES)
    secret, public = hex_field(fields[_SECRET], 64, _SECRET), hex_field(fields[_PUBLIC], 32, _PUBLIC)
    facts: dict[str, str | bool] = {"device_key": public.hex(), "published": public == TEST_DEVICE_KEY}
    if _DEMO in fields:
        facts["demo_measurement"] = hex_field(fields[_DEMO], 64, _DEMO).hex()
    derived = public_key(secret[:32])
    pair = Check(
        "key_pair", public.hex(), derived.hex(), derived == public,
        why="the public key is not that of the secret one", remedy="take the file as it was published",
    )  # fmt: skip
    return Document("keys", "parse", facts, (pair,))
