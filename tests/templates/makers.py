"""What the tables of templates are written with: ``R``, a resource in three steps, and short forms of what recurs.

``R(type, first, second, third)``: each further step is what it changes of the one before, None takes a property away.
"""

from __future__ import annotations

from typing import Any

NO_VALUE = {"Ref": "AWS::NoValue"}


class R:
    def __init__(self, kind: str, *steps: dict[str, Any], **attributes: Any) -> None:
        self.kind, self.attributes = kind, attributes
        full: list[dict[str, Any]] = []
        for step in [*steps, *[{}] * (3 - len(steps))] or [{}, {}, {}]:
            merged = {**(full[-1] if full else {}), **step}
            full.append({k: v for k, v in merged.items() if v is not None})
        self.steps = full

    def body(self) -> dict[str, Any]:
        first, second, third = self.steps
        made: dict[str, Any] = {}
        for key in dict.fromkeys([*first, *second, *third]):
            a, b, c = (step.get(key, NO_VALUE) for step in self.steps)
            made[key] = a if a == b == c else {"Fn::If": ["Two", b, {"Fn::If": ["Three", c, a]}]}
        return {"Type": self.kind, **self.attributes, **({"Properties": made} if made else {})}


def ref(name: str) -> dict[str, Any]:
    return {"Ref": name}


def att(name: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def sub(text: str) -> dict[str, Any]:
    return {"Fn::Sub": text}


def tags(**given: str) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in given.items()]


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(service: str = "lambda.amazonaws.com", **more: Any) -> R:
    return R("AWS::IAM::Role", {"AssumeRolePolicyDocument": trust(service), **more})


CODE = "def handler(event, context):\n    return {code}\n"


def function(first: dict[str, Any] | None = None, *steps: dict[str, Any], **attributes: Any) -> R:
    base = {
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": att("Role", "Arn"),
        "Code": {"ZipFile": CODE.format(code=1)},
    }
    return R("AWS::Lambda::Function", {**base, **(first or {})}, *steps, **attributes)


def code(n: int) -> dict[str, Any]:
    return {"Code": {"ZipFile": CODE.format(code=n)}}


def table(first: dict[str, Any], *steps: dict[str, Any]) -> R:
    base = {
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return R("AWS::DynamoDB::Table", {**base, **first}, *steps)


def key_policy() -> dict[str, Any]:
    root = sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")
    return allow("kms:*", Principal={"AWS": root})


MADE: dict[str, dict[str, Any]] = {}


def made(name: str, **resources: R | dict[str, Any]) -> None:
    assert name not in MADE, name
    MADE[name] = resources
