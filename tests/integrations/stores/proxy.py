"""An HTTP proxy that passes requests on, and damages those that the test names."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple

SLOW_SECONDS = 3.0
_ERRORS = {
    "busy": (503, "SlowDown"),
    "too many": (429, "TooManyRequests"),
    "broken": (500, "InternalError"),
    "denied": (403, "AccessDenied"),
    "bad key": (403, "InvalidAccessKeyId"),
    "expired": (400, "ExpiredToken"),
}


class Fault(NamedTuple):
    """What happens to requests.

    Attributes:
        kind: one of `_ERRORS`; ``slow``; ``reset``, the connection closes without an answer;
            ``cut``, the body ends early; ``short`` and ``long``, the stated length is one byte
            less or more than the body; ``other``, one byte of the body is another; ``lost``, the
            request is passed on and the connection closes.
        method: of the requests that are damaged.
        times: how many of them; -1 for all.
        part: a part of their path.
    """

    kind: str
    method: str = "GET"
    times: int = -1
    part: str = ""


class Proxy(ThreadingHTTPServer):
    """Listens at `endpoint`. Set `fault` to damage answers; `counts` has the requests by method."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._left = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def damage(self, fault: Fault | None) -> None:
        with self._lock:
            self._fault, self._left = fault, 0 if fault is None else fault.times

    def next_fault(self, method: str, path: str) -> str:
        with self._lock:
            self.counts[method] += 1
            fault = self._fault
            if fault is None or method != fault.method or fault.part not in path or not self._left:
                return ""
            self._left -= 1
            return fault.kind

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy
    _HOP: ClassVar = {"connection", "transfer-encoding", "content-length", "date", "server"}

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.next_fault(self.command, self.path)
        if fault == "reset":
            self.close_connection = True
            return
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            # As careless servers do, the answer quotes the request.
            quoted = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
            self._answer(status, {}, f"<Error><Code>{code}</Code>{quoted}</Error>".encode(), "")
            return
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        upstream = http.client.HTTPConnection(self.server.target)
        upstream.request(self.command, self.path, body, dict(self.headers.items()))
        answer = upstream.getresponse()
        raw = answer.read()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in self._HOP}
        if self.command == "HEAD":
            headers["Content-Length"] = answer.getheader("Content-Length", "0")
        upstream.close()
        if fault == "lost":
            self.close_connection = True
            return
        self._answer(answer.status, headers, raw, fault)

    def _answer(self, status: int, headers: dict[str, str], raw: bytes, fault: str) -> None:
        length = len(raw) + {"short": -1, "long": 1}.get(fault, 0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault == "cut":
            raw = raw[: len(raw) // 2]
        if fault == "other":
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        if self.command != "HEAD":
            self.wfile.write(raw[: max(length, 0)])
        if fault in {"cut", "short", "long"}:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass  # noqa: N815  (the names are the library's)
