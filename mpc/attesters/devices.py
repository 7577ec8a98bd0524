"""How attesters reach the kernel: files and device calls below one folder, which is ``/`` on a real machine.

Errors are those of the operating system (``OSError``): only the attester knows which of them pass by themselves. What
behaves as ``Devices`` does may stand in for it.
"""

import fcntl
import os
from ctypes import Array, c_char
from pathlib import Path
from typing import Protocol

READ_MAX_BYTES = 256 << 10


class Kernel(Protocol):
    """What attesters ask of the operating system; paths are below the root, without a leading slash."""

    def is_file(self, path: str) -> bool:
        """Tell whether there is a file or device, not a folder."""

    def is_folder(self, path: str) -> bool:
        """Tell whether there is a folder."""

    def read(self, path: str) -> bytes:
        """Return what a file holds."""

    def write(self, path: str, data: bytes) -> None:
        """Write ``data`` in one call to a file that exists."""

    def make_folder(self, path: str) -> None:
        """Make a folder that was not there."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder, or one of configfs."""

    def call(self, path: str, request: int, argument: "Array[c_char]") -> None:
        """Call a device (``ioctl``); ``argument`` is read and written in place."""


class Devices:
    """The operating system itself, below ``root``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def is_file(self, path: str) -> bool:
        """Tell whether there is a file or device, not a folder."""
        found = self._root / path
        return found.exists() and not found.is_dir()

    def is_folder(self, path: str) -> bool:
        """Tell whether there is a folder."""
        return (self._root / path).is_dir()

    def read(self, path: str) -> bytes:
        """Return what a file holds; ``OSError`` also when it is over the limit of size."""
        with (self._root / path).open("rb", buffering=0) as file:
            found = b""
            while chunk := file.read(READ_MAX_BYTES):
                found += chunk
                if len(found) > READ_MAX_BYTES:
                    raise OSError(f"{path} is too long")
            return found

    def write(self, path: str, data: bytes) -> None:
        """Write ``data`` in one call to a file that exists: these files take a value whole or not at all."""
        descriptor = os.open(self._root / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(f"{path} took only a part")
        finally:
            os.close(descriptor)  # configfs takes a binary value when it is closed, and may refuse it then

    def make_folder(self, path: str) -> None:
        """Make a folder that was not there."""
        (self._root / path).mkdir()

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder, or one of configfs."""
        (self._root / path).rmdir()

    def call(self, path: str, request: int, argument: "Array[c_char]") -> None:
        """Call a device (``ioctl``); ``argument`` is read and written in place."""
        descriptor = os.open(self._root / path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, request, argument, True)
        finally:
            os.close(descriptor)
