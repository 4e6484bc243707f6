"""S3 Access Grants: an account's instance in a region, its locations and grants, and credentials for what was granted.

GetDataAccess finds the closest grant of the caller (its user or its role) that covers what is asked for, and has the
role of the grant's location assumed for it, with a session policy that allows the grant's scope and no more.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-grants.html
         https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#S3AccessGrantsErrorCodeList
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import orjson

from stratolite.core import Keyspace
from stratolite.errors import Fault
from stratolite.policy import Document
from stratolite.policy.document import Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3control import state
from stratolite.services.s3control.job_rules import invalid
from stratolite.services.s3control.jobs import check_account, page_size
from stratolite.services.s3control.points import given_tags

PRINCIPAL = "access-grants.s3.amazonaws.com"
DURATION_S = (900, 43_200)
PAGE_COUNT_MAX = 1000
_MATCH_COUNT_MAX = 10_000
"""Grants of one grantee that are looked at."""
_ROLE = re.compile(r"arn:aws:iam::(\d{12}):(role|user)/(?:.*/)?([\w+=,.@-]+)")
_SCOPE = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*|\*)?)?", re.DOTALL)
_READ = ("GetObject", "GetObjectVersion", "GetObjectAcl", "GetObjectVersionAcl", "ListMultipartUploadParts")  # fmt: skip
_WRITE = ("PutObject", "PutObjectAcl", "PutObjectVersionAcl", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload")  # fmt: skip
_KINDS = ("READ", "WRITE", "READWRITE")


class Grants(Service):
    # -- the instance

    def create_access_grants_instance(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        if request.get("IdentityCenterArn"):
            raise not_offered("IAM Identity Center")
        rows = state.space(call.account, call.region)
        token = request.get("_token")  # of our CloudFormation step: a repeat finds its own
        if (old := state.instance(call.tx, rows)) is not None:
            if token is not None and old.get("token") == token:
                return self.get_access_grants_instance(call, request)
            raise Fault(
                "AccessGrantsInstanceAlreadyExists",
                "Access Grants Instance already exists.",
                status=409,
            )
        tags = given_tags(request.get("Tags") or ())
        made = {"created_s": call.tx.time_s, "tags": tags, "token": token}
        state.put_instance(call.tx, rows, made)
        return self.get_access_grants_instance(call, request)

    def get_access_grants_instance(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = _instance(call, call.account)
        return {**_named(call, call.account), "CreatedAt": found["created_s"]}

    def list_access_grants_instances(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = state.instance(call.tx, state.space(call.account, call.region))
        if found is None:
            return {"AccessGrantsInstancesList": []}
        shown = {**_named(call, call.account), "CreatedAt": found["created_s"]}
        return {"AccessGrantsInstancesList": [shown]}

    def get_access_grants_instance_for_prefix(self, call: Call, request: Request) -> Response:
        account = _account(call, request)
        _instance(call, account)
        return _named(call, account)

    def delete_access_grants_instance(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        _instance(call, call.account)
        rows = state.space(call.account, call.region)
        if next(state.locations(call.tx, rows, ""), None) is not None:
            raise Fault(
                "AccessGrantsInstanceNotEmptyError",
                "Please clean up locations before deleting the access grants instance.",
                status=400,
            )
        state.put_instance(call.tx, rows, None)
        return {}

    def put_access_grants_instance_resource_policy(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = _instance(call, call.account)
        if request.get("Organization"):
            raise not_offered("a policy's Organization")
        try:
            Document.parse(request["Policy"], has_principal=True)
        except Malformed as error:
            raise Fault("MalformedPolicy", str(error), status=400) from error
        made = {**found, "policy": request["Policy"], "policy_s": call.tx.time_s}
        state.put_instance(call.tx, state.space(call.account, call.region), made)
        return self.get_access_grants_instance_resource_policy(call, request)

    def get_access_grants_instance_resource_policy(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = _instance(call, call.account)
        if "policy" not in found:
            raise Fault(
                "AccessGrantsInstanceResourcePolicyNotExists",
                "Access Grants Instance Resource Policy does not exist.",
                status=404,
            )
        return {"Policy": found["policy"], "CreatedAt": found["policy_s"]}

    def delete_access_grants_instance_resource_policy(
        self, call: Call, request: Request
    ) -> Response:
        check_account(call, request)
        found = _instance(call, call.account)
        left = {k: v for k, v in found.items() if not k.startswith("policy")}
        state.put_instance(call.tx, state.space(call.account, call.region), left)
        return {}

    # -- locations

    def create_access_grants_location(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        _instance(call, call.account)
        scope, rows = request["LocationScope"], state.space(call.account, call.region)
        if not _SCOPE.fullmatch(scope):
            raise Fault(
                "InvalidAccessGrantsLocation",
                f"The location scope {scope} is not valid.",
                status=400,
            )
        _check_role(request["IAMRoleArn"])
        token = request.get("_token")
        for one in state.locations(call.tx, rows, ""):
            if one["scope"] == scope:
                if token is not None and one.get("token") == token:
                    return _shown_location(call, one)
                raise Fault(
                    "AccessGrantsLocationAlreadyExistsError",
                    "The specified Access Grants Location already exists.",
                    status=409,
                )
        made = {
            "id": "default" if scope == "s3://" else call.world.uuid(),
            "scope": scope,
            "role": request["IAMRoleArn"],
            "created_s": call.tx.time_s,
            "tags": given_tags(request.get("Tags") or ()),
            "token": token,
        }
        state.put_location(call.tx, rows, made)
        return _shown_location(call, made)

    def get_access_grants_location(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        return _shown_location(call, _location(call, request["AccessGrantsLocationId"]))

    def update_access_grants_location(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        _check_role(request["IAMRoleArn"])
        found = _location(call, request["AccessGrantsLocationId"])
        made = {**found, "role": request["IAMRoleArn"]}
        state.put_location(call.tx, state.space(call.account, call.region), made)
        return _shown_location(call, made)

    def list_access_grants_locations(self, call: Call, request: Request) -> Response:
        account = _account(call, request)
        _instance(call, account)
        every = state.locations(
            call.tx, state.space(account, call.region), request.get("NextToken") or ""
        )
        if scope := request.get("LocationScope"):
            every = (one for one in every if one["scope"] == scope)
        most = page_size(request, PAGE_COUNT_MAX)
        listed = list(islice(every, most + 1))
        response: Response = {
            "AccessGrantsLocationsList": [
                _shown_location(call, one, account) for one in listed[:most]
            ]
        }
        if len(listed) > most:
            response["NextToken"] = listed[most - 1]["id"]
        return response

    def delete_access_grants_location(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = _location(call, request["AccessGrantsLocationId"])
        rows = state.space(call.account, call.region)
        if state.has_grants(call.tx, rows, found["id"]):
            raise Fault(
                "AccessGrantsLocationNotEmptyError",
                "Please clean up access grants before deleting the access grants location.",
                status=400,
            )
        state.delete_location(call.tx, rows, found["id"])
        return {}

    # -- grants

    def create_access_grant(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        _instance(call, call.account)
        location = _location(call, request["AccessGrantsLocationId"])
        grantee = request["Grantee"]
        if request.get("ApplicationArn") or grantee.get("GranteeType") != "IAM":
            raise not_offered("a grantee of IAM Identity Center")
        named = _ROLE.fullmatch(grantee.get("GranteeIdentifier") or "")
        if named is None or request["Permission"] not in _KINDS:
            raise Fault(
                "InvalidAccessGrant",
                "The grantee must be the ARN of an IAM user or role.",
                status=400,
            )
        prefix = (request.get("AccessGrantsLocationConfiguration") or {}).get("S3SubPrefix") or ""
        scope = _scope_of(location["scope"], prefix, request.get("S3PrefixType") == "Object")
        rows, who = state.space(call.account, call.region), _who(*named.groups())
        made = {
            "id": call.world.uuid(),
            "created_s": call.tx.time_s,
            "location": location["id"],
            "prefix": prefix,
            "grantee": grantee["GranteeIdentifier"],
            "who": who,
            "permission": request["Permission"],
            "scope": scope,
            "tags": given_tags(request.get("Tags") or ()),
            "token": request.get("_token"),
        }
        for one in state.grants_of(call.tx, rows, who, scope):
            if one["scope"] == scope and one["permission"] == made["permission"]:
                if made["token"] is not None and one.get("token") == made["token"]:
                    return _shown_grant(call, one)
                raise Fault(
                    "AccessGrantAlreadyExists",
                    "The specified access grant already exists.",
                    status=409,
                )
        state.put_grant(call.tx, rows, made)
        return _shown_grant(call, made)

    def get_access_grant(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        return _shown_grant(call, self._grant(call, request["AccessGrantId"]))

    def _grant(self, call: Call, grant_id: str) -> dict[str, Any]:
        _instance(call, call.account)
        found = state.access_grant(call.tx, state.space(call.account, call.region), grant_id)
        if found is None:
            raise Fault(
                "NoSuchAccessGrantError", "The specified access grant does not exist.", status=404
            )
        return found

    def list_access_grants(self, call: Call, request: Request) -> Response:
        account = _account(call, request)
        _instance(call, account)
        every = state.access_grants(
            call.tx, state.space(account, call.region), request.get("NextToken") or ""
        )
        wanted = {
            name: request[member]
            for member, name in (
                ("GranteeIdentifier", "grantee"),
                ("Permission", "permission"),
                ("GrantScope", "scope"),
            )
            if request.get(member)
        }
        kind = request.get("GranteeType") or "IAM"
        found = (
            one
            for one in every
            if kind == "IAM" and all(one[name] == value for name, value in wanted.items())
        )
        most = page_size(request, PAGE_COUNT_MAX)
        listed = list(islice(found, most + 1))
        response: Response = {
            "AccessGrantsList": [_shown_grant(call, one, account) for one in listed[:most]]
        }
        if len(listed) > most:
            response["NextToken"] = listed[most - 1]["id"]
        return response

    def delete_access_grant(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        found = self._grant(call, request["AccessGrantId"])
        state.delete_grant(call.tx, state.space(call.account, call.region), found)
        return {}

    # -- for grantees

    def list_caller_access_grants(self, call: Call, request: Request) -> Response:
        account = _account(call, request)
        _instance(call, account)
        rows = state.space(account, call.region)
        every = state.grants_of(call.tx, rows, _caller(call), "", request.get("NextToken") or "")
        scope = request.get("GrantScope")
        found = (one for one in every if not scope or one["scope"].startswith(scope.rstrip("*")))
        most = page_size(request, PAGE_COUNT_MAX)
        listed = list(islice(found, most + 1))
        response: Response = {
            "CallerAccessGrantsList": [
                {
                    "Permission": one["permission"],
                    "GrantScope": one["scope"],
                    "AccessGrantsInstanceArn": arn(call.region, account),
                }
                for one in listed[:most]
            ]
        }
        if len(listed) > most:
            last = listed[most - 1]
            response["NextToken"] = f"{last['id']} {last['scope']}"
        return response

    def get_data_access(self, call: Call, request: Request) -> Response:
        account = _account(call, request)
        _instance(call, account)
        target, wanted = request["Target"], request["Permission"]
        if not _SCOPE.fullmatch(target) or target == "s3://":
            raise invalid(f"The target {target} is not valid.")
        duration_s = request.get("DurationSeconds") or 3600
        if not DURATION_S[0] <= duration_s <= DURATION_S[1]:
            raise invalid("DurationSeconds must be between 900 and 43200.")
        rows = state.space(account, call.region)
        grant = _closest(call, rows, target, wanted)
        if grant is None:
            raise Fault(
                "AccessDenied",
                "You do not have the requested permissions to the requested S3 Prefix.",
                status=403,
            )
        minimal = request.get("Privilege") == "Minimal"
        scope = target if minimal else grant["scope"]
        permission = wanted if minimal else grant["permission"]
        location = state.location(call.tx, rows, grant["location"])
        assert location is not None, grant
        who = call.principal
        ask = {
            "RoleArn": location["role"],
            "RoleSessionName": f"access-grants-{call.world.uuid()}",
            "DurationSeconds": duration_s,
            "SourceIdentity": (who.user_id or who.account).partition(":")[0],
            "Policy": _policy(scope, permission),
        }
        acting = call.scoped(account, call.region).as_service(PRINCIPAL, arn(call.region, account))
        try:
            made = acting.invoke("sts", "AssumeRole", ask)
        except Fault as fault:
            if fault.code.startswith("AccessDenied"):
                raise Fault(
                    "StsNotAuthorizedError",
                    "An error occurred (AccessDenied) when calling the AssumeRole operation: S3 Access Grants is "
                    "not authorized to assume the role of the location.",
                    status=403,
                ) from fault
            raise Fault("StsValidationError", fault.message, status=400) from fault
        return {
            "Credentials": made["Credentials"],
            "MatchedGrantTarget": scope,
            "Grantee": {"GranteeType": "IAM", "GranteeIdentifier": grant["grantee"]},
            "MatchedInstanceArn": arn(call.region, account),
        }


def arn(region: str, account: str, below: str = "") -> str:
    return f"arn:aws:s3:{region}:{account}:access-grants/default{below}"


def not_offered(what: str) -> Fault:
    return Fault(
        "NotImplemented", f"S3 Access Grants: {what} is not offered by Stratolite", status=501
    )


def _account(call: Call, request: Request) -> str:
    """Whose instance is meant; another's policy must have let the caller in."""
    return request.get("AccountId") or call.account


