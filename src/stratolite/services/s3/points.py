"""Access points: further names of a bucket, each with a policy of its own; S3 Control makes and drops them.

An access point NAME of ACCOUNT is found as ``NAME-ACCOUNT`` (as SDKs write its ARN into the host), by its alias, and by its ARN.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points.html
"""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import state
from stratolite.services.s3.entry import ALL_BLOCKED
from stratolite.services.s3.faults import no_such_bucket
from stratolite.services.s3.public import is_public
from stratolite.services.s3.state import Bucket, Point


def alias_of(arn: str) -> str:
    """``NAME-ACCOUNT`` of ``arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME[/object/KEY]``, "" for no such ARN."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or not parts[5].startswith("accesspoint/"):
        return ""
    return f"{parts[5].split('/')[1]}-{parts[4]}"


def is_closed_to(call: Call, bucket: Bucket) -> bool:
    """RestrictPublicBuckets: the public policy of the access point that was named says nothing to this caller."""
    who, point = call.principal, bucket.point
    assert point is not None
    own = point.arn.split(":")[4]  # which may be another's than the bucket
    if who.account == own or who.kind == "service" or not point.policy:
        return False
    if "RestrictPublicBuckets" in point.open:
        return False
    return is_public(point.policy)


class Points(Service):
    def keep_access_point(self, call: Call, asked: Request) -> Response:
        """``asked``: {Arn, Bucket, Owner: its account, Policy or None, Alias, Tags, Open: names of what its block leaves open}.

        An access point of another's bucket gives nobody anything that the bucket's policy does not.
        Answers {Region, IsPublic}. Raises NoSuchBucket, AccessDenied for a bucket of another account than was said and
        for a public policy that is blocked.
        """
        bucket = state.bucket(call.tx, asked["Bucket"])
        if bucket is None or bucket.point is not None:
            raise no_such_bucket(asked["Bucket"])
        if bucket.account != asked["Owner"]:
            raise Fault("AccessDenied", "Access Denied", status=403)
        point = Point(
            asked["Arn"], bucket.name, asked["Policy"], asked["Tags"], tuple(asked["Open"])
        )
        public = point.policy is not None and is_public(point.policy)
        blocked = (state.account_block(call.tx, call.account) or {}).get("BlockPublicPolicy")
        if asked["Fresh"] and public and ("BlockPublicPolicy" not in point.open or blocked):
            raise Fault("AccessDenied", "Access Denied", status=403)
        for name in (asked["Alias"], alias_of(asked["Arn"])):
            there = state.bucket(call.tx, name)
            if there is not None and (there.point is None or there.point.arn != point.arn):
                raise Fault("InvalidRequest", "The name is taken by a bucket", status=400)
            state.put_point(call.tx, name, point)
        return {"Region": bucket.region, "IsPublic": public}

    def drop_access_point(self, call: Call, asked: Request) -> Response:
        for name in (asked["Alias"], alias_of(asked["Arn"])):
            state.delete_point(call.tx, name)
        return {}

    def keep_account_block(self, call: Call, asked: Request) -> Response:
        """Answers the account's public access block as ``Block``, after it is set to ``asked["Put"]`` if that is there."""
        if "Put" in asked:
            given = asked["Put"]
            block = given and {name: bool(given.get(name)) for name in ALL_BLOCKED}
            state.put_account_block(call.tx, call.account, block)
        return {"Block": state.account_block(call.tx, call.account)}
