"""Where code comes from: a zip in the request or in S3, checked, unpacked, and kept as a blob."""

from __future__ import annotations

import asyncio
import base64
import hmac
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.http import Body, BodyStream, FileSlice
from stratolite.runtime import BadBundle
from stratolite.service import Call, Cloud, Request
from stratolite.services.lambda_.names import invalid, not_offered

ZIPPED_BYTES_MAX = 50 << 20
UNZIPPED_BYTES_MAX = 262_144_000
LINK_S = 600
_PURPOSE = "lambda:code"


class Code(NamedTuple):
    """A zip that is a finished blob and whose content is unpacked."""

    blob: str
    size: int
    sha256: str
    """Hex."""

    @property
    def sha256_base64(self) -> str:
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


async def fetch(call: Call, given: Request) -> Code:
    """The code of a Code member (or of UpdateFunctionCode). Raises Fault in AWS's words."""
    for field in ("ImageUri", "SourceKMSKeyArn"):
        if given.get(field):
            raise not_offered(field)
    if given.get("S3ObjectStorageMode", "COPY") != "COPY":
        raise not_offered("S3ObjectStorageMode")
    if "ZipFile" in given:
        zipped = given["ZipFile"]
        if len(zipped) > ZIPPED_BYTES_MAX:
            raise Fault(
                "RequestEntityTooLargeException",
                f"Zipped size must be smaller than {ZIPPED_BYTES_MAX} bytes",
                status=413,
            )
    elif given.get("S3Bucket") and given.get("S3Key"):
        zipped = await _from_s3(call, given)
    else:
        raise invalid("Please provide a source for function code.")
    try:
        sha256 = await call.cloud.runtime.bundles.unpack(zipped)
    except BadBundle as error:
        if error.too_large:
            raise invalid(
                f"Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes"
            ) from error
        raise invalid(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error
    writer = call.cloud.blobs.writer()
    await writer.write(zipped)
    blob = await writer.finish()
    return Code(blob.id, blob.size_bytes, sha256)


async def folder(cloud: Cloud, code: dict[str, Any]) -> str:
    """Where the code is unpacked; unpacked again from its blob if the cache lost it."""
    bundles = cloud.runtime.bundles
    found: str | None = bundles.folder(code["sha256"])
    if found is None:
        found = bundles.folder(await bundles.unpack(await cloud.blobs.read(code["blob"])))
        assert found is not None
    return found


async def layers_folder(cloud: Cloud, layers: list[dict[str, Any]]) -> list[str]:
    """One folder with the content of all layers, later ones over earlier ones; none without layers."""
    if not layers:
        return []
    for layer in layers:
        await folder(cloud, layer["code"])
    merged: str = await cloud.runtime.bundles.merged([layer["code"]["sha256"] for layer in layers])
    return [merged]


async def _from_s3(call: Call, given: Request) -> bytes:
    ask = {"Bucket": given["S3Bucket"], "Key": given["S3Key"]}
    if given.get("S3ObjectVersion"):
        ask["VersionId"] = given["S3ObjectVersion"]
    try:
        answer = await call.request("s3", "GetObject", ask)
    except Fault as fault:
        raise invalid(
            f"Error occurred while GetObject. S3 Error Code: {fault.code}. S3 Error Message:"
            f" {fault.message}"
        ) from fault
    return await collect(answer["Body"], UNZIPPED_BYTES_MAX)


async def collect(body: Body | BodyStream, most: int) -> bytes:
    """All of a body. Raises Fault beyond ``most`` bytes."""
    if isinstance(body, bytes):
        data = body
    elif isinstance(body, FileSlice):
        data = await asyncio.get_running_loop().run_in_executor(None, _read, body, most)
    else:
        found = bytearray()
        async for chunk in body:
            found += chunk
            if len(found) > most:
                break
        data = bytes(found)
    if len(data) > most:
        raise invalid(f"Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes")
    return data


def _read(part: FileSlice, most: int) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(min(part.size_bytes, most + 1))


# -- links to download it: base64url of JSON [blob, size, end_s, name], a dot, its HMAC in hex


def location(call: Call, name: str, code: dict[str, Any]) -> str:
    """A URL that gives the zip to whoever has it, for ``LINK_S``."""
    end_s = int(call.world.wall()) + LINK_S
    said = orjson.dumps([code["blob"], code["size"], end_s, name])
    text = base64.urlsafe_b64encode(said).decode().rstrip("=")
    return f"{call.endpoint}/_aws/lambda-code/{text}.{_sign(call.cloud, text)}/{name}.zip"


def opened(call: Call, token: str) -> tuple[str, int, str] | None:
    """Blob, size and function name of a link that holds; None for any other."""
    text, _, mark = token.partition(".")
    if not hmac.compare_digest(mark, _sign(call.cloud, text)):
        return None
    blob, size, end_s, name = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return (blob, size, name) if call.world.wall() < end_s else None


def _sign(cloud: Cloud, text: str) -> str:
    return hmac.digest(cloud.vault.derive(_PURPOSE), text.encode(), "sha256")[:16].hex()
