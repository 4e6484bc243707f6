"""What can be set on a bucket about who may use it and how it looks: website, CORS, policy, tags, ACL, encryption."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy.document import Document, Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import cors, grants, names, policy_actions, state, website
from stratolite.services.s3.buckets import OWNERSHIPS
from stratolite.services.s3.encryption import KMS, blocks_customers
from stratolite.services.s3.entry import (
    ALL_BLOCKED,
    CANNED_ACLS,
    ENFORCED,
    NOTHING_BLOCKED,
    acl_not_supported,
    bucket_of,
    payload,
    public_access_block,
)
from stratolite.services.s3.faults import (
    access_denied,
    invalid_argument,
    invalid_request,
    malformed_xml,
)
from stratolite.services.s3.public import is_public
from stratolite.services.s3.state import Bucket

POLICY_SIZE_BYTES_MAX = 20 << 10
_AES256 = [
    {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": False,
    }
]


def _missing(code: str, message: str, bucket: Bucket) -> Fault:
    return Fault(code, message, status=404, BucketName=bucket.name)


class Configuration(Service):
    # -- website

    def get_bucket_website(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "website")
        if found is None:
            raise _missing(
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
                bucket,
            )
        return dict(found)

    def put_bucket_website(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "WebsiteConfiguration")
        website.check(wanted)
        state.put_config(call.tx, bucket, "website", wanted)
        return {}

    def delete_bucket_website(self, call: Call, request: Request) -> Response:
        return self._unset(call, request, "website")

    # -- cors

    def get_bucket_cors(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "cors")
        if found is None:
            raise _missing(
                "NoSuchCORSConfiguration", "The CORS configuration does not exist", bucket
            )
        return {"CORSRules": found}

    def put_bucket_cors(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        rules = payload(request, "CORSConfiguration").get("CORSRules") or []
        cors.check(rules)
        state.put_config(call.tx, bucket, "cors", rules)
        return {}

    def delete_bucket_cors(self, call: Call, request: Request) -> Response:
        return self._unset(call, request, "cors")

    # -- policy

    def get_bucket_policy(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        _check_owner(call, bucket)
        return {"Policy": self._policy(call, bucket)}

    def _policy(self, call: Call, bucket: Bucket) -> str:
        found: str | None = state.config(call.tx, bucket, "policy")
        if found is None:
            raise _missing("NoSuchBucketPolicy", "The bucket policy does not exist", bucket)
        return found

    def put_bucket_policy(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        _check_owner(call, bucket)
        text = payload(request, "Policy")
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        check_policy(call, bucket, text)
        if public_access_block(call, bucket)["BlockPublicPolicy"] and is_public(text):
            who, arn = call.principal.arn, f"arn:aws:s3:::{bucket.name}"
            raise Fault(
                "AccessDenied",
                f"User: {who} is not authorized to perform: s3:PutBucketPolicy on resource: "
                f'"{arn}" because public policies are blocked by the BlockPublicPolicy block public '
                "access setting.",
                status=403,
            )
        state.put_config(call.tx, bucket, "policy", text)
        state.put_bucket(call.tx, bucket, has_policy=True)
        return {"_status": 204}

    def delete_bucket_policy(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        _check_owner(call, bucket)
        state.put_bucket(call.tx, bucket, has_policy=False)
        return self._unset(call, request, "policy")

    def get_bucket_policy_status(self, call: Call, request: Request) -> Response:
        text = self._policy(call, bucket_of(call, request))
        return {"PolicyStatus": {"IsPublic": is_public(text)}}

    # -- tags

    def get_bucket_tagging(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "tagging")
        if not found:
            raise _missing("NoSuchTagSet", "The TagSet does not exist", bucket)
        return {"TagSet": names.tag_set(found)}

    def put_bucket_tagging(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        _check_tags_free(call, bucket, request)
        tags = names.tags_of_set(payload(request, "Tagging").get("TagSet") or (), bucket=True)
        state.put_config(call.tx, bucket, "tagging", tags)
        return {"_status": 204}

    def delete_bucket_tagging(self, call: Call, request: Request) -> Response:
        _check_tags_free(call, bucket_of(call, request), request)
        return self._unset(call, request, "tagging")

    # -- access by tags

    def get_bucket_abac(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        return {"AbacStatus": {"Status": state.config(call.tx, bucket, "abac") or "Disabled"}}

    def put_bucket_abac(self, call: Call, request: Request) -> Response:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html"""
        bucket = bucket_of(call, request)
        status = payload(request, "AbacStatus").get("Status")
        if status not in ("Enabled", "Disabled"):
            raise malformed_xml()
        state.put_config(call.tx, bucket, "abac", status)
        return {}

    # -- public access, ownership, ACL

    def get_public_access_block(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "public-access-block")
        if found is None:
            raise _missing(
                "NoSuchPublicAccessBlockConfiguration",
                "The public access block configuration was not found",
                bucket,
            )
        return {"PublicAccessBlockConfiguration": dict(found)}

    def put_public_access_block(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "PublicAccessBlockConfiguration")
        blocked = {**NOTHING_BLOCKED, **{k: bool(v) for k, v in wanted.items() if k in ALL_BLOCKED}}
        state.put_config(call.tx, bucket, "public-access-block", blocked)
        return {}

    def delete_public_access_block(self, call: Call, request: Request) -> Response:
        return self._unset(call, request, "public-access-block")

    def get_bucket_ownership_controls(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = bucket.ownership
        if found is None:
            raise _missing(
                "OwnershipControlsNotFoundError",
                "The bucket ownership controls were not found",
                bucket,
            )
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": found}]}}

    def put_bucket_ownership_controls(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        rules = payload(request, "OwnershipControls").get("Rules") or []
        if len(rules) != 1 or rules[0].get("ObjectOwnership") not in OWNERSHIPS:
            raise malformed_xml()
        wanted = rules[0]["ObjectOwnership"]
        acl = state.config(call.tx, bucket, "acl") or "private"
        own = grants.grants_of("private", bucket.account, bucket.account)
        if wanted == ENFORCED and grants.grants_of(acl, bucket.account, bucket.account) != own:
            raise Fault(
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                status=400,
            )
        state.put_bucket(call.tx, bucket, ownership=wanted)
        return {}

    def delete_bucket_ownership_controls(self, call: Call, request: Request) -> Response:
        state.put_bucket(call.tx, bucket_of(call, request), ownership="")
        return {}

    def get_bucket_acl(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        acl = state.config(call.tx, bucket, "acl")
        if acl is None:
            acl = "private"
        return grants.shown(acl, bucket.account, bucket.account)

    def put_bucket_acl(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        acl, given = request.get("ACL"), grants.of_headers(request)
        if "AccessControlPolicy" in request:
            if acl is not None or given is not None:
                raise grants.said_twice()
            given = grants.of_policy(request["AccessControlPolicy"], bucket.account)
        wanted = given if given is not None else acl
        if wanted is None:
            raise grants.missing()
        if acl is not None and acl not in CANNED_ACLS and acl != "log-delivery-write":
            raise invalid_argument("", "x-amz-acl", acl)
        if bucket.ownership == ENFORCED:
            own = grants.grants_of("private", bucket.account, bucket.account)
            if grants.grants_of(wanted, bucket.account, bucket.account) == own:
                return {}
            raise acl_not_supported()
        if grants.is_public(wanted) and public_access_block(call, bucket)["BlockPublicAcls"]:
            raise access_denied()
        state.put_config(call.tx, bucket, "acl", wanted)
        return {}

    # -- encryption

    def get_bucket_encryption(self, call: Call, request: Request) -> Response:
        """S3 has encrypted every object with AES256 since January 2023, whatever was set."""
        bucket = bucket_of(call, request)
        (rule,) = state.config(call.tx, bucket, "encryption") or _AES256
        if blocks_customers(call, bucket):
            rule = {**rule, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
        return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}

    def put_bucket_encryption(self, call: Call, request: Request) -> Response:
        """What says nothing of blocked types leaves them as they are."""
        bucket = bucket_of(call, request)
        rules = payload(request, "ServerSideEncryptionConfiguration").get("Rules") or []
        if len(rules) != 1:
            raise malformed_xml()
        by_default = rules[0].get("ApplyServerSideEncryptionByDefault") or {}
        only_blocks = not by_default and "BlockedEncryptionTypes" in rules[0]
        if only_blocks:
            by_default = {"SSEAlgorithm": "AES256"}
        algorithm = by_default.get("SSEAlgorithm")
        if algorithm not in ("AES256", *KMS):
            raise malformed_xml()
        key = by_default.get("KMSMasterKeyID")
        if key and algorithm == "AES256":
            raise invalid_argument(
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or "
                "aws:kms:dsse",
                "ApplyServerSideEncryptionByDefault",
                algorithm,
            )
        kept: dict[str, Any] = {"SSEAlgorithm": algorithm}
        if key:
            kept["KMSMasterKeyID"] = key
        rule: dict[str, Any] = {
            "ApplyServerSideEncryptionByDefault": kept,
            "BucketKeyEnabled": bool(rules[0].get("BucketKeyEnabled")),
        }
        blocks = blocks_customers(call, bucket)
        if blocked := (rules[0].get("BlockedEncryptionTypes") or {}).get("EncryptionType"):
            if blocked not in (["NONE"], ["SSE-C"]):
                raise malformed_xml()
            blocks = blocked == ["SSE-C"]
        if blocks != bucket.blocks_sse_c:
            state.put_bucket(call.tx, bucket, blocks_sse_c=blocks)
            bucket = bucket_of(call, request)
        if only_blocks:  # nobody asked for objects to be sealed
            state.delete_config(call.tx, bucket, "encryption")
        else:
            state.put_config(call.tx, bucket, "encryption", [rule])
        return {}

    def delete_bucket_encryption(self, call: Call, request: Request) -> Response:
        return self._unset(call, request, "encryption")

    def _unset(self, call: Call, request: Request, kind: str) -> Response:
        bucket = bucket_of(call, request)
        state.delete_config(call.tx, bucket, kind)
        return {}


def _check_tags_free(call: Call, bucket: Bucket, request: Request) -> None:
    """Where tags decide who may do what they are changed by S3 Control alone (``_control``: no wire carries it).

    AWS says that they cannot be changed otherwise, not with which words it refuses.
    """
    if "_control" not in request and state.config(call.tx, bucket, "abac") == "Enabled":
        raise invalid_request(
            "ABAC is enabled on the bucket: its tags are changed by TagResource and UntagResource"
        )


def _check_owner(call: Call, bucket: Bucket) -> None:
    """A policy may let another account read it or write it; S3 does not."""
    if call.principal.account != bucket.account:
        raise Fault(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            status=405,
            ResourceType="BUCKETPOLICY",
        )


def check_policy(call: Call, bucket: Bucket, text: str) -> None:
    """Raises MalformedPolicy."""
    if len(text.encode()) > POLICY_SIZE_BYTES_MAX:
        raise Fault("PolicyTooLarge", "Policy document must not exceed 20 KB", status=400)
    if not text.lstrip().startswith("{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    if not text.strip()[1:-1].strip():
        raise _malformed("Missing required field Statement")
    try:
        document = Document.parse(text, has_principal=True)
    except Malformed as error:
        raise _malformed(str(error)) from None
    raw: Any = orjson.loads(text)
    raw_statements = raw["Statement"] if isinstance(raw["Statement"], list) else [raw["Statement"]]
    if not raw_statements:
        raise _malformed("Could not parse the policy: Statement is empty!")
    if any(s.get("Effect") == "Allow" and "NotPrincipal" in s for s in raw_statements):
        raise _malformed("Allow with NotPrincipal is not allowed.")
    if any("Resource" not in s and "NotResource" not in s for s in raw_statements):
        raise _malformed("Missing required field Resource")
    for statement in document.statements:
        if not all(policy_actions.meant(action) for action in statement.actions):
            raise _malformed("Policy has invalid action")
        for resource in statement.resources:
            name = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
            if not resource.startswith("arn:aws:s3:::") or not fnmatchcase(bucket.name, name):
                raise _malformed("Policy has invalid resource")
        if statement.actions_negated or statement.resources_negated:
            continue
        if not all(policy_actions.applies(a, statement.resources) for a in statement.actions):
            raise _malformed("Action does not apply to any resource(s) in statement")
    if found := principals.unknown(call, text):
        said = "Invalid principal in policy"
        raise Fault("MalformedPolicy", said, status=400, Detail=f'"{found[0]}" : "{found[1]}"')


def _malformed(message: str) -> Fault:
    return Fault("MalformedPolicy", message, status=400)
