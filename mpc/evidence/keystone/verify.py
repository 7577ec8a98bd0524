"""A Keystone report is believed when a trusted device's key signed its security monitor, and that the enclave.

The device's key in the report is compared with those that the caller trusts: it never vouches for itself. One device
key is published together with its secret; what it signs proves nothing, and is accepted only by its name.
"""

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest

from mpc.errors import Malformed
from mpc.evidence.checks import Checks
from mpc.evidence.claims import Check, Claims
from mpc.evidence.keystone.ed25519_sha3 import KEY_BYTES, verifies
from mpc.evidence.keystone.layout import KeystoneReport

FORMAT = "keystone"
TEST_DEVICE_KEY = bytes.fromhex("0faad4ff01178583baa588966f7c1ff32564dd17d7dc2b46cb50a84a69270b4c")
"""Published with its secret in the SDK (sdk/include/verifier/test_dev_key.h): anybody can sign with it. Its boot ROM
derives the monitor's key from two bytes only (``sizeof`` of a pointer's target), so that there are 65,536 of them."""

PUBLISHED_TEST_KEY = "published_test_key"
_ANCHOR = b"keystone device key "  # anchors of all formats may lie in one list, and some are 32 bytes as well


def anchor(device_key: bytes) -> bytes:
    """Return the trust anchor that a device's key is."""
    return _ANCHOR + device_key


def anchors_in(file: bytes) -> tuple[bytes, ...]:
    """Return the anchor in a file: a device's public key, 32 bytes or as many in hex; or raise ``Malformed``."""
    try:
        key = file if len(file) == KEY_BYTES else bytes.fromhex(file.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Malformed(
            "evidence.root", "the trust anchor is malformed", why="it is no device key of Keystone",
            remedy="give the device's public key", field="root", expected="32 bytes, or as many in hex",
            found=f"{len(file)} bytes",
        )  # fmt: skip
    return (anchor(key),)


def verify(report: KeystoneReport, endorsements: Sequence[bytes], *, roots: Sequence[bytes], at: datetime) -> Claims:
    """Return the claims of a report whose device key is among ``roots`` (see ``anchor``), or refuse."""
    del endorsements
    checks = Checks("the Keystone report is not believed")
    signatures = (
        ("monitor", "security monitor", report.device_key, report.monitor_signature, report.signed_by_device),
        ("enclave", "enclave", report.monitor_key, report.enclave_signature, report.signed_by_monitor),
    )
    for name, whose, key, signature, signed in signatures:
        passed = verifies(key, signature, signed)
        checks.require(
            f"{name}_signature", expected=f"by the key {key.hex()}", passed=passed,
            found="such a signature" if passed else "another one", why=f"bad {whose} signature",
            remedy="ask the enclave for a fresh report, and pass it on unchanged",
        )  # fmt: skip
    trusted = [root.removeprefix(_ANCHOR) for root in roots if root.startswith(_ANCHOR)]
    checks.require(
        "device_key", expected=" or ".join(root.hex() for root in trusted) or "no device key was given",
        found=report.device_key.hex(), passed=any(compare_digest(root, report.device_key) for root in trusted),
        why="unknown device key: nobody vouches for the device",
        remedy="name the device's key in the reference values, as its maker gave it to you",
    )  # fmt: skip
    facts = {
        "measurement": report.enclave_hash.hex(),
        "sm_hash": report.monitor_hash.hex(),
        "data": report.data.hex(),
        "device_key": report.device_key.hex(),
    }
    if report.device_key == TEST_DEVICE_KEY:
        facts["forgeable_by"] = "anybody"
    return Claims(
        format=FORMAT,
        bound=report.data,
        measurements={"measurement": report.enclave_hash, "sm_hash": report.monitor_hash},
        measured_by="hardware",
        # The monitor keeps the host's software out (PMP); who holds the machine can still read its memory.
        memory_protected=False,
        debug=False,
        verified_at=at,
        facts=facts,
        checks=checks.made,
    )


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return the check that the device's secret is not a published one."""
    published = claims.facts["device_key"] == TEST_DEVICE_KEY.hex()
    return (
        Check(
            PUBLISHED_TEST_KEY, "a key whose secret is not published",
            "the SDK's test key" if published else "such a key", not published or PUBLISHED_TEST_KEY in accepted,
            why="published test key: anybody can sign with it",
            remedy=f"use a device with a key of its own; for trying things out, accept {PUBLISHED_TEST_KEY} by name",
        ),
    )  # fmt: skip
