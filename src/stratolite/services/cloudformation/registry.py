"""The registry, as far as it says which types there are: AWS's own, offered here, with AWS's schemas of them.

Nothing can be registered, activated or published. A schema is AWS's whole one; what of it is offered is in docs/resources.md.
Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeType.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListTypes.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudformation.finding import invalid, page_size
from stratolite.services.cloudformation.handlers import all_handlers, handler_of
from stratolite.services.cloudformation.schema import schema_text

_PAGE_COUNT = 100
_VERSION = "00000001"
"""AWS numbers the versions of its types; here each has one."""


class Registry(Service):
    def describe_type(self, call: Call, request: Request) -> Response:
        name = _named(call, request)
        if request.get("VersionId") not in (None, _VERSION):
            raise _not_found(request["VersionId"])
        handler, text = handler_of(name), schema_text(call.region, name)
        if handler is None or text is None:
            raise _not_found(name)
        can_change = handler.can("update")
        return {
            "Arn": _arn(call, name),
            "Type": "RESOURCE",
            "TypeName": name,
            "DefaultVersionId": _VERSION,
            "IsDefaultVersion": True,
            "Schema": text,
            "ProvisioningType": "FULLY_MUTABLE" if can_change else "IMMUTABLE",
            "DeprecatedStatus": "LIVE",
            "Visibility": "PUBLIC",
        }

    def list_types(self, call: Call, request: Request) -> Response:
        """In order of names: AWS's public types. Asked for private ones, as by default, or others', there are none."""
        filters = request.get("Filters") or {}
        theirs = filters.get("Category", "AWS_TYPES") == "AWS_TYPES" and not filters.get("PublisherId")  # fmt: skip
        found = []
        if (
            request.get("Visibility", "PRIVATE") == "PUBLIC"
            and request.get("Type", "RESOURCE") == "RESOURCE"
            and request.get("DeprecatedStatus", "LIVE") == "LIVE"
            and theirs
        ):
            prefix, after = filters.get("TypeNamePrefix") or "", request.get("NextToken") or ""
            found = [
                handler
                for handler in all_handlers()
                if handler.type > after
                and handler.type.startswith(prefix)
                and schema_text(call.region, handler.type) is not None
            ]
        if kind := request.get("ProvisioningType"):
            wanted = {"FULLY_MUTABLE": True, "IMMUTABLE": False}.get(kind)
            found = [handler for handler in found if handler.can("update") is wanted]
        limit = page_size(request, _PAGE_COUNT)
        answer: Response = {
            "TypeSummaries": [
                {
                    "Type": "RESOURCE",
                    "TypeName": handler.type,
                    "DefaultVersionId": _VERSION,
                    "TypeArn": _arn(call, handler.type),
                }
                for handler in found[:limit]
            ]
        }
        if len(found) > limit:
            answer["NextToken"] = found[limit - 1].type
        return answer

    def list_type_versions(self, call: Call, request: Request) -> Response:
        name = _named(call, request)
        if handler_of(name) is None or schema_text(call.region, name) is None:
            raise _not_found(name)
        version: dict[str, Any] = {
            "Type": "RESOURCE",
            "TypeName": name,
            "VersionId": _VERSION,
            "IsDefaultVersion": True,
            "Arn": f"{_arn(call, name)}/{_VERSION}",
        }
        live = request.get("DeprecatedStatus", "LIVE") == "LIVE"
        return {"TypeVersionSummaries": [version] if live else []}


def _named(call: Call, request: Request) -> str:
    """The type that a request names, by its ARN or by kind and name."""
    arn = request.get("Arn") or ""
    if arn:
        place, _, name = arn.removesuffix(f"/{_VERSION}").rpartition("/")
        name = name.replace("-", "::")
        if place != _arn(call, name).rpartition("/")[0]:
            raise _not_found(arn)
        return str(name)
    if not request.get("TypeName") or not request.get("Type"):
        raise invalid("Either Arn, or Type and TypeName must be specified.")
    if request["Type"] != "RESOURCE":
        raise _not_found(request["TypeName"])
    return str(request["TypeName"])


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:cloudformation:{call.region}::type/resource/{name.replace('::', '-')}"


def _not_found(what: str) -> Fault:
    return Fault("TypeNotFoundException", f"The type '{what}' cannot be found.", status=404)
