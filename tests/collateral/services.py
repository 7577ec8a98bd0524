"""A stand-in for the vendors' services on loopback: what a false Intel and a false AMD serve, as the real ones do."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from tests.evidence.intel_forge import PLATFORM_CA, ROOT, IntelForge, pem
from tests.evidence.snp_forge import SnpForge

Answer = tuple[int, bytes, dict[str, str]]


class Served:
    """Answers by path and query, with a pause before each byte; ``asked`` is what came, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.pause_seconds = 0.0

    def add(self, path: str, content: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): quote(value) for name, value in headers.items()}
        self.answers[path] = (200, content, named)


def intel_services(forge: IntelForge, fmspc: str, tee: str = "tdx") -> Served:
    """Serve what a caching service has of one kind of machine."""
    collateral = json.loads(forge.collateral(tee.upper()))
    served = Served()
    signers = pem(forge.signer_certificate(), forge.root_certificate())
    served.add(f"/{tee}/certification/v4/tcb?fmspc={fmspc.upper()}", answer("tcbInfo", collateral, "tcb_info"),
               TCB_Info_Issuer_Chain=signers)  # fmt: skip
    served.add(f"/{tee}/certification/v4/qe/identity", answer("enclaveIdentity", collateral, "qe_identity"),
               SGX_Enclave_Identity_Issuer_Chain=signers)  # fmt: skip
    served.add(
        "/sgx/certification/v4/pckcrl?ca=platform&encoding=der", forge.revocation_list(PLATFORM_CA, forge.authority),
        SGX_PCK_CRL_Issuer_Chain=pem(forge.authority_certificate(), forge.root_certificate()),
    )  # fmt: skip
    served.add("/sgx/certification/v4/rootcacrl", forge.revocation_list(ROOT, forge.root).hex().encode())
    return served


def answer(name: str, collateral: dict[str, str], document: str) -> bytes:
    return f'{{"{name}":{collateral[document]},"signature":"{collateral[document + "_signature"]}"}}'.encode()


def amd_services(forge: SnpForge) -> Served:
    """Serve what AMD's key distribution service has of one chip."""
    assert forge.hardware_id is not None
    levels = "&".join(f"{part}SPL={level:02d}" for part, level in sorted(forge.levels.items()))
    served = Served()
    base = f"/vcek/v1/{forge.product}"
    served.add(f"{base}/{forge.hardware_id.hex()}?{levels}", forge.leaf)
    served.add(f"{base}/cert_chain", pem(forge.issuer, forge.root).encode())
    served.add(f"{base}/crl", forge.crl())
    return served


@contextmanager
def serving(served: Served) -> Iterator[str]:
    """Serve on loopback, and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, content, headers = served.answers.get(self.path, (404, b"not found", {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):  # who asked need not wait for the end
                self._write(content)

        def _write(self, content: bytes) -> None:
            if not served.pause_seconds:
                self.wfile.write(content)
                return
            for at in range(len(content)):
                time.sleep(served.pause_seconds)
                self.wfile.write(content[at : at + 1])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
