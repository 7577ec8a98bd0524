import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mpc.coordinator.loading import Rows
from mpc.sealing.stream import DataKey


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
