"""Lambda's operations, put together from their topics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.errors import Fault
from stratolite.service import Access, Call, Cloud, Request, Resource, Service, Tagged
from stratolite.services.lambda_ import names, state
from stratolite.services.lambda_.doors import Doors
from stratolite.services.lambda_.functions import Functions
from stratolite.services.lambda_.layers import Layers
from stratolite.services.lambda_.mappings import Mappings
from stratolite.services.lambda_.output import Output
from stratolite.services.lambda_.permissions import Permissions, document
from stratolite.services.lambda_.recursion import Recursion
from stratolite.services.lambda_.urls import Urls
from stratolite.services.lambda_.versions import Versions
from stratolite.services.lambda_.worker import Later

_ACTIONS = {"Invoke": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"}
_ON_NOTHING = frozenset({"ListFunctions", "GetAccountSettings", "ListLayers"})
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/.")
_ARN = re.compile(r"arn:aws:lambda:([a-z0-9-]+):(\d{12}):function:([a-zA-Z0-9-_]+)(?::([^:]+))?\Z")


class Lambda(
    Mappings, Functions, Versions, Permissions, Urls, Layers, Recursion, Later, Doors, Service
):
    name: ClassVar[str] = "lambda"

    tag_types: ClassVar[tuple[str, ...]] = ("lambda:function",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:lambda:{call.region}:{call.account}:function"
        for name, record in state.functions(call.tx, call.account, call.region, after):
            yield Tagged(name, f"{where}:{name}", record["tags"])

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.output = Output(cloud)
        self.running = Counter()
        cloud.runtime.warm()  # whoever asks for Lambda is likely to invoke

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"lambda:{_ACTIONS.get(operation, operation)}"
        if operation in _ON_NOTHING:
            return ((action, "*"),)
        if "EventSourceMapping" in operation:
            return self.mapping_access(call, operation, request)
        if operation == "GetLayerVersionByArn":
            return (("lambda:GetLayerVersion", request["Arn"]),)
        if layer := request.get("LayerName"):
            base = f"arn:aws:lambda:{call.region}:{call.account}:layer:"
            arn = layer if layer.startswith("arn:") else base + layer
            number = request.get("VersionNumber")
            return ((action, f"{arn}:{number}" if number else arn),)
        given = request.get("FunctionName") or request.get("Resource") or ""
        if ":event-source-mapping:" in given:
            return ((action, given),)
        try:
            resource = names.function(call, given, request.get("Qualifier")).arn
        except Fault:  # the operation says what is wrong with it
            resource = "*"
        role = request.get("Role")  # who may not be that role must not act through a function as it
        if isinstance(role, str) and _ROLE.match(role):
            return ((action, resource), ("iam:PassRole", role))
        return ((action, resource),)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        keys = super().condition_keys(call, operation, request, needed)
        if needed[0] == "iam:PassRole":
            keys["iam:passedtoservice"] = ["lambda.amazonaws.com"]
        return keys

    def resource_policy(self, call: Call, resource: str) -> str | None:
        match = _ARN.match(resource)
        if match is None:
            return None
        region, account, name, qualifier = match.groups()
        ref = names.Ref(account, region, name, None)
        found = state.get_named(call.tx, ref, "policy", (qualifier or "").replace("$LATEST", ""))
        return document(found) if found else None

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.lambda_.resources import RESOURCES

        return RESOURCES
