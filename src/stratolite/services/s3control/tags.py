"""TagResource, UntagResource and ListTagsForResource of buckets: S3's own bucket tags under S3 Control's API.

One set of tags, whichever API asks. The caller needs
s3:PutBucketTagging or s3:GetBucketTagging besides s3:TagResource or s3:ListTagsForResource: it is those operations that are asked.

Source  https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
"""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, tag_list
from stratolite.services.s3control.job_rules import invalid
from stratolite.services.s3control.jobs import check_account

_BUCKET = "arn:aws:s3:::"


class Tags(Service):
    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"Tags": tag_list(_tags(call, _bucket(call, request)))}

    def tag_resource(self, call: Call, request: Request) -> Response:
        bucket = _bucket(call, request)
        given = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        if len(given) < len(request["Tags"]):
            raise invalid("Cannot provide multiple Tags with the same key")
        _put(call, bucket, {**_tags(call, bucket), **given})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        bucket = _bucket(call, request)
        gone = set(request["TagKeys"])
        _put(call, bucket, {k: v for k, v in _tags(call, bucket).items() if k not in gone})
        return {}


def _bucket(call: Call, request: Request) -> str:
    check_account(call, request)
    arn = str(request["ResourceArn"])
    name = arn.removeprefix(_BUCKET)
    if not arn.startswith(_BUCKET) or "/" in name:
        raise Fault(
            "NotImplemented",
            f"s3control: tags of {arn} are not offered by Stratolite; those of buckets are",
            status=501,
        )
    return name


def _tags(call: Call, bucket: str) -> dict[str, str]:
    try:
        found = call.invoke("s3", "GetBucketTagging", {"Bucket": bucket})
    except Fault as fault:
        if fault.code != "NoSuchTagSet":
            raise
        return {}
    return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}


def _put(call: Call, bucket: str, tags: dict[str, str]) -> None:
    if tags:
        tagging = {"TagSet": tag_list(tags)}
        call.invoke("s3", "PutBucketTagging", {"Bucket": bucket, "Tagging": tagging})
    else:
        call.invoke("s3", "DeleteBucketTagging", {"Bucket": bucket})
