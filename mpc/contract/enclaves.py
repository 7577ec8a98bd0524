"""What a contract's list of enclaves means, in words: which program, who could forge its evidence, what is waived."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mpc.canonical import digest_of
from mpc.evidence.reference_values import ReferenceValues

_BREAKERS: Final = "whoever takes a key out of one of its chips"
_FORGERS: Final[Mapping[str, str]] = MappingProxyType({
    "simulated": "anybody: this is a simulation for trying things out, never for data that matters",
    "sgx": f"Intel; {_BREAKERS}",
    "tdx": f"Intel; {_BREAKERS}",
    "sev-snp": f"AMD; {_BREAKERS}",
    "azure-vtpm": "the maker of the chip, and Microsoft, whose paravisor stands between chip and program",
    "nitro": "AWS, which makes the chip and runs the machines",
    "keystone": "whoever holds one of the device keys that the contract names, and whoever holds the machine itself",
    "enarx": f"Intel and AMD; {_BREAKERS}",
})  # fmt: skip
_VERACRUZ: Final[Mapping[str, str]] = MappingProxyType({
    "nitro": _FORGERS["nitro"], "sevsnp": _FORGERS["sev-snp"],
    "linux": "anybody: the key that signs is published",
})  # fmt: skip
_PROGRAMS: Final = (
    "code_digest", "measurement", "mrenclave", "mrtd", "pcr0", "runtime_manager_hash", "mrsigner",
)  # fmt: skip


def program_of(reference: ReferenceValues) -> str:
    """Return the digest in hex by which the reference knows the program; of lists of them, the digest of the list."""
    named = (getattr(reference, name, None) for name in _PROGRAMS)
    return next((str(digest) for digest in named if digest), digest_of(reference).hex())


def forgers_of(reference: ReferenceValues) -> str:
    """Return who could forge evidence that the reference accepts; of ``tpm``, its issuer is the contract's to name."""
    if reference.format == "veracruz":
        return _VERACRUZ.get(reference.platform, "whoever holds the key that signs")
    return _FORGERS.get(reference.format, "whoever holds the key that signs")


def waived_by(reference: ReferenceValues) -> tuple[str, ...]:
    """Return the careful checks that the reference waives by name."""
    return tuple(map(str, getattr(reference, "accepted", ())))
