"""A server on loopback that serves bytes, well or badly, and keeps a log of what was asked."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """How one path is answered."""

    body: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    cut: list[int] = field(default_factory=list)
    """After how many bytes of an answer the connection is closed, for the first answers."""
    fail: list[int] = field(default_factory=list)
    """The status of the first answers."""
    length: int | None = None
    """Content-Length, where it is a lie."""
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.log: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def watch(self, name: str, n_bytes: int, total: int | None) -> None:
        """The `progress` of a client: it is cut off when it has what was sent, and not before.

        Else a client may see the end first, and drop what it has buffered.
        """
        self.arrived = n_bytes

    def wait(self, n_bytes: int) -> None:
        give_up = time.monotonic() + 10
        while self.arrived < n_bytes and time.monotonic() < give_up:
            time.sleep(0.002)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.log.append(f"{self.path} {asked}".strip())
        self.server.headers.append(dict(self.headers))
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
        elif page.fail:
            self.send_error(page.fail.pop(0))
        else:
            self._send(page, asked)

    def _send(self, page: Page, asked: str) -> None:
        start = self._start(page, asked)
        if start >= len(page.body) > 0:
            self.send_error(416)
            return
        body = page.body[start:]
        self.send_response(302 if "Location" in page.headers else 206 if start else 200)
        if start:
            span = f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
            self.send_header("Content-Range", span)
        if page.etag:
            self.send_header("ETag", page.etag)
        for name, value in page.headers.items():
            self.send_header(name, value)
        n_bytes = len(body) if page.length is None else page.length
        self.send_header("Content-Length", str(n_bytes))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if page.cut:
            body = body[: page.cut.pop(0)]
            self.wfile.write(body)
            self.server.wait(start + len(body))
        else:
            self.wfile.write(body)

    def _start(self, page: Page, asked: str) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", asked)
        if not found or not page.ranges or self.headers.get("If-Range", page.etag) != page.etag:
            return 0
        return int(found[1])


@contextmanager
def serving() -> Iterator[Server]:
    """A running server, shut down at the end."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
