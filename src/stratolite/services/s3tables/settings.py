"""What is set on table buckets and tables: policies, encryption, storage class, tags.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-resource-based-policies.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-kms-encryption.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.policy.document import Document, Malformed
from stratolite.service import Call, Request, Response
from stratolite.services.s3tables import names, state
from stratolite.services.s3tables.buckets import check_owned, checked_encryption
from stratolite.services.s3tables.names import Place
from stratolite.services.s3tables.tables import Found, Tables

TAGS_COUNT_MAX = 50
_PLAIN = {"sseAlgorithm": "AES256"}


class Settings(Tables):
    # -- policies

    def put_table_bucket_policy(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        policy = _checked_policy(request["resourcePolicy"], where.arn)
        _put_bucket(call, where, {**record, "policy": policy})
        return {}

    def get_table_bucket_policy(self, call: Call, request: Request) -> Response:
        _, record = self._bucket(call, request)
        if "policy" not in record:
            raise Fault("NotFoundException", "The specified bucket policy does not exist.")
        return {"resourcePolicy": record["policy"]}

    def delete_table_bucket_policy(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        _put_bucket(call, where, {k: v for k, v in record.items() if k != "policy"})
        return {}

    def put_table_policy(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        found.put(call, policy=_checked_policy(request["resourcePolicy"], found.arn))
        return {}

    def get_table_policy(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        if "policy" not in found.record:
            raise Fault("NotFoundException", "The specified table policy does not exist.")
        return {"resourcePolicy": found.record["policy"]}

    def delete_table_policy(self, call: Call, request: Request) -> Response:
        self._table(call, request).put(call, policy=None)
        return {}

    # -- encryption: of what is made from now on; a table's own is settled when it is made

    def put_table_bucket_encryption(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        encryption = checked_encryption(request["encryptionConfiguration"])
        _put_bucket(call, where, {**record, "encryption": encryption})
        return {}

    def get_table_bucket_encryption(self, call: Call, request: Request) -> Response:
        _, record = self._bucket(call, request)
        return {"encryptionConfiguration": record.get("encryption", _PLAIN)}

    def delete_table_bucket_encryption(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        _put_bucket(call, where, {k: v for k, v in record.items() if k != "encryption"})
        return {}

    def get_table_encryption(self, call: Call, request: Request) -> Response:
        return {"encryptionConfiguration": self._table(call, request).record["encryption"]}

    # -- storage class

    def put_table_bucket_storage_class(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        storage = request["storageClassConfiguration"]["storageClass"]
        _put_bucket(call, where, {**record, "storage": storage})
        return {}

    def get_table_bucket_storage_class(self, call: Call, request: Request) -> Response:
        _, record = self._bucket(call, request)
        return {"storageClassConfiguration": {"storageClass": record.get("storage", "STANDARD")}}

    def get_table_storage_class(self, call: Call, request: Request) -> Response:
        storage = self._table(call, request).record["storage"]
        return {"storageClassConfiguration": {"storageClass": storage}}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        before = self._tags(call, request["resourceArn"])
        wanted = {**before, **request["tags"]}
        if len(wanted) > TAGS_COUNT_MAX:
            raise names.bad(f"A resource can have at most {TAGS_COUNT_MAX} tags.")
        if any(key.lower().startswith("aws:") for key in request["tags"]) and not call.via:
            raise names.bad("Tag keys must not start with aws:.")
        self._put_tags(call, request["resourceArn"], wanted)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        before = self._tags(call, request["resourceArn"])
        wanted = {k: v for k, v in before.items() if k not in request["tagKeys"]}
        self._put_tags(call, request["resourceArn"], wanted)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"tags": self._tags(call, request["resourceArn"])}

    def _tags(self, call: Call, arn: str) -> dict[str, str]:
        where = names.place(call, arn)
        if where.table:
            return dict(self._table_of(call, where).record["tags"])
        return dict(self._bucket(call, {"tableBucketARN": arn})[1]["tags"])

    def _put_tags(self, call: Call, arn: str, tags: dict[str, str]) -> None:
        where = names.place(call, arn)
        if where.table:
            self._table_of(call, where).put(call, tags=tags)
            return
        where, record = self._bucket(call, {"tableBucketARN": arn})
        _put_bucket(call, where, {**record, "tags": tags})


def _put_bucket(call: Call, where: Place, record: state.Record) -> None:
    state.put_bucket(call.tx, where.keys, where.bucket, record)


def _checked_policy(text: str, arn: str) -> str:
    """Raises BadRequest for what is no policy, or one about something else."""
    try:
        document = Document.parse(text, has_principal=True)
    except Malformed as error:
        raise names.bad(f"The specified policy is not valid: {error}") from error
    for statement in document.statements:
        if not all(a == "*" or a.lower().startswith("s3tables:") for a in statement.actions):
            raise names.bad("The specified policy is not valid: Policy has invalid action")
        for resource in statement.resources:
            if resource != "*" and not resource.startswith(arn):
                raise names.bad("The specified policy is not valid: Policy has invalid resource")
    return text


def policies_of(bucket: state.Record, found: Found | None) -> list[Any]:
    """The policies that have a say: the table bucket's, the table's."""
    given = [bucket.get("policy"), None if found is None else found.record.get("policy")]
    return [text for text in given if text]
