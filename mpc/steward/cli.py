"""`sealroom steward`: certify the keys of Enarx keeps whose evidence the operator's policy accepts."""

import ipaddress
import os
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from mpc.errors import Misconfigured
from mpc.evidence.enarx import parse_policy
from mpc.steward.authority import LIFETIME_MAX, Authority, Steward, check_endorsements
from mpc.steward.service import application

CONNECTIONS_MAX = 64
PORT_MAX = 0xFFFF

app = typer.Typer(no_args_is_help=True, help="Certify keeps of Enarx, as its Steward does.")


@app.callback()
def steward() -> None:
    """Certify keeps of Enarx, as its Steward does."""


@app.command(
    epilog="Example: sealroom steward serve --policy steward.toml --key ca.key --certificate ca.pem "
    "--san keep.example --endorsement milan.pkipath"
)
def serve(
    *,
    policy: Annotated[Path, typer.Option(help="steward.toml: which keeps are accepted.")],
    key: Annotated[Path, typer.Option(help="Key of your certificate authority, PEM, readable by you alone.")],
    certificate: Annotated[Path, typer.Option(help="Its certificate, then those above it, PEM.")],
    san: Annotated[list[str], typer.Option(help="DNS name that a keep's certificate carries; repeatable.")],
    endorsement: Annotated[
        list[Path] | None, typer.Option(help="AMD's chains and revocation lists, or Intel's collateral; repeatable.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="What is accepted besides, by the name of its check: debug, tcb:OutOfDate, …"),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=LIFETIME_MAX.days, help="How long a certificate holds at most.")] = 28,
    listen: Annotated[str, typer.Option(help="IP:PORT where keeps call; port 0 takes any.")] = "127.0.0.1:3000",
    tls_key: Annotated[Path | None, typer.Option(help="Key of the door itself, PEM.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="Its certificates, PEM, leaf first.")] = None,
) -> None:
    """Answer keeps until told to end: POST of a certificate request gives the path from your authority to its key."""
    host, port = _address(listen)
    endorsements = tuple(_read(path) for path in endorsement or ())
    check_endorsements(endorsements)
    served = Steward(
        Authority.load(_secret(key), _read(certificate)),
        parse_policy(_read(policy), accepted=frozenset(accept or ())),
        endorsements, _names(san), timedelta(days=days),
    )  # fmt: skip
    if (tls_key is None) != (tls_certificate is None):
        raise _misconfigured("TLS needs both, a key and its certificate", "--tls-key", "both or none")
    if tls_key is None and not ipaddress.ip_address(host).is_loopback:
        typer.secho("without TLS, whoever stands between may answer a keep in your name", fg="red", err=True)
    for name in served.policy.accepted:
        typer.secho(f"accepted by name: {name}", fg="red", err=True)
    config = uvicorn.Config(
        application(served, clock=lambda: datetime.now(UTC), random=os.urandom), host=host, port=port,
        log_config=None, access_log=False, lifespan="off", limit_concurrency=CONNECTIONS_MAX, server_header=False,
        timeout_graceful_shutdown=2, ssl_keyfile=tls_key, ssl_certfile=tls_certificate,
    )  # fmt: skip
    _run(config)


def _run(config: uvicorn.Config) -> None:
    try:
        config.load()
    except (OSError, ssl.SSLError):
        raise _misconfigured("the door's key and certificate do not load", "--tls-key", "a matching pair") from None
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listening = socket.create_server((config.host, config.port), family=family)
    except OSError:
        raise _misconfigured("it cannot listen there", "--listen", "a free address of this machine") from None
    with listening:
        address = f"[{config.host}]" if family == socket.AF_INET6 else config.host
        scheme = "https" if config.ssl else "http"
        typer.echo(f"keeps may ask at {scheme}://{address}:{listening.getsockname()[1]}/", err=True)
        uvicorn.Server(config).run(sockets=[listening])


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        address = None
    if address is None or not port.isdecimal() or int(port) > PORT_MAX:
        raise _misconfigured("the address is not understood", "--listen", "IP:PORT, such as 127.0.0.1:3000")
    return str(address), int(port)


def _names(names: list[str]) -> tuple[str, ...]:
    for name in names:
        labels = name.removeprefix("*.").split(".")
        if not name.isascii() or not all(label.replace("-", "a").isalnum() for label in labels):
            raise _misconfigured(f"{name[:64]!r} is no DNS name", "--san", "letters, digits, hyphens and dots")
    return tuple(dict.fromkeys(names))


def _secret(path: Path) -> bytes:
    found = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _misconfigured("others may read the authority's key", "--key", f"chmod 600 {path}")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise Misconfigured(
            "file.unreadable", f"{path} cannot be read", why=failure.strerror or "it cannot be opened",
            remedy="give the path of the file", field="file", expected="a readable file", found=str(path),
        ) from None  # fmt: skip


def _misconfigured(why: str, field: str, expected: str) -> Misconfigured:
    return Misconfigured(
        "steward.settings", "the steward does not start", why=why, remedy="correct the option", field=field,
        expected=expected, found="another",
    )  # fmt: skip
