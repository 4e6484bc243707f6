"""The STS operations offered: GetCallerIdentity, AssumeRole, GetSessionToken, GetAccessKeyInfo."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Principal, Request, Response, Service, root
from stratolite.services.sts import sessions
from stratolite.services.sts.tokens import issue

_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:.*/)?([\w+=,.@-]+)\Z", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}\Z", re.ASCII)


class Sts(Service):
    name: ClassVar[str] = "sts"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        resource = request.get("RoleArn", "*")
        if request.get("Tags"):
            return ((f"sts:{operation}", resource), ("sts:TagSession", resource))
        return ((f"sts:{operation}", resource),)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        return sessions.condition_keys(call, operation, request)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """A role's trust policy decides who may become it."""
        if not _ROLE_ARN.match(resource):
            return None
        role = _role(call, resource)
        return unquote(role["AssumeRolePolicyDocument"]) if role else None

    def get_caller_identity(self, call: Call, request: Request) -> Response:
        who = call.principal
        return {"UserId": who.user_id or who.account, "Account": who.account, "Arn": who.arn}

    def get_access_key_info(self, call: Call, request: Request) -> Response:
        key = request["AccessKeyId"]
        if key == call.principal.access_key_id:
            return {"Account": call.principal.account}
        raise Fault("ValidationError", f"Only the caller's own access key is known here, not {key}")

    def assume_role(self, call: Call, request: Request) -> Response:
        for field in ("ProvidedContexts", "SourceIdentity"):
            if request.get(field):
                raise Fault(
                    "ValidationError", f"AssumeRole {field} is not offered by Stratolite yet"
                )
        match = _ROLE_ARN.match(request["RoleArn"])
        if not match:
            raise Fault("ValidationError", f"{request['RoleArn']} is invalid")
        session = request["RoleSessionName"]
        if not _SESSION_NAME.match(session):
            raise Fault(
                "ValidationError",
                f"1 validation error detected: Value '{session}' at 'roleSessionName' failed to satisfy"
                " constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*",
            )
        role = _role(call, request["RoleArn"])
        if role is None:
            # whoever an identity policy lets ask learns no more of a role that is not there
            raise Fault(
                "AccessDenied",
                f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole on"
                f" resource: {request['RoleArn']}",
                status=403,
            )
        duration_s = request.get("DurationSeconds", 3600)
        if call.principal.kind == "role" and duration_s > 3600:
            raise Fault(
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role"
                " chaining",
            )
        if not 900 <= duration_s <= role["MaxSessionDuration"]:
            raise Fault(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
                if duration_s > 900
                else f"1 validation error detected: Value '{duration_s}' at 'durationSeconds' failed to"
                " satisfy constraint: Member must have value greater than or equal to 900",
            )
        account = match[1]
        who = Principal(
            "role",
            account,
            f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/{session}",
            role["RoleName"],
            session,
            user_id=f"{role['RoleId']}:{session}",
            session_policy=sessions.policies(request, account),
            session_tags=_json(sessions.tags(call, request)),
            mfa_s=call.world.wall() if sessions.check_mfa(call, request) else 0.0,
        )
        return {
            "Credentials": _credentials(call, who, duration_s),
            "AssumedRoleUser": {"AssumedRoleId": who.user_id, "Arn": who.arn},
        }

    def get_session_token(self, call: Call, request: Request) -> Response:
        who = call.principal
        if who.kind in ("role", "federated") or who.access_key_id.startswith("ASIA"):
            raise Fault(
                "AccessDenied", "Cannot call GetSessionToken with session credentials", status=403
            )
        duration_s = request.get("DurationSeconds", 43200)
        if not 900 <= duration_s <= 129600:
            raise Fault(
                "ValidationError", f"DurationSeconds {duration_s} is not between 900 and 129600"
            )
        if call.principal.kind == "root":
            duration_s = min(duration_s, 3600)
        who = call.principal
        if sessions.check_mfa(call, request):
            who = replace(who, mfa_s=call.world.wall())
        return {"Credentials": _credentials(call, who, duration_s)}

    def get_federation_token(self, call: Call, request: Request) -> Response:
        """A session of the calling user under another name, limited by the policies given: none, no rights."""
        caller = call.principal
        if caller.kind != "user" or caller.access_key_id.startswith("ASIA"):
            raise Fault(
                "AccessDenied",
                "Cannot call GetFederationToken with session credentials",
                status=403,
            )
        name = request["Name"]
        if not _SESSION_NAME.match(name) or len(name) > 32:
            raise Fault(
                "ValidationError",
                f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*",
            )
        duration_s = request.get("DurationSeconds", 43200)
        if not 900 <= duration_s <= 129600:
            raise Fault(
                "ValidationError", f"DurationSeconds {duration_s} is not between 900 and 129600"
            )
        who = replace(
            caller,
            kind="federated",
            arn=f"arn:aws:sts::{caller.account}:federated-user/{name}",
            session=caller.user_id,  # a namesake of the user made later does not inherit it
            user_id=f"{caller.account}:{name}",
            session_policy=sessions.policies(request, caller.account) or "[]",
            session_tags=_json(sessions.tags(call, request)),
        )
        return {
            "Credentials": _credentials(call, who, duration_s),
            "FederatedUser": {"FederatedUserId": who.user_id, "Arn": who.arn},
        }


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else ""


def _credentials(call: Call, who: Principal, duration_s: int) -> dict[str, Any]:
    key_id = "ASIA" + base64.b32encode(call.world.token(10))[:16].decode()
    end_s = int(call.world.wall()) + duration_s
    secret, token = issue(
        call.cloud.vault, call.world, key_id, end_s, replace(who, access_key_id=key_id)
    )
    return {
        "AccessKeyId": key_id,
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": end_s,
    }


def _role(call: Call, arn: str) -> dict[str, Any] | None:
    """The role as IAM has it, read on behalf of its own account: the caller need not be allowed to."""
    match = _ROLE_ARN.match(arn)
    if match is None:
        return None
    inside = call.scoped(match[1], call.region, root(match[1]))
    try:
        role: dict[str, Any] = inside.invoke("iam", "GetRole", {"RoleName": match[2]})["Role"]
    except Fault:
        return None
    return role if role["Arn"] == arn else None
