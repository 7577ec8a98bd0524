"""The way from a command to this party's running daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mpc.errors import OutOfOrder

if TYPE_CHECKING:
    from parties.client import Client


@contextmanager
def connected(config: Path) -> "Iterator[Client]":
    """Give the client of the daemon that serves ``config``; ``Unavailable`` when none does."""
    from parties.client import Client
    from parties.config import load_config

    with Client.of(load_config(config)) as client:
        yield client


def current_contract(daemon: "Client") -> str:
    """Return the hex digest of the contract that the daemon works on."""
    contract = daemon.status()["contract"]
    if contract is None:
        raise OutOfOrder(
            "daemon.no_contract", "your daemon holds no contract yet", why="none was given to it",
            remedy="sealroom contract sign contract.json --config party.toml",
        )  # fmt: skip
    digest: str = contract["digest"]
    return digest
