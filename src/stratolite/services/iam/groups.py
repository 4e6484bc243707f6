"""Groups: users who share policies."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state

_GROUPS_PER_USER_MAX = 10


class Groups:
    """Mixed into ``Iam``."""

    def create_group(self, call: Call, request: Request) -> Response:
        name = request["GroupName"]
        names.check_holder_name("group", name)
        path = names.check_path(request.get("Path", "/"))
        if again := holders.same_step(call, "group", name, request):
            return {"Group": holders.shown(again)}
        _check_free(call, name)
        holders.check_room(call, "group")
        record: dict[str, Any] = {
            "Path": path,
            "GroupName": name,
            "GroupId": names.new_id(call.world, "group"),
            "Arn": names.arn(call.account, "group", path, name),
            "CreateDate": int(call.tx.time_s),
            "StackToken": request.get("StackToken"),
        }
        state.put(call.tx, call.account, "group", name, record)
        return {"Group": holders.shown(record)}

    def get_group(self, call: Call, request: Request) -> Response:
        group = holders.load(call, "group", request["GroupName"])
        members = state.members_of(call.tx, call.account, request["GroupName"])
        page = holders.paged(members, request)
        users = [
            holders.shown(holders.load(call, "user", name), "Tags", "PermissionsBoundary")
            for name in page.pop("Items")
        ]
        return {"Group": holders.shown(group), "Users": users} | page

    def list_groups(self, call: Call, request: Request) -> Response:
        return holders.listed(call, "group", request, "Groups")

    def list_groups_for_user(self, call: Call, request: Request) -> Response:
        holders.load(call, "user", request["UserName"])
        page = holders.paged(state.groups_of(call.tx, call.account, request["UserName"]), request)
        groups = [holders.shown(holders.load(call, "group", n)) for n in page.pop("Items")]
        return {"Groups": groups} | page

    def update_group(self, call: Call, request: Request) -> Response:
        """A new name or path; who is in it and what hangs on it moves along."""
        name, new = request["GroupName"], request.get("NewGroupName") or request["GroupName"]
        record = holders.load(call, "group", name)
        path = names.check_path(request.get("NewPath", record["Path"]))
        if new != name:
            names.check_holder_name("group", new)
            if new.lower() != name.lower():
                _check_free(call, new)
            members = state.members_of(call.tx, call.account, name)
            for user in members:
                state.leave(call.tx, call.account, name, user)
                state.join(call.tx, call.account, new, user)
            holders.move(call, "group", name, new)
        record |= {
            "GroupName": new,
            "Path": path,
            "Arn": names.arn(call.account, "group", path, new),
        }
        state.put(call.tx, call.account, "group", new, record)
        return {}

    def delete_group(self, call: Call, request: Request) -> Response:
        name = request["GroupName"]
        holders.load(call, "group", name)
        if state.members_of(call.tx, call.account, name):
            raise Fault(
                "DeleteConflict", "Cannot delete entity, must remove users from group first."
            )
        holders.delete(call, "group", name)
        return {}

    def add_user_to_group(self, call: Call, request: Request) -> Response:
        group, user = request["GroupName"], request["UserName"]
        holders.load(call, "group", group)
        holders.load(call, "user", user)
        held = state.groups_of(call.tx, call.account, user)
        if group not in held and len(held) >= _GROUPS_PER_USER_MAX:
            quota = f"Cannot exceed quota for GroupsPerUser: {_GROUPS_PER_USER_MAX}"
            raise Fault("LimitExceeded", quota)
        state.join(call.tx, call.account, group, user)
        return {}

    def remove_user_from_group(self, call: Call, request: Request) -> Response:
        group, user = request["GroupName"], request["UserName"]
        holders.load(call, "group", group)
        holders.load(call, "user", user)
        state.leave(call.tx, call.account, group, user)
        return {}

    def put_group_policy(self, call: Call, request: Request) -> Response:
        return holders.put_inline(call, "group", request)

    def get_group_policy(self, call: Call, request: Request) -> Response:
        return holders.get_inline(call, "group", request)

    def delete_group_policy(self, call: Call, request: Request) -> Response:
        return holders.delete_inline(call, "group", request)

    def list_group_policies(self, call: Call, request: Request) -> Response:
        return holders.list_inline(call, "group", request)

    def attach_group_policy(self, call: Call, request: Request) -> Response:
        return holders.attach(call, "group", request)

    def detach_group_policy(self, call: Call, request: Request) -> Response:
        return holders.detach(call, "group", request)

    def list_attached_group_policies(self, call: Call, request: Request) -> Response:
        return holders.list_attached(call, "group", request)


def _check_free(call: Call, name: str) -> None:
    if state.spelled(call.tx, call.account, "group", name):
        raise Fault("EntityAlreadyExists", f"Group with name {name} already exists.")
