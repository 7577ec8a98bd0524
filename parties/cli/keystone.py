"""`sealroom evidence measure-keystone`: what a Keystone enclave's report has to say, from the files it is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parties.cli import files

if TYPE_CHECKING:
    from mpc.evidence.keystone import KeystoneReference


def measure_keystone(
    loader: Annotated[Path, typer.Argument(help="The loader, as it is built (loader.bin).")],
    runtime: Annotated[Path, typer.Argument(help="The runtime, such as eyrie-rt.")],
    application: Annotated[Path, typer.Argument(help="The enclave's program.")],
    *,
    sm_hash: Annotated[
        str | None, typer.Option(metavar="HEX", help="With --device-key: print reference values, for this monitor.")
    ] = None,
    device_key: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="A device that you trust, by its public key; repeatable.")
    ] = None,
) -> None:
    """Compute the measurement of a Keystone enclave, on your own copy of its files."""
    from mpc.canonical import canonical_json
    from mpc.evidence.keystone import measure

    measured = measure(*(files.read(path, "the program") for path in (loader, runtime, application)))
    if sm_hash is None and not device_key:
        typer.echo(measured.hex())
        return
    reference = _reference(measured.hex(), sm_hash or "", device_key or [])
    typer.echo(canonical_json(reference).decode())


def _reference(measurement: str, sm_hash: str, device_keys: list[str]) -> "KeystoneReference":
    from mpc.errors import Misconfigured
    from mpc.evidence.keystone import KeystoneReference

    try:
        return KeystoneReference(
            format="keystone", measurement=measurement, sm_hash=sm_hash.lower(),
            device_keys=tuple(sorted({key.lower() for key in device_keys})), accepted=(), measured_by="hardware",
            memory_protected=False,
        )  # fmt: skip
    except ValueError:
        raise Misconfigured(
            "measure.reference", "the reference values are not well formed", why="the monitor or a device is missing",
            remedy="write --sm-hash with 128 hex digits, and --device-key with 64, once for each device",
            field="--sm-hash, --device-key",
        ) from None  # fmt: skip
