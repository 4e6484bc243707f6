"""Tables that services of AWS keep, and what S3 asks about tables; no request from outside names these operations.

S3 Metadata's tables are in the table bucket ``aws-s3``, or, as its first version has them, in one of the customer's own.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-aws-managed-buckets.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.service import Call, Request, Response
from stratolite.services.s3tables import names, state
from stratolite.services.s3tables.buckets import new_bucket, put_namespace
from stratolite.services.s3tables.names import Place
from stratolite.services.s3tables.settings import Settings, policies_of
from stratolite.services.s3tables.state import Name
from stratolite.services.s3tables.tables import Found, make_table, write_first

_WRITING = [
    "s3tables:GetTable",
    "s3tables:GetTableData",
    "s3tables:GetTableMetadataLocation",
    "s3tables:PutTableData",
    "s3tables:UpdateTableMetadataLocation",
]


class Managed(Settings):
    def keep_managed_table(self, call: Call, asked: Request) -> Response:
        """Make a table that ``asked["Service"]`` keeps, in a bucket of its own or the customer's. Answers {TableArn}.

        ``asked``: {Bucket, Namespace, Name, Id, Service, Schema: as CreateTable's iceberg, Encryption?}. Raises NotFound for
        a customer's bucket that is not there, Conflict for a table that is.
        """
        where = Place(call.account, call.region, asked["Bucket"])
        bucket = state.bucket(call.tx, where.keys, where.bucket)
        if bucket is None:
            if where.bucket != names.MANAGED_BUCKET:
                raise names.no_bucket()
            bucket = new_bucket(call, "aws")
            state.put_bucket(call.tx, where.keys, where.bucket, bucket)
        name = Name(where.bucket, asked["Namespace"], asked["Name"])
        if state.namespace(call.tx, where.keys, where.bucket, name.namespace) is None:
            put_namespace(call, where, name.namespace)
        if state.table(call.tx, where.keys, name) is not None:
            raise names.conflict("A table with an identical name already exists in the namespace.")
        found = make_table(
            call,
            where,
            name,
            kind="aws",
            encryption=asked.get("Encryption")
            or bucket.get("encryption")
            or {"sseAlgorithm": "AES256"},
            storage="STANDARD",
            tags={},
            service=asked["Service"],
            table_id=asked["Id"],
        )
        write_first(call, found, asked["Schema"])
        return {"TableArn": found.arn}

    def rules_of_table(self, call: Call, asked: Request) -> Response:
        """The policies that say who may read and write the files of the table ``asked["Arn"]``: {Policy}, "" for none."""
        return {"Policy": self.resource_policy(call, asked["Arn"]) or ""}

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """Of the table and its bucket together; maintenance and the service that keeps a table may write it unless they say no."""
        match = names.place_of(resource)
        if match is None:
            return None
        bucket = state.bucket(call.tx, match.keys, match.bucket)
        if bucket is None:
            return None
        found: Found | None = None
        if match.table:
            name = state.by_id(call.tx, match.keys, match.bucket, match.table)
            record = None if name is None else state.table(call.tx, match.keys, name)
            if name is not None and record is not None:
                found = Found(match._replace(table=""), name, record)
        statements: list[Any] = []
        for text in policies_of(bucket, found):
            said = orjson.loads(text)["Statement"]
            statements += said if isinstance(said, list) else [said]
        if found is not None:
            keepers = [names.MAINTENANCE_SERVICE]
            if "service" in found.record:
                keepers.append(found.record["service"])
            statements.append(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": keepers},
                    "Action": _WRITING,
                    "Resource": found.arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": match.account}},
                }
            )
        if not statements:
            return None
        return orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()
