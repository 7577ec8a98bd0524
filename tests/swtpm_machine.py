"""A real software TPM, manufactured with its own three-level authority, as a machine that can be booted.

    with manufactured(folder) as machine:      # root -> local CA -> EK certificates
        with machine.booted() as tcti:         # registers as after a power cycle
            ...

``require_swtpm()`` skips where swtpm or tpm2_pytss is missing, and fails instead where ``CI`` is set.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("swtpm", "swtpm_setup", "swtpm_localca", "swtpm_ioctl")
TIMEOUT_SECONDS = 30


def require_swtpm() -> None:
    """Skip the test with the reason when there is no software TPM; in CI that is a failure."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if importlib.util.find_spec("tpm2_pytss") is None:
        missing.append("tpm2_pytss")
    if missing:
        reason = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@dataclass(frozen=True)
class Machine:
    """A manufactured TPM; ``endorsement_roots`` and ``endorsement_intermediates`` are its maker's, in PEM."""

    state: Path
    endorsement_roots: Path
    endorsement_intermediates: Path

    @contextmanager
    def booted(self) -> Iterator[str]:
        """Power the TPM on, yield how tpm2-tss reaches it, and power it off."""
        socket = self.state / "s"
        socket.unlink(missing_ok=True)
        command = [
            "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--flags", "not-need-init,startup-clear",
            "--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl",
            "--daemon", "--pid", f"file={self.state}/pid",
        ]  # fmt: skip
        # With --daemon the command returns when the sockets listen.
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
        try:
            yield f"swtpm:path={socket}"
        finally:
            subprocess.run(
                ["swtpm_ioctl", "--unix", f"{socket}.ctrl", "-s"],  # noqa: S607
                check=False, capture_output=True, timeout=TIMEOUT_SECONDS,
            )  # fmt: skip


@contextmanager
def manufactured(folder: Path) -> Iterator[Machine]:
    """Manufacture a TPM below ``folder``: keep its path short, sockets have at most 107 characters."""
    authority, state = folder / "ca", folder / "tpm"
    authority.mkdir()
    state.mkdir()
    (folder / "localca.conf").write_text(
        f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/certserial\n"
    )
    (folder / "localca.options").write_text(
        "--platform-manufacturer Sealroom\n--platform-version 1\n--platform-model Tests\n"
    )
    (folder / "setup.conf").write_text(
        f"create_certs_tool = {shutil.which('swtpm_localca')}\ncreate_certs_tool_config = {folder}/localca.conf\n"
        f"create_certs_tool_options = {folder}/localca.options\nactive_pcr_banks = sha256\n"
    )
    command = [
        "swtpm_setup", "--tpm2", "--tpmstate", str(state), "--create-ek-cert", "--create-platform-cert",
        "--lock-nvram", "--overwrite", "--pcr-banks", "sha256", "--config", str(folder / "setup.conf"),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode:
        pytest.fail(f"swtpm_setup failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    yield Machine(state, authority / "swtpm-localca-rootca-cert.pem", authority / "issuercert.pem")
