"""An inventory's file in columns, Parquet or ORC: what they are called, and what has them written (``inventory_child``).

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from stratolite.errors import Fault
from stratolite.runtime import jail

EXTENSIONS = {"Parquet": "parquet", "ORC": "orc"}
_PROGRAM = str(Path(__file__).with_name("inventory_child.py"))
_MEMORY_BYTES_MAX = 2 << 30
"""Address space; a file of 20,000 rows needs some 200 MB of it beyond pyarrow's own."""
_TIME_S_MAX = 120.0
_KINDS = {
    "IsLatest": "bool",
    "IsDeleteMarker": "bool",
    "IsMultipartUploaded": "bool",
    "Size": "int",
    "LastModifiedDate": "time",
    "ObjectLockRetainUntilDate": "time",
    "LifecycleExpirationDate": "time",
    "IntelligentTieringReferenceDate": "time",
}
_REQUIRED = ("Bucket", "Key")
_PARQUET = {
    "text": "binary {} (UTF8)",
    "bool": "boolean {}",
    "int": "int64 {}",
    "time": "int64 {} (TIMESTAMP_MILLIS)",
}
_ORC = {"text": "string", "bool": "boolean", "int": "bigint", "time": "timestamp"}


def is_there() -> bool:
    """Whether the package that writes them is installed."""
    return find_spec("pyarrow") is not None


def name_of(field: str) -> str:
    """``VersionId`` is version_id, ``ETag`` e_tag."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", field).lower()


def _kind(field: str) -> str:
    return _KINDS.get(field, "text")


def schema(form: str, fields: Sequence[str]) -> str:
    """The manifest's ``fileSchema``."""
    if form == "ORC":
        return f"struct<{','.join(f'{name_of(f)}:{_ORC[_kind(f)]}' for f in fields)}>"
    columns = [
        ("required " if f in _REQUIRED else "optional ") + _PARQUET[_kind(f)].format(name_of(f))
        for f in fields
    ]
    return f"message s3.inventory {{ {' '.join(f'{column};' for column in columns)} }}"


async def written(form: str, fields: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """The file; rows have their fields as CSV has them, "" where there is nothing. Raises Fault where the child fails."""
    kinds = [_kind(field) for field in fields]
    request = {
        "form": form,
        "columns": [(name_of(f), k, f in _REQUIRED) for f, k in zip(fields, kinds, strict=True)],
        "rows": [[_value(k, text) for k, text in zip(kinds, row, strict=True)] for row in rows],
    }
    return await asyncio.to_thread(_asked, msgspec.msgpack.encode(request))


def _value(kind: str, text: str) -> Any:
    if not text:
        return None
    if kind == "bool":
        return text == "true"
    if kind == "int":
        return int(text)
    if kind == "time":
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    return text


def _asked(request: bytes) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            jail.command(_PROGRAM, _MEMORY_BYTES_MAX, _TIME_S_MAX),
            input=request,
            capture_output=True,
            env=jail.ENVIRONMENT,
            cwd="/",
            timeout=_TIME_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"writing the inventory took longer than {_TIME_S_MAX:.0f} s"
        raise Fault("InternalError", message, status=500) from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        message = f"writing the inventory ended with {done.returncode}: {last[:300]}"
        raise Fault("InternalError", message, status=500)
    return done.stdout
