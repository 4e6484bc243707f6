"""Who else may invoke a function: its resource policy, one statement at a time."""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.lambda_ import names, state
from stratolite.services.lambda_.names import LATEST, Ref, invalid, mismatch

_SID = r"([a-zA-Z0-9-_]+)"
_ACTION = r"(lambda:[*]|lambda:[a-zA-Z]+|[*])"
_ACTIONS = frozenset(f"lambda:{name}".lower() for name in (
    "*", "AddPermission", "CreateAlias", "CreateFunction", "CreateFunctionUrlConfig", "DeleteAlias", "DeleteFunction",
    "DeleteFunctionCodeSigningConfig", "DeleteFunctionConcurrency", "DeleteFunctionEventInvokeConfig", "DeleteFunctionUrlConfig",
    "DeleteProvisionedConcurrencyConfig", "DisableReplication", "EnableReplication", "GetAlias", "GetFunction",
    "GetFunctionCodeSigningConfig", "GetFunctionConcurrency", "GetFunctionConfiguration", "GetFunctionEventInvokeConfig",
    "GetFunctionRecursionConfig", "GetFunctionScalingConfig", "GetFunctionUrlConfig", "GetPolicy",
    "GetProvisionedConcurrencyConfig", "GetRuntimeManagementConfig", "InvokeAsync", "InvokeFunction", "InvokeFunctionUrl",
    "ListAliases", "ListDurableExecutionsByFunction", "ListFunctionEventInvokeConfigs", "ListFunctionUrlConfigs",
    "ListProvisionedConcurrencyConfigs", "ListTags", "ListVersionsByFunction", "PublishVersion",
    "PutFunctionCodeSigningConfig", "PutFunctionConcurrency", "PutFunctionEventInvokeConfig", "PutFunctionRecursionConfig",
    "PutFunctionScalingConfig", "PutProvisionedConcurrencyConfig", "PutRuntimeManagementConfig", "RemovePermission",
    "TagResource", "UntagResource", "UpdateAlias", "UpdateFunctionCode",
    "UpdateFunctionConfiguration", "UpdateFunctionEventInvokeConfig", "UpdateFunctionUrlConfig",
))  # fmt: skip
"""https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html, those on functions."""
_CONDITIONS = (
    ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
    ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
    ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
    ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
)
_NOTHING = "The resource you requested does not exist."


class Permissions(Service):
    def add_permission(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        sid, action = request["StatementId"], request["Action"]
        if not re.fullmatch(_SID, sid):
            raise mismatch("statementId", sid, _SID)
        if not re.fullmatch(_ACTION, action):
            raise mismatch("action", action, _ACTION)
        if action != "*" and action.lower() not in _ACTIONS:
            raise invalid(f"{action} is not an action on a function.")
        if ref.qualifier == LATEST:
            raise invalid("We currently do not support adding policies for $LATEST.")
        principal = _principal(call, request["Principal"])
        _check_exists(call, ref)
        policy = state.get_named(call.tx, ref, "policy", ref.qualifier or "")
        _check_revision(call, ref, policy, request)
        statements = list(policy["statements"]) if policy else []
        if any(s["Sid"] == sid for s in statements):
            raise names.conflict(
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or"
                " remove the existing statement."
            )
        statement = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": principal,
            "Action": action,
            "Resource": ref.arn,
        }
        if condition := _condition(request):
            statement["Condition"] = condition
        _put(call, ref, [*statements, statement])
        return {"Statement": orjson.dumps(statement).decode()}

    def remove_permission(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        if state.get_function(call.tx, ref) is None:
            raise names.missing(f"No policy found for: {ref.arn}")
        _check_exists(call, ref)
        policy = state.get_named(call.tx, ref, "policy", ref.qualifier or "")
        if policy is None:
            raise names.missing("No policy is associated with the given resource.")
        sid = request["StatementId"]
        kept = [s for s in policy["statements"] if s["Sid"] != sid]
        if len(kept) == len(policy["statements"]):
            raise names.missing(f"Statement {sid} is not found in resource policy.")
        _check_revision(call, ref, policy, request)
        _put(call, ref, kept)
        return {}

    def get_policy(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        policy = state.get_named(call.tx, ref, "policy", ref.qualifier or "")
        if policy is None:
            raise names.missing(_NOTHING)
        return {"Policy": document(policy), "RevisionId": policy["revision"]}


def document(policy: state.Record) -> str:
    whole = {"Version": "2012-10-17", "Id": "default", "Statement": policy["statements"]}
    return orjson.dumps(whole).decode()


def _put(call: Call, ref: Ref, statements: list[Any]) -> None:
    """The revision that callers compare is the function's, which changes with its policy."""
    if statements:
        record = {"statements": statements, "revision": call.world.uuid()}
        state.put_named(call.tx, ref, "policy", ref.qualifier or "", record)
    else:
        state.delete_named(call.tx, ref, "policy", ref.qualifier or "")


def _check_revision(call: Call, ref: Ref, policy: state.Record | None, request: Request) -> None:
    wanted = request.get("RevisionId")
    if wanted is None:
        return
    if policy is not None:
        if wanted != policy["revision"]:
            raise names.stale("GetPolicy")
        return
    found = state.resolve(call.tx, ref)
    assert found is not None
    record, alias = found
    if wanted != (alias or record["config"])["RevisionId"]:
        raise names.stale()


def asked_for(statement: dict[str, Any]) -> Request:
    """What AddPermission was asked to make the statement, but for the function; an account is its root's ARN."""
    principal = statement["Principal"]
    if isinstance(principal, dict):
        (principal,) = principal.values()
    made: Request = {"Action": statement["Action"], "Principal": principal}
    conditions = statement.get("Condition") or {}
    for member, operator, key in _CONDITIONS:
        if key in conditions.get(operator, {}):
            made[member] = conditions[operator][key]
    for name, value in conditions.get("Bool", {}).items():
        if name == "lambda:InvokedViaFunctionUrl":
            made["InvokedViaFunctionUrl"] = str(value).lower() == "true"
    return made


def _check_exists(call: Call, ref: Ref) -> None:
    if state.resolve(call.tx, ref) is not None:
        return
    if ref.qualifier is None or ref.qualifier.isdigit() or "$" in ref.qualifier:
        raise names.no_function(ref)
    raise names.missing(f"Cannot find alias arn: {ref.arn}")


def _principal(call: Call, given: str) -> Any:
    if given == "*":
        return "*"
    if re.fullmatch(r"\d{12}", given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if re.fullmatch(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+", given) and principals.is_known(
        call, given
    ):
        return {"AWS": given}
    if re.fullmatch(r"[a-z0-9.-]+\.amazon(aws)?\.com(\.cn)?", given):  # Alexa's are at amazon.com
        return {"Service": given}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _condition(request: Request) -> dict[str, dict[str, str]]:
    condition: dict[str, dict[str, str]] = {}
    for member, test, key in _CONDITIONS:
        if request.get(member):
            condition.setdefault(test, {})[key] = request[member]
    if request.get("InvokedViaFunctionUrl"):
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    kind = request.get("FunctionUrlAuthType")
    if kind is not None:
        if kind not in ("NONE", "AWS_IAM"):
            raise names.bad(
                "functionUrlAuthType", kind, "Member must satisfy enum value set: [AWS_IAM, NONE]"
            )
        if request["Action"] != "lambda:InvokeFunctionUrl":
            raise Fault(
                "InvalidParameterValueException",
                "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action",
                Type="User",
            )
    return condition
