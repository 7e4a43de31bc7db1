"""Serve this folder on this machine: python serve.py [PORT].

Browsers load no page from a file. These headers let the page compute with several threads, which
`python -m http.server` doesn't send.
"""

import sys
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADERS = {
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


class Handler(SimpleHTTPRequestHandler):
    """Answers with the folder's files."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add the headers for threads."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Make a server of `folder` on this machine alone, at a free port unless one is given."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))


if __name__ == "__main__":
    with make_server(Path(__file__).parent, int((*sys.argv[1:], "8000")[0])) as server:
        sys.stdout.write(f"http://localhost:{server.server_address[1]}/ (Ctrl-C ends it)\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
