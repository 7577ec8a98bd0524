"""Speaking with this party's own daemon, over its unix socket; refusals come out as they went in."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from mpc.errors import KINDS, Refusal, Unavailable
from parties.config import Config

if TYPE_CHECKING:
    from mpc.disclosure import Release

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("party")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(str(self._path))
        self.sock.settimeout(ANSWER_SECONDS)


class Client:
    """The daemon of one party, for one thread at a time.

    Digests are hex; what is awaited, runs and events are plain data (``parties.api``).
    """

    def __init__(self, path: Path) -> None:
        self._socket = path
        self._http = _Connection(path)

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the client of the daemon that serves ``config``."""
        return cls(config.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def status(self) -> dict[str, Any]:
        """Return how things stand: stage, what is awaited from whom and from you, uploads, runs, results, trouble."""
        return self._object("GET", "/status")

    def retry(self) -> dict[str, Any]:
        """Let the daemon try again what was refused; return how things stand."""
        return self._object("POST", "/retry")

    def contracts(self) -> list[dict[str, Any]]:
        """Return every contract the daemon holds: digest, title, parties, who has not signed, validity."""
        return self._list("GET", "/contracts")

    def add_contract(self, raw: bytes) -> dict[str, Any]:
        """Hand the daemon a contract's bytes; return what it is."""
        return self._object("POST", "/contracts", raw)

    def contract(self, digest: str) -> bytes:
        """Return the exact bytes of a contract."""
        return self._bytes(f"/contracts/{digest}")

    def explanation(self, digest: str) -> dict[str, Any]:
        """Return the data officer's page as data."""
        return self._object("GET", f"/contracts/{digest}/explanation")

    def sign(self, digest: str, confirm: str) -> dict[str, Any]:
        """Sign a contract; ``confirm`` is what a person typed, the first eight characters of the digest."""
        return self._object("POST", f"/contracts/{digest}/signature", _json({"confirm": confirm}))

    def add_consent(self, digest: str, envelope: bytes) -> dict[str, Any]:
        """Hand the daemon another party's signature."""
        return self._object("POST", f"/contracts/{digest}/consents", envelope)

    def log(self, digest: str) -> list[dict[str, Any]]:
        """Return this party's own copy of the contract's log."""
        return self._list("GET", f"/contracts/{digest}/log")

    def appraisals(self, digest: str) -> list[dict[str, Any]]:
        """Return the appraisals that passed, with each check."""
        return self._list("GET", f"/contracts/{digest}/appraisals")

    def attest(self) -> dict[str, Any]:
        """Ask the enclave for fresh evidence now; return each check, and the refusal if one failed."""
        return self._object("POST", "/attestation")

    def replace_instance(self) -> dict[str, Any]:
        """Agree that the next appraised instance takes the active one's place."""
        return self._object("POST", "/replacement")

    def check(self, dataset: str) -> dict[str, Any]:
        """Hold the local rows against the contract; nothing leaves. Return the profile by column."""
        return self._object("GET", f"/datasets/{quote(dataset, safe='')}/profile")

    def refresh(self, dataset: str) -> dict[str, Any]:
        """Send a dataset's rows anew, where the contract lets them be refreshed."""
        return self._object("POST", f"/datasets/{quote(dataset, safe='')}/refresh")

    def run(self, computation: str, parameters: Mapping[str, str] | None = None) -> int:
        """Ask for a run; return its number."""
        asked = {"computation": computation, "parameters": dict(parameters or {})}
        return int(self._object("POST", "/runs", _json(asked))["run"])

    def permit(self, run: int) -> dict[str, Any]:
        """Permit a run; the daemon signs when the log agrees."""
        return self._object("POST", f"/runs/{run}/permit")

    def results(self) -> list[dict[str, Any]]:
        """Return the results that came: run, computation, time."""
        return self._list("GET", "/results")

    def release(self, run: int) -> "Release":
        """Return an opened result."""
        from mpc.disclosure import Release  # noqa: PLC0415 - tables are heavy, and no part of a status

        return Release.from_bytes(self._bytes(f"/results/{run}/release"))

    def receipt(self, run: int) -> bytes:
        """Return the receipt of a result."""
        return self._bytes(f"/results/{run}/receipt")

    def withdraw(self, reason: str, confirm: str) -> dict[str, Any]:
        """Leave the contract; ``confirm`` is the first eight characters of its digest."""
        return self._object("POST", "/withdrawal", _json({"reason": reason, "confirm": confirm}))

    def events(self, after: int = 0, *, wait_seconds: int = 0) -> list[dict[str, Any]]:
        """Return events later than number ``after``, waiting for the first."""
        return self._list("GET", f"/events?after={after}&wait={wait_seconds}")

    def follow(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield events as they happen, for as long as the caller asks."""
        while True:
            for event in self.events(after, wait_seconds=20):
                after = event["number"]
                yield event

    def _object(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        return dict(json.loads(self._answer(method, path, body)))

    def _list(self, method: str, path: str) -> list[dict[str, Any]]:
        return list(json.loads(self._answer(method, path)))

    def _bytes(self, path: str) -> bytes:
        return self._answer("GET", path)

    def _answer(self, method: str, path: str, body: bytes = b"") -> bytes:
        if not self._socket.exists():
            raise self._unreachable("its socket is not there")
        try:
            # One connection a question: the daemon may restart between two of them.
            with suppress(BrokenPipeError):  # too long to be read to its end, as the answer says
                self._http.request(method, path, body, {"Connection": "close"})
            response = self._http.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise self._unreachable(type(error).__name__) from None
        if response.status == http.HTTPStatus.OK:
            return answer
        raise _refusal(response.status, answer)

    def _unreachable(self, why: str) -> Unavailable:
        return Unavailable(
            "daemon.unreachable", "the party's daemon does not answer", why=why,
            remedy="start it: sealroom party serve --config party.toml", field=str(self._socket),
        )  # fmt: skip


def refusal_of(data: Mapping[str, Any]) -> Refusal:
    """Return the refusal that ``as_data`` spelled; raises ``KeyError`` or ``TypeError`` when it is none."""
    told = dict(data)
    kind, code, what = KINDS[told.pop("kind")], told.pop("code"), told.pop("what")
    return kind(code, what, **told)


def _refusal(status: int, answer: bytes) -> Refusal:
    try:
        return refusal_of(json.loads(answer))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unavailable(
            "daemon.failed", "the party's daemon failed", why=f"it answered with status {status}",
            remedy="look at its log",
        )  # fmt: skip


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode()
