"""Real boto3 clients whose requests go straight into the gateway, without a socket.

``client("dynamodb")`` is a boto3 client of account 000000000000 in us-east-1; ``client(name, account=...,
region=..., key=..., secret=..., **config)`` another one. ``platform`` is the cloud behind it: ``.app``,
``.cloud``, ``.run(awaitable)`` on its loop, ``.send(request)`` for raw HTTP, ``.reopen()`` for what is durable.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from stratolite.clock import World
from stratolite.http import FileSlice, HttpRequest, HttpResponse
from stratolite.limits import BODY_STREAM_ABOVE_BYTES

ENDPOINT = "http://localhost:4566"
# Root seals of the clouds that tests make, in this process or as servers started by it.
if "STRATOLITE_KEYS" not in os.environ:
    os.environ["STRATOLITE_KEYS"] = tempfile.mkdtemp(prefix="stratolite-test-keys-")
    atexit.register(shutil.rmtree, os.environ["STRATOLITE_KEYS"], ignore_errors=True)
_TIMEOUT_S = 60.0


class Platform:
    """A cloud on a folder, on a loop in a thread of its own, and the gateway over it."""

    def __init__(self, folder: str, world: World) -> None:
        self.folder, self.world = folder, world
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="cloud", daemon=True)
        self._thread.start()
        self._open()

    def _open(self) -> None:
        from stratolite.gateway.app import App
        from stratolite.gateway.credentials import credentials_of
        from stratolite.server import open_cloud

        self.cloud = self.run(open_cloud(self.folder, self.world, ENDPOINT))
        self.app = App(self.cloud, credentials=credentials_of(self.cloud))

    def run(self, work: Any) -> Any:
        """The result of an awaitable of the cloud's loop."""
        return asyncio.run_coroutine_threadsafe(_awaited(work), self.loop).result(_TIMEOUT_S)

    def reopen(self) -> None:
        """Close and open again: what is there now is durable."""
        self.run(self.cloud.close())
        self._open()

    def close(self) -> None:
        self.run(self.cloud.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_TIMEOUT_S)
        self.loop.close()

    def send(self, request: HttpRequest) -> tuple[int, list[tuple[str, str]], bytes]:
        """Raw HTTP in, (status, headers, body) out."""
        return self.run(self._send(request))

    async def _send(self, request: HttpRequest) -> tuple[int, list[tuple[str, str]], bytes]:
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.app.handle(request, answered.set_result)
        response = await answered
        body = b"" if request.method == "HEAD" else await _body(response)
        headers = list(response.headers)
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        return response.status, headers, body


async def _awaited(work: Any) -> Any:
    return await work


async def _body(response: HttpResponse) -> bytes:
    body = response.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileSlice):
        with open(body.path, "rb") as file:  # noqa: ASYNC230 - a test may wait
            file.seek(body.offset)
            return file.read(body.size_bytes)
    return b"".join([piece async for piece in body])


class Arriving:
    """A body too large to be handed over whole, in pieces as a socket gives them."""

    def __init__(self, body: bytes) -> None:
        self.trailers: dict[str, str] = {}
        self._body = body
        self.size_bytes = len(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 100_000):
            await asyncio.sleep(0)
            yield self._body[at : at + 100_000]


class _Raw(io.BytesIO):
    """As much of a urllib3 response as botocore uses."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        while piece := self.read(65536):
            yield piece


def to_http(request: Any) -> HttpRequest:
    """A request as botocore would send it (AWSPreparedRequest) as the gateway would see it."""
    body = request.body
    if hasattr(body, "read"):
        body = body.read()
    elif isinstance(body, str):
        body = body.encode()
    body = bytes(body or b"")
    url = urlsplit(request.url)
    headers = {
        name.lower(): value if isinstance(value, str) else value.decode("latin-1")
        for name, value in request.headers.items()
    }
    headers.setdefault("host", url.netloc)
    large = len(body) > BODY_STREAM_ABOVE_BYTES
    return HttpRequest(
        request.method, url.path or "/", url.query, headers, Arriving(body) if large else body
    )


@pytest.fixture
def world() -> World:
    """Override for a test whose clock should stand still or jump."""
    return World()


@pytest.fixture
def platform(tmp_path: Any, world: World) -> Iterator[Platform]:
    made = Platform(str(tmp_path / "cloud"), world)
    yield made
    made.close()


Client = Callable[..., Any]


@pytest.fixture
def client(platform: Platform) -> Client:
    import boto3
    from botocore.awsrequest import AWSResponse
    from botocore.config import Config

    def send(request: Any, **_: Any) -> Any:
        status, headers, body = platform.send(to_http(request))
        return AWSResponse(request.url, status, dict(headers), _Raw(body))

    def make(
        service: str,
        *,
        account: str = "000000000000",
        region: str = "us-east-1",
        key: str | None = None,
        secret: str = "test",
        token: str | None = None,
        endpoint: str = ENDPOINT,
        **config: Any,
    ) -> Any:
        options: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "s3": {"addressing_style": "path"},
        }
        made = boto3.client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=key or account,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(**(options | config)),
        )
        made.meta.events.register("before-send", send)
        return made

    return make