def _instance(call: Call, account: str) -> dict[str, Any]:
    found = state.instance(call.tx, state.space(account, call.region))
    if found is None:
        raise Fault(
            "AccessGrantsInstanceNotExistsError",
            "Access Grants Instance does not exist. Please create one.",
            status=404,
        )
    return found


def _location(call: Call, location_id: str) -> dict[str, Any]:
    _instance(call, call.account)
    found = state.location(call.tx, state.space(call.account, call.region), location_id)
    if found is None:
        raise Fault(
            "NoSuchAccessGrantsLocationError",
            "The specified access grants location does not exist.",
            status=404,
        )
    return found


def _check_role(role: str) -> None:
    if not role.startswith("arn:aws:iam::") or ":role/" not in role:
        raise invalid("IAMRoleArn must be the ARN of an IAM role")


def _who(account: str, kind: str, name: str) -> str:
    """A grantee as it is looked for: paths play no part, names are unique in an account."""
    return f"{account}:{kind}/{name}"


def _caller(call: Call) -> str:
    who = call.principal
    if who.kind not in ("user", "role"):
        return f"{who.account}:{who.kind}"
    return _who(who.account, who.kind, who.name)


def _scope_of(location: str, prefix: str, is_object: bool) -> str:
    """The location's scope with the prefix behind it; everything below it unless it is one object's."""
    base = location.rstrip("*")
    if not prefix:
        if base == "s3://":
            raise Fault(
                "InvalidAccessGrant",
                "A grant of the default location needs an S3SubPrefix with a bucket.",
                status=400,
            )
        return f"{base}/*" if "/" not in base.removeprefix("s3://") else f"{base}*"
    if base != "s3://" and "/" not in base.removeprefix("s3://"):
        base += "/"
    scope = f"{base}{prefix}"
    if not _SCOPE.fullmatch(scope):
        raise Fault("InvalidAccessGrant", f"The grant scope {scope} is not valid.", status=400)
    if not is_object and not scope.endswith("*"):
        scope += "/*" if "/" not in scope.removeprefix("s3://") else "*"
    return scope


