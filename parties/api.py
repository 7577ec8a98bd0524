"""The party's local API over its daemon: what the command line uses and a web console will.

It is served on a unix socket that only the daemon's own user may open; whoever can open it *is* the party. Answers are
JSON, but for contracts, receipts and releases, which are the exact bytes. A refusal is its ``as_data`` with the HTTP
status of its kind. Handlers that touch the connection run on the daemon's thread (``Daemon.ask``).
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mpc.canonical import canonical_json, sha256
from mpc.contract.consent import check_known, missing_consents
from mpc.contract.document import parse_contract
from mpc.contract.explain import explain
from mpc.errors import (
    Exhausted,
    Forbidden,
    Malformed,
    Misconfigured,
    OutOfOrder,
    Refusal,
    Unavailable,
    Untrusted,
)
from mpc.receipts.leaves import parse_leaf
from parties.channel import Channel
from parties.daemon import Daemon
from parties.ledger import Result
from parties.overview import overview
from parties.profile import profile

BODY_MAX_BYTES = 4 << 20
EVENTS_WAIT_SECONDS = 25.0

STATUS: Mapping[type[Refusal], int] = {
    Malformed: 400,
    Untrusted: 401,
    Forbidden: 403,
    OutOfOrder: 409,
    Exhausted: 429,
    Unavailable: 503,
    Misconfigured: 422,
}
"""The HTTP status of each kind of refusal; the body says all."""

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The handlers, one method each, over one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._ledger = daemon.ledger

    def application(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            ("GET", "/status", self._status),
            ("POST", "/retry", self._retry),
            ("GET", "/contracts", self._contracts),
            ("POST", "/contracts", self._add_contract),
            ("GET", "/contracts/{digest}", self._contract),
            ("GET", "/contracts/{digest}/explanation", self._explanation),
            ("POST", "/contracts/{digest}/signature", self._sign),
            ("POST", "/contracts/{digest}/consents", self._add_consent),
            ("GET", "/contracts/{digest}/log", self._log),
            ("GET", "/contracts/{digest}/appraisals", self._appraisals),
            ("POST", "/attestation", self._attest),
            ("POST", "/replacement", self._replace),
            ("GET", "/datasets/{name}/profile", self._profile),
            ("POST", "/datasets/{name}/refresh", self._refresh),
            ("POST", "/runs", self._run),
            ("POST", "/runs/{run:int}/permit", self._permit),
            ("GET", "/results", self._results),
            ("GET", "/results/{run:int}/release", self._release),
            ("GET", "/results/{run:int}/receipt", self._receipt),
            ("POST", "/withdrawal", self._withdraw),
            ("GET", "/events", self._events),
        ]
        return Starlette(
            routes=[Route(path, _quietly(handler), methods=[method]) for method, path, handler in routes],
            exception_handlers={Refusal: _refused},
        )

    # --- how things stand ----------------------------------------------------------------------------------------

    def _status(self, _request: Request, _body: bytes) -> Response:
        return JSONResponse(overview(self._daemon))

    def _retry(self, _request: Request, _body: bytes) -> Response:
        self._daemon.ask(self._daemon.retry)
        return JSONResponse(overview(self._daemon))

    def _events(self, request: Request, _body: bytes) -> Response:
        after = _whole(request.query_params.get("after", "0"))
        wait = min(_whole(request.query_params.get("wait", "0")), EVENTS_WAIT_SECONDS)
        events = self._ledger.events(after, wait_seconds=wait)
        return JSONResponse(
            [
                {
                    "number": event.number, "time": event.time.isoformat(), "kind": event.kind,
                    "data": dict(event.data),
                    "contract": None if event.contract is None else event.contract.hex(),
                }
                for event in events
            ]
        )  # fmt: skip

    # --- the contract --------------------------------------------------------------------------------------------

    def _contracts(self, _request: Request, _body: bytes) -> Response:
        return JSONResponse([self._contract_data(agreed.digest) for agreed in self._ledger.contracts()])

    def _add_contract(self, _request: Request, body: bytes) -> Response:
        contract = parse_contract(body)
        check_known(contract, self._daemon.config.known_parties, self._daemon.config.party.name)
        agreed = self._daemon.ask(lambda: self._ledger.add_contract(body, at=self._daemon.now()))
        return JSONResponse(self._contract_data(agreed.digest))

    def _contract(self, request: Request, _body: bytes) -> Response:
        return Response(self._ledger.contract(_digest(request)).raw, media_type="application/json")

    def _explanation(self, request: Request, _body: bytes) -> Response:
        agreed = self._ledger.contract(_digest(request))
        previous = None
        if agreed.contract.supersedes is not None:
            superseded = agreed.contract.supersedes.contract
            known = {held.digest.hex(): held for held in self._ledger.contracts()}.get(superseded)
            previous = None if known is None else known.contract
        page = explain(agreed.contract, agreed.digest, party=self._daemon.config.party.name, previous=previous)
        return JSONResponse(page.as_data())

    def _sign(self, request: Request, body: bytes) -> Response:
        digest, typed = _digest(request), _field(body, "confirm")
        self._daemon.ask(lambda: self._daemon.sign(digest, typed))
        return JSONResponse(self._contract_data(digest))

    def _add_consent(self, request: Request, body: bytes) -> Response:
        agreed = self._ledger.contract(_digest(request))
        missing_consents(agreed.raw, (body,))
        self._daemon.ask(lambda: self._ledger.add_consents(agreed.digest, (body,)))
        return JSONResponse(self._contract_data(agreed.digest))

    def _contract_data(self, digest: bytes) -> dict[str, Any]:
        agreed = self._ledger.contract(digest)
        return {
            "digest": agreed.digest.hex(),
            "title": agreed.contract.title,
            "parties": [party.name for party in agreed.contract.parties],
            "missing": list(missing_consents(agreed.raw, self._ledger.consents(digest))),
            "signed": None if agreed.signed is None else agreed.signed.isoformat(),
            "withdrawn": None if agreed.withdrawn is None else agreed.withdrawn.isoformat(),
            "valid_from": agreed.contract.valid_from,
            "valid_until": agreed.contract.valid_until,
            "supersedes": None if agreed.contract.supersedes is None else agreed.contract.supersedes.model_dump(),
        }

    def _log(self, request: Request, _body: bytes) -> Response:
        leaves = self._ledger.leaves(_digest(request))
        return JSONResponse([json.loads(canonical_json(parse_leaf(leaf))) for leaf in leaves])

    # --- the enclave ---------------------------------------------------------------------------------------------

    def _appraisals(self, request: Request, _body: bytes) -> Response:
        return JSONResponse(list(self._ledger.appraisals(_digest(request))))

    def _attest(self, _request: Request, _body: bytes) -> Response:
        daemon, agreed = self._daemon, self._daemon.current()
        if agreed is None:
            raise OutOfOrder(
                "attest.no_contract", "there is nothing to compare the enclave with", why="no contract was added",
                remedy="add the contract first",
            )  # fmt: skip
        channel = Channel.connect(daemon.config.coordinator.address, clock=daemon.now)
        try:
            assessed = channel.inspect(agreed.contract, daemon.party.exceptions)
        finally:
            channel.close()
        checks = [
            {"name": check.name, "expected": check.expected, "found": check.found, "passed": check.passed}
            for check in assessed.checks
        ]
        refusal = None if assessed.refusal is None else assessed.refusal.as_data()
        return JSONResponse({"passed": assessed.passed, "checks": checks, "refusal": refusal})

    def _replace(self, _request: Request, _body: bytes) -> Response:
        self._daemon.ask(self._daemon.confirm_replacement)
        return JSONResponse(overview(self._daemon))

    # --- rows, runs, results -------------------------------------------------------------------------------------

    def _profile(self, request: Request, _body: bytes) -> Response:
        name, agreed = request.path_params["name"], self._daemon.current()
        dataset = None if agreed is None else agreed.contract.dataset(name)
        settings = self._daemon.config.datasets.get(name)
        if dataset is None or settings is None:
            raise Misconfigured(
                "config.dataset", f"there is no dataset {name} to check", why="contract or configuration lack it",
                remedy=f"write [datasets.{name}] in party.toml, as the contract names it", field=f"datasets.{name}",
            )  # fmt: skip
        return JSONResponse(profile(dataset, settings).as_data())

    def _refresh(self, request: Request, _body: bytes) -> Response:
        name = request.path_params["name"]
        self._daemon.ask(lambda: self._daemon.refresh(name))
        return JSONResponse(overview(self._daemon))

    def _run(self, _request: Request, body: bytes) -> Response:
        asked = _json(body)
        computation, parameters = asked.get("computation"), asked.get("parameters", {})
        if not isinstance(computation, str) or not _is_text_map(parameters):
            raise _malformed("give `computation`, and `parameters` as texts by name")
        return JSONResponse({"run": self._daemon.ask(lambda: self._daemon.request_run(computation, parameters))})

    def _permit(self, request: Request, _body: bytes) -> Response:
        run = request.path_params["run"]
        self._daemon.ask(lambda: self._daemon.confirm_permit(run))
        return JSONResponse(overview(self._daemon))

    def _results(self, _request: Request, _body: bytes) -> Response:
        return JSONResponse(
            [
                {
                    "run": result.run,
                    "computation": result.computation,
                    "time": result.time.isoformat(),
                    "shown": None if result.shown is None else result.shown.isoformat(),
                }
                for result in self._held()
            ]
        )

    def _release(self, request: Request, _body: bytes) -> Response:
        return Response(self._result(request).release, media_type="application/octet-stream")

    def _receipt(self, request: Request, _body: bytes) -> Response:
        return Response(self._result(request).receipt, media_type="application/json")

    def _withdraw(self, _request: Request, body: bytes) -> Response:
        reason, typed = _field(body, "reason"), _field(body, "confirm")
        self._daemon.ask(lambda: self._daemon.withdraw(typed, reason), urgent=True)
        return JSONResponse(overview(self._daemon))

    def _held(self) -> tuple[Result, ...]:
        agreed = self._daemon.current()
        return () if agreed is None else self._ledger.results(agreed.digest)

    def _result(self, request: Request) -> Result:
        run = request.path_params["run"]
        found = next((result for result in self._held() if result.run == run), None)
        if found is None:
            raise OutOfOrder(
                "result.absent", f"there is no result of run {run}", why="it has not come, or was for somebody else",
                remedy="see `sealroom status` for what is awaited", field="run",
            )  # fmt: skip
        return found


def _quietly(handler: Callable[[Request, bytes], Response]) -> Handler:
    async def handle(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_MAX_BYTES:
                raise _malformed("the body is over 4 MiB")
        return await run_in_threadpool(handler, request, bytes(body))

    return handle


async def _refused(_request: Request, failure: Exception) -> Response:
    if not isinstance(failure, Refusal):
        raise failure
    return JSONResponse(failure.as_data(), status_code=STATUS[type(failure)])


def _digest(request: Request) -> bytes:
    text = request.path_params["digest"]
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != len(sha256(b"")):
        raise _malformed("a contract is named by the 64 hex digits of its digest")
    return digest


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _malformed("the body is a JSON object")
    return value


def _field(body: bytes, name: str) -> str:
    value = _json(body).get(name)
    if not isinstance(value, str):
        raise _malformed(f"give `{name}` as text")
    return value


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - digits that fit 64 bits
        raise _malformed("give a whole number")
    return int(text)


def _malformed(why: str) -> Malformed:
    return Malformed("api.request", "the request is not understood", why=why, remedy="use this release's own client")
