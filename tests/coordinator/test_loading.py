"""What the coordinator does with the rows of a loader: it gives them back once, and lets nobody write to them."""

import contextlib
import mmap
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mpc.coordinator.line import Frame
from mpc.coordinator.loading import Loading, LoadLimits, Residency, Rows
from mpc.coordinator.vault import Vault
from mpc.errors import Exhausted
from mpc.sealing.stream import DataKey, new_upload


def test_rows_that_two_threads_close_at_once_are_given_back_once() -> None:
    both_have_looked, given_back = threading.Barrier(2), []

    class Raced(Rows):
        """Whoever looks at the descriptor waits until another has, if another can."""

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name == "resident":
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_have_looked.wait(0.5)
            return value

    descriptor = os.memfd_create("rows")
    rows = Raced(bytes(32), bytes(32), 1, descriptor, DataKey(bytes(32)), lambda: given_back.append(True))
    with ThreadPoolExecutor(2) as threads:
        for closed in [threads.submit(rows.close) for _ in range(2)]:
            closed.result()  # the second `os.close` would raise here, or close what somebody else just opened
    assert given_back == [True]
    assert not os.path.exists(f"/proc/self/fd/{descriptor}")  # noqa: PTH110 - a descriptor


class Reporting:
    """A child that has written what it was to write, and says so."""

    def __init__(self) -> None:
        self.line = self.process = self

    def tell(self, head: Mapping[str, Any], *descriptors: int) -> None:
        """Listen."""

    def receive(self) -> Frame:
        report = {"loaded": bytes(32), "content": bytes(32), "count": 1, "resident": True}
        return Frame(report, bytearray(), ())

    def kill(self) -> None:
        """End."""


@pytest.mark.parametrize("mapped", [False, True])
def test_nobody_writes_to_rows_that_are_loaded(tmp_path: Path, mapped: bool) -> None:
    header, key = new_upload(
        contract=bytes(32), dataset="patients", sender="north", schema_digest=bytes(32), mapping_digest=bytes(32),
        random=os.urandom,
    )  # fmt: skip
    file = Vault(tmp_path / "vault").create(header)
    loading = Loading(
        Reporting(),
        file,
        key,
        residency=Residency(1 << 20),
        limits=LoadLimits(1 << 20, 30),  # type: ignore[arg-type]
    )
    os.write(loading._output, b"rows")
    writable = os.dup(loading._output)
    if mapped:
        with mmap.mmap(writable, 4), pytest.raises(Exhausted, match=r"child\.ended"):
            loading.rows()
        return
    rows = loading.rows()
    with pytest.raises(PermissionError):
        os.pwrite(writable, b"more", 0)
    rows.close()
