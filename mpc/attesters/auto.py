"""The attester that this machine has, found by its devices; never the simulated one, which every machine has.

What is nearest to the process comes first: a library around it (Gramine, Occlum), then the enclave or guest that it
runs in (Nitro, TDX, SEV-SNP), and a TPM, which hides no memory, only where there is nothing else.
"""

from collections.abc import Callable

from mpc.attesters import Attester, Settings, configfs_tsm, gramine, nitro, occlum, tpm
from mpc.attesters.devices import Kernel
from mpc.errors import Misconfigured

_BY_DEVICE: tuple[tuple[Callable[[Kernel], bool], Callable[[Settings], Attester]], ...] = (
    (gramine.is_present, gramine.start),
    (occlum.is_present, occlum.start),
    (nitro.is_present, nitro.start),
    (configfs_tsm.is_present, configfs_tsm.start),
)
_TPM_DEVICES = ("dev/tpmrm0", "dev/tpm0")


def start(settings: Settings) -> Attester:
    """Return the machine's attester, or raise ``Misconfigured`` when it has none."""
    for is_present, begin in _BY_DEVICE:
        if is_present(settings.devices):
            return begin(settings)
    if any(settings.devices.is_file(device) for device in _TPM_DEVICES):
        return tpm.start(settings)
    raise Misconfigured(
        "attester.none", "this machine has no hardware that attests", why="none of the known devices is there",
        remedy="start the coordinator in an enclave or a confidential virtual machine; to try things out, write "
        "--attester simulated", field="attester",
        expected=", ".join(f"/{path}" for path in (
            gramine.KIND, occlum.DEVICE, nitro.DEVICE, configfs_tsm.REPORTS, *_TPM_DEVICES)),
        found="none",
    )  # fmt: skip
