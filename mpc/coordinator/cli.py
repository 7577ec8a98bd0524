"""`sealroom coordinator` and `sealroom measure`: start an instance, and say what a party should expect of one."""

import base64
import ctypes
import ipaddress
import json
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer
from prometheus_client import start_http_server

from mpc.allocation import exempt_from_collection, keep_freed_blocks
from mpc.attesters import ATTESTERS, Attester, Devices, Settings, choose
from mpc.canonical import canonical_json
from mpc.coordinator.instance import Instance
from mpc.coordinator.keys import InstanceKeys
from mpc.coordinator.service import serve as listen_at
from mpc.coordinator.state import StateFolder
from mpc.coordinator.telemetry import Telemetry, quiet_grpc
from mpc.errors import Misconfigured, Refusal
from mpc.evidence.certificate import certificates_of
from mpc.evidence.claims import SimulatedReference, TpmReference
from mpc.evidence.collateral_bundle import unpacked
from mpc.measurement import measure as measure_code

GRACE_SECONDS = 5.0
FAREWELL_SECONDS = 3.0
_PR_SET_DUMPABLE = 4
_BANNER = (
    "SIMULATED ATTESTATION: anybody can forge this coordinator's evidence, and its host can read its memory. "
    "For trying things out, never for data that matters."
)

app = typer.Typer(no_args_is_help=True, help="Run the coordinator: the enclave's side of one contract.")
measure_app = typer.Typer(help="Measure the code of a coordinator, on your own trusted copy.")


@app.callback()
def coordinator() -> None:
    """Run the coordinator: the enclave's side of one contract."""


@app.command(
    epilog="Example: sealroom coordinator serve --attester simulated --listen 127.0.0.1:7443 --state /var/lib/sealroom"
)
def serve(  # noqa: PLR0917 - typer's parameters are options
    attester: Annotated[str, typer.Option(help=f"What gives evidence: {', '.join(ATTESTERS)}.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT where parties call; port 0 takes any.")],
    state: Annotated[Path, typer.Option(help="Folder of this contract's state; nobody else's.")],
    predecessor: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="State folder of the contract that this one supersedes, if its history follows."
        ),
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="Loopback HOST:PORT for Prometheus.")] = None,
    tpm_tcti: Annotated[str, typer.Option(help="How the TPM is reached, as tpm2-tss spells it.")] = Settings.tcti,
    tpm_code_pcr: Annotated[int, typer.Option(help="The PCR of the code digest.")] = Settings.code_pcr,
    tpm_certificate: Annotated[
        list[Path] | None, typer.Option(help="Certificates of the attestation key, PEM or DER, leaf first.")
    ] = None,
    endorsements: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Collateral to hand out with hardware evidence; a bundle or a single file."),
    ] = None,
    device_root: Annotated[Path, typer.Option(metavar="FOLDER", help="Where /dev and /sys are found.")] = Path("/"),
    snp_vmpl: Annotated[
        int | None,
        typer.Option(min=0, max=3, help="SEV-SNP: the privilege level to ask for; the kernel's own when left out."),
    ] = None,
) -> None:
    """Serve one contract, until it ends or this process is told to."""
    certificates = tuple(_read(path) for path in tpm_certificate or ())

    def beside() -> tuple[bytes, ...]:
        return tuple(part for path in endorsements or () for part in unpacked(_read(path)))

    beside()  # what cannot be read now refuses now
    chosen = choose(
        attester, Settings(tpm_tcti, tpm_code_pcr, certificates, Devices(device_root), beside, snp_vmpl)
    )  # fmt: skip
    if attester == "simulated":
        typer.secho(_BANNER, fg="red", bold=True, err=True)
    typer.echo("measuring the code …", err=True)
    chosen.measure(measure_code().code_digest)
    _close_to_others()
    keep_freed_blocks()
    telemetry = Telemetry()
    quiet_grpc(lambda name: telemetry.event("bug", state=name))
    with _metrics(telemetry, metrics):
        _serve_until_told(chosen, listen, state, predecessor, telemetry)


def _serve_until_told(
    attester: Attester, listen: str, state: Path, predecessor: Path | None, telemetry: Telemetry
) -> None:
    told = threading.Event()
    with _signals(told, telemetry):
        keys = InstanceKeys.generate(attester)
        folder = StateFolder(state)
        instance = Instance(
            folder, keys, attester, clock=time.monotonic, telemetry=telemetry, on_end=told.set, predecessor=predecessor
        )
        try:
            serving = listen_at(instance, keys.tls, listen, telemetry=telemetry)
            exempt_from_collection()
            host = listen.rpartition(":")[0]
            telemetry.event("serving", address=f"{host}:{serving.port}", instance=keys.instance.hex())
            told.wait()
            instance.bid_farewell(FAREWELL_SECONDS)
            serving.stop(GRACE_SECONDS)
        finally:
            instance.close()
        telemetry.event("ended", instance=keys.instance.hex())


