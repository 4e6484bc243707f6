"""Instance profiles: a role in a wrapping that templates name. Nothing here starts instances with them."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state

_KIND = "instance-profile"


class InstanceProfiles:
    """Mixed into ``Iam``. A record has ``Role``, the name of its role, and the profile's own members."""

    def create_instance_profile(self, call: Call, request: Request) -> Response:
        name = request["InstanceProfileName"]
        names.check_name("instanceProfileName", name, 128)
        path = names.check_path(request.get("Path", "/"))
        if again := holders.same_step(call, _KIND, name, request):
            return {"InstanceProfile": _shown(call, again)}
        if state.spelled(call.tx, call.account, _KIND, name):
            raise Fault("EntityAlreadyExists", f"Instance Profile {name} already exists.")
        holders.check_room(call, _KIND)
        record: dict[str, Any] = {
            "Path": path,
            "InstanceProfileName": name,
            "InstanceProfileId": names.new_id(call.world, _KIND),
            "Arn": names.arn(call.account, _KIND, path, name),
            "CreateDate": int(call.tx.time_s),
            "Tags": holders.new_tags(request),
            "StackToken": request.get("StackToken"),
        }
        state.put(call.tx, call.account, _KIND, name, record)
        return {"InstanceProfile": _shown(call, record)}

    def get_instance_profile(self, call: Call, request: Request) -> Response:
        record = _load(call, request)
        return {"InstanceProfile": _shown(call, record) | {"Tags": record["Tags"]}}

    def list_instance_profiles(self, call: Call, request: Request) -> Response:
        limit = request.get("MaxItems", holders.PAGE_COUNT)
        found, after = state.page(call.tx, call.account, _KIND, request.get("Marker", ""), limit)
        prefix = request.get("PathPrefix", "/")
        shown = [
            {k: v for k, v in _shown(call, r).items() if k != "Tags"}
            for r in found
            if r["Path"].startswith(prefix)
        ]
        return {"InstanceProfiles": shown, "IsTruncated": after is not None} | (
            {"Marker": after} if after else {}
        )

    def list_instance_profiles_for_role(self, call: Call, request: Request) -> Response:
        holders.load(call, "role", request["RoleName"])
        page = holders.paged(state.profiles_of(call.tx, call.account, request["RoleName"]), request)
        shown = [
            _shown(call, _load(call, {"InstanceProfileName": name})) for name in page.pop("Items")
        ]
        return {"InstanceProfiles": shown} | page

    def add_role_to_instance_profile(self, call: Call, request: Request) -> Response:
        record = _load(call, request)
        holders.load(call, "role", request["RoleName"])
        if record.get("Role"):
            raise Fault(
                "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
            )
        state.set_profile_role(call.tx, call.account, record, request["RoleName"])
        return {}

    def remove_role_from_instance_profile(self, call: Call, request: Request) -> Response:
        record = _load(call, request)
        if record.get("Role") != request["RoleName"]:
            raise names.missing("role", request["RoleName"])
        state.set_profile_role(call.tx, call.account, record, None)
        return {}

    def delete_instance_profile(self, call: Call, request: Request) -> Response:
        if _load(call, request).get("Role"):
            raise Fault(
                "DeleteConflict",
                "Cannot delete entity, must remove roles from instance profile first.",
            )
        state.delete(call.tx, call.account, _KIND, request["InstanceProfileName"])
        return {}

    def tag_instance_profile(self, call: Call, request: Request) -> Response:
        return holders.tag(call, _KIND, request["InstanceProfileName"], request["Tags"])

    def untag_instance_profile(self, call: Call, request: Request) -> Response:
        return holders.untag(call, _KIND, request["InstanceProfileName"], request["TagKeys"])

    def list_instance_profile_tags(self, call: Call, request: Request) -> Response:
        return holders.tags_of(call, _KIND, request["InstanceProfileName"], request)


def _load(call: Call, request: Request) -> dict[str, Any]:
    return holders.load(call, _KIND, request["InstanceProfileName"])


def _shown(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    role = record.get("Role") and state.get(call.tx, call.account, "role", record["Role"])
    hide = ("Tags", "PermissionsBoundary", "MaxSessionDuration", "Description")
    return holders.shown(record, "Role") | {"Roles": [holders.shown(role, *hide)] if role else []}
