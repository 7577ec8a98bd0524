"""The enclave's side of attestation: what obtains evidence, one module a kind, behind one protocol.

An attester is chosen once, when the coordinator starts; its module is imported only then, so that a library it needs
is missed only by those who chose it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, cast

from mpc.attesters.devices import Devices, Kernel
from mpc.errors import Misconfigured
from mpc.evidence.binding import Transcript
from mpc.evidence.claims import Attestation

__all__ = ["ATTESTERS", "Attestation", "Attester", "Devices", "Settings", "choose"]


class Attester(Protocol):
    """What a coordinator asks of its hardware."""

    @property
    def format(self) -> str:
        """The format of the evidence, a name in ``mpc.evidence.FORMATS``."""

    def measure(self, code_digest: bytes) -> None:
        """Record the 32-byte digest of the code, once a boot; raise ``Refusal`` when another one is recorded."""

    def attest(self, transcript: Transcript) -> Attestation:
        """Return fresh evidence that binds ``transcript``; raise ``Refusal`` when ``measure`` did not succeed."""


@dataclass(frozen=True)
class Settings:
    """What an operator says of the hardware; each attester reads what concerns it.

    ``tcti`` is how the TPM is reached, as tpm2-tss spells it (``device:/dev/tpmrm0``, ``swtpm:path=…``); ``code_pcr``
    the register that holds the code digest; ``certificates`` the files of the attestation key's chain,
    in PEM or DER, leaf first.

    ``devices`` is where files and devices are found (``Devices(root)``). ``endorsements`` gives the files of collateral
    that go along with hardware evidence; it is asked each time, since collateral ends before an instance does.
    ``privilege_level`` is the VMPL to ask for on SEV-SNP, the kernel's own when None.
    """

    tcti: str = "device:/dev/tpmrm0"
    code_pcr: int = 8
    certificates: Sequence[bytes] = ()
    devices: Kernel = field(default_factory=Devices)
    endorsements: Callable[[], Sequence[bytes]] = tuple
    privilege_level: int | None = None


ATTESTERS: Mapping[str, str] = MappingProxyType({
    name: f"mpc.attesters.{name}"
    for name in ("auto", "configfs_tsm", "gramine", "occlum", "nitro", "tpm", "simulated")
})  # fmt: skip


def choose(name: str, settings: Settings | None = None) -> Attester:
    """Return the attester called ``name`` (hyphens will do for underscores), or raise ``Misconfigured``."""
    module = ATTESTERS.get(name.replace("-", "_"))
    if module is None:
        raise Misconfigured(
            "attester.unknown", "there is no such attester", why="the name is not among those that this version has",
            remedy="choose one of those expected", field="attester",
            expected=" or ".join(ATTESTERS), found=repr(name[:64]),
        )  # fmt: skip
    start = cast("Callable[[Settings], Attester]", import_module(module).start)
    return start(settings or Settings())
