"""The STS operations: whose session it becomes, for how long, and with what in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Principal, Request, Response, Service, prepared, root
from stratolite.services.sts import sessions
from stratolite.services.sts.saml import Asserted, asserted
from stratolite.services.sts.tokens import issue
from stratolite.services.sts.web_identity import Believed, believed

_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:.*/)?([\w+=,.@-]+)\Z", re.ASCII)
_ARN = re.compile(r"arn:[^:]+:[^:]+:[^:]*:[^:]*:.+")
_SESSION_S_MIN, _CHAINED_S_MAX = 900, 3600
_USER_S_MAX, _ROOT_S_MAX = 129_600, 3600
_MESSAGE = "authorization-message"


async def _check_token(_: Sts, call: Call, request: Request) -> Request:
    """Before AssumeRoleWithWebIdentity's transaction: the token's signature, which may have to be asked about."""
    match = _role_of(request["RoleArn"])
    found = await believed(call, match[1], request["WebIdentityToken"])
    return {**request, "Believed": found}


async def _check_assertion(_: Sts, call: Call, request: Request) -> Request:
    """Before AssumeRoleWithSAML's transaction: the assertion's signature."""
    _role_of(request["RoleArn"])
    return {**request, "Asserted": await asserted(call, request)}


_VOUCHED = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")


class Sts(Service):
    name: ClassVar[str] = "sts"
    validated: ClassVar[bool] = True

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation in _VOUCHED and call.principal.kind != "provider":
            return ()  # whoever has a token that is to be believed may ask: see the operation
        resource = request.get("RoleArn", "*")
        if resource != "*" and not _ARN.match(resource):
            raise Fault("ValidationError", f"{resource} is invalid")
        needed = [(f"sts:{operation}", resource)]
        if request.get("Tags"):
            needed.append(("sts:TagSession", resource))
        if request.get("SourceIdentity"):
            needed.append(("sts:SetSourceIdentity", resource))
        return needed

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
        inside = call.scoped(call.account, call.region, root(call.account))
        account = inside.invoke("iam", "FindAccessKey", {"AccessKeyId": key})["Account"]
        if account is None:
            raise Fault("ValidationError", f"{key} is not a valid access key ID")
        return {"Account": account}

    def decode_authorization_message(self, call: Call, request: Request) -> Response:
        """What a denial was about: for the account that asked and for the one that owns what it asked for."""
        try:
            sealed = base64.b64decode(request["EncodedMessage"], altchars=b"-_", validate=True)
            said = orjson.loads(call.cloud.vault.open(sealed, _MESSAGE))
        except ValueError as error:
            raise _not_ours() from error
        arn = said.get("context", {}).get("principal", {}).get("arn", "")
        if call.account not in (said.get("owner"), (arn.split(":") + [""] * 5)[4]):
            raise _not_ours()
        return {"DecodedMessage": orjson.dumps(said).decode()}

    # -- roles

    def assume_role(self, call: Call, request: Request) -> Response:
        if request.get("ProvidedContexts"):
            raise Fault(
                "ValidationError", "AssumeRole ProvidedContexts is not offered by Stratolite"
            )
        match = _role_of(request["RoleArn"])
        role = _role(call, request["RoleArn"])
        if role is None:
            raise _denied(call.principal.arn, request["RoleArn"])
        duration_s = request.get("DurationSeconds", 3600)
        is_session = call.principal.kind in ("role", "federated")
        if is_session and duration_s > _CHAINED_S_MAX:
            raise Fault(
                "ValidationError",
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role"
                " chaining",
            )
        source = request.get("SourceIdentity", "")
        before = call.principal.source_identity
        if before and source not in ("", before):
            raise _denied(call.principal.arn, request["RoleArn"], "sts:SetSourceIdentity")
        who = self._session(call, request, match[1], role, duration_s)
        who = replace(
            who,
            source_identity=source or before,
            mfa_s=call.world.wall() if sessions.check_mfa(call, request) else 0.0,
        )
        return _role_answer(call, who, request, duration_s)

    @prepared(_check_token)
    def assume_role_with_web_identity(self, call: Call, request: Request) -> Response:
        found: Believed = request["Believed"]
        asked = {**request, **found.session()}
        duration_s = request.get("DurationSeconds", 3600)
        answer = self._vouched(call, "AssumeRoleWithWebIdentity", found, asked, duration_s)
        return answer | {
            "SubjectFromWebIdentityToken": found.subject,
            "Provider": found.provider,
            "Audience": found.audience,
        }

    @prepared(_check_assertion)
    def assume_role_with_saml(self, call: Call, request: Request) -> Response:
        """For as long as is asked for, or until the provider says that the session ends."""
        found: Asserted = request["Asserted"]
        asked = {**request, **found.session()}
        left_s = found.until_s - call.world.wall()
        if left_s < 1:
            raise Fault("ExpiredTokenException", "The session has ended", status=400)
        duration_s = min(request.get("DurationSeconds", 3600), int(min(left_s, 1e9)))
        answer = self._vouched(call, "AssumeRoleWithSAML", found, asked, duration_s)
        return answer | {
            "Subject": found.subject,
            "SubjectType": found.subject_type,
            "Issuer": found.issuer,
            "Audience": found.audience,
            "NameQualifier": found.qualifier,
        }

    def _vouched(
        self,
        call: Call,
        operation: str,
        found: Believed | Asserted,
        asked: Request,
        duration_s: int,
    ) -> Response:
        """A role's session for whom an identity provider vouches."""
        match = _role_of(asked["RoleArn"])
        who = Principal(
            "provider", match[1], found.provider, found.provider, provider=found.provider
        )
        inner = call.scoped(match[1], call.region, who)
        inner.context = dict(call.context) | {k: v[0] for k, v in found.condition_keys().items()}
        role = _role(call, asked["RoleArn"])
        if role is None:
            raise Fault("AccessDenied", f"Not authorized to perform sts:{operation}", status=403)
        inner.noted = call.noted  # it is one call, whoever the token speaks of
        try:
            call.cloud.authorize(inner, self, operation, asked)
        finally:
            call.noted = inner.noted
        session = replace(
            self._session(inner, asked, match[1], role, duration_s),
            provider=found.provider,
            source_identity=asked.get("SourceIdentity", ""),
        )
        return _role_answer(call, session, asked, duration_s)

    def _session(
        self, call: Call, request: Request, account: str, role: dict[str, Any], duration_s: int
    ) -> Principal:
        if duration_s > role["MaxSessionDuration"]:
            raise Fault(
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            )
        session = request["RoleSessionName"]
        return Principal(
            "role",
            account,
            f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/{session}",
            role["RoleName"],
            session,
            user_id=f"{role['RoleId']}:{session}",
            session_policy=sessions.policies(request, account),
            session_tags=_json(sessions.tags(call, request)),
        )

    # -- users

    def get_session_token(self, call: Call, request: Request) -> Response:
        who = call.principal
        if who.kind in ("role", "federated") or who.access_key_id.startswith("ASIA"):
            raise Fault(
                "AccessDenied", "Cannot call GetSessionToken with session credentials", status=403
            )
        duration_s = request.get("DurationSeconds", 43_200)
        if who.kind == "root":
            duration_s = min(duration_s, _ROOT_S_MAX)
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
            "Credentials": _credentials(call, who, request.get("DurationSeconds", 43_200)),
            "FederatedUser": {"FederatedUserId": who.user_id, "Arn": who.arn},
            "PackedPolicySize": sessions.packed_percent(request),
        }


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode() if value else ""


