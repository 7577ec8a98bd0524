"""Holding a keep against a steward's policy; what Enarx asks of every keep stands among the careful checks."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from mpc.evidence.claims import Check, Claims
from mpc.evidence.enarx.policy import version_matches
from mpc.evidence.enarx.verify import PINNED
from mpc.evidence.intel.careful import careful_sgx
from mpc.evidence.reference_values.enarx import EnarxReference, SgxPolicy, SnpPolicy
from mpc.evidence.snp import careful_of

_REMEDY: Final = "start the Enarx that the policy names, or name this one in the policy"
# Bits of an enclave's attributes (Intel SDM 3D, 37.7.1), as Enarx names them; INIT and MODE64BIT are always allowed.
_FEATURES: Final[Mapping[str, int]] = MappingProxyType(
    {"Debug": 0x02, "ProvisioningKey": 0x10, "EInitKey": 0x20, "CET": 0x40, "KSS": 0x80}
)
_ALWAYS: Final = 0x01 | 0x04
_EXINFO: Final = 0x01
_POLICY_BITS: Final[Mapping[str, str]] = MappingProxyType(
    {"SMT": "smt", "SingleSocket": "single_socket", "Debug": "debug"}
)
_PLATFORM_BITS: Final[Mapping[str, int]] = MappingProxyType({"SME": 0b01, "TSME": 0b10})
_QE_SVN, _PCE_SVN, _QUOTE_VERSION = 7, 12, 3  # the least that Enarx takes, and its one version
_NOT_SET: Final = ("family_id", "image_id", "host_data")  # by any keep


def roots(reference: EnarxReference) -> tuple[bytes, ...]:
    """Return the trust anchors of every keep: AMD's and Intel's."""
    del reference
    return PINNED


def careful(claims: Claims, accepted: frozenset[str]) -> tuple[Check, ...]:
    """Return what holds for every keep: the careful checks of its TEE, and what Enarx never does otherwise."""
    if claims.facts["tee"] == "sgx":
        return (*careful_sgx(claims, accepted), _sgx_keep_check(claims))
    return (*careful_of(claims.facts, accepted), _snp_keep_check(claims))


def compare(claims: Claims, reference: EnarxReference) -> tuple[Claims, tuple[Check, ...]]:
    """Return the claims, and how they compare with the policy's section for this TEE."""
    tee = str(claims.facts["tee"])
    policy = reference.sgx if tee == "sgx" else reference.snp
    listed = Check(
        "tee", " or ".join(name for name in ("sgx", "snp") if getattr(reference, name) is not None), tee,
        policy is not None, why="wrong kind of keep: the policy has no section for it",
        remedy="run the keep on a machine of another kind, or write that section",
    )  # fmt: skip
    match policy:
        case SgxPolicy():
            return claims, (listed, *_sgx_checks(claims, policy))
        case SnpPolicy():
            return claims, (listed, *_snp_checks(claims, policy))
    return claims, (listed,)


def _sgx_keep_check(claims: Claims) -> Check:
    facts = claims.facts
    version, qe, pce = (int(str(facts[name])) for name in ("quote_version", "qe_svn", "pce_svn"))
    return Check(
        "keep_quote", f"version {_QUOTE_VERSION}, QE SVN {_QE_SVN} and PCE SVN {_PCE_SVN} at least",
        f"version {version}, QE SVN {qe}, PCE SVN {pce}",
        version == _QUOTE_VERSION and qe >= _QE_SVN and pce >= _PCE_SVN,
        why="no keep's quote: Enarx makes others, with newer software", remedy="update the machine's SGX software",
    )  # fmt: skip


def _snp_keep_check(claims: Claims) -> Check:
    used = [name for name in _NOT_SET if str(claims.facts[name]).strip("0")]
    vmpl = claims.facts["vmpl"]
    abi, firmware = _abi(claims), tuple(map(int, str(claims.facts["firmware"]).split(".")))[:2]
    found = [*used, *([] if vmpl == 0 else [f"vmpl {vmpl}"]), *([] if abi <= firmware else ["an ABI above it"])]
    return Check(
        "keep_report", "no family, image or host data; VMPL 0; an ABI that the firmware has",
        " ".join(found) or "so", not found,
        why="no keep's report: Enarx does not set these fields", remedy="ask a keep for the request",
    )  # fmt: skip


