"""Files that outlive a crash: written whole or not at all, and on stable storage before anybody relies on them."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpc.errors import Exhausted, Misconfigured, Refusal

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_refusals() -> Iterator[None]:
    """Turn the file system's failures into refusals: a full disk, or a folder that cannot be written."""
    try:
        yield
    except OSError as failure:
        raise _refusal(failure) from None


def _refusal(failure: OSError) -> Refusal:
    if failure.errno in _FULL:
        return Exhausted(
            "disk.full", "the coordinator's disk is full", why="there is no room for what was to be written",
            remedy="its operator has to free space in the state folder's file system; then send it again",
        )  # fmt: skip
    return Misconfigured(
        "disk.failed", "the coordinator's state folder cannot be used",
        why=errno.errorcode.get(failure.errno or 0, "unknown failure"),
        remedy="its operator has to make the folder readable and writable for the coordinator alone",
    )  # fmt: skip


def write_durably(path: Path, content: bytes) -> None:
    """Write ``content`` as the whole of ``path``: after a crash there is the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to stable storage."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(folder: Path) -> int:
    """Return the descriptor that holds ``folder`` for this process alone; a second coordinator refuses."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Misconfigured(
            "state.locked", "the state folder is in use", why="another coordinator runs on it",
            remedy="end that coordinator, or give this one a folder of its own", field="--state",
        ) from None  # fmt: skip
    return descriptor
