"""The steward's door, over HTTP as a keep speaks it; it lies, it is slow, it sends too much."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
import uvicorn

from mpc.evidence.der import SEQUENCE, read_element
from mpc.steward import PKCS10, application
from mpc.steward.service import BODY_MAX_BYTES
from tests.evidence.enarx_forge import request, snp_request
from tests.evidence.snp_forge import NOW, ec_key
from tests.steward.operators import FORGE, steward

Ask = Callable[..., tuple[HTTPResponse, bytes]]


@contextmanager
def served(body_seconds: float = 5.0) -> Iterator[int]:
    """Serve a steward on a port of its own until the test is over."""
    app = application(steward(), clock=lambda: NOW, random=os.urandom, body_seconds=body_seconds)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        running.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            running.join()


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with served() as port:

        def asked(body: bytes | None, kind: str = PKCS10, method: str = "POST") -> tuple[HTTPResponse, bytes]:
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request(method, "/", body, {"content-type": kind} if kind else {})
                answer = connection.getresponse()
                return answer, answer.read()
            finally:
                connection.close()

        yield asked


def test_a_keep_gets_its_path(ask: Ask) -> None:
    answer, body = ask(snp_request(FORGE))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert len(read_element(body).children(SEQUENCE)) == 2


def test_somebody_is_there(ask: Ask) -> None:
    answer, body = ask(None, kind="", method="GET")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"junk", PKCS10, 400, "evidence.enarx_malformed"),
        (snp_request(FORGE), "", 400, "steward.content_type"),
        (snp_request(FORGE, fields={"vmpl": 1}), PKCS10, 400, "evidence.keep_report"),
        (request("kvm", b"", ec_key("keep")), PKCS10, 401, "evidence.keep"),
        (bytes(BODY_MAX_BYTES + 1), PKCS10, 413, "steward.body"),
    ],
)
def test_a_refusal_says_what_is_wrong(ask: Ask, body: bytes, kind: str, status: int, code: str) -> None:
    answer, said = ask(body, kind)
    assert (answer.status, json.loads(said)["code"]) == (status, code)
    assert json.loads(said)["remedy"]


def test_a_content_type_may_have_parameters(ask: Ask) -> None:
    assert ask(snp_request(FORGE), "Application/PKCS10; charset=binary")[0].status == 200


def test_other_methods_are_not_there(ask: Ask) -> None:
    assert ask(snp_request(FORGE), method="PUT")[0].status == 405


def test_who_sends_nothing_further_is_told_and_let_go() -> None:
    with served(body_seconds=0.2) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/pkcs10\r\ncontent-length: 99\r\n\r\nab")
        assert slow.recv(1024).startswith(b"HTTP/1.1 408")
