"""Names, ARNs and faults of S3 Tables.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-buckets-naming.html
         messages as AWS was recorded to give them by public test suites
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stratolite.core import Keyspace
from stratolite.errors import Fault
from stratolite.service import Call

MANAGED_BUCKET = "aws-s3"
METADATA_SERVICE = "metadata.s3.amazonaws.com"
MAINTENANCE_SERVICE = "maintenance.s3tables.amazonaws.com"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,254}")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-", "aws")
_SUFFIXES = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")
_ARN = re.compile(
    r"arn:aws:s3tables:([a-z0-9-]+):([0-9]{12}):bucket/([a-z0-9-]{3,63})(?:/table/([a-zA-Z0-9_-]+))?"
)


class Place(NamedTuple):
    """What an ARN names: a table bucket, or a table in it (``table`` is its id)."""

    account: str
    region: str
    bucket: str
    table: str = ""

    @property
    def keys(self) -> Keyspace:
        return Keyspace(self.account, self.region, "s3tables")

    @property
    def arn(self) -> str:
        start = f"arn:aws:s3tables:{self.region}:{self.account}:bucket/{self.bucket}"
        return f"{start}/table/{self.table}" if self.table else start


def place(call: Call, arn: str) -> Place:
    """Raises BadRequest for what is no such ARN, NotFound for one of another region."""
    found = place_of(arn)
    if found is None:
        raise bad("The specified ARN is not valid.")
    if found.region != call.region:
        raise no_bucket()
    return found


def place_of(arn: str) -> Place | None:
    """None for what is no ARN of a table or table bucket."""
    match = _ARN.fullmatch(arn)
    if match is None:
        return None
    region, account, bucket, table = match.groups()
    return Place(account, region, bucket, table or "")


def check_bucket(name: str) -> None:
    if not _BUCKET.fullmatch(name) or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        raise bad("The specified bucket name is not valid.")


def check_namespace(name: str) -> None:
    if not _NAME.fullmatch(name) or name.startswith("aws"):
        raise bad("The specified namespace name is not valid.")


def check_table(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise bad(
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy "
            "regular expression pattern: [0-9a-z_]*"
        )


def bad(message: str) -> Fault:
    return Fault("BadRequestException", message)


def conflict(message: str) -> Fault:
    return Fault("ConflictException", message)


def no_bucket() -> Fault:
    return Fault("NotFoundException", "The specified bucket does not exist.")


def no_namespace() -> Fault:
    return Fault("NotFoundException", "The specified namespace does not exist.")


def no_table() -> Fault:
    return Fault("NotFoundException", "The specified table does not exist.")


def read_only() -> Fault:
    """To whoever would change what a service of AWS keeps.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-aws-managed-buckets.html
    """
    return Fault(
        "ForbiddenException",
        "The table bucket is managed by AWS: it can be read, and changed by AWS services only.",
    )


def not_offered(what: str) -> Fault:
    return Fault(
        "NotImplemented",
        f"S3 Tables: {what} is not offered by Stratolite; see docs/coverage.md",
        status=501,
    )
