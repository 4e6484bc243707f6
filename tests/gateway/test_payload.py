"""aws-chunked bodies: signatures of chunks and trailers, sizes, and every way to break them."""

from __future__ import annotations

import asyncio
import base64
import hmac
import zlib
from hashlib import sha256
from typing import Any

import pytest
from conftest import Arriving
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.gateway.incoming import Counted, Incoming
from stratolite.gateway.payload import (
    SIGNED_CHUNKS,
    SIGNED_TRAILER,
    UNSIGNED_TRAILER,
    AwsChunked,
    open_payload,
)
from stratolite.gateway.sigv4 import EMPTY_SHA256, Claim, Scope
from stratolite.http import HttpRequest, hear

SCOPE = Scope("AKID/20260304/us-east-1/s3/aws4_request", "host")
CLAIM = Claim(SCOPE, "ab" * 32, "20260304T050607Z", 0, -1, "", None)
KEY = SCOPE.key("secret")


def crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def encode(chunks: list[bytes], kind: str, trailers: dict[str, str] | None = None) -> bytes:
    """Written from the AWS documentation, apart from the code under test."""
    previous, out = CLAIM.signature, b""
    scope = "20260304/us-east-1/s3/aws4_request"

    def sign(algorithm: str, *hashes: str) -> str:
        text = "\n".join([algorithm, CLAIM.stamp, scope, previous, *hashes])
        return hmac.new(KEY, text.encode(), sha256).hexdigest()

    for chunk in [*chunks, b""]:
        head = b"%x" % len(chunk)
        if kind != UNSIGNED_TRAILER:
            previous = sign("AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256, sha256(chunk).hexdigest())
            head += b";chunk-signature=" + previous.encode()
        out += head + b"\r\n" + (chunk + b"\r\n" if chunk else b"")
    lines = "".join(f"{n}:{v}\n" for n, v in (trailers or {}).items())
    out += lines.replace("\n", "\r\n").encode()
    if kind == SIGNED_TRAILER:
        signature = sign("AWS4-HMAC-SHA256-TRAILER", sha256(lines.encode()).hexdigest())
        out += b"x-amz-trailer-signature:" + signature.encode() + b"\r\n"
    return out + b"\r\n"


def put(body: Any, kind: str, length: int, trailers: Any = ()) -> HttpRequest:
    headers = {
        "x-amz-content-sha256": kind,
        "x-amz-decoded-content-length": str(length),
        "content-encoding": "gzip,aws-chunked",
        "content-length": "999",
    }
    if trailers:
        headers["x-amz-trailer"] = ",".join(trailers)
    return HttpRequest("PUT", "/b/k", "", headers, body)


def opened(request: HttpRequest) -> HttpRequest:
    open_payload(request, request.headers["x-amz-content-sha256"], CLAIM, KEY)
    return request


async def drained(request: HttpRequest) -> bytes:
    return b"".join([piece async for piece in request.body])


@pytest.mark.parametrize("kind", [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a_whole_body_becomes_its_bytes_and_its_trailers_headers(kind) -> None:
    """So that x-amz-checksum-* decodes as a member, however it was sent."""
    chunks = [b"a" * 8192, b"b" * 100]
    body = b"".join(chunks)
    trailers = {} if kind == SIGNED_CHUNKS else {"x-amz-checksum-crc32": crc32(body)}
    request = opened(put(encode(chunks, kind, trailers), kind, len(body), trailers))
    assert request.body == body
    assert request.headers.get("x-amz-checksum-crc32") == trailers.get("x-amz-checksum-crc32")
    assert request.headers["content-length"] == str(len(body))
    assert request.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("kind", [SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a_stream_has_its_trailers_at_its_end(kind) -> None:
    chunks = [b"x" * 200_000, b"y" * 70_000]
    body = b"".join(chunks)
    trailers = {"x-amz-checksum-crc32": crc32(body)}
    request = opened(put(Arriving(encode(chunks, kind, trailers)), kind, len(body), trailers))
    assert request.body.size_bytes == len(body)
    assert asyncio.run(drained(request)) == body
    assert request.body.trailers == trailers


@settings(max_examples=100, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    kind=st.sampled_from([SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER]),
    cut=st.integers(1, 40),
)
def test_it_does_not_matter_where_the_network_cuts(chunks, kind, cut) -> None:
    body = b"".join(chunks)
    trailers = {} if kind == SIGNED_CHUNKS else {"x-amz-checksum-crc32": crc32(body)}
    raw = encode(chunks, kind, trailers)
    claim = None if kind == UNSIGNED_TRAILER else CLAIM
    decoder = AwsChunked(len(body), frozenset(trailers), claim, KEY)
    pieces = [p for at in range(0, len(raw), cut) for p in decoder.feed(raw[at : at + cut])]
    decoder.finish()
    assert b"".join(pieces) == body
    assert decoder.trailers == trailers


@settings(max_examples=200, deadline=None)
@given(data=st.data(), stream=st.booleans())
def test_no_byte_of_a_signed_body_can_be_changed(data, stream) -> None:
    """Data, sizes, trailers and signatures: every byte hangs on the chain of signatures."""
    chunks = [b"first chunk", b"second"]
    body = b"".join(chunks)
    trailers = {"x-amz-checksum-crc32": crc32(body)}
    raw = encode(chunks, SIGNED_TRAILER, trailers)
    at = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))
    changed = raw[:at] + bytes([byte]) + raw[at + 1 :]
    request = put(Arriving(changed) if stream else changed, SIGNED_TRAILER, len(body), trailers)
    try:
        got = opened(request).body
        if stream:
            got = asyncio.run(drained(request))
    except Fault:
        return
    # what is left: the case of a hex size or of a trailer's name, or a space before its value
    assert got == body
    assert raw[at : at + 1].lower() == bytes([byte]).lower()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda raw: raw[:-2], "IncompleteBody"),
        (lambda raw: raw[: len(raw) // 2], "IncompleteBody"),
        (lambda raw: raw + b"x", "InvalidRequest"),
        (lambda raw: raw.replace(b"b\r\n", b"a\r\n", 1), "InvalidRequest"),
        (
            lambda raw: raw.replace(b"x-amz-checksum-crc32", b"x-amz-checksum-sha1"),
            "MalformedTrailerError",
        ),
        (lambda raw: raw.replace(b"\r\n", b"\n"), "InvalidRequest"),
        (lambda raw: b"zz" + raw, "InvalidRequest"),
        (lambda raw: b"1" * 9000 + raw, "InvalidRequest"),
    ],
)
def test_a_broken_unsigned_body_is_refused(change, code) -> None:
    body = b"hello world"
    trailers = {"x-amz-checksum-crc32": crc32(body)}
    raw = change(encode([body], UNSIGNED_TRAILER, trailers))
    with pytest.raises(Fault) as caught:
        opened(put(raw, UNSIGNED_TRAILER, len(body), trailers))
    assert caught.value.code == code


@pytest.mark.parametrize("declared", [10, 12])
def test_the_decoded_length_must_be_true(declared) -> None:
    raw = encode([b"hello world"], SIGNED_CHUNKS)
    with pytest.raises(Fault) as caught:
        opened(put(raw, SIGNED_CHUNKS, declared))
    assert caught.value.code == "IncompleteBody"


def test_a_declared_hash_must_be_the_bodys() -> None:
    for body in (b"other", Arriving(b"x" * 200_000)):
        request = put(body, sha256(b"this").hexdigest(), 5)
        with pytest.raises(Fault) as caught:
            opened(request)
            asyncio.run(drained(request))
        assert caught.value.code == "XAmzContentSHA256Mismatch"


def test_pieces_are_heard_when_they_arrive() -> None:
    """Hashes need not wait until a service has its turn to read."""

    async def arriving() -> None:
        whole = b"one" + b"two" * 50_000 + b"three"
        source = Incoming(Counted(len(whole)), *[lambda: None] * 3)
        request = opened(put(source, sha256(whole).hexdigest(), 0))
        source.feed(whole[:3])
        early: list[bytes] = []
        assert hear(request.body, early.append)
        assert early == [b"one"]
        source.feed(whole[3:150_003])
        assert b"".join(early) == whole[:150_003]  # nobody has read yet
        source.feed(whole[150_003:])
        assert await drained(request) == whole == b"".join(early)
        chunked = put(Arriving(b""), UNSIGNED_TRAILER, 0)
        assert not hear(
            opened(chunked).body, early.append
        )  # its pieces are made when they are read

    asyncio.run(arriving())
