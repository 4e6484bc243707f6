"""Request bodies and what was signed about them: the SHA-256 of a body, and the aws-chunked coding.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html

    chunk    hex size [";chunk-signature=" 64 hex] CRLF  data CRLF
    last     a chunk of size 0, without data
    trailer  name ":" value CRLF ... ["x-amz-trailer-signature:" 64 hex CRLF] CRLF

Each chunk's signature covers the one before it, the first covers the request's.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from typing import Any

from stratolite.core.lanes import Hasher
from stratolite.errors import Fault
from stratolite.gateway.refusals import Refused
from stratolite.gateway.sigv4 import EMPTY_SHA256, UNSIGNED, Claim
from stratolite.http import BodyStream, HttpRequest, hear

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_STREAMING = frozenset({SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER})

_PIECES_COUNT_MAX = 16  # of one read handed on as they are; more are joined first
_HASHED_INLINE_BYTES_MAX = 64 << 10
_LINE_SIZE_BYTES_MAX = 8 << 10
_HEX_64 = re.compile(r"[0-9a-f]{64}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER = re.compile(rb"([A-Za-z0-9\-]{1,128}):[ \t]*([\x20-\x7e]*)")


def declared_hash(request: HttpRequest) -> str:
    """What an S3 request says its body hashes to. Raises Fault."""
    declared = request.headers.get("x-amz-content-sha256")
    if declared is None:
        raise Fault(
            "InvalidRequest",
            "Missing required header for this request: x-amz-content-sha256",
            status=400,
        )
    if declared == UNSIGNED or declared in _STREAMING or _HEX_64.fullmatch(declared):
        return declared
    if declared.startswith("STREAMING-AWS4-ECDSA-P256"):
        raise Fault(
            "NotImplemented",
            "Signature Version 4A (STREAMING-AWS4-ECDSA-P256-SHA256) is not offered by Stratolite",
            status=501,
        )
    raise Fault(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "or a valid sha256 value.",
        status=400,
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=declared,
    )


def open_payload(
    request: HttpRequest, declared: str, claim: Claim | None, signing_key: bytes
) -> None:
    """Make ``request.body`` what the service should see: checked against ``declared`` and decoded.

    A whole body is checked here, a stream as it is read. Of an aws-chunked body the trailers go into
    ``request.headers`` (whole) or ``request.body.trailers`` (stream, at its end). Raises Fault.
    """
    body = request.body
    if declared in _STREAMING:
        _open_chunked(request, declared, claim, signing_key)
    elif declared != UNSIGNED:
        if isinstance(body, bytes):
            actual = sha256(body).hexdigest() if body else EMPTY_SHA256
            if actual != declared:
                raise mismatch(declared, actual)
        else:
            request.body = _Hashed(body, declared)


def mismatch(declared: str, actual: str) -> Fault:
    return Fault(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        status=400,
        ClientComputedContentSHA256=declared,
        S3ComputedContentSHA256=actual,
    )


def _open_chunked(
    request: HttpRequest, declared: str, claim: Claim | None, signing_key: bytes
) -> None:
    headers, body = request.headers, request.body
    length = headers.get("x-amz-decoded-content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise Fault(
            "MissingContentLength", "You must provide the Content-Length HTTP header.", status=411
        )
    wanted = frozenset(
        name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()
    )
    signed = declared != UNSIGNED_TRAILER
    if signed and claim is None:
        raise Fault("AccessDenied", "Access Denied", status=403)
    decoder = AwsChunked(int(length), wanted, claim if signed else None, signing_key)
    headers["content-length"] = length
    headers.pop("transfer-encoding", None)
    codings = [c.strip() for c in headers.get("content-encoding", "").split(",")]
    kept = ",".join(c for c in codings if c and c.lower() != "aws-chunked")
    headers.pop("content-encoding", None)
    if kept:
        headers["content-encoding"] = kept
    if isinstance(body, bytes):
        request.body = b"".join(decoder.feed(body))
        decoder.finish()
        headers.update(decoder.trailers)
    else:
        request.body = _Decoded(body, decoder)


class AwsChunked:
    """Decodes one aws-chunked body; ``claim`` None when its chunks are not signed."""

    def __init__(
        self, size_bytes: int, wanted: frozenset[str], claim: Claim | None, signing_key: bytes
    ) -> None:
        self.size_bytes = size_bytes
        self.trailers: dict[str, str] = {}
        self._wanted = wanted
        self._claim, self._key = claim, signing_key
        self._previous = claim.signature if claim else ""
        self._state = "size"
        self._line = b""
        self._left = self._seen = 0
        self._expected = b""
        self._hash: Any = None
        self._trailer_lines: list[bytes] = []
        self._trailer_signature = ""

    def feed(self, data: bytes) -> list[bytes]:
        """Pieces of the body, handed on before their chunk's signature is known. Raises Fault."""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._state == "data":
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._claim:
                    self._hash.update(piece)
                pieces.append(piece)
                if not self._left:
                    self._state = "after"
                continue
            if self._state == "end":
                raise _broken("bytes after the last chunk")
            newline = data.find(b"\n", at)
            stop = end if newline < 0 else newline + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > _LINE_SIZE_BYTES_MAX:
                raise _broken("a chunk's head is too long")
            if newline >= 0:
                line, self._line = self._line, b""
                if line[-2:] != b"\r\n":
                    raise _broken("lines must end in CRLF")
                self._take(line[:-2])
        return pieces

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            found = _CHUNK.fullmatch(line)
            if not found or (found[2] is None) is not (self._claim is None):
                raise _broken("bad chunk head")
            self._left = int(found[1], 16)
            self._seen += self._left
            if self._seen > self.size_bytes:
                raise _wrong_length()
            if self._claim:
                self._expected = found[2]
                self._hash = sha256()
            if self._left:
                self._state = "data"
            else:
                self._check_chunk()
                self._state = "trailer"
        elif self._state == "after":
            if line:
                raise _broken("a chunk is longer than its size")
            self._check_chunk()
            self._state = "size"
        elif not line:
            self._state = "end"
        else:
            self._take_trailer(line)

    def _take_trailer(self, line: bytes) -> None:
        found = _TRAILER.fullmatch(line)
        if not found:
            raise Fault(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                status=400,
            )
        name, value = found[1].decode().lower(), found[2].decode().strip()
        if name == "x-amz-trailer-signature":
            self._trailer_signature = value
        elif name not in self._wanted or name in self.trailers:
            raise Fault(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                status=400,
            )
        else:
            self.trailers[name] = value
            self._trailer_lines.append(f"{name}:{value}\n".encode())

    def _check_chunk(self) -> None:
        if self._claim is None:
            return
        head = self._to_sign("AWS4-HMAC-SHA256-PAYLOAD")
        made = hmac.digest(
            self._key, f"{head}\n{EMPTY_SHA256}\n{self._hash.hexdigest()}".encode(), "sha256"
        ).hex()
        if not hmac.compare_digest(made.encode(), self._expected):
            raise _unsigned()
        self._previous = made

    def _to_sign(self, algorithm: str) -> str:
        assert self._claim is not None
        return f"{algorithm}\n{self._claim.stamp}\n{self._claim.scope.tail}\n{self._previous}"

    def finish(self) -> None:
        """Nothing more comes. Raises Fault unless the body is whole and as declared."""
        if self._state != "end" and not (
            self._state == "trailer" and not self._wanted and not self._line
        ):
            raise Fault("IncompleteBody", "The request body terminated unexpectedly", status=400)
        if self._seen != self.size_bytes:
            raise _wrong_length()
        if self._wanted != self.trailers.keys():
            raise Fault(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                status=400,
            )
        if self._claim and self._wanted:
            digest = sha256(b"".join(self._trailer_lines)).hexdigest()
            head = self._to_sign("AWS4-HMAC-SHA256-TRAILER")
            made = hmac.digest(self._key, f"{head}\n{digest}".encode(), "sha256").hex()
            if not hmac.compare_digest(made, self._trailer_signature):
                raise _unsigned()


