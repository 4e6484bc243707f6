"""A bucket that stands in for a real one: create-only PUT, GET, list, DELETE, and answers that go missing.

    python bucket.py [reliable]     prints its port; of the PUTs, some are answered 500 before or after they were carried out

It speaks as S3, Google and Azure do, as far as ``obstore`` asks: "only if there is none" is ``If-None-Match: *`` or
``x-goog-if-generation-match: 0`` and is refused with 412, by Azure with 409; Google lists as S3 does, Azure with ``comp=list``.
Objects are in memory and outlive the servers that are killed. What is there already is decided under one lock.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
https://cloud.google.com/storage/docs/xml-api/reference-headers
https://learn.microsoft.com/en-us/rest/api/storageservices/put-blob
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

_LOST_BEFORE, _LOST_AFTER = (0.0, 0.0) if "reliable" in sys.argv else (0.02, 0.02)
_DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
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

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _is_azure(self) -> bool:
        return "x-ms-version" in self.headers

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chance = random.random()
        if chance < _LOST_BEFORE:
            self._answer(500)
            return
        is_new = (
            self.headers.get("If-None-Match") == "*"
            or self.headers.get("x-goog-if-generation-match") == "0"
        )
        with _guard:
            taken = is_new and self._name() in _objects
            if not taken:
                _objects[self._name()] = body
        if chance > 1 - _LOST_AFTER:
            self._answer(500)
        elif taken:
            self._answer(409 if self._is_azure() else 412)
        else:
            self._answer(201 if self._is_azure() else 200, ETag='"e"', Last_Modified=_DATE)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query or "comp" in query:
            self._list(unquote(parts.path.rstrip("/")), query)
            return
        body = _objects.get(self._name())
        if body is None:
            self._answer(404)
        else:
            self._answer(200, body, ETag='"e"', Last_Modified=_DATE)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix = query.get("prefix", [""])[0]
        after = query.get(
            "continuation-token", query.get("marker", query.get("start-after", [""]))
        )[0]
        with _guard:
            keys = sorted(path[len(bucket) + 1 :] for path in _objects)
        keys = [key for key in keys if key.startswith(prefix) and key > after]
        page, more = keys[:1000], len(keys) > 1000
        last = escape(page[-1]) if more else ""
        if self._is_azure():
            rows = "".join(
                f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_DATE}</Last-Modified><Etag>e</Etag>"
                "<Content-Length>1</Content-Length><Content-Type>a/b</Content-Type></Properties></Blob>"
                for key in page
            )
            said = f"<EnumerationResults><Blobs>{rows}</Blobs><NextMarker>{last}</NextMarker></EnumerationResults>"
        else:
            rows = "".join(
                f"<Contents><Key>{escape(key)}</Key><LastModified>2024-01-01T00:00:00Z</LastModified>"
                f'<ETag>"e"</ETag><Size>1</Size></Contents>'
                for key in page
            )
            token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
            said = (
                f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}"
                "</ListBucketResult>"
            )
        self._answer(200, said.encode())

    def do_DELETE(self) -> None:
        self._forget(self._name())
        self._answer(202 if self._is_azure() else 204)

    def do_POST(self) -> None:
        """Bulk delete: S3's list of keys, or Azure's requests within a request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        if not self._is_azure():
            bucket = unquote(urlsplit(self.path).path).rstrip("/")
            keys = re.findall("<Key>(.*?)</Key>", body)
            for key in keys:
                self._forget(f"{bucket}/{unescape(key)}")
            rows = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{rows}</DeleteResult>".encode())
            return
        answers = ""
        for number, path in enumerate(re.findall(r"^DELETE (\S+) HTTP", body, re.MULTILINE)):
            self._forget(unquote(urlsplit(path).path))
            answers += (
                f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
                "HTTP/1.1 202 Accepted\r\nx-ms-request-id: r\r\n\r\n"
            )
        kind = "multipart/mixed; boundary=batch"
        self._answer(202, f"{answers}--batch--".encode(), Content_Type=kind)

    def _forget(self, name: str) -> None:
        with _guard:
            _objects.pop(name, None)


LOGINS = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "y",
    "AWS_REGION": "us-east-1",
    "AZURE_STORAGE_ACCOUNT_NAME": "account",
    "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
}
"""What a client's environment must have; nobody looks at a signature here."""


def url_of(kind: str, port: int, prefix: str) -> str:
    """The bucket ``bank`` as ``open_objects`` is told of it; ``kind`` is s3, gs or az."""
    more = "&region=us-east-1" if kind == "s3" else ""
    return f"{kind}://bank/{prefix}?endpoint=http://127.0.0.1:{port}{more}"


@contextmanager
def serving(*words: str) -> Iterator[int]:
    """The port of a bucket in a process of its own."""
    command = [sys.executable, __file__, *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout
    with server.stdout:
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
