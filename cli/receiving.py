"""A small HTTP server that takes what a program posts, in a thread of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_LIMIT_BYTES = 4 * 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    """Answers each POST with the status that `take` gives, and writes no log."""

    timeout = 10

    def take(self, body: bytes) -> int:
        raise NotImplementedError

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        fits = length.isdecimal() and int(length) <= BODY_LIMIT_BYTES
        self.send_response(self.take(self.rfile.read(int(length))) if fits else 413)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What matters is printed by `take`."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """For the length of the block."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
