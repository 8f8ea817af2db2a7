"""Servers of the other clouds, on this machine: Azurite for Azure, and a front for Google's.

Azurite is Microsoft's own emulator, from npm. No emulator of Google's store in the registries
answers obstore, which speaks the XML API: fake-gcs-server refuses its PUT, gcp-storage-emulator has
no HEAD. That API is the one of S3 but for its preconditions, so the front puts these before moto.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "devstoreaccount1"
# The account that every Azurite has; public, and part of its documentation.
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_VERSION = "2021-08-06"
SIGNED = {  # moto compares no signature, but wants one
    "Authorization": "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=any"
}


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azurite, which is installed into `folder` if it is not on the path; yields its host."""
    command = shutil.which("azurite-blob")
    if command is None:
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "azurite@3"],
            check=True, timeout=600,
        )  # fmt: skip
        command = str(folder / "node_modules/.bin/azurite-blob")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    server = subprocess.Popen(
        [command, *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
        cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    message = "Azurite does not listen"
    raise TimeoutError(message)


def make_container(host: str, name: str) -> None:
    """Create a container, with the signature that Azure wants."""
    date = formatdate(usegmt=True)
    text = "\n".join(
        ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{_VERSION}",
         f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"]
    )  # fmt: skip
    signed = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": _VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
        "Content-Length": "0",
    }
    connection = http.client.HTTPConnection(host)
    connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
    assert connection.getresponse().status == 201
    connection.close()


def service_account(base_url: str) -> str:
    """The key of a service account that needs no login, as JSON."""
    return json.dumps(
        {"gcs_base_url": base_url, "disable_oauth": True, "client_email": "", "private_key": "",
         "private_key_id": ""}
    )  # fmt: skip


class GoogleFront(ThreadingHTTPServer):
    """Answers as Google's XML API. Objects are in an S3 server; their generations are here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _GoogleHandler)
        self.target = target
        self.generations: dict[str, int] = {}
        self.numbers = itertools.count(1_790_000_000_000_000)
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the tests."""


class _GoogleHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GoogleFront
    _HOP: ClassVar = {"connection", "transfer-encoding", "content-length", "date", "server"}
    _KEPT: ClassVar = {"content-type", "range", "if-match", "if-none-match"}

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        path = quote(unquote(path), safe="/")
        writes = self.command in {"PUT", "POST", "DELETE"}
        if not writes or "partNumber" in query:
            self._forward(path, query, body)
            return
        with self.server.lock:  # of the precondition and the write
            wanted = self.headers.get("x-goog-if-generation-match")
            if wanted is not None and int(wanted) != self.server.generations.get(path, 0):
                self._answer(412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            self._forward(path, query, body)

    def _forward(self, path: str, query: str, body: bytes) -> None:
        upstream = http.client.HTTPConnection(self.server.target)
        headers = {k: v for k, v in self.headers.items() if k.lower() in self._KEPT}
        target = f"{path}?{query}" if query else path
        upstream.request(self.command, target, body, headers | SIGNED)
        answer = upstream.getresponse()
        raw = answer.read()
        generations = self.server.generations
        if answer.status < 300 and "uploads" not in query and "partNumber" not in query:
            if self.command in {"PUT", "POST"}:
                generations[path] = next(self.server.numbers)
            elif self.command == "DELETE":
                generations.pop(path, None)
        found = {k: v for k, v in answer.getheaders() if k.lower() not in self._HOP}
        if self.command == "HEAD":
            found["Content-Length"] = answer.getheader("Content-Length", "0")
        if path in generations:
            found["x-goog-generation"] = str(generations[path])
        upstream.close()
        self._answer(answer.status, found, raw)

    def _answer(self, status: int, headers: dict[str, str], raw: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD" and status != 204:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass  # noqa: N815  (the names are the library's)