class _Decoded:
    """An aws-chunked body still arriving, as the service reads it."""

    def __init__(self, source: BodyStream, decoder: AwsChunked) -> None:
        self._source, self._decoder = source, decoder
        self.size_bytes: int | None = decoder.size_bytes
        self.trailers: Mapping[str, str] = decoder.trailers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, feed = asyncio.get_running_loop(), self._decoder.feed
        async for data in self._source:
            if len(data) <= _HASHED_INLINE_BYTES_MAX:
                pieces = feed(data)
            else:
                pieces = await loop.run_in_executor(None, feed, data)
            if len(pieces) > _PIECES_COUNT_MAX:
                pieces = [b"".join(pieces)]
            for piece in pieces:
                yield piece
        self._decoder.finish()


class _Hashed:
    """A body still arriving whose SHA-256 was signed: its end is an error if it is another body."""

    def __init__(self, source: BodyStream, declared: str) -> None:
        self._source, self._declared = source, declared
        self.size_bytes = source.size_bytes
        self.trailers = source.trailers

    def hear(self, heard: Callable[[bytes], None]) -> bool:
        return hear(self._source, heard)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest = sha256()
        hasher = Hasher(digest.update)
        early = hear(self._source, hasher)
        async for data in self._source:
            if not early:
                hasher(data)
            await hasher.room()
            yield data
        await hasher.done()
        if digest.hexdigest() != self._declared:
            raise mismatch(self._declared, digest.hexdigest())


def _broken(why: str) -> Fault:
    return Fault("InvalidRequest", f"The aws-chunked body is malformed: {why}", status=400)


def _wrong_length() -> Fault:
    return Fault(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
        status=400,
    )


def _unsigned() -> Fault:
    return Refused("mismatch").fault("s3", "rest-xml")
