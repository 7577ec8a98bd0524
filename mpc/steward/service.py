"""The steward's door: HTTP as Enarx' keeps speak it. POST / certifies, GET / says that somebody is there.

A refusal is answered with its data in JSON: 400, or 401 where there is no evidence at all, 413 for too much, 408 for
too slow, 500 where the steward itself cannot serve. Nothing is kept of a request but a line in the log.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mpc.canonical import format_time
from mpc.errors import Exhausted, Misconfigured, Refusal, Unavailable
from mpc.steward.authority import Issued, Random, Steward

BODY_MAX_BYTES: Final = 256 << 10
BODY_SECONDS: Final = 10.0
_NO_EVIDENCE: Final = "evidence.keep"
_STATUS: Final[dict[type[Refusal], int]] = {Exhausted: 413, Unavailable: 408, Misconfigured: 500}

log = structlog.get_logger("sealroom.steward")


def application(
    steward: Steward, *, clock: Callable[[], datetime], random: Random, body_seconds: float = BODY_SECONDS
) -> Starlette:
    """Return the application that answers for ``steward``; ``clock`` gives aware UTC times."""

    async def health(_: Request) -> Response:
        return Response()

    async def attest(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            body = await _body(request, body_seconds)
            answered, issued = await run_in_threadpool(steward.answer, kind, body, at=clock(), random=random)
        except Refusal as refusal:
            return _refused(refusal)
        except ClientDisconnect:
            return Response(status_code=400)
        for one in issued:
            _log_issued(one)
        return Response(answered, media_type="application/octet-stream")

    return Starlette(routes=[Route("/", health, methods=["GET"]), Route("/", attest, methods=["POST"])])


async def _body(request: Request, seconds: float) -> bytes:
    """Return the body, up to the limit of size and within the limit of time."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > BODY_MAX_BYTES:
                    raise Exhausted(
                        "steward.body", "the request is refused", why="it is over the limit of size",
                        remedy="send fewer requests in one bundle", field="body",
                        expected=f"at most {BODY_MAX_BYTES} bytes", found="more",
                    )  # fmt: skip
    except TimeoutError:
        raise Unavailable(
            "steward.slow", "the request is refused", why="it did not arrive in time", remedy="send it again",
            field="body", expected=f"within {seconds:g} s", found="not whole",
        ) from None  # fmt: skip
    return bytes(body)


def _refused(refusal: Refusal) -> Response:
    status = 401 if refusal.code == _NO_EVIDENCE else _STATUS.get(type(refusal), 400)
    log.warning("refused", code=refusal.code, status=status)
    return JSONResponse(refusal.as_data(), status_code=status)


def _log_issued(issued: Issued) -> None:
    log.info("issued", tee=issued.claims.facts["tee"], until=format_time(issued.not_after))
