"""A web server on this machine that answers as its paths say, with an image or without."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.unit.images.pictures import picture

if TYPE_CHECKING:
    import ssl

RAW = picture()


class Web(ThreadingHTTPServer):
    """A server on this machine. ``asked`` are the paths of its requests."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        if context is not None:
            # The handshake is done in the thread of the request, so that none blocks the others.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not report clients that hang up."""

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        """Answer as the path says."""
        self.server.asked.append(self.path)
        what, _, rest = self.path[1:].partition("/")
        if what == "image":
            self.reply(200, RAW, **{"Content-Length": str(len(RAW))})
        elif what == "redirect":
            self.reply(302, b"", Location=rest)
        elif what == "status":
            self.reply(int(rest), RAW)
        elif what == "cut":
            self.reply(200, RAW[:-9], **{"Content-Length": str(len(RAW))})
        elif what == "large":
            self.reply(200, RAW, **{"Content-Length": str(10**12)})
        elif what == "endless":
            self.reply(200, b"", **{"Transfer-Encoding": "chunked"})
            while not self.server.closing.is_set():
                self.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        elif what == "packed":
            self.reply(200, RAW, **{"Content-Encoding": "gzip"})
        elif what == "empty":
            self.reply(200, b"", **{"Content-Length": "0"})
        elif what == "html":
            self.reply(200, b"<html>Please log in</html>")
        elif what == "silent":
            self.server.closing.wait(60)
        elif what == "drop":
            self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + RAW)
        elif what == "no-http":
            self.wfile.write(b"220 mail.example.org ESMTP\r\n" * 3)
        else:
            self.reply(404, b"")

    def drip(self, data: bytes) -> None:
        for number in range(len(data)):
            self.wfile.write(data[number : number + 1])
            self.wfile.flush()
            if self.server.closing.wait(0.02):
                return

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""
