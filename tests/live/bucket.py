"""An S3 bucket that stands in for a real one: create-only PUT, GET, ListObjectsV2, DELETE, and answers that go missing.

    python bucket.py     prints its port; of the PUTs, some are answered 500 before or after they were carried out

Objects are in memory and outlive the servers that are killed. If-None-Match: * is decided under one lock.
"""

from __future__ import annotations

import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_LOST_BEFORE, _LOST_AFTER = 0.02, 0.02
_objects: dict[str, bytes] = {}
_guard = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chance = random.random()
        if chance < _LOST_BEFORE:
            self._answer(500)
            return
        with _guard:
            taken = self.headers.get("If-None-Match") == "*" and self.path in _objects
            if not taken:
                _objects[self.path] = body
        if chance > 1 - _LOST_AFTER:
            self._answer(500)
        elif taken:
            self._answer(412)
        else:
            self._answer(200, ETag='"e"')

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "list-type=2" in parts.query:
            self._list(parts.path.rstrip("/"), parse_qs(parts.query))
            return
        body = _objects.get(self.path)
        if body is None:
            self._answer(404)
        else:
            date = "Mon, 01 Jan 2024 00:00:00 GMT"
            self._answer(200, body, ETag='"e"', Last_Modified=date)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        with _guard:
            keys = sorted(unquote(path[len(bucket) + 1 :]) for path in _objects)
        keys = [key for key in keys if key.startswith(prefix) and key > after]
        page, more = keys[:1000], len(keys) > 1000
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2024-01-01T00:00:00Z</LastModified>"
            f'<ETag>"e"</ETag><Size>1</Size></Contents>'
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self._answer(
            200,
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
            "</ListBucketResult>".encode(),
        )

    def do_DELETE(self) -> None:
        with _guard:
            _objects.pop(self.path, None)
        self._answer(204)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