def _role_of(arn: str) -> re.Match[str]:
    match = _ROLE_ARN.match(arn)
    if match is None:
        raise Fault("ValidationError", f"{arn} is invalid")
    return match


def _denied(caller: str, role: str, action: str = "sts:AssumeRole") -> Fault:
    """Whoever an identity policy lets ask learns no more of a role that is not there."""
    return Fault(
        "AccessDenied",
        f"User: {caller} is not authorized to perform: {action} on resource: {role}",
        status=403,
    )


def _not_ours() -> Fault:
    return Fault("InvalidAuthorizationMessageException", "Message is not valid", status=400)


def _role_answer(call: Call, who: Principal, request: Request, duration_s: int) -> Response:
    answer: Response = {
        "Credentials": _credentials(call, who, duration_s),
        "AssumedRoleUser": {"AssumedRoleId": who.user_id, "Arn": who.arn},
    }
    if any(request.get(k) for k in ("Policy", "PolicyArns", "Tags")):
        answer["PackedPolicySize"] = sessions.packed_percent(request)
    if who.source_identity:
        answer["SourceIdentity"] = who.source_identity
    return answer


def _credentials(call: Call, who: Principal, duration_s: int) -> dict[str, Any]:
    inside = call.scoped(who.account, call.region, root(who.account))
    key_id = inside.invoke("iam", "NewKeyId", {"Prefix": "ASIA"})["AccessKeyId"]
    now_s = call.world.wall()
    end_s = int(now_s) + duration_s
    session = replace(who, access_key_id=key_id, issued_s=now_s)
    secret, token = issue(call.cloud.vault, call.world, key_id, end_s, session)
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
        role: dict[str, Any] = inside.invoke("iam", "FindRole", {"RoleName": match[2]})["Role"]
    except Fault:
        return None
    return role if role["Arn"] == arn else None