def _covers(scope: str, target: str) -> bool:
    if not scope.endswith("*"):
        return scope == target
    start = scope[:-1]
    if start.endswith("/") and target.removeprefix("s3://").count("/") == 0:
        target = f"{target.rstrip('*')}/"  # all of a bucket, said without the slash
    return target.startswith(start)


def _closest(call: Call, rows: Keyspace, target: str, wanted: str) -> dict[str, Any] | None:
    enough = ("READWRITE",) if wanted == "READWRITE" else (wanted, "READWRITE")
    every = islice(state.grants_of(call.tx, rows, _caller(call), ""), _MATCH_COUNT_MAX)
    fit = [one for one in every if one["permission"] in enough and _covers(one["scope"], target)]
    return max(fit, key=lambda one: len(one["scope"]), default=None)


def _policy(scope: str, permission: str) -> str:
    """Of the session: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-grants-location-register.html"""
    bucket, _, prefix = scope.removeprefix("s3://").partition("/")
    bucket = bucket.rstrip("*")
    actions: list[str] = []
    kms = []
    if permission in ("READ", "READWRITE"):
        actions += _READ
        kms.append("kms:Decrypt")
    if permission in ("WRITE", "READWRITE"):
        actions += _WRITE
        kms += ["kms:Decrypt", "kms:GenerateDataKey"]
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": [f"s3:{name}" for name in actions],
            "Resource": f"arn:aws:s3:::{bucket}/{prefix or '*'}",
        },
        {"Effect": "Allow", "Action": sorted(set(kms)), "Resource": "*"},
    ]
    if permission in ("READ", "READWRITE"):
        listing: dict[str, Any] = {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
        }
        if prefix.rstrip("*"):
            listing["Condition"] = {"StringLike": {"s3:prefix": [prefix]}}
        statements.append(listing)
    return orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()


