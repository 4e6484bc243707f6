"""Managed policies and their versions, at most five of which one is the default."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state
from stratolite.services.iam.managed import table

_VERSIONS_COUNT_MAX = 5
_SIZE_MAX = 6144


class ManagedPolicies:
    """Mixed into ``Iam``."""

    def create_policy(self, call: Call, request: Request) -> Response:
        name = request["PolicyName"]
        names.check_holder_name("policy", name)
        path = names.check_path(request.get("Path", "/"))
        _check(request["PolicyDocument"])
        if again := holders.same_step(call, "policy", name, request):
            return {"Policy": shown(call, again)}
        if state.spelled(call.tx, call.account, "policy", name):
            raise Fault(
                "EntityAlreadyExists",
                f"A policy called {name} already exists. Duplicate names are not allowed.",
            )
        holders.check_room(call, "policy")
        now_s = int(call.tx.time_s)
        record: dict[str, Any] = {
            "PolicyName": name,
            "PolicyId": names.new_id(call.world, "policy"),
            "Arn": names.arn(call.account, "policy", path, name),
            "Path": path,
            "Description": request.get("Description"),
            "CreateDate": now_s,
            "UpdateDate": now_s,
            "Tags": holders.new_tags(request),
            "StackToken": request.get("StackToken"),
            "NextVersion": 2,
            "Versions": [_version("v1", request["PolicyDocument"], now_s)],
        }
        state.put(call.tx, call.account, "policy", name, record)
        return {"Policy": shown(call, record)}

    def get_policy(self, call: Call, request: Request) -> Response:
        record = load(call, request["PolicyArn"])
        return {"Policy": shown(call, record) | {"Tags": record.get("Tags", [])}}

    def list_policies(self, call: Call, request: Request) -> Response:
        scope = request.get("Scope", "All")
        limit = request.get("MaxItems", holders.PAGE_COUNT)
        found: list[dict[str, Any]] = []
        after: str | None = None
        if scope in ("All", "Local"):
            start = request.get("Marker", "")
            found, after = state.page(call.tx, call.account, "policy", start, limit)
        if scope in ("All", "AWS") and after is None:
            found += [_aws(arn) for arn in table()]
        prefix = request.get("PathPrefix", "/")
        listed = [_listed(call, r) for r in found if r["Path"].startswith(prefix)]
        if request.get("OnlyAttached"):
            listed = [p for p in listed if p["AttachmentCount"]]
        return {"Policies": listed, "IsTruncated": after is not None} | (
            {"Marker": after} if after else {}
        )

    def delete_policy(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        if state.attached_to(call.tx, call.account, record["Arn"]):
            raise Fault("DeleteConflict", "Cannot delete a policy attached to entities.")
        if state.boundary_count(call.tx, call.account, record["Arn"]):
            raise Fault(
                "DeleteConflict", "Cannot delete a policy that is used as a permissions boundary."
            )
        if len(record["Versions"]) > 1:
            raise Fault(
                "DeleteConflict",
                "This policy has more than one version. Before you delete a policy, you must delete"
                " the policy's versions. The default version is deleted with the policy.",
            )
        state.delete(call.tx, call.account, "policy", record["PolicyName"])
        return {}

    def create_policy_version(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        _check(request["PolicyDocument"])
        if len(record["Versions"]) >= _VERSIONS_COUNT_MAX:
            raise Fault(
                "LimitExceeded",
                "A managed policy can have up to 5 versions. Before you create a new version, you must"
                " delete an existing version.",
            )
        now_s = int(call.tx.time_s)
        default = bool(request.get("SetAsDefault"))
        made = _version(f"v{record['NextVersion']}", request["PolicyDocument"], now_s, default)
        kept = [dict(v) for v in record["Versions"]]
        if default:
            kept = [v | {"IsDefaultVersion": False} for v in kept]
        record |= {
            "Versions": [*kept, made],
            "NextVersion": record["NextVersion"] + 1,
            "UpdateDate": now_s,
        }
        state.put(call.tx, call.account, "policy", record["PolicyName"], record)
        return {"PolicyVersion": {k: v for k, v in made.items() if k != "Document"}}

    def get_policy_version(self, call: Call, request: Request) -> Response:
        found = _find(load(call, request["PolicyArn"]), request["VersionId"])
        return {"PolicyVersion": found | {"Document": quote(found["Document"], safe="-_.~")}}

    def list_policy_versions(self, call: Call, request: Request) -> Response:
        record = load(call, request["PolicyArn"])
        listed = [
            {k: v for k, v in x.items() if k != "Document"} for x in reversed(record["Versions"])
        ]
        return {"Versions": listed, "IsTruncated": False}

    def set_default_policy_version(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        chosen = _find(record, request["VersionId"])["VersionId"]
        record["Versions"] = [
            v | {"IsDefaultVersion": v["VersionId"] == chosen} for v in record["Versions"]
        ]
        state.put(call.tx, call.account, "policy", record["PolicyName"], record)
        return {}

    def delete_policy_version(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        if _find(record, request["VersionId"])["IsDefaultVersion"]:
            raise Fault("DeleteConflict", "Cannot delete the default version of a policy.")
        record["Versions"] = [
            v for v in record["Versions"] if v["VersionId"] != request["VersionId"]
        ]
        state.put(call.tx, call.account, "policy", record["PolicyName"], record)
        return {}

    def tag_policy(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        return holders.tag(call, "policy", record["PolicyName"], request["Tags"])

    def untag_policy(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        return holders.untag(call, "policy", record["PolicyName"], request["TagKeys"])

    def list_policy_tags(self, call: Call, request: Request) -> Response:
        record = _own(call, request["PolicyArn"])
        return holders.tags_of(call, "policy", record["PolicyName"], request)

    def list_entities_for_policy(self, call: Call, request: Request) -> Response:
        record = load(call, request["PolicyArn"])
        roles, users, groups = [], [], []
        for kind, name in state.attached_to(call.tx, call.account, record["Arn"]):
            held = holders.load(call, kind, name)
            if kind == "role":
                roles.append({"RoleName": name, "RoleId": held["RoleId"]})
            elif kind == "group":
                groups.append({"GroupName": name, "GroupId": held["GroupId"]})
            else:
                users.append({"UserName": name, "UserId": held["UserId"]})
        return {
            "PolicyRoles": roles,
            "PolicyUsers": users,
            "PolicyGroups": groups,
            "IsTruncated": False,
        }


def _check(text: str) -> None:
    names.check_document(text, is_managed=True)
    if state.packed_size(text) > _SIZE_MAX:
        raise Fault("LimitExceeded", f"Cannot exceed quota for PolicySize: {_SIZE_MAX}")


def _listed(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    """Without its tags, as AWS lists it."""
    return {k: v for k, v in shown(call, record).items() if k not in ("Tags", "Description")}


def _version(version: str, document: str, now_s: int, default: bool = True) -> dict[str, Any]:
    return {
        "Document": document,
        "VersionId": version,
        "IsDefaultVersion": default,
        "CreateDate": now_s,
    }


def _aws(arn: str) -> dict[str, Any]:
    """An AWS managed policy as a record."""
    path, name = arn.removeprefix("arn:aws:iam::aws:policy").rsplit("/", 1)
    found = table()[arn]
    document = orjson.dumps(found["document"]).decode()
    return {
        "PolicyName": name, "PolicyId": "ANPA" + name.upper()[:17], "Arn": arn, "Path": f"{path}/",
        "CreateDate": found["date"], "UpdateDate": found["date"],
        "Versions": [_version(found["version"], document, found["date"])],
    }  # fmt: skip


def load(call: Call, arn: str) -> dict[str, Any]:
    if arn in table():
        return _aws(arn)
    found = state.get(call.tx, call.account, "policy", arn.rsplit("/", 1)[-1])
    if found is None or found["Arn"] != arn:
        raise Fault("NoSuchEntity", f"Policy {arn} was not found.")
    return dict(found)


def _own(call: Call, arn: str) -> dict[str, Any]:
    if arn.startswith("arn:aws:iam::aws:"):
        raise Fault("AccessDenied", f"An AWS managed policy cannot be changed: {arn}", status=403)
    return load(call, arn)


def _find(record: dict[str, Any], version: str) -> dict[str, Any]:
    for candidate in record["Versions"]:
        if candidate["VersionId"] == version:
            return dict(candidate)
    raise Fault(
        "NoSuchEntity",
        f"Policy {record['Arn']} version {version} does not exist or is not attachable.",
    )


def shown(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    default = next(v for v in record["Versions"] if v["IsDefaultVersion"])
    hidden = ("Versions", "NextVersion", "StackToken")
    return {k: v for k, v in record.items() if k not in hidden and v not in (None, [])} | {
        "DefaultVersionId": default["VersionId"],
        "AttachmentCount": len(state.attached_to(call.tx, call.account, record["Arn"])),
        "PermissionsBoundaryUsageCount": state.boundary_count(call.tx, call.account, record["Arn"]),
        "IsAttachable": True,
    }
