"""What an operator may see: events as JSON lines, and counters. Neither carries data of a party.

Fields are numbers of runs, states, codes of refusals and names of gRPC methods; values, rows, counts of rows, texts of
refusals and parameters never come here. ``FIELDS`` is the whole list, and a field outside of it is a bug.
"""

import logging
import re
import sys
from collections.abc import Callable
from typing import TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FIELDS = frozenset({
    "method", "status", "code", "run", "outcome", "state", "party", "instance", "attester", "folder", "address",
    "seconds", "signal",
})  # fmt: skip
_CODE = re.compile(r"[a-z0-9_.:-]{1,64}", re.IGNORECASE)


class Telemetry:
    """Logs and metrics of one coordinator; ``registry`` is its own, so that two in one process do not meet."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "sealroom_calls", "Calls by method and gRPC status.", ("method", "status"), registry=self.registry
        )
        self._call_seconds = Histogram(
            "sealroom_call_seconds", "Time of unary calls.", ("method",), registry=self.registry
        )
        self._refusals = Counter("sealroom_refusals", "Refusals by code.", ("code",), registry=self.registry)
        self._runs = Counter("sealroom_runs", "Runs that ended, by outcome.", ("outcome",), registry=self.registry)
        self._state = Gauge("sealroom_session_info", "State of the session.", ("state",), registry=self.registry)
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(file=out or sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )

    def event(self, name: str, **fields: str | float) -> None:
        """Write one line."""
        unknown = fields.keys() - FIELDS
        if unknown:
            raise ValueError(f"not a field of telemetry: {sorted(unknown)}")
        self._logger.info(name, **{key: _plain(value) for key, value in fields.items()})

    def call(self, method: str, status: str, code: str, seconds: float) -> None:
        """Count one call; a refused one is also written, by its code."""
        self._calls.labels(method, status).inc()
        self._call_seconds.labels(method).observe(seconds)
        if code:
            self._refusals.labels(_plain(code)).inc()
            self.event("call.refused", method=method, status=status, code=code)

    def run_ended(self, run: int, code: str) -> None:
        """Count the end of a run; ``code`` is empty for one that gave an answer."""
        outcome = "failed" if code else "released"
        self._runs.labels(outcome).inc()
        # Why it failed is for owners: it could speak of their rows.
        self.event("run.ended", run=run, outcome=outcome)

    def session(self, state: str) -> None:
        """Put down the session's state."""
        self._state.clear()
        self._state.labels(state).set(1)
        self.event("session", state=state)


def _plain(value: str | float) -> str | float:
    return value if not isinstance(value, str) or _CODE.fullmatch(value) else "unprintable"


def quiet_grpc(handler: Callable[[str], None]) -> None:
    """Send what gRPC's Python layer logs (a traceback of a handler, say) to ``handler`` as a bare notice."""

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            handler(record.name)

    logger = logging.getLogger("grpc")
    logger.handlers[:] = [Notice()]
    logger.propagate = False