def _named(call: Call, account: str) -> dict[str, str]:
    return {
        "AccessGrantsInstanceArn": arn(call.region, account),
        "AccessGrantsInstanceId": "default",
    }


def _shown_location(call: Call, one: dict[str, Any], account: str = "") -> dict[str, Any]:
    owner = account or call.account
    return {
        "CreatedAt": one["created_s"],
        "AccessGrantsLocationId": one["id"],
        "AccessGrantsLocationArn": arn(call.region, owner, f"/location/{one['id']}"),
        "LocationScope": one["scope"],
        "IAMRoleArn": one["role"],
    }


def _shown_grant(call: Call, one: dict[str, Any], account: str = "") -> dict[str, Any]:
    owner = account or call.account
    told = {
        "CreatedAt": one["created_s"],
        "AccessGrantId": one["id"],
        "AccessGrantArn": arn(call.region, owner, f"/grant/{one['id']}"),
        "Grantee": {"GranteeType": "IAM", "GranteeIdentifier": one["grantee"]},
        "Permission": one["permission"],
        "AccessGrantsLocationId": one["location"],
        "GrantScope": one["scope"],
    }
    if one["prefix"]:
        told["AccessGrantsLocationConfiguration"] = {"S3SubPrefix": one["prefix"]}
    return told
