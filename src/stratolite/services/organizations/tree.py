"""Accounts and organizational units: who hangs where."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, root
from stratolite.services.organizations import state
from stratolite.services.organizations.pages import paged

FULL_ACCESS = "p-FullAWSAccess"
_ACCOUNTS_COUNT_MAX, _UNITS_COUNT_MAX, _DEPTH_MAX = 100, 200, 5
_ROLE = "OrganizationAccountAccessRole"


class Member(NamedTuple):
    id: str
    record: dict[str, Any]


def member(call: Call) -> Member:
    """The caller's organization. Raises Fault if it has none."""
    name = state.organization_of(call.tx, call.account)
    record = state.get(call.tx, "organization", name) if name else None
    if name is None or record is None:
        raise Fault(
            "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
        )
    return Member(name, record)


def management(call: Call) -> Member:
    """The same for who may change it and look into it: the management account."""
    found = member(call)
    if found.record["MasterAccountId"] != call.account:
        raise Fault(
            "AccessDeniedException",
            "You don't have permissions to access this resource.",
            status=400,
        )
    return found


def identity(call: Call, prefix: str, length: int) -> str:
    return prefix + base64.b32encode(call.world.token(length)).decode().lower()[:length]


class Tree:
    """Mixed into ``Organizations``."""

    def join(
        self, call: Call, found: Member, account: str, name: str, email: str, method: str
    ) -> dict[str, Any]:
        """The account hangs under the root from now on."""
        top, owner = found.record["Root"], found.record["MasterAccountId"]
        record: dict[str, Any] = {
            "Id": account,
            "Arn": f"arn:aws:organizations::{owner}:account/{found.id}/{account}",
            "Email": email,
            "Name": name,
            "Status": "ACTIVE",
            "State": "ACTIVE",
            "JoinedMethod": method,
            "JoinedTimestamp": int(call.tx.time_s),
            "Parent": top,
        }
        state.set_member(call.tx, account, found.id)
        state.put(call.tx, record, "account", found.id, account)
        state.edge(call.tx, "child", found.id, top, account, value="ACCOUNT")
        if found.record["Enabled"]:
            self.attach_to(call, found, FULL_ACCESS, account)
        self.place(call, found, account, top)
        return record

    def attach_to(self, call: Call, found: Member, policy: str, target: str) -> None:
        raise NotImplementedError

    def place(self, call: Call, found: Member, account: str, parent: str) -> None:
        """Tell IAM where the account hangs."""
        path = [account, parent]
        while (node := state.get(call.tx, "node", found.id, path[-1])) and node["Parent"]:
            path.append(node["Parent"])
        asked = {
            "Account": account,
            "Record": {
                "Id": found.id,
                "Management": account == found.record["MasterAccountId"],
                "Path": path[::-1],
            },
        }
        inside = call.scoped(account, call.region, root(account))
        inside.invoke("iam", "KeepOrganization", asked)

    def part(self, call: Call, found: Member, account: str) -> None:
        """The account stands alone from now on."""
        record = state.get(call.tx, "account", found.id, account)
        assert record is not None
        state.set_member(call.tx, account, None)
        state.delete(call.tx, "child", found.id, record["Parent"], account)
        state.delete(call.tx, "account", found.id, account)
        for policy, _ in state.edges(call.tx, "attached", found.id, account):
            state.delete(call.tx, "attached", found.id, account, policy)
            state.delete(call.tx, "held", found.id, policy, account)
        inside = call.scoped(account, call.region, root(account))
        inside.invoke("iam", "KeepOrganization", {"Account": account, "Record": None})

    # -- accounts

    def create_account(self, call: Call, request: Request) -> Response:
        found = management(call)
        held = state.every(call.tx, "account", found.id)
        status: dict[str, Any] = {
            "Id": identity(call, "car-", 24),
            "AccountName": request["AccountName"],
            "State": "SUCCEEDED",
            "RequestedTimestamp": int(call.tx.time_s),
            "CompletedTimestamp": int(call.tx.time_s),
        }
        if len(held) >= _ACCOUNTS_COUNT_MAX:
            status |= {"State": "FAILED", "FailureReason": "ACCOUNT_LIMIT_EXCEEDED"}
        elif any(a["Email"] == request["Email"] for a in held):
            status |= {"State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"}
        else:
            account = f"{int.from_bytes(call.world.token(8), 'big') % (9 * 10**11) + 10**11}"
            while state.organization_of(call.tx, account):
                account = f"{int(account) + 1}"
            self._role(call, account, request.get("RoleName", _ROLE))
            made = self.join(
                call, found, account, request["AccountName"], request["Email"], "CREATED"
            )
            state.put(
                call.tx, made | {"Tags": request.get("Tags", [])}, "account", found.id, account
            )
            status["AccountId"] = account
        state.put(call.tx, status, "creation", found.id, status["Id"])
        shown = {k: status[k] for k in ("Id", "AccountName", "RequestedTimestamp")}
        return {"CreateAccountStatus": shown | {"State": "IN_PROGRESS"}}

    def _role(self, call: Call, account: str, name: str) -> None:
        """With which the management account administers a new one."""
        owner = f"arn:aws:iam::{call.account}:root"
        trust = (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"'
            + owner
            + '"},"Action":"sts:AssumeRole"}]}'
        )
        inside = call.scoped(account, call.region, root(account))
        inside.invoke("iam", "CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": trust})
        arn = "arn:aws:iam::aws:policy/AdministratorAccess"
        inside.invoke("iam", "AttachRolePolicy", {"RoleName": name, "PolicyArn": arn})

    def describe_create_account_status(self, call: Call, request: Request) -> Response:
        found = management(call)
        record = state.get(call.tx, "creation", found.id, request["CreateAccountRequestId"])
        if record is None:
            raise Fault(
                "CreateAccountStatusNotFoundException",
                "We can't find a create account request with that ID.",
            )
        return {"CreateAccountStatus": record}

    def describe_account(self, call: Call, request: Request) -> Response:
        return {
            "Account": _account_shown(self._account(call, management(call), request["AccountId"]))
        }

    def list_accounts(self, call: Call, request: Request) -> Response:
        found = management(call)
        return paged(state.every(call.tx, "account", found.id), request, "Accounts", _account_shown)

    def list_accounts_for_parent(self, call: Call, request: Request) -> Response:
        found = management(call)
        self._node(call, found, request["ParentId"], "ParentNotFoundException")
        children = state.edges(call.tx, "child", found.id, request["ParentId"])
        accounts = [self._account(call, found, c) for c, kind in children if kind == "ACCOUNT"]
        return paged(accounts, request, "Accounts", _account_shown)

    def move_account(self, call: Call, request: Request) -> Response:
        found = management(call)
        account, old, new = (
            request["AccountId"],
            request["SourceParentId"],
            request["DestinationParentId"],
        )
        record = self._account(call, found, account)
        self._node(call, found, new, "DestinationParentNotFoundException")
        if record["Parent"] != old:
            raise Fault(
                "SourceParentNotFoundException",
                "The account is not in the specified source parent.",
            )
        state.delete(call.tx, "child", found.id, old, account)
        state.edge(call.tx, "child", found.id, new, account, value="ACCOUNT")
        state.put(call.tx, record | {"Parent": new}, "account", found.id, account)
        self.place(call, found, account, new)
        return {}

    def remove_account_from_organization(self, call: Call, request: Request) -> Response:
        found = management(call)
        self._account(call, found, request["AccountId"])
        if request["AccountId"] == found.record["MasterAccountId"]:
            raise Fault(
                "MasterCannotLeaveOrganizationException", "You can't remove the management account."
            )
        self.part(call, found, request["AccountId"])
        return {}

    def leave_organization(self, call: Call, request: Request) -> Response:
        found = member(call)
        if call.account == found.record["MasterAccountId"]:
            raise Fault(
                "MasterCannotLeaveOrganizationException", "The management account can't leave."
            )
        self.part(call, found, call.account)
        return {}

    # -- organizational units

    def create_organizational_unit(self, call: Call, request: Request) -> Response:
        found, parent = management(call), request["ParentId"]
        self._node(call, found, parent, "ParentNotFoundException")
        nodes = {n["Id"]: n for n in state.every(call.tx, "node", found.id)}
        if any(n["Parent"] == parent and n["Name"] == request["Name"] for n in nodes.values()):
            raise Fault(
                "DuplicateOrganizationalUnitException", "An OU with the same name already exists."
            )
        depth, at = 1, parent
        while nodes[at]["Parent"]:
            depth, at = depth + 1, nodes[at]["Parent"]
        if len(nodes) > _UNITS_COUNT_MAX or depth > _DEPTH_MAX:
            reason = (
                "OU_NUMBER_LIMIT_EXCEEDED" if depth <= _DEPTH_MAX else "OU_DEPTH_LIMIT_EXCEEDED"
            )
            raise Fault(
                "ConstraintViolationException",
                "You have exceeded a limit of organizational units.",
                Reason=reason,
            )
        top = found.record["Root"].removeprefix("r-")
        name = identity(call, f"ou-{top}-", 8)[: len(top) + 4 + 8]
        record = {
            "Id": name,
            "Arn": f"arn:aws:organizations::{call.account}:ou/{found.id}/{name}",
            "Name": request["Name"],
            "Parent": parent,
            "Tags": request.get("Tags", []),
        }
        state.put(call.tx, record, "node", found.id, name)
        state.edge(call.tx, "child", found.id, parent, name, value="ORGANIZATIONAL_UNIT")
        if found.record["Enabled"]:
            self.attach_to(call, found, FULL_ACCESS, name)
        return {"OrganizationalUnit": _unit_shown(record)}

    def describe_organizational_unit(self, call: Call, request: Request) -> Response:
        return {"OrganizationalUnit": _unit_shown(self._unit(call, management(call), request))}

    def update_organizational_unit(self, call: Call, request: Request) -> Response:
        found = management(call)
        record = dict(self._unit(call, found, request))
        record["Name"] = request.get("Name", record["Name"])
        state.put(call.tx, record, "node", found.id, record["Id"])
        return {"OrganizationalUnit": _unit_shown(record)}

    def delete_organizational_unit(self, call: Call, request: Request) -> Response:
        found = management(call)
        record = self._unit(call, found, request)
        if state.edges(call.tx, "child", found.id, record["Id"]):
            raise Fault("OrganizationalUnitNotEmptyException", "The specified OU is not empty.")
        for policy, _ in state.edges(call.tx, "attached", found.id, record["Id"]):
            state.delete(call.tx, "attached", found.id, record["Id"], policy)
            state.delete(call.tx, "held", found.id, policy, record["Id"])
        state.delete(call.tx, "child", found.id, record["Parent"], record["Id"])
        state.delete(call.tx, "node", found.id, record["Id"])
        return {}

    def list_organizational_units_for_parent(self, call: Call, request: Request) -> Response:
        found = management(call)
        self._node(call, found, request["ParentId"], "ParentNotFoundException")
        children = state.edges(call.tx, "child", found.id, request["ParentId"])
        units = [
            self._node(call, found, c, "ParentNotFoundException")
            for c, kind in children
            if kind == "ORGANIZATIONAL_UNIT"
        ]
        return paged(units, request, "OrganizationalUnits", _unit_shown)

    def list_children(self, call: Call, request: Request) -> Response:
        found = management(call)
        self._node(call, found, request["ParentId"], "ParentNotFoundException")
        children = state.edges(call.tx, "child", found.id, request["ParentId"])
        kept = [{"Id": c, "Type": kind} for c, kind in children if kind == request["ChildType"]]
        return paged(kept, request, "Children", lambda c: c)

    def list_parents(self, call: Call, request: Request) -> Response:
        found, child = management(call), request["ChildId"]
        record = state.get(call.tx, "account" if child.isdigit() else "node", found.id, child)
        if record is None:
            raise Fault(
                "ChildNotFoundException",
                "We can't find an organizational unit or account with that ID.",
            )
        parent = record["Parent"]
        if not parent:
            return {"Parents": []}
        kind = "ROOT" if parent.startswith("r-") else "ORGANIZATIONAL_UNIT"
        return {"Parents": [{"Id": parent, "Type": kind}]}

    # -- what the others look up

    def check_target(self, call: Call, found: Member, name: str) -> None:
        self.target(call, found, name)

    def target(self, call: Call, found: Member, name: str) -> dict[str, Any]:
        """As ListTargetsForPolicy shows it. Raises Fault if there is none."""
        record = state.get(call.tx, "account" if name.isdigit() else "node", found.id, name)
        if record is None:
            raise Fault("TargetNotFoundException", "You specified a target that doesn't exist.")
        kind = (
            "ACCOUNT"
            if name.isdigit()
            else "ROOT"
            if name.startswith("r-")
            else "ORGANIZATIONAL_UNIT"
        )
        return {"TargetId": name, "Arn": record["Arn"], "Name": record["Name"], "Type": kind}

    def _account(self, call: Call, found: Member, name: str) -> dict[str, Any]:
        record = state.get(call.tx, "account", found.id, name)
        if record is None:
            raise Fault("AccountNotFoundException", "You specified an account that doesn't exist.")
        return record

    def _node(self, call: Call, found: Member, name: str, code: str) -> dict[str, Any]:
        record = state.get(call.tx, "node", found.id, name)
        if record is None:
            raise Fault(code, "You specified a root or an organizational unit that doesn't exist.")
        return record

    def _unit(self, call: Call, found: Member, request: Request) -> dict[str, Any]:
        name = request["OrganizationalUnitId"]
        if not name.startswith("ou-"):
            raise Fault("InvalidInputException", "You specified an invalid OU ID.")
        return self._node(call, found, name, "OrganizationalUnitNotFoundException")


def _account_shown(record: dict[str, Any]) -> dict[str, Any]:
    hidden = ("Parent", "Tags")
    return {k: v for k, v in record.items() if k not in hidden}


def _unit_shown(record: dict[str, Any]) -> dict[str, Any]:
    return {k: record[k] for k in ("Id", "Arn", "Name")}
