"""What S3 accepts as a bucket name, a key, a region, a tag set and a storage class.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from stratolite.errors import Fault
from stratolite.services.s3.faults import invalid_argument, malformed_xml, not_offered

KEY_SIZE_BYTES_MAX = 1024
OBJECT_TAGS_MAX = 10
BUCKET_TAGS_MAX = 50

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_TAG_TEXT = re.compile(r"[\w\s.:=+\-@/]*")

STORAGE_CLASSES = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "GLACIER",
        "DEEP_ARCHIVE",
    }
)
_ELSEWHERE_CLASSES = frozenset({"SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"})


def check_bucket_name(name: str, namespace: str, account: str, region: str) -> None:
    """For CreateBucket; the names of existing buckets are simply looked up."""
    ours = namespace_suffix(account, region)
    regional = namespace == ACCOUNT_REGIONAL
    if (
        not _BUCKET.fullmatch(name)
        or ".." in name
        or _IP_ADDRESS.fullmatch(name)
        or name.startswith(_PREFIXES)
        or name.endswith(_SUFFIXES)
        or (name.endswith("-an") and not regional)
        or (regional and (not name.endswith(ours) or name == ours))
    ):
        raise Fault(
            "InvalidBucketName", "The specified bucket is not valid.", status=400, BucketName=name
        )


ACCOUNT_REGIONAL = "account-regional"


def namespace_suffix(account: str, region: str) -> str:
    """What ends the names of buckets that only this account can make.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html
    """
    return f"-{account}-{region}-an"


def key_bytes(key: str) -> bytes:
    """The key as its UTF-8 bytes, in whose order objects are listed."""
    try:
        raw = key.encode()
    except UnicodeEncodeError:
        raise Fault(
            "InvalidURI", "Couldn't parse the specified URI.", status=400, URI=ascii(key)
        ) from None
    if len(raw) > KEY_SIZE_BYTES_MAX:
        raise Fault(
            "KeyTooLongError",
            "Your key is too long",
            status=400,
            MaxSizeAllowed=str(KEY_SIZE_BYTES_MAX),
            Size=str(len(raw)),
        )
    if not raw:
        raise invalid_argument("Object key must not be empty", "key", key)
    return raw


def check_storage_class(name: str) -> None:
    if name in STORAGE_CLASSES:
        return
    if name in _ELSEWHERE_CLASSES:
        raise not_offered(f"StorageClass {name}")
    raise Fault(
        "InvalidStorageClass",
        "The storage class you specified is not valid",
        status=400,
        StorageClassRequested=name,
    )


def tags_of_header(header: str) -> dict[str, str]:
    """``x-amz-tagging: a=1&b=2`` as a dict, checked."""
    try:
        pairs = parse_qsl(header, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates.",
            "x-amz-tagging",
            header,
        ) from None
    if len({key for key, _ in pairs}) != len(pairs) or not _is_query(header):
        raise invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates.",
            "x-amz-tagging",
            header,
        )
    return _checked(pairs, OBJECT_TAGS_MAX, "Object")


def _is_query(header: str) -> bool:
    """Whether each name has one value; LocalStack's recorded put-obj-wrong-format."""
    return all(pair.count("=") <= 1 for pair in header.split("&"))


def tags_of_set(tag_set: Iterable[Mapping[str, Any]], *, bucket: bool = False) -> dict[str, str]:
    """A TagSet of the API as a dict, checked."""
    pairs = []
    for tag in tag_set:
        if tag.get("Key") is None or tag.get("Value") is None:
            raise malformed_xml()
        pairs.append((tag["Key"], tag["Value"]))
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise Fault(
                "InvalidTag",
                "Cannot provide multiple Tags with the same key",
                status=400,
                TagKey=key,
            )
        seen.add(key)
    if bucket:
        return _checked(pairs, BUCKET_TAGS_MAX, "Bucket")
    return _checked(pairs, OBJECT_TAGS_MAX, "Object")


def tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _checked(pairs: list[tuple[str, str]], most: int, what: str) -> dict[str, str]:
    if len(pairs) > most:
        code = "BadRequest" if what == "Object" else "InvalidTag"
        raise Fault(code, f"{what} tags cannot be greater than {most}", status=400)
    for key, value in pairs:
        if not key or len(key) > 128 or not _TAG_TEXT.fullmatch(key):
            raise Fault(
                "InvalidTag", "The TagKey you have provided is invalid", status=400, TagKey=key
            )
        if len(value) > 256 or not _TAG_TEXT.fullmatch(value):
            raise Fault(
                "InvalidTag",
                "The TagValue you have provided is invalid",
                status=400,
                TagKey=key,
                TagValue=value,
            )
        if key.startswith("aws:"):
            raise Fault(
                "InvalidTag",
                "System tags cannot be added/updated by requester"
                if what == "Bucket"
                else "Your TagKey cannot be prefixed with aws:",
                status=400,
                TagKey=key,
            )
    return dict(pairs)
