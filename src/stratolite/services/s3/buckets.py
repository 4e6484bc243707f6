"""Buckets: create, head, list, delete, and where they are."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from stratolite import regions
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import analysis, grants, names, state
from stratolite.services.s3.entry import (
    ALL_BLOCKED,
    CANNED_ACLS,
    ENFORCED,
    bucket_of,
)
from stratolite.services.s3.faults import invalid_argument, no_such_key, not_offered
from stratolite.services.s3.grants import owner
from stratolite.services.s3.metadata_tables import forget
from stratolite.services.s3.worker import put_sweep

OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
ACCOUNT_BUCKETS_MAX = 10_000
_READS = frozenset({"GetObject", "HeadObject", "GetObjectAttributes"})


class Buckets(Service):
    def create_bucket(self, call: Call, request: Request) -> Response:
        name = request["Bucket"]
        region = _region(call, request)
        namespace = request.get("BucketNamespace") or "global"
        if namespace not in ("global", names.ACCOUNT_REGIONAL):
            raise invalid_argument(
                "Invalid x-amz-bucket-namespace header", "x-amz-bucket-namespace", namespace
            )
        names.check_bucket_name(name, namespace, call.account, region)
        given = grants.of_headers(request)
        ownership = request.get("ObjectOwnership", ENFORCED)
        if ownership not in OWNERSHIPS:
            raise Fault(
                "InvalidArgument",
                f"Invalid x-amz-object-ownership header: {ownership}",
                status=400,
                ArgumentName="x-amz-object-ownership",
            )
        acl = request.get("ACL") or "private"
        if acl not in CANNED_ACLS:
            raise invalid_argument("", "x-amz-acl", acl)
        if (acl != "private" or given is not None) and ownership == ENFORCED:
            raise Fault(
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                status=400,
            )
        if grants.is_public(acl if given is None else given):
            # https://aws.amazon.com/blogs/aws/heads-up-amazon-s3-security-changes-are-coming-in-april-of-2023/
            raise Fault(
                "InvalidBucketAclWithBlockPublicAccessError",
                "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
                status=400,
            )
        token = request.get("_token")  # of our CloudFormation step; nothing from outside carries it
        old = state.bucket(call.tx, name)
        if old is not None:
            if token is not None and old.account == call.account:
                if state.config(call.tx, old, "made-by") != token:
                    raise _owned_by_you(name)
                return {"Location": _location(call, name, region)}
            return _exists_already(call, old, region)
        bucket = state.make_bucket(call.tx, name, call.account, region, ownership)
        state.put_config(call.tx, bucket, "public-access-block", ALL_BLOCKED)
        if token is not None:
            state.put_config(call.tx, bucket, "made-by", token)
        if given is not None or acl != "private":
            state.put_config(call.tx, bucket, "acl", acl if given is None else given)
        if request.get("ObjectLockEnabledForBucket"):
            state.put_bucket(call.tx, bucket, versioning="Enabled", on=bucket.on | {"object-lock"})
            bucket = state.bucket(call.tx, name) or bucket
            state.put_config(call.tx, bucket, "object-lock", {"ObjectLockEnabled": "Enabled"})
        tags = names.tags_of_set(
            (request.get("CreateBucketConfiguration") or {}).get("Tags") or (), bucket=True
        )
        if tags:
            state.put_config(call.tx, bucket, "tagging", tags)
        return {"Location": _location(call, name, region), "BucketArn": f"arn:aws:s3:::{name}"}

    def head_bucket(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        return {
            "BucketArn": f"arn:aws:s3:::{bucket.name}",
            "BucketRegion": bucket.region,
            "AccessPointAlias": False,
        }

    def beside_refusal(
        self, call: Call, operation: str, request: Request, *, explicit: bool
    ) -> dict[str, Any]:
        """Whoever may not see a bucket still learns its region: SDKs and Terraform ask for it without credentials.

        And whoever may list a key, if not read it, learns that it is not there.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        """
        if operation in _READS and not explicit and not request.get("VersionId"):
            self._say_if_missing(call, request)
        if operation != "HeadBucket":
            return {}
        return {"_headers": [("x-amz-bucket-region", bucket_of(call, request).region)]}

    def _say_if_missing(self, call: Call, request: Request) -> None:
        """Raises NoSuchKey for a key that is not there and that the caller may list."""
        bucket = state.bucket(call.tx, request["Bucket"])
        if bucket is None or state.head(call.tx, bucket, names.key_bytes(request["Key"])):
            return
        try:
            asked = {"Bucket": request["Bucket"], "Prefix": request["Key"]}
            self.cloud.authorize(call, self, "ListObjectsV2", asked)
        except Fault:
            return
        raise no_such_key(request["Key"])

    def get_bucket_location(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        if bucket.region == "us-east-1":
            return {}
        return {"LocationConstraint": bucket.region}

    def delete_bucket(self, call: Call, request: Request) -> Response:
        """Uploads in progress go with it, in the background."""
        bucket = bucket_of(call, request)
        if state.has_objects(call.tx, bucket):
            more = ". You must delete all versions in the bucket." if bucket.versioning else ""
            raise Fault(
                "BucketNotEmpty",
                f"The bucket you tried to delete is not empty{more}",
                status=409,
                BucketName=bucket.name,
            )
        if next(call.tx.scan(bucket.uploads.span()), None) is not None:
            put_sweep(self.cloud, call.tx, bucket, "")
        forget(call.tx, bucket)
        analysis.forget(call.tx, bucket)
        state.delete_bucket(call.tx, bucket)
        return {}

    def list_buckets(self, call: Call, request: Request) -> Response:
        most = request.get("MaxBuckets")
        if most is not None and not 1 <= most <= ACCOUNT_BUCKETS_MAX:
            raise invalid_argument(
                "Argument maxBuckets must be an integer between 1 and 10000", "max-buckets", most
            )
        prefix, region = request.get("Prefix") or "", request.get("BucketRegion")
        if region and region not in regions.beside(call.region):
            raise Fault(
                "InvalidArgument",
                f"Argument value {region} is not a valid AWS Region",
                status=400,
                ArgumentName="bucket-region",
            )
        after = _after(request.get("ContinuationToken"))
        shown: list[dict[str, Any]] = []
        response: Response = {"Owner": owner(call.account), "Buckets": shown}
        for name, bucket_region in state.own_buckets(call.tx, call.account, prefix, after):
            if region and bucket_region != region:
                continue
            if len(shown) == (most or ACCOUNT_BUCKETS_MAX):
                token = urlsafe_b64encode(shown[-1]["Name"].encode()).decode()
                response["ContinuationToken"] = token
                break
            bucket = state.bucket(call.tx, name)
            assert bucket is not None, name
            one = {
                "Name": name,
                "CreationDate": float(bucket.created_ms // 1000),
                "BucketArn": f"arn:aws:s3:::{name}",
            }
            if most is not None or prefix or region:  # only the paged form says more
                one["BucketRegion"] = bucket_region
            shown.append(one)
        if prefix:
            response["Prefix"] = prefix
        return response


def _exists_already(call: Call, old: state.Bucket, region: str) -> Response:
    if old.account != call.account:
        raise Fault(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users "
            "of the system. Please select a different name and try again.",
            status=409,
            BucketName=old.name,
        )
    if region == "us-east-1" and old.region == "us-east-1":
        return {"Location": f"/{old.name}", "BucketArn": f"arn:aws:s3:::{old.name}"}
    raise _owned_by_you(old.name)


def _owned_by_you(name: str) -> Fault:
    return Fault(
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        status=409,
        BucketName=name,
    )


def _region(call: Call, request: Request) -> str:
    """The region asked for, which must be the one the request was signed for (us-east-1 takes any)."""
    asked = request.get("CreateBucketConfiguration") or {}
    for member in ("Location", "Bucket"):
        if asked.get(member) is not None:
            raise not_offered(f"parameter CreateBucketConfiguration.{member}")
    constraint = asked.get("LocationConstraint")
    if not constraint:
        if call.region != "us-east-1":
            raise Fault(
                "IllegalLocationConstraintException",
                "The unspecified location constraint is incompatible for the region specific endpoint "
                "this request was sent to.",
                status=400,
            )
        return "us-east-1"
    region = "eu-west-1" if constraint == "EU" else constraint
    if call.region not in (region, "us-east-1"):
        raise Fault(
            "IllegalLocationConstraintException",
            f"The {constraint} location constraint is incompatible for the region specific endpoint "
            "this request was sent to.",
            status=400,
        )
    if constraint == "us-east-1" or region not in regions.beside(call.region):
        raise Fault(
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
            status=400,
            LocationConstraint=constraint,
        )
    return str(region)


def _location(call: Call, name: str, region: str) -> str:
    return f"/{name}" if region == "us-east-1" else f"{call.endpoint}/{name}/"


def _after(token: str | None) -> str:
    if token is None:
        return ""
    try:
        return urlsafe_b64decode(token.encode("ascii")).decode()
    except ValueError:
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token
        ) from None