@contextmanager
def _signals(told: threading.Event, telemetry: Telemetry) -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        if told.is_set():  # asked twice
            sys.exit(128 + number)
        told.set()
        telemetry.event("ending", signal=signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _metrics(telemetry: Telemetry, address: str | None) -> Iterator[None]:
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    try:
        is_loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
        number = int(port)
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise _bad_metrics("it is not a loopback address with a port", address)
    try:
        server, thread = start_http_server(number, host.strip("[]"), telemetry.registry)
    except (OSError, OverflowError):
        raise _bad_metrics("the port is in use", address) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bad_metrics(why: str, address: str) -> Misconfigured:
    return Misconfigured(
        "metrics.address", "metrics cannot be served there", why=why, remedy="write an address like 127.0.0.1:9464",
        field="--metrics", found=address,
    )  # fmt: skip


def _close_to_others() -> None:
    """Let no other process of this user read this one's memory, and write no core file: keys live in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise Misconfigured(
            "file.unreadable", f"{path} cannot be read", why=failure.strerror or "it does not open",
            remedy="name a file that exists and may be read", field=str(path),
        ) from None  # fmt: skip


@measure_app.command(epilog="Example: sealroom measure --reference simulated > enclave.json")
def measure(  # noqa: PLR0917 - typer's parameters are options
    reference: Annotated[
        str | None, typer.Option(help="Print reference values for `contract build --enclave`: simulated or tpm.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all components as data.")] = False,  # noqa: FBT002 - a flag
    code_pcr: Annotated[int, typer.Option(help="tpm: the PCR of the code digest.")] = Settings.code_pcr,
    boot_pcr: Annotated[list[str] | None, typer.Option(help="tpm: N=HEX, once for each PCR of the boot chain.")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="tpm: certificate of the attestation-key CA, PEM or DER.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="tpm: the party that this CA belongs to.")] = None,
) -> None:
    """Measure the code of this copy: what an enclave has to report that runs the same."""
    typer.echo("measuring the code …", err=True)
    measurement = measure_code()
    digest = measurement.code_digest.hex()
    if reference is not None:
        typer.echo(_reference(reference, digest, code_pcr, boot_pcr or [], authority, issuer))
    elif as_json:
        typer.echo(json.dumps(measurement.as_data(), indent=2))
    else:
        for part in measurement.components:
            typer.echo(f"{part.digest.hex()[:16]}…  {part.name} {part.version}")
        typer.secho(f"{digest}  code digest", bold=True)


def _reference(  # noqa: PLR0917 - what the options say, in their order
    kind: str, digest: str, code_pcr: int, boot_pcrs: list[str], authority: Path | None, issuer: str | None
) -> str:
    if kind == "simulated":
        simulated = SimulatedReference(
            format="simulated", code_digest=digest, measured_by="self", memory_protected=False
        )
        return canonical_json(simulated).decode()
    if kind != "tpm":
        raise Misconfigured(
            "measure.reference", "there is no such kind of reference values", why="no attester has that name",
            remedy="choose one of those expected", field="--reference", expected="simulated or tpm", found=kind[:64],
        )  # fmt: skip
    if authority is None or issuer is None:
        raise Misconfigured(
            "measure.reference", "the reference values are incomplete", why="tpm needs --authority and --issuer",
            remedy="write --reference tpm --authority CA.pem --issuer PARTY", field="--authority, --issuer",
        )  # fmt: skip
    measured_by: Literal["boot", "self"] = "boot" if boot_pcrs else "self"
    pairs = (pair.partition("=") for pair in boot_pcrs)
    (root, *_) = certificates_of(_read(authority))
    try:
        tpm = TpmReference(
            format="tpm", code_digest=digest, code_pcr=code_pcr, boot_pcrs={name: value for name, _, value in pairs},
            authority=base64.b64encode(root).decode(), issuer=issuer, measured_by=measured_by,
            memory_protected=False,
        )  # fmt: skip
    except ValueError:
        raise Misconfigured(
            "measure.reference", "the reference values are not well formed", why="a PCR or the issuer's name is not",
            remedy="write --boot-pcr N=HEX with 64 hex digits, PCRs 8 to 15 for the code, and the party's name",
        ) from None  # fmt: skip
    return canonical_json(tpm).decode()


def main(run: Callable[[], None] = app) -> None:
    """Run the command of ``python -m mpc.coordinator``; a refusal is printed and is the exit code."""
    try:
        run()
    except Refusal as refusal:
        typer.echo(f"{refusal.what}: {refusal.why}\n  what to do: {refusal.remedy}  [{refusal.code}]", err=True)
        sys.exit(refusal.exit_code)
