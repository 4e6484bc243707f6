"""Any bytes to the port: a well-formed HTTP answer or a close, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import tempfile

import uvloop
from gateway.test_http1 import SMUGGLING, answers

from stratolite.clock import World
from stratolite.gateway.app import App
from stratolite.gateway.credentials import credentials_of
from stratolite.gateway.listener import Server, serve
from stratolite.server import open_cloud

H = b"Host: localhost\r\n"
SCOPE = b"AWS4-HMAC-SHA256 Credential=test/20260304/us-east-1/%s/aws4_request, SignedHeaders=host;x-amz-date, Signature=%s"
SEEDS = [
    b"GET / HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /_stratolite/health HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /_aws/execute-api/abc/x?y=1 HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /_aws/lambda-url/abc/ HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /k HTTP/1.1\r\nHost: bucket.s3.localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\n"
    + H
    + b"X-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"X-Amz-Date: 20260304T050607Z\r\nAuthorization: "
    + SCOPE % (b"dynamodb", b"a" * 64)
    + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"POST / HTTP/1.1\r\n"
    + H
    + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 43\r\n\r\n"
    b"Action=GetCallerIdentity&Version=2011-06-15",
    b"POST /service/DynamoDB_20120810/operation/GetItem HTTP/1.1\r\n"
    + H
    + b"Smithy-Protocol: rpc-v2-cbor\r\n"
    b"Content-Type: application/cbor\r\nContent-Length: 1\r\n\r\n\xa0",
    b"PUT /bucket/key?partNumber=1&uploadId=2 HTTP/1.1\r\n"
    + H
    + b"X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"
    b"X-Amz-Decoded-Content-Length: 3\r\nX-Amz-Trailer: x-amz-checksum-crc32\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"26\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n\r\n0\r\n\r\n",
    b"GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260304%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date="
    b"20260304T050607Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00 HTTP/1.1\r\n"
    + H
    + b"\r\n",
    b"GET /b/k?AWSAccessKeyId=test&Signature=a%3D&Expires=1 HTTP/1.1\r\n" + H + b"\r\n",
    b"OPTIONS /b/k HTTP/1.1\r\n"
    + H
    + b"Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n\r\n",
    b"POST /b HTTP/1.1\r\n"
    + H
    + b"Content-Type: multipart/form-data; boundary=X\r\nContent-Length: 86\r\n\r\n"
    b'--X\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--X\r\nContent-Disposition: f--X--\r\n',
    b"PUT /b/k HTTP/1.1\r\n" + H + b"Content-Length: 70000\r\n\r\n" + b"x" * 70_000,
    b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\n" + H + b"Content-Length: 2\r\n\r\n{}",
    *SMUGGLING,
]
WORDS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\n",
    b":",
    b" ",
    b"%",
    b"chunked",
    b"Content-Length: 5\r\n",
    b"0",
    b"/",
    b"\xff",
    b"&",
    b"=",
    b"--X",
]


def mutated(rand: random.Random) -> bytes:
    raw = bytearray(rand.choice(SEEDS))
    for _ in range(rand.randint(0, 4)):
        at = rand.randint(0, min(len(raw), 1500))
        match rand.randint(0, 4):
            case 0:
                raw[at : at + 1] = bytes([rand.randint(0, 255)])
            case 1:
                del raw[at : at + rand.randint(1, 40)]
            case 2:
                raw[at:at] = rand.choice(WORDS)
            case 3:
                raw[at:at] = raw[at : at + rand.randint(1, 60)]
            case 4:
                raw[at:at] = rand.randbytes(rand.randint(1, 20))
    if rand.random() < 0.05:
        return rand.randbytes(rand.randint(1, 5000))
    return bytes(raw) + (rand.choice(SEEDS) if rand.random() < 0.3 else b"")


async def throw(server: Server, raw: bytes, rand: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        cut = rand.randint(0, len(raw))
        writer.write(raw[:cut])
        await asyncio.sleep(0)
        writer.write(raw[cut:])
        if writer.can_write_eof():
            writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 60)
        if not raw.startswith(b"HEAD"):
            for status, _ in answers(got):
                assert 100 <= status < 600
                assert status != 500, raw
    except (ConnectionError, BrokenPipeError):
        pass  # a close is an answer
    finally:
        writer.close()


def test_any_bytes_get_an_answer_or_a_close() -> None:
    """And no traceback, no growth of memory, no descriptor left."""
    rand = random.Random(20260304)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            cloud = await open_cloud(folder, World())
            app = App(cloud, credentials=credentials_of(cloud))
            server = await serve(app, "127.0.0.1", 0, idle_s=5, request_s=5)
            try:
                await asyncio.wait_for(bombard(app, server), 60)
            finally:
                await server.close(graceful=False)
                await cloud.close()

    async def burst(server: Server, count: int) -> None:
        for _ in range(count):
            await asyncio.gather(*(throw(server, mutated(rand), rand) for _ in range(20)))
        while server.connection_count:  # noqa: ASYNC110 - the sockets' ends have no event
            await asyncio.sleep(0.01)

    async def bombard(app: App, server: Server) -> None:
        await burst(server, 40)
        gc.collect()
        open_files = len(os.listdir("/proc/self/fd"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await burst(server, 150)
        assert app.errors_count == 0
        assert len(os.listdir("/proc/self/fd")) <= open_files + 2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + (30 << 10)
        assert app._buffered_bytes == 0
        assert not app._tasks

    uvloop.run(main())
