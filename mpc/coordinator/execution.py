"""One run in its child, seen from the coordinator: inputs by descriptor, one answer or the class of a failure."""

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mpc.contract.terms import Limits
from mpc.coordinator.children import Child, Preparation
from mpc.coordinator.line import Frame, LineEnded
from mpc.coordinator.loading import Loading, Rows
from mpc.coordinator.vault import VaultFile
from mpc.errors import Refusal
from mpc.results import RawResult, from_bytes

RESULT_MAX_BYTES = 256 << 20
_CODE = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*){0,4}")
_CODE_MAX_LENGTH = 64


class RunFailed(Exception):  # noqa: N818 - a failure is an output of a run, not an error of this program
    """A run that gave no answer. ``code`` is its class, for the owners; recipients see one code for all."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Input:
    """One upload that a run reads."""

    dataset: str
    owner: str
    file: VaultFile
    rows: Rows


@dataclass(frozen=True)
class RunOrder:
    """What a child that is prepared for a computation runs: its parameters and the pinned uploads."""

    parameters: Mapping[str, str]
    inputs: Sequence[Input]
    seconds: int


def preparation(contract: bytes, computation: str, limits: Limits) -> Preparation:
    """Return what a child is told that will run ``computation`` of the contract with these bytes."""
    threads = os.cpu_count() or 1
    return {
        "contract": contract,
        "computation": computation,
        "memory_mib": limits.run_memory_mib,
        "threads": threads,
        "cpu_seconds": limits.run_seconds * threads + 1,
    }


Stream = Callable[[Input, int], Loading]
"""Starts a loader that streams the rows of an input into a descriptor, which it takes over."""


class Execution:
    """One run, from its child's start to its end. ``stream`` serves the tables that are not resident."""

    def __init__(self, child: Child, order: RunOrder, stream: Stream) -> None:
        self._child = child
        self._order = order
        self._stream = stream
        self._passes: list[tuple[Loading, threading.Thread]] = []
        self._broken = threading.Event()
        self._out_of_time = threading.Event()

    def result(self) -> RawResult:
        """Return the answer, or raise ``RunFailed``; the child is gone after it, whatever happened."""
        clock = threading.Timer(self._order.seconds, self._end_of_time)
        clock.daemon = True
        clock.start()
        try:
            self._hand_in()
            frame = self._report()
            for _, thread in self._passes:
                thread.join()
            return self._believed(frame)
        except LineEnded:
            raise RunFailed("run.time" if self._out_of_time.is_set() else "run.crashed") from None
        finally:
            clock.cancel()
            self._child.kill()
            for loading, _ in self._passes:
                loading.abandon()

    def abandon(self) -> None:
        """End the run now; whoever waits for its result gets ``RunFailed``."""
        self._child.line.hang_up()
        self._child.process.kill()
        for loading, _ in self._passes:
            loading.abandon()

    def _end_of_time(self) -> None:
        self._out_of_time.set()
        self.abandon()

    def _hand_in(self) -> None:
        order = self._order
        tables = [
            {"dataset": each.dataset, "owner": each.owner, "resident": each.rows.resident is not None}
            for each in order.inputs
        ]
        resident = tuple(each.rows.resident for each in order.inputs if each.rows.resident is not None)
        self._child.tell({"job": {"parameters": dict(order.parameters), "tables": tables}}, *resident)

    def _report(self) -> Frame:
        while True:
            frame = self._child.line.receive(body_max_bytes=RESULT_MAX_BYTES)
            for descriptor in frame.descriptors:  # a runner hands nothing out
                os.close(descriptor)
            if "pass" not in frame.head:
                return frame
            self._start_pass(frame.head["pass"])

    def _start_pass(self, number: object) -> None:
        if not isinstance(number, int) or not 0 <= number < len(self._order.inputs):
            raise LineEnded
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            loading = self._stream(self._order.inputs[number], theirs)
            thread = threading.Thread(target=self._watch, args=(loading, self._order.inputs[number]), daemon=True)
            self._passes.append((loading, thread))
            thread.start()
            self._child.line.send({"pass": number}, descriptors=(ours,))
        except Refusal:
            raise LineEnded from None
        finally:
            os.close(ours)

    def _watch(self, loading: Loading, given: Input) -> None:
        try:
            rows = loading.rows()
        except Refusal:
            self._broken.set()
            return
        # The same chunks as those that were committed to, or the host has put others into the vault since.
        if rows.chunks != given.rows.chunks:
            self._broken.set()

    def _believed(self, frame: Frame) -> RawResult:
        if self._broken.is_set():
            raise RunFailed("run.pass")
        match frame.head:
            case {"answer": True}:
                try:
                    return from_bytes(bytes(frame.body), max_bytes=RESULT_MAX_BYTES)
                except Refusal:
                    raise RunFailed("run.crashed") from None
            case {"failed": str(code)} if len(code) <= _CODE_MAX_LENGTH and _CODE.fullmatch(code):
                raise RunFailed(code)
        raise RunFailed("run.crashed")
