"""Service-linked roles: roles of AWS services' own, which nobody else may change.

Here they are data that templates and users name; what such a role may do on AWS is not kept, for the services that have
one here act as themselves. ``Linked`` in the record is the service, and no CreateRole can set it.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateServiceLinkedRole.html
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state

_TASK = "deletion-task"


@cache
def table() -> dict[str, str]:
    """Service -> name of its role; with a "*" at the end it takes a suffix."""
    with open(os.path.join(os.path.dirname(__file__), "service_roles.json"), "rb") as file:
        found: dict[str, str] = orjson.loads(file.read())
    return found


class LinkedRoles:
    """Mixed into ``Iam``."""

    def create_service_linked_role(self, call: Call, request: Request) -> Response:
        service, suffix = request["AWSServiceName"], request.get("CustomSuffix", "")
        name = table().get(service)
        if name is None:
            raise Fault(
                "InvalidInput", f"Service {service} has no service-linked role that is known here."
            )
        if suffix and not name.endswith("*"):
            raise Fault("InvalidInput", f"Custom suffix is not allowed for {service}")
        name = name.rstrip("*") + (f"_{suffix}" if suffix else "")
        if again := holders.same_step(call, "role", name, request):
            return {"Role": holders.role_made(again)}
        if state.get(call.tx, call.account, "role", name):
            raise Fault(
                "InvalidInput",
                f"Service role name {name} has been taken in this account, please try a different suffix.",
            )
        statement = {
            "Action": ["sts:AssumeRole"],
            "Effect": "Allow",
            "Principal": {"Service": [service]},
        }
        path = f"/aws-service-role/{service}/"
        record: dict[str, Any] = {
            "Path": path,
            "RoleName": name,
            "RoleId": names.new_id(call.world, "role"),
            "Arn": names.arn(call.account, "role", path, name),
            "CreateDate": int(call.tx.time_s),
            "AssumeRolePolicyDocument": orjson.dumps(
                {"Version": "2012-10-17", "Statement": [statement]}
            ).decode(),
            "MaxSessionDuration": 3600,
            "Linked": service,
            "StackToken": request.get("StackToken"),
        }
        if request.get("Description"):
            record["Description"] = request["Description"]
        state.put(call.tx, call.account, "role", name, record)
        return {"Role": holders.role_made(record)}

    def delete_service_linked_role(self, call: Call, request: Request) -> Response:
        record = holders.load(call, "role", request["RoleName"])
        service = record.get("Linked")
        if service is None:
            raise Fault("NoSuchEntity", f"{request['RoleName']} is not a service-linked role.")
        task = f"task/aws-service-role/{service}/{record['RoleName']}/{call.world.uuid()}"
        holders.remove(call, "role", request["RoleName"])
        state.put(call.tx, call.account, _TASK, task, {"Status": "SUCCEEDED"})
        return {"DeletionTaskId": task}

    def get_service_linked_role_deletion_status(self, call: Call, request: Request) -> Response:
        found = state.get(call.tx, call.account, _TASK, request["DeletionTaskId"])
        if found is None:
            raise Fault(
                "NoSuchEntity", f"Deletion task {request['DeletionTaskId']} cannot be found."
            )
        return {"Status": found["Status"]}
