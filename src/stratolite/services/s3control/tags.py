"""TagResource, UntagResource and ListTagsForResource of buckets, access points and what S3 Access Grants has.

A bucket's are S3's own bucket tags under S3 Control's API: one set, whichever API asks. The caller needs
s3:PutBucketTagging or s3:GetBucketTagging besides s3:TagResource or s3:ListTagsForResource: it is those operations that
are asked. Where tags decide who may do what (ABAC) this is the only way to change them.

Source  https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, tag_list
from stratolite.services.s3control import grants, state
from stratolite.services.s3control.jobs import check_account
from stratolite.services.s3control.points import AccessPoints, given_tags

_BUCKET = "arn:aws:s3:::"


class Tags(AccessPoints):
    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"Tags": tag_list(self._tags(call, *_thing(call, request)))}

    def tag_resource(self, call: Call, request: Request) -> Response:
        kind, name = _thing(call, request)
        tags = {**self._tags(call, kind, name), **given_tags(request["Tags"])}
        self._put(call, kind, name, tags)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        kind, name = _thing(call, request)
        gone = set(request["TagKeys"])
        kept = {k: v for k, v in self._tags(call, kind, name).items() if k not in gone}
        self._put(call, kind, name, kept)
        return {}

    def _tags(self, call: Call, kind: str, name: str) -> dict[str, str]:
        if kind == "point":
            return self._tags_of_point(call, name)
        if kind == "grants":
            return dict(_granting(call, name)[0]["tags"])
        try:
            found = call.invoke("s3", "GetBucketTagging", {"Bucket": name})
        except Fault as fault:
            if fault.code == "NoSuchBucket":
                raise _nothing() from fault
            if fault.code != "NoSuchTagSet":
                raise
            return {}
        return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}

    def _put(self, call: Call, kind: str, name: str, tags: dict[str, str]) -> None:
        if kind == "point":
            self._put_tags_of_point(call, name, tags)
            return
        if kind == "grants":
            record, put = _granting(call, name)
            put(call.tx, state.space(call.account, call.region), {**record, "tags": tags})
            return
        asked: Request = {"Bucket": name, "_control": True}
        if tags:
            call.invoke("s3", "PutBucketTagging", asked | {"Tagging": {"TagSet": tag_list(tags)}})
        else:
            call.invoke("s3", "DeleteBucketTagging", asked)


def _thing(call: Call, request: Request) -> tuple[str, str]:
    """("bucket", "point" or "grants", its name) of an ARN; of grants what stands behind their instance."""
    check_account(call, request)
    arn = str(request["ResourceArn"])
    name = arn.removeprefix(_BUCKET)
    if arn.startswith(_BUCKET) and "/" not in name:
        return "bucket", name
    point = arn.removeprefix(f"arn:aws:s3:{call.region}:{call.account}:accesspoint/")
    if point != arn and "/" not in point:
        return "point", point
    instance = grants.arn(call.region, call.account)
    if arn == instance or arn.startswith(f"{instance}/"):
        return "grants", arn.removeprefix(instance)
    raise Fault(
        "NotImplemented",
        f"s3control: tags of {arn} are not offered by Stratolite; those of buckets, access points and access grants are",
        status=501,
    )


def _granting(call: Call, name: str) -> tuple[dict[str, Any], Callable[..., None]]:
    """(record, what puts another one) of an instance, a location or a grant of S3 Access Grants."""
    rows, rest = state.space(call.account, call.region), name.split("/")[1:]
    put: Callable[..., None] = state.put_grant
    if not rest:
        found, put = state.instance(call.tx, rows), state.put_instance
    elif len(rest) == 2 and rest[0] == "location":
        found, put = state.location(call.tx, rows, rest[1]), state.put_location
    else:
        found = state.access_grant(call.tx, rows, rest[-1])
    if found is None:
        raise _nothing()
    return found, put


def _nothing() -> Fault:
    return Fault("NoSuchResource", "The specified resource doesn't exist.", status=404)
