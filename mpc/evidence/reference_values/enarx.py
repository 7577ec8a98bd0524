"""Which Enarx keeps a contract may accept: what a ``steward.toml`` says, field for field."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from mpc.canonical import Hex32, Term
from mpc.evidence.reference_values.intel import TcbWaiver

Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
Short = Annotated[int, Field(ge=0, le=0xFFFF)]
Advisory = Annotated[str, StringConstraints(pattern=r"^INTEL-SA-[0-9]{5}$")]
Feature = Literal["CET", "Debug", "EInitKey", "KSS", "ProvisioningKey"]
PolicyFlag = Literal["Debug", "SMT", "SingleSocket"]
Acceptable = TcbWaiver | Literal["debug", "migrate_ma", "unknown_platform_bits"]
_REQUIREMENT = r"(>=|>|<=|<|=|\^|~)?\s*[0-9]{1,5}(\.[0-9]{1,5}){0,2}"
Versions = Annotated[str, StringConstraints(pattern=rf"^{_REQUIREMENT}(\s*,\s*{_REQUIREMENT})*$", max_length=128)]


class Section(Term):
    """What both sections have in common: lists without order, each entry once; an empty one is not compared."""

    signer: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    hash_blacklist: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.signer or self.hash or self.hash_blacklist):
            raise ValueError("missing field: one of signer, hash and hash_blacklist is needed")
        if not set(self.hash).isdisjoint(self.hash_blacklist):
            raise ValueError("contradiction: one hash is both wanted and refused")
        if any(not any(bytes.fromhex(digest)) for digest in (*self.signer, *self.hash)):
            raise ValueError("value out of range: a digest of zeros names nothing")
        for name in type(self).model_fields:
            values = getattr(self, name)
            if isinstance(values, tuple) and len(set(values)) != len(values):
                raise ValueError(f"value out of range: {name} holds an entry twice")
        return self


class SgxPolicy(Section):
    """Which SGX keeps are accepted; ``features`` are those that they may have, ``enclave_security_version`` the least.

    ``allowed_advisories`` may apply to a machine that is not up to date.
    """

    signer: tuple[Hex32, ...] = ()
    hash: tuple[Hex32, ...] = ()
    hash_blacklist: tuple[Hex32, ...] = ()
    features: tuple[Feature, ...] = ()
    enclave_security_version: Short | None = None
    enclave_product_id: Short | None = None
    misc_select: tuple[Literal["EXINFO"], ...] = ()
    allowed_advisories: tuple[Advisory, ...] = ()


class SnpPolicy(Section):
    """Which SNP keeps are accepted; ``signer`` are digests of author keys, ``id_key_digest`` of ID keys.

    ``abi`` limits the version of the firmware's interface that the guest demands, as Cargo writes requirements.
    """

    signer: tuple[Hex48, ...] = ()
    hash: tuple[Hex48, ...] = ()
    hash_blacklist: tuple[Hex48, ...] = ()
    id_key_digest: tuple[Hex48, ...] = ()
    id_key_digest_blacklist: tuple[Hex48, ...] = ()
    abi: Versions | None = None
    policy_flags: tuple[PolicyFlag, ...] = ()
    platform_info_flags: Literal["SME", "TSME"] | None = None


class EnarxReference(Term):
    """Accept keeps as a ``steward.toml`` does; a section that is null accepts no keep of that kind.

    ``accepted`` waives careful checks by name. In a contract every field is written out, empty lists too.
    """

    format: Literal["enarx"]
    sgx: SgxPolicy | None
    snp: SnpPolicy | None
    accepted: tuple[Acceptable, ...]
    measured_by: Literal["hardware"]
    memory_protected: Literal[True]

    @model_validator(mode="after")
    def _accepts_something(self) -> Self:
        if self.sgx is None and self.snp is None:
            raise ValueError("a policy without sections accepts nothing")
        if list(self.accepted) != sorted(set(self.accepted)):
            raise ValueError("accepted must be sorted, each one once")
        return self
