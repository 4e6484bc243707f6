"""What IAM must allow: API Gateway's operations are HTTP verbs on the paths of its own API.

Source  https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagement.html
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from stratolite.service import Access, Call, Request
from stratolite.services.apigateway.callers import INVOKE
from stratolite.services.apigateway.doors import EXECUTE

_VERBS = {"Get": "GET", "Delete": "DELETE", "Flush": "DELETE", "Untag": "DELETE", "Update": "PATCH", "Put": "PUT",
          "Tag": "PUT", "Create": "POST", "Import": "POST"}  # fmt: skip
_RESOURCE = "/restapis/{restApiId}/resources"
_METHOD = _RESOURCE + "/{resourceId}/methods/{httpMethod}"
_PATHS = {
    "RestApi": "/restapis",
    "Resource": _RESOURCE,
    "Method": _METHOD,
    "MethodResponse": _METHOD + "/responses/{statusCode}",
    "Integration": _METHOD + "/integration",
    "IntegrationResponse": _METHOD + "/integration/responses/{statusCode}",
    "GatewayResponse": "/restapis/{restApiId}/gatewayresponses",
    "Model": "/restapis/{restApiId}/models",
    "RequestValidator": "/restapis/{restApiId}/requestvalidators",
    "Authorizer": "/restapis/{restApiId}/authorizers",
    "Deployment": "/restapis/{restApiId}/deployments",
    "Stage": "/restapis/{restApiId}/stages",
    "StageAuthorizersCache": "/restapis/{restApiId}/stages/{stageName}/cache/authorizers",
    "ApiKey": "/apikeys",
    "UsagePlan": "/usageplans",
    "UsagePlanKey": "/usageplans/{usagePlanId}/keys",
    "Usage": "/usageplans/{usagePlanId}/usage",
    "Account": "/account",
    "Tags": "/tags/{resourceArn}",
}
_NAMES = {
    "RestApi": "restApiId",
    "Resource": "resourceId",
    "GatewayResponse": "responseType",
    "Model": "modelName",
    "RequestValidator": "requestValidatorId",
    "Authorizer": "authorizerId",
    "Deployment": "deploymentId",
    "Stage": "stageName",
    "ApiKey": "apiKey",
    "UsagePlan": "usagePlanId",
    "UsagePlanKey": "keyId",
}
"""Thing -> the member that names one of them, behind its path."""


def needed(call: Call, operation: str, request: Request) -> Sequence[Access]:
    if operation == EXECUTE:
        return ((INVOKE, request["arn"]),)
    start = next(start for start in _VERBS if operation.startswith(start))
    thing = operation.removeprefix(start)
    if thing == "Resource" and start in ("Tag", "Untag"):
        thing = "Tags"
    is_listing = thing not in _PATHS
    path = _PATHS[thing.removesuffix("s") if is_listing else thing]
    for member, value in request.items():
        if isinstance(value, str):
            path = path.replace(f"{{{member}}}", quote(value, safe=""))
    # a new resource's parent is in the path; other new things have no name yet
    name = "parentId" if operation == "CreateResource" else _NAMES.get(thing, "")
    if request.get(name) and (start != "Create" or operation == "CreateResource"):
        path += f"/{request[name]}"
    return ((f"apigateway:{_VERBS[start]}", f"arn:aws:apigateway:{call.region}::{path}"),)
