"""What an account is as a whole: its alias, its summary, its credential report, all of its policies at once.

Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, inside, state, versions
from stratolite.services.iam.managed import table

_ALIAS, _REPORT, _PREFERENCES = "alias", "report", "preferences"
_REPORT_FRESH_S = 4 * 3600
_USERS_A_TIME = 50
_QUOTAS = {
    "AccessKeysPerUserQuota": 2,
    "AssumeRolePolicySizeQuota": 2048,
    "AttachedPoliciesPerGroupQuota": 10,
    "AttachedPoliciesPerRoleQuota": 10,
    "AttachedPoliciesPerUserQuota": 10,
    "GroupPolicySizeQuota": 5120,
    "GroupsPerUserQuota": 10,
    "GroupsQuota": 300,
    "InstanceProfilesQuota": 1000,
    "PoliciesQuota": 1500,
    "PolicySizeQuota": 6144,
    "PolicyVersionsInUseQuota": 10_000,
    "RolePolicySizeQuota": 10_240,
    "RolesQuota": 1000,
    "ServerCertificatesQuota": 20,
    "SigningCertificatesPerUserQuota": 2,
    "UserPolicySizeQuota": 2048,
    "UsersQuota": 5000,
    "VersionsPerPolicyQuota": 5,
}
_COLUMNS = (
    "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,"
    "mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,"
    "access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,"
    "access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,"
    "cert_1_last_rotated,cert_2_active,cert_2_last_rotated"
)


class Account:
    """Mixed into ``Iam``."""

    # -- alias

    def create_account_alias(self, call: Call, request: Request) -> Response:
        alias = request["AccountAlias"]
        owner = state.alias_owner(call.tx, alias)
        if owner not in (None, call.account):
            raise Fault("EntityAlreadyExists", f"The account alias {alias} already exists.")
        state.set_alias(call.tx, call.account, alias)
        return {}

    def delete_account_alias(self, call: Call, request: Request) -> Response:
        alias = request["AccountAlias"]
        if state.alias_of(call.tx, call.account) != alias:
            raise Fault("NoSuchEntity", f"The account alias with name {alias} cannot be found.")
        state.set_alias(call.tx, call.account, None)
        return {}

    def list_account_aliases(self, call: Call, request: Request) -> Response:
        alias = state.alias_of(call.tx, call.account)
        return {"AccountAliases": [alias] if alias else [], "IsTruncated": False}

    # -- summary

    def get_account_summary(self, call: Call, request: Request) -> Response:
        tx, account = call.tx, call.account

        def count(kind: str) -> int:
            return state.count(tx, account, kind)

        return {
            "SummaryMap": _QUOTAS
            | {
                "AccountAccessKeysPresent": int(bool(state.keys_of(tx, account, ""))),
                "AccountMFAEnabled": 0,
                "AccountPasswordPresent": 0,
                "AccountSigningCertificatesPresent": 0,
                "GlobalEndpointTokenVersion": _token_version(call),
                "Groups": count("group"),
                "InstanceProfiles": count("instance-profile"),
                "MFADevices": count("mfa"),
                "MFADevicesInUse": state.mfa_in_use(tx, account),
                "Policies": count("policy"),
                "PolicyVersionsInUse": state.versions_in_use(tx, account),
                "Providers": count("oidc") + count("saml"),
                "Roles": count("role"),
                "ServerCertificates": count("server-certificate"),
                "Users": count("user"),
            }
        }

    def set_security_token_service_preferences(self, call: Call, request: Request) -> Response:
        version = request["GlobalEndpointTokenVersion"]
        state.put(call.tx, call.account, _PREFERENCES, "", {"Version": int(version[1])})
        return {}

    # -- credential report

    async def generate_credential_report(self, call: Call, request: Request) -> Response:
        """Made now, a page of users at a time; the first answer still says STARTED, as callers expect."""
        now_s = call.cloud.world.cloud()
        found = await call.transact(_report)
        if found is not None and now_s - found["GeneratedTime"] < _REPORT_FRESH_S:
            return {"State": "COMPLETE"}
        parts: list[str] = [_COLUMNS, await call.transact(_root_line)]
        marker: str | None = ""
        number, size = 0, 0
        while marker is not None:
            lines, marker = await call.transact(partial(_lines, after=marker))
            parts += lines
            size += sum(map(len, lines))
            if size > state.REPORT_PART_BYTES and marker is not None:
                text = "\n".join(parts) + "\n"
                await call.transact(partial(_put_part, number=number, text=text))
                parts, size, number = [], 0, number + 1
        last = "\n".join(parts)

        def end(inner: Call) -> None:
            state.put_report_part(inner.tx, inner.account, number, last)
            record = {"GeneratedTime": int(now_s), "Parts": number + 1}
            state.put(inner.tx, inner.account, _REPORT, "", record)

        await call.transact(end)
        return {
            "State": "STARTED",
            "Description": "No report exists. Starting a new report generation task",
        }

    def get_credential_report(self, call: Call, request: Request) -> Response:
        found = _report(call)
        if found is None:
            raise Fault("ReportNotPresent", "", status=410)
        if call.tx.time_s - found["GeneratedTime"] >= _REPORT_FRESH_S:
            raise Fault("ReportExpired", "", status=410)
        text = "".join(state.report_part(call.tx, call.account, n) for n in range(found["Parts"]))
        return {
            "Content": text.encode(),
            "ReportFormat": "text/csv",
            "GeneratedTime": found["GeneratedTime"],
        }

    # -- for the organizations service alone, no wire carries them

    def keep_organization(self, call: Call, asked: Request) -> Response:
        """Where the account hangs from now on, None: nowhere."""
        inside.check(call, "KeepOrganization")
        state.put_organization(call.tx, asked["Account"], asked["Record"])
        return {}

    def keep_service_control(self, call: Call, asked: Request) -> Response:
        """A service control policy, or the ids of those attached to a target."""
        inside.check(call, "KeepServiceControl")
        state.put_service_control(
            call.tx, asked["Organization"], asked["Kind"], asked["Name"], asked["Value"]
        )
        return {}

    # -- everything

    def get_account_authorization_details(self, call: Call, request: Request) -> Response:
        limit = min(request.get("MaxItems", holders.PAGE_COUNT), holders.PAGE_COUNT)
        wanted = request.get("Filter") or list(_KINDS)
        out: Response = {f"{title}DetailList": [] for title in ("User", "Group", "Role")}
        out |= {"Policies": [], "IsTruncated": False}
        at_kind, _, after = _unmarked(request.get("Marker"))
        room = limit
        for kind in list(_KINDS)[list(_KINDS).index(at_kind) :] if at_kind else _KINDS:
            if kind not in wanted:
                continue
            found, more = _page(call, kind, after, room)
            after = ""
            out[_KINDS[kind]] += found
            room -= len(found)
            if more is not None:
                mark = base64.b64encode(f"{kind}/{more}".encode()).decode()
                return out | {"IsTruncated": True, "Marker": mark}
        return out


_KINDS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


def _unmarked(marker: str | None) -> tuple[str, str, str]:
    if not marker:
        return "", "", ""
    try:
        kind, slash, after = base64.b64decode(marker, validate=True).decode().partition("/")
    except ValueError:
        kind, slash, after = "", "", ""
    if kind not in _KINDS:
        raise Fault("ValidationError", "Invalid Marker.")
    return kind, slash, after


def _page(call: Call, kind: str, after: str, limit: int) -> tuple[list[Any], str | None]:
    if kind == "AWSManagedPolicy":
        arns = [arn for arn in sorted(table()) if arn > after]
        few = arns[: max(limit, 0)]
        more = (few[-1] if few else after) if len(arns) > len(few) else None
        return [_policy(call, versions.load(call, arn)) for arn in few], more
    of = {"User": "user", "Group": "group", "Role": "role"}.get(kind, "policy")
    if limit <= 0:
        rest, _ = state.page(call.tx, call.account, of, after, 1)
        return [], after if rest else None
    records, more = state.page(call.tx, call.account, of, after, limit)
    if of == "policy":
        return [_policy(call, r) for r in records], more
    return [_holder(call, of, r) for r in records], more


def _holder(call: Call, kind: str, record: dict[str, Any]) -> dict[str, Any]:
    title, name = kind.title(), record[f"{kind.title()}Name"]
    tx, account = call.tx, call.account
    inline = [
        {"PolicyName": policy, "PolicyDocument": quote(text, safe="-_.~")}
        for policy, text in state.inline(tx, account, kind, name)
    ]
    out = holders.shown(record, "MaxSessionDuration", "Description") | {
        f"{title}PolicyList": inline,
        "AttachedManagedPolicies": [
            {"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn}
            for arn in state.attached(tx, account, kind, name)
        ],
    }
    if kind == "user":
        out["GroupList"] = state.groups_of(tx, account, name)
    if kind == "role":
        out["RoleLastUsed"] = state.used(tx, account, "role", name) or {}
        out["InstanceProfileList"] = [
            holders.shown(profile, "Role", "Tags")
            | {"Roles": [holders.shown(record, "MaxSessionDuration", "Description", "Tags")]}
            for n in state.profiles_of(tx, account, name)
            if (profile := state.get(tx, account, "instance-profile", n))
        ]
    return out


def _policy(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    shown = versions.shown(call, record)
    listed = [
        v | {"Document": quote(v["Document"], safe="-_.~")} for v in reversed(record["Versions"])
    ]
    return {k: v for k, v in shown.items() if k != "Tags"} | {"PolicyVersionList": listed}


def _token_version(call: Call) -> int:
    found = state.get(call.tx, call.account, _PREFERENCES, "")
    return found["Version"] if found else 1


# -- the report's lines


def _report(call: Call) -> dict[str, Any] | None:
    return state.get(call.tx, call.account, _REPORT, "")


def _put_part(call: Call, *, number: int, text: str) -> None:
    state.put_report_part(call.tx, call.account, number, text)


def _root_line(call: Call) -> str:
    keys = _keys(call, "")
    arn = f"arn:aws:iam::{call.account}:root"
    return ",".join(
        ["<root_account>", arn, "not_supported", "not_supported", "no_information", "not_supported", "not_supported", "false", *keys]
        + ["false", "N/A"] * 2
    )  # fmt: skip


def _lines(call: Call, after: str) -> tuple[list[str], str | None]:
    users, more = state.page(call.tx, call.account, "user", after, _USERS_A_TIME)
    return [_line(call, user) for user in users], more


def _line(call: Call, user: dict[str, Any]) -> str:
    tx, account, name = call.tx, call.account, user["UserName"]
    profile = state.get(tx, account, "login-profile", name)
    policy = state.get(tx, account, "password-policy", "") or {}
    password = ["false", "N/A", "N/A", "N/A"]
    if profile:
        rotated = "N/A"
        if days := policy.get("MaxPasswordAge"):
            rotated = _time(profile["Changed"] + days * 86_400)
        password = ["true", "no_information", _time(profile["Changed"]), rotated]
    mfa = "true" if state.mfa_of(tx, account, name) else "false"
    held = state.parts_of(tx, account, "signing-certificate", name)
    certificates: list[str] = []
    for number in range(2):
        if number < len(held):
            active = "true" if held[number]["Status"] == "Active" else "false"
            certificates += [active, _time(held[number]["UploadDate"])]
        else:
            certificates += ["false", "N/A"]
    return ",".join(
        [
            name,
            user["Arn"],
            _time(user["CreateDate"]),
            *password,
            mfa,
            *_keys(call, name),
            *certificates,
        ]
    )


def _keys(call: Call, user: str) -> list[str]:
    held = state.keys_of(call.tx, call.account, user)
    out: list[str] = []
    for number in range(2):
        if number >= len(held):
            out += ["false", "N/A", "N/A", "N/A", "N/A"]
            continue
        key = held[number]
        used = state.used(call.tx, call.account, "key", key["AccessKeyId"])
        out += ["true" if key["Status"] == "Active" else "false", _time(key["CreateDate"])]
        out += (
            [_time(used["LastUsedDate"]), used["Region"], used["ServiceName"]]
            if used
            else ["N/A"] * 3
        )
    return out


def _time(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
