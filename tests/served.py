"""A server on this machine that gives archives out, or fails at it in every way that servers do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Serves `content` by file name as http://127.0.0.1:<port>/<way>/<name>.

    Ways are whole, half (the connection ends half way), other (other bytes), silent (no byte
    after the headers), none (no answer), noise (no HTTP), and anything else for 404.
    """

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.requests: list[str] = []
        self.end = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def url(self, way: str, name: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/{way}/{name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        _, way, name = handler.path.split("/")
        if way == "noise":
            handler.wfile.write(b"220 this is another service\r\n")
        elif way not in ("whole", "half", "other", "silent", "none"):
            handler.send_error(404)
        elif way != "none":
            content = self.content[name]
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            if way == "silent":
                self.end.wait(60)
            else:
                sent = {"whole": content, "half": content[: len(content) // 2]}
                handler.wfile.write(sent.get(way, b"\0" * len(content)))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def serving(content: dict[str, bytes]) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.end.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()
