"""A REST API over one function, for the tests of API Gateway: made through boto3, asked through the path form."""

from __future__ import annotations

import json
from typing import Any

from lambdas import create

from stratolite.http import HttpRequest

ME = "000000000000"
ECHO = """
import json
def handler(event, context):
    body = event.get("body") or ""
    asked = json.loads(body) if body.startswith("{") else {}
    if "answer" in asked:
        return asked["answer"]
    if "raise" in asked:
        raise Exception(asked["raise"])
    return {"statusCode": 200, "body": json.dumps(event)}
"""


def echo(client: Any) -> str:
    """The function that says what it was given, or what it was told to say; any REST API of the account may call it."""
    functions = client("lambda")
    try:
        arn = create(client, "echo", ECHO)["FunctionArn"]
    except functions.exceptions.ResourceConflictException:
        found = functions.get_function_configuration(FunctionName="echo")
        return str(found["FunctionArn"])
    permit(client, "echo", "*")
    return str(arn)


def permit(client: Any, function: str, source: str, statement: str = "api") -> None:
    client("lambda").add_permission(
        FunctionName=function, StatementId=statement, Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com", SourceArn=f"arn:aws:execute-api:us-east-1:{ME}:{source}",
    )  # fmt: skip


class Site:
    """``add`` methods, ``deploy``, ``ask``."""

    def __init__(self, client: Any, platform: Any, **api: Any) -> None:
        self.client, self.platform = client, platform
        self.api, self.functions = client("apigateway"), client("lambda")
        self.function = echo(client)
        made = self.api.create_rest_api(name="site", **api)
        self.id, self.root = made["id"], made["rootResourceId"]
        self.resources = {"/": self.root}

    def uri(self, function: str = "") -> str:
        return (
            "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
            f"{function or self.function}/invocations"
        )

    def resource(self, path: str) -> str:
        if path not in self.resources:
            above, _, part = path.rpartition("/")
            parent = self.resource(above or "/")
            made = self.api.create_resource(restApiId=self.id, parentId=parent, pathPart=part)
            self.resources[path] = made["id"]
        return self.resources[path]

    def add(
        self, verb: str, path: str, integration: dict[str, Any] | None = None, **method: Any
    ) -> dict[str, str]:
        """A method with its integration, a Lambda proxy unless another is given; where it is."""
        where = {
            "restApiId": self.id,
            "resourceId": self.resource(path),
            "httpMethod": verb,
        }
        self.api.put_method(**where, **{"authorizationType": "NONE"} | method)
        proxy = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": self.uri()}
        self.api.put_integration(**where, **(integration or proxy))
        return where

    def mock(self, verb: str, path: str, template: str = "", **response: Any) -> dict[str, str]:
        """A MOCK method whose answer is ``template``."""
        made = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
        where = self.add(verb, path, made)
        self.api.put_method_response(**where, statusCode="200")
        if template:
            response["responseTemplates"] = {"application/json": template}
        self.api.put_integration_response(**where, statusCode="200", **response)
        return where

    def deploy(self, stage: str = "prod", **more: Any) -> str:
        return str(self.api.create_deployment(restApiId=self.id, stageName=stage, **more)["id"])

    def send(self, request: HttpRequest) -> tuple[int, dict[str, str], bytes]:
        status, answered, raw = self.platform.send(request)
        return status, {k.lower(): v for k, v in answered}, raw

    def ask(
        self, method: str, path: str, body: bytes = b"", query: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        found = {"host": "localhost:4566"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.send(
            HttpRequest(method, f"/_aws/execute-api/{self.id}{path}", query, found, body)
        )

    def said(self, method: str, path: str, body: Any = b"", query: str = "", **headers: str) -> Any:
        """(status, JSON)"""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, raw = self.ask(method, path, sent, query, **headers)
        return status, json.loads(raw)