def _sgx_checks(claims: Claims, policy: SgxPolicy) -> tuple[Check, ...]:
    facts = claims.facts
    mrenclave, flags = str(facts["mrenclave"]), bytes.fromhex(str(facts["attributes"]))[:8]
    allowed = _ALWAYS | sum(_FEATURES[name] for name in policy.features)
    stray = int.from_bytes(flags, "little") & ~allowed if policy.features else 0
    misc = int(str(facts["miscselect"]), 16) & ~_EXINFO if policy.misc_select else 0
    product, svn = int(str(facts["isvprodid"])), int(str(facts["isvsvn"]))
    wanted, least = policy.enclave_product_id, policy.enclave_security_version or 0
    return (
        _listed("mrsigner", policy.signer, str(facts["mrsigner"])),
        _listed("mrenclave", policy.hash, mrenclave),
        _refused("mrenclave_blacklist", policy.hash_blacklist, mrenclave),
        Check(
            "features", " ".join(policy.features) or "any", f"{stray:#x} besides" if stray else "such only", not stray,
            why="wrong features: the enclave has some that the policy does not list", remedy=_REMEDY,
        ),
        Check(
            "misc_select", " ".join(policy.misc_select) or "any", f"{misc:#x} besides" if misc else "such only",
            not misc, why="wrong features: the enclave saves more of its state than the policy lists", remedy=_REMEDY,
        ),
        Check(
            "isvprodid", "any" if wanted is None else str(wanted), str(product), wanted in {None, product},
            why="wrong product: the policy names another", remedy=_REMEDY,
        ),
        Check(
            "isvsvn", f"at least {least}", str(svn), svn >= least,
            why="enclave too old: its security version is below the policy's", remedy="start a newer Enarx",
        ),
        _advisories_check(claims, policy),
    )  # fmt: skip


def _advisories_check(claims: Claims, policy: SgxPolicy) -> Check:
    found = claims.facts["advisories"]
    advisories = {str(one) for one in found} if isinstance(found, tuple) else set()
    more = sorted(advisories - set(policy.allowed_advisories))
    passed = claims.facts["tcb_status"] == "UpToDate" or not more
    return Check(
        "advisories", " ".join(policy.allowed_advisories) or "none", " ".join(sorted(advisories)) or "none", passed,
        why=f"TCB out of date: {' '.join(more)} applies, which the policy does not allow",
        remedy="update the machine, or allow the advisory",
    )  # fmt: skip


def _snp_checks(claims: Claims, policy: SnpPolicy) -> tuple[Check, ...]:
    facts, found = claims.facts, claims.facts["policy_bits"]
    bits = {str(one) for one in found} if isinstance(found, tuple) else set()
    author = str(facts["author_key_digest"]) if facts["author_key_enabled"] is True else "none"
    platform = int(str(facts["platform_info"]), 16) & 0b11
    wanted, abi = policy.platform_info_flags, _abi(claims)
    return (
        _listed("author_key_digest", policy.signer, author),
        _listed("id_key_digest", policy.id_key_digest, str(facts["id_key_digest"])),
        _refused("id_key_digest_blacklist", policy.id_key_digest_blacklist, str(facts["id_key_digest"])),
        _listed("measurement", policy.hash, str(facts["measurement"])),
        _refused("measurement_blacklist", policy.hash_blacklist, str(facts["measurement"])),
        Check(
            "abi", policy.abi or "any", f"{abi[0]}.{abi[1]}", policy.abi is None or version_matches(policy.abi, abi),
            why="wrong ABI: the guest demands another version of the firmware's interface", remedy=_REMEDY,
        ),
        Check(
            "policy_flags", " ".join(policy.policy_flags) or "any", " ".join(sorted(bits)) or "none",
            all(_POLICY_BITS[name] in bits for name in policy.policy_flags),
            why="wrong policy: a flag that the steward's policy requires is not set", remedy=_REMEDY,
        ),
        Check(
            "platform_info_flags", wanted or "any", f"{platform:#04b}",
            wanted is None or _PLATFORM_BITS[wanted] == platform,
            why="wrong platform: the machine encrypts its memory in another way", remedy="use another machine",
        ),
        Check(
            "crl", "AMD's revocation list", str(facts["revocation"]), str(facts["revocation"]).startswith("checked"),
            why="no CRL: nothing says that AMD has not called back the key's authority",
            remedy="let the machine fetch AMD's list before the keep asks: enarx platform snp crl",
        ),
    )  # fmt: skip


def _abi(claims: Claims) -> tuple[int, int]:
    """Return major and minor version of the firmware's interface that the guest demands (policy, bits 0 to 15)."""
    policy = int(str(claims.facts["policy"]), 16)
    return policy >> 8 & 0xFF, policy & 0xFF


def _listed(name: str, wanted: Sequence[str], found: str) -> Check:
    return Check(
        name, " or ".join(wanted) or "any", found, not wanted or found in wanted,
        why=f"wrong {name.replace('_', ' ')}: the policy does not list it", remedy=_REMEDY,
    )  # fmt: skip


def _refused(name: str, unwanted: Sequence[str], found: str) -> Check:
    return Check(
        name, " or ".join(f"not {one}" for one in unwanted) or "any", found, found not in unwanted,
        why="blacklisted: the policy refuses this one by name", remedy=_REMEDY,
    )  # fmt: skip
