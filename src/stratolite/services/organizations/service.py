"""The operations on an organization, its accounts, units and policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.policy.grammar import check_identity
from stratolite.service import Access, Call, Request, Response, Service, root
from stratolite.services.organizations import state
from stratolite.services.organizations.handshakes import Handshakes
from stratolite.services.organizations.pages import paged
from stratolite.services.organizations.tree import (
    FULL_ACCESS,
    Member,
    Tree,
    identity,
    management,
    member,
)

_POLICY_BYTES_MAX, _POLICIES_COUNT_MAX, _ATTACHED_COUNT_MAX = 10_240, 1000, 5
_TYPE = "SERVICE_CONTROL_POLICY"
_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Organizations(Tree, Handshakes, Service):
    name: ClassVar[str] = "organizations"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        return ((f"organizations:{operation}", "*"),)

    # -- the organization

    def create_organization(self, call: Call, request: Request) -> Response:
        if state.organization_of(call.tx, call.account):
            raise Fault(
                "AlreadyInOrganizationException",
                "The AWS account is already a member of an organization.",
            )
        if request.get("FeatureSet", "ALL") != "ALL":
            raise Fault(
                "InvalidInputException",
                "FeatureSet CONSOLIDATED_BILLING is not offered by Stratolite",
            )
        org, account = identity(call, "o-", 10), call.account
        place = f"arn:aws:organizations::{account}"
        top = identity(call, "r-", 4)
        record: dict[str, Any] = {
            "Id": org,
            "Arn": f"{place}:organization/{org}",
            "FeatureSet": "ALL",
            "MasterAccountArn": f"{place}:account/{org}/{account}",
            "MasterAccountId": account,
            "MasterAccountEmail": f"{account}@stratolite.invalid",
            "Root": top,
            "Enabled": False,
        }
        state.put(call.tx, record, "organization", org)
        node = {"Id": top, "Arn": f"{place}:root/{org}/{top}", "Name": "Root", "Parent": ""}
        state.put(call.tx, node, "node", org, top)
        full = {
            "Id": FULL_ACCESS,
            "Arn": f"arn:aws:organizations::aws:policy/service_control_policy/{FULL_ACCESS}",
            "Name": "FullAWSAccess",
            "Description": "Allows access to every operation",
            "Type": _TYPE,
            "AwsManaged": True,
            "Content": json.dumps(_ALL, indent=2),
        }
        state.put(call.tx, full, "policy", org, FULL_ACCESS)
        found = Member(org, record)
        _tell(
            call, found, "policy", FULL_ACCESS, {"Name": full["Name"], "Content": full["Content"]}
        )
        self.join(call, found, account, "management", record["MasterAccountEmail"], "INVITED")
        return {"Organization": _shown(record)}

    def describe_organization(self, call: Call, request: Request) -> Response:
        return {"Organization": _shown(member(call).record)}

    def delete_organization(self, call: Call, request: Request) -> Response:
        found = management(call)
        if (
            len(state.every(call.tx, "account", found.id)) > 1
            or len(state.every(call.tx, "node", found.id)) > 1
        ):
            raise Fault(
                "OrganizationNotEmptyException",
                "To delete an organization you must first remove all member accounts (except the master).",
            )
        for target, _ in ((found.record["Root"], ""), (call.account, "")):
            for policy, _ in state.edges(call.tx, "attached", found.id, target):
                state.delete(call.tx, "attached", found.id, target, policy)
                state.delete(call.tx, "held", found.id, policy, target)
            _tell(call, found, "target", target, None)
        for made in state.every(call.tx, "policy", found.id):
            state.delete(call.tx, "policy", found.id, made["Id"])
            _tell(call, found, "policy", made["Id"], None)
        self.part(call, found, call.account)
        state.delete(call.tx, "node", found.id, found.record["Root"])
        state.delete(call.tx, "organization", found.id)
        return {}

    # -- service control policies

    def enable_policy_type(self, call: Call, request: Request) -> Response:
        found = management(call)
        _check_type(request["PolicyType"])
        top = _root(call, found, request["RootId"])
        if found.record["Enabled"]:
            raise Fault(
                "PolicyTypeAlreadyEnabledException", "The specified policy type is already enabled."
            )
        record = found.record | {"Enabled": True}
        state.put(call.tx, record, "organization", found.id)
        now = Member(found.id, record)
        nodes = [n["Id"] for n in state.every(call.tx, "node", found.id)]
        for target in [*nodes, *(a["Id"] for a in state.every(call.tx, "account", found.id))]:
            self.attach_to(call, now, FULL_ACCESS, target)
        return {"Root": _root_shown(record, top)}

    def disable_policy_type(self, call: Call, request: Request) -> Response:
        found = management(call)
        _check_type(request["PolicyType"])
        top = _root(call, found, request["RootId"])
        if not found.record["Enabled"]:
            raise _not_enabled()
        nodes = [n["Id"] for n in state.every(call.tx, "node", found.id)]
        for target in [*nodes, *(a["Id"] for a in state.every(call.tx, "account", found.id))]:
            for policy, _ in state.edges(call.tx, "attached", found.id, target):
                state.delete(call.tx, "attached", found.id, target, policy)
                state.delete(call.tx, "held", found.id, policy, target)
            _tell(call, found, "target", target, None)
        record = found.record | {"Enabled": False}
        state.put(call.tx, record, "organization", found.id)
        return {"Root": _root_shown(record, top)}

    def list_roots(self, call: Call, request: Request) -> Response:
        found = management(call)
        top = state.get(call.tx, "node", found.id, found.record["Root"]) or {}
        return {"Roots": [_root_shown(found.record, top)]}

    def create_policy(self, call: Call, request: Request) -> Response:
        found = management(call)
        _check_type(request["Type"])
        _check_content(request["Content"])
        held = state.every(call.tx, "policy", found.id)
        if any(p["Name"] == request["Name"] for p in held):
            raise Fault("DuplicatePolicyException", "A policy with the same name already exists.")
        if len(held) >= _POLICIES_COUNT_MAX:
            raise _over("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies.")
        name = identity(call, "p-", 8)
        place = (
            f"arn:aws:organizations::{call.account}:policy/{found.id}/service_control_policy/{name}"
        )
        record = {
            "Id": name,
            "Arn": place,
            "Name": request["Name"],
            "Description": request["Description"],
            "Type": _TYPE,
            "AwsManaged": False,
            "Content": request["Content"],
            "Tags": request.get("Tags", []),
        }
        state.put(call.tx, record, "policy", found.id, name)
        _tell(call, found, "policy", name, {"Name": record["Name"], "Content": record["Content"]})
        return {"Policy": _policy_shown(record)}

    def update_policy(self, call: Call, request: Request) -> Response:
        found = management(call)
        record = dict(_policy(call, found, request["PolicyId"]))
        if record["AwsManaged"]:
            raise Fault("AccessDeniedException", "An AWS managed policy cannot be changed.")
        if "Content" in request:
            _check_content(request["Content"])
        record |= {k: request[k] for k in ("Name", "Description", "Content") if k in request}
        state.put(call.tx, record, "policy", found.id, record["Id"])
        _tell(
            call,
            found,
            "policy",
            record["Id"],
            {"Name": record["Name"], "Content": record["Content"]},
        )
        return {"Policy": _policy_shown(record)}

    def describe_policy(self, call: Call, request: Request) -> Response:
        return {"Policy": _policy_shown(_policy(call, management(call), request["PolicyId"]))}

    def delete_policy(self, call: Call, request: Request) -> Response:
        found = management(call)
        record = _policy(call, found, request["PolicyId"])
        if record["AwsManaged"]:
            raise Fault("AccessDeniedException", "An AWS managed policy cannot be deleted.")
        if state.edges(call.tx, "held", found.id, record["Id"]):
            raise Fault(
                "PolicyInUseException",
                "The policy is attached to one or more entities. Detach it first.",
            )
        state.delete(call.tx, "policy", found.id, record["Id"])
        _tell(call, found, "policy", record["Id"], None)
        return {}

    def attach_policy(self, call: Call, request: Request) -> Response:
        found, target = management(call), request["TargetId"]
        policy = _policy(call, found, request["PolicyId"])["Id"]
        self.check_target(call, found, target)
        if not found.record["Enabled"]:
            raise _not_enabled()
        held = [p for p, _ in state.edges(call.tx, "attached", found.id, target)]
        if policy in held:
            raise Fault(
                "DuplicatePolicyAttachmentException",
                "A policy with the specified name and type already exists.",
            )
        if len(held) >= _ATTACHED_COUNT_MAX:
            raise _over(
                "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
                "You have attached the maximum number of policies.",
            )
        self.attach_to(call, found, policy, target)
        return {}

    def detach_policy(self, call: Call, request: Request) -> Response:
        found, target = management(call), request["TargetId"]
        policy = _policy(call, found, request["PolicyId"])["Id"]
        self.check_target(call, found, target)
        held = [p for p, _ in state.edges(call.tx, "attached", found.id, target)]
        if policy not in held:
            raise Fault(
                "PolicyNotAttachedException", "The policy isn't attached to the specified target."
            )
        if len(held) == 1:
            raise _over(
                "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
                "You cannot remove the last attached policy.",
            )
        state.delete(call.tx, "attached", found.id, target, policy)
        state.delete(call.tx, "held", found.id, policy, target)
        _tell(call, found, "target", target, [p for p in held if p != policy])
        return {}

    def attach_to(self, call: Call, found: Member, policy: str, target: str) -> None:
        state.edge(call.tx, "attached", found.id, target, policy)
        state.edge(call.tx, "held", found.id, policy, target)
        held = [p for p, _ in state.edges(call.tx, "attached", found.id, target)]
        _tell(call, found, "target", target, held)

    def list_policies(self, call: Call, request: Request) -> Response:
        found = management(call)
        _check_type(request["Filter"])
        return paged(state.every(call.tx, "policy", found.id), request, "Policies", _summary)

    def list_policies_for_target(self, call: Call, request: Request) -> Response:
        found = management(call)
        _check_type(request["Filter"])
        self.check_target(call, found, request["TargetId"])
        held = state.edges(call.tx, "attached", found.id, request["TargetId"])
        policies = [_policy(call, found, p) for p, _ in held]
        return paged(policies, request, "Policies", _summary)

    def list_targets_for_policy(self, call: Call, request: Request) -> Response:
        found = management(call)
        policy = _policy(call, found, request["PolicyId"])
        targets = [
            self.target(call, found, t)
            for t, _ in state.edges(call.tx, "held", found.id, policy["Id"])
        ]
        return paged(targets, request, "Targets", lambda t: t, key="TargetId")

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        kind, name, record = self._tagged(call, request["ResourceId"])
        tags = {t["Key"]: t for t in [*record.get("Tags", []), *request["Tags"]]}
        if len(tags) > 50:
            raise _over(
                "TAG_LIMIT_EXCEEDED",
                "You have exceeded the number of tags allowed on this resource.",
            )
        state.put(call.tx, record | {"Tags": list(tags.values())}, kind, *name)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        kind, name, record = self._tagged(call, request["ResourceId"])
        kept = [t for t in record.get("Tags", []) if t["Key"] not in request["TagKeys"]]
        state.put(call.tx, record | {"Tags": kept}, kind, *name)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"Tags": self._tagged(call, request["ResourceId"])[2].get("Tags", [])}

    def _tagged(self, call: Call, name: str) -> tuple[str, tuple[str, str], dict[str, Any]]:
        found = management(call)
        kind = "policy" if name.startswith("p-") else "account" if name.isdigit() else "node"
        record = state.get(call.tx, kind, found.id, name)
        if record is None:
            raise Fault("TargetNotFoundException", "You specified a target that doesn't exist.")
        return kind, (found.id, name), dict(record)


def _tell(call: Call, found: Member, kind: str, name: str, value: Any) -> None:
    """IAM decides with it from the next call on."""
    inside = call.scoped(call.account, call.region, root(call.account))
    asked = {"Organization": found.id, "Kind": kind, "Name": name, "Value": value}
    inside.invoke("iam", "KeepServiceControl", asked)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in record.items() if k not in ("Root", "Enabled")}
    return kept | {"AvailablePolicyTypes": [{"Type": _TYPE, "Status": "ENABLED"}]}


def _root_shown(record: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    types = [{"Type": _TYPE, "Status": "ENABLED"}] if record["Enabled"] else []
    return {k: top[k] for k in ("Id", "Arn", "Name")} | {"PolicyTypes": types}


def _root(call: Call, found: Member, name: str) -> dict[str, Any]:
    top = state.get(call.tx, "node", found.id, name)
    if top is None or name != found.record["Root"]:
        raise Fault("RootNotFoundException", "You specified a root that doesn't exist.")
    return top


def _policy(call: Call, found: Member, name: str) -> dict[str, Any]:
    record = state.get(call.tx, "policy", found.id, name)
    if record is None:
        raise Fault("PolicyNotFoundException", "You specified a policy that doesn't exist.")
    return record


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    return {k: record[k] for k in ("Id", "Arn", "Name", "Description", "Type", "AwsManaged")}


def _policy_shown(record: dict[str, Any]) -> dict[str, Any]:
    return {"PolicySummary": _summary(record), "Content": record["Content"]}


def _check_type(kind: str) -> None:
    if kind != _TYPE:
        raise Fault(
            "PolicyTypeNotAvailableForOrganizationException",
            f"The policy type {kind} is not offered by Stratolite; SERVICE_CONTROL_POLICY is.",
        )


def _check_content(text: str) -> None:
    try:
        check_identity(text)
        Document.parse(text)
    except Malformed as error:
        raise Fault(
            "MalformedPolicyDocumentException",
            "The provided policy document does not meet the requirements of the specified policy type.",
        ) from error
    if len(text) > _POLICY_BYTES_MAX:
        raise _over("POLICY_CONTENT_LIMIT_EXCEEDED", "You have exceeded the maximum policy size.")


def _over(reason: str, said: str) -> Fault:
    return Fault("ConstraintViolationException", said, Reason=reason)


def _not_enabled() -> Fault:
    return Fault(
        "PolicyTypeNotEnabledException",
        "This operation can be performed only for enabled policy types.",
    )
