"""Access points: create, describe, list, drop, and their policies."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from stratolite.errors import Fault
from stratolite.policy import Document
from stratolite.policy.document import Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3control import state
from stratolite.services.s3control.job_rules import invalid
from stratolite.services.s3control.jobs import check_account

PAGE_COUNT_MAX = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,48}[a-z0-9]")
_OPEN = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


class AccessPoints(Service):
    def create_access_point(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        name, bucket = request["Name"], request["Bucket"]
        if not _NAME.fullmatch(name) or name.endswith("-s3alias"):
            raise invalid("Your Access Point name must follow the naming rules")
        for member in ("VpcConfiguration", "PublicAccessBlockConfiguration", "Scope"):
            if request.get(member):
                raise Fault(
                    "NotImplemented",
                    f"s3control: access points with {member} are not offered by Stratolite",
                    status=501,
                )
        if request.get("BucketAccountId") not in (None, call.account):
            raise Fault("AccessDenied", "Access Denied", status=403)
        rows = state.space(call.account, call.region)
        if state.point(call.tx, rows, name) is not None:
            raise Fault(
                "AccessPointAlreadyOwnedByYou",
                "Your previous request to create the named accesspoint succeeded and you already own it.",
                status=409,
            )
        record = {
            "name": name,
            "bucket": bucket,
            "created_s": call.tx.time_s,
            "alias": f"{name[:30]}-{call.world.token(17).hex()[:34]}-s3alias"[-63:].lstrip("-"),
            "policy": None,
        }
        self._keep(call, record)
        state.put_point(call.tx, rows, record)
        return {"AccessPointArn": _arn(call, name), "Alias": record["alias"]}

    def _keep(self, call: Call, record: dict[str, Any]) -> None:
        asked = {
            "Arn": _arn(call, record["name"]),
            "Bucket": record["bucket"],
            "Alias": record["alias"],
            "Policy": record["policy"],
        }
        call.invoke("s3", "KeepAccessPoint", asked)

    def _point(self, call: Call, request: Request) -> dict[str, Any]:
        check_account(call, request)
        name = request["Name"].rpartition("/")[2]
        found = state.point(call.tx, state.space(call.account, call.region), name)
        if found is None:
            raise Fault(
                "NoSuchAccessPoint",
                "The specified accesspoint does not exist",
                status=404,
                AccessPointName=name,
            )
        return found

    def get_access_point(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        return {
            **_shown(call, found),
            "CreationDate": found["created_s"],
            "PublicAccessBlockConfiguration": dict(_OPEN),
        }

    def list_access_points(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        most = min(request.get("MaxResults") or PAGE_COUNT_MAX, PAGE_COUNT_MAX)
        rows = state.space(call.account, call.region)
        every = state.points(call.tx, rows, request.get("NextToken") or "")
        if bucket := request.get("Bucket"):
            every = (one for one in every if one["bucket"] == bucket)
        listed = list(islice(every, most + 1))
        response: Response = {"AccessPointList": [_shown(call, one) for one in listed[:most]]}
        if len(listed) > most:
            response["NextToken"] = listed[most - 1]["name"]
        return response

    def delete_access_point(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        asked = {"Arn": _arn(call, found["name"]), "Alias": found["alias"]}
        call.invoke("s3", "DropAccessPoint", asked)
        state.delete_point(call.tx, state.space(call.account, call.region), found["name"])
        return {}

    def put_access_point_policy(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        text = request["Policy"]
        arn = _arn(call, found["name"])
        try:
            document = Document.parse(text, has_principal=True)
        except Malformed as error:
            raise Fault("MalformedPolicy", str(error), status=400) from error
        for statement in document.statements:
            for resource in statement.resources:
                if resource != arn and not resource.startswith(f"{arn}/object/"):
                    raise Fault("MalformedPolicy", "Policy has invalid resource", status=400)
        self._set_policy(call, found, text)
        return {}

    def _set_policy(self, call: Call, found: dict[str, Any], text: str | None) -> None:
        record = {**found, "policy": text}
        self._keep(call, record)
        state.put_point(call.tx, state.space(call.account, call.region), record)

    def get_access_point_policy(self, call: Call, request: Request) -> Response:
        return {"Policy": self._policy(call, request)}

    def get_access_point_policy_status(self, call: Call, request: Request) -> Response:
        """Every access point's own public access block is on, so none is public."""
        self._policy(call, request)
        return {"PolicyStatus": {"IsPublic": False}}

    def _policy(self, call: Call, request: Request) -> str:
        text = self._point(call, request)["policy"]
        if text is None:
            raise Fault(
                "NoSuchAccessPointPolicy",
                "The specified accesspoint policy does not exist",
                status=404,
            )
        return str(text)

    def delete_access_point_policy(self, call: Call, request: Request) -> Response:
        self._set_policy(call, self._point(call, request), None)
        return {}


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:s3:{call.region}:{call.account}:accesspoint/{name}"


def _shown(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": record["name"],
        "NetworkOrigin": "Internet",
        "Bucket": record["bucket"],
        "AccessPointArn": _arn(call, record["name"]),
        "Alias": record["alias"],
        "BucketAccountId": call.account,
    }
