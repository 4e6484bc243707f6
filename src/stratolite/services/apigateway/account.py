"""The account's settings, and tags of APIs, stages, API keys and usage plans.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging-supported-resources.html
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from stratolite.service import Call, Request, Response
from stratolite.services.apigateway.parts import bad, find, load, store

_THROTTLE = {"burstLimit": 5000, "rateLimit": 10000.0}
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/.+\Z")
_ARN = re.compile(
    r"arn:aws:apigateway:[a-z0-9-]*::/(?:restapis/(?P<api>[a-z0-9]+)(?:/stages/(?P<stage>[^/]+))?"
    r"|apikeys/(?P<key>[a-z0-9]+)|usageplans/(?P<plan>[a-z0-9]+))\Z"
)
_TAGS_COUNT_MAX = 50


class Account:
    def get_account(self, call: Call, request: Request) -> Response:
        return _shown(find(call, "account", "settings") or {})

    def update_account(self, call: Call, request: Request) -> Response:
        """The role for logs is kept and shown; what would be written with it is not offered."""
        settings = find(call, "account", "settings") or {}
        for operation in request.get("patchOperations") or ():
            path, value = operation.get("path"), operation.get("value")
            if path != "/cloudwatchRoleArn" or operation["op"] not in ("replace", "remove"):
                raise bad(f"Invalid patch path {path}")
            if operation["op"] == "remove" or not value:
                settings.pop("cloudwatchRoleArn", None)
            elif not _ROLE.match(value):
                raise bad("Invalid ARN specified in the request")
            else:
                settings["cloudwatchRoleArn"] = value
        store(call, "account", "settings", record=settings)
        return _shown(settings)

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        place, record = _tagged(call, request["resourceArn"])
        tags = (record.get("tags") or {}) | request["tags"]
        if len(tags) > _TAGS_COUNT_MAX:
            raise bad("The number of tags exceeds the limit of 50")
        record["tags"] = tags
        store(call, *place, record=record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        place, record = _tagged(call, request["resourceArn"])
        gone = request["tagKeys"]
        record["tags"] = {k: v for k, v in (record.get("tags") or {}).items() if k not in gone}
        store(call, *place, record=record)
        return {}

    def get_tags(self, call: Call, request: Request) -> Response:
        return {"tags": _tagged(call, request["resourceArn"])[1].get("tags") or {}}


def _shown(settings: dict[str, Any]) -> Response:
    return {**settings, "throttleSettings": _THROTTLE, "features": ["UsagePlans"], "apiKeyVersion": "4"}  # fmt: skip


def _tagged(call: Call, arn: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    found = _ARN.match(unquote(arn))
    if found is None:
        raise bad(f"Invalid resource identifier specified {arn}")
    place: tuple[str, ...]
    if found["stage"]:
        place = ("stage", found["api"], found["stage"])
    elif found["api"]:
        place = ("api", found["api"])
    elif found["key"]:
        place = ("key", found["key"])
    else:
        place = ("plan", found["plan"])
    return place, load(call, *place)
