"""Values that fit an AWS model, made from a seed, and botocore's ends of the wire to hold ours against."""

from __future__ import annotations

import base64
import datetime as dt
import random
from functools import lru_cache
from typing import Any

import botocore.loaders
import botocore.model

SERVICES = [
    "s3",
    "s3control",
    "dynamodb",
    "dynamodbstreams",
    "sqs",
    "sns",
    "events",
    "scheduler",
    "pipes",
    "kinesis",
    "firehose",
    "lambda",
    "apigateway",
    "apigatewayv2",
    "stepfunctions",
    "cloudformation",
    "iam",
    "sts",
    "logs",
    "cloudwatch",
    "kms",
    "secretsmanager",
    "ssm",
    "athena",
    "glue",
    "ecr",
    "rds-data",
    "cognito-idp",
    "appsync",
    "xray",
]

DEPTH_MAX = 6
_LOADER = botocore.loaders.Loader()


@lru_cache(maxsize=4)
def service_model(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(_LOADER.load_service_model(service, "service-2"), service)


def protocols(service: str) -> list[str]:
    """Those the model lists. (SQS's query protocol is not in it; see test_sqs_query.py.)"""
    metadata = service_model(service).metadata
    return list(metadata.get("protocols") or [metadata["protocol"]])


def spoken() -> list[tuple[str, str]]:
    return [(service, protocol) for service in SERVICES for protocol in protocols(service)]


class Sampler:
    """Makes parameters for a shape; ``wire`` says what the protocol can carry.

    Times have milliseconds, or seconds where HTTP dates are used. In XML and forms an empty list or
    map is the same as an absent one, so none are made there.
    """

    def __init__(
        self, seed: str, protocol: str, *, json_shapes: frozenset[str] = frozenset()
    ) -> None:
        self.rand = random.Random(seed)
        self.protocol = protocol
        self.json_shapes = json_shapes
        self.carries_empty = protocol in ("json", "rest-json", "smithy-rpc-v2-cbor")

    def structure(self, shape: Any, depth: int = 0, *, full: bool = False) -> dict[str, Any]:
        members = dict(shape.members)
        if not members:
            return {}
        if getattr(shape, "is_tagged_union", False):
            name = self.rand.choice(sorted(members))
            return {name: self.value(members[name], depth + 1)}
        out = {}
        for name, member in members.items():
            needed = name in shape.required_members or member.serialization.get("location") == "uri"
            likely = 1.0 if full else 0.7 if depth < 2 else 0.4 if depth < 4 else 0.1
            if depth >= DEPTH_MAX and member.type_name in ("structure", "list", "map"):
                continue
            if needed or self.rand.random() < likely:
                out[name] = self.value(member, depth + 1)
        if not out and depth:
            scalars = [
                n for n, m in members.items() if m.type_name not in ("structure", "list", "map")
            ]
            name = (scalars or list(members))[0]
            if depth < DEPTH_MAX + 6:
                out[name] = self.value(members[name], depth + 1)
        return out

    def value(self, shape: Any, depth: int = 0) -> Any:
        kind = shape.type_name
        location = shape.serialization.get("location")
        if shape.serialization.get("jsonvalue"):
            return {"a": [1, "ü"]}
        if kind == "structure":
            if shape.is_document_type:
                return {"a": [1, None, {"b": "ü"}], "c": True, "d": 0.5}
            return self.structure(shape, depth)
        if kind == "list":
            least = 0 if self.carries_empty and location is None else 1
            count = self.rand.randint(least, 3 if depth < 3 else 1)
            return [self.value(shape.member, depth + 1) for _ in range(max(count, least))]
        if kind == "map":
            least = 0 if self.carries_empty and location is None else 1
            count = self.rand.randint(least, 2)
            keys = [self.key(location) for _ in range(count)]
            if location == "headers":
                return {key: self.text(shape.value, location) for key in keys}
            return {key: self.value(shape.value, depth + 1) for key in keys}
        if kind == "timestamp":
            seconds = self.rand.randint(0, 2_000_000_000)
            form = shape.serialization.get("timestampFormat")
            whole = (
                form == "rfc822" or location == "header" or (form == "unixTimestamp" and location)
            )
            micros = 0 if whole else self.rand.choice((0, 123000, 999000))
            moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
            return moment.replace(microsecond=micros)
        if kind in ("integer", "long"):
            return self.rand.choice((0, 1, -7, 65536, 2**31 - 1))
        if kind in ("float", "double"):
            return self.rand.choice((0.5, -2.25, 3.0, 1024.125))
        if kind == "boolean":
            return self.rand.random() < 0.5
        if kind == "blob":
            return self.rand.randbytes(self.rand.randint(1, 9))
        if shape.enum:
            return self.rand.choice(shape.enum)
        return self.text(shape, location)

    def key(self, location: str | None) -> str:
        word = "".join(self.rand.choices("abcdefgh", k=6))
        return word if location else word + self.rand.choice(("", " x", "é", "."))

    def text(self, shape: Any, location: str | None) -> str:
        if shape.serialization.get("hostLabel"):
            return "".join(self.rand.choices("0123456789", k=12))
        word = "".join(self.rand.choices("abcXYZ019", k=4))
        if location == "uri":
            return word + self.rand.choice(
                ("", "/b//c", " %2F+é", "?x=1&y#z", "/../z", "a:b", "//")
            )
        if location in ("header", "headers"):
            return word + self.rand.choice(("", " b; c=d", '"e"', "/x:y=z+%20"))
        tails = ["", " &<>\"'", "é☃𝄞", "a=b&c=d+%20", "\n\ttail", "x" * 40]
        if self.protocol in ("json", "rest-json", "smithy-rpc-v2-cbor"):
            tails += ["\x00\x1f\\", ""]
        return word + self.rand.choice(tails)


def expected(
    value: Any, shape: Any, json_shapes: frozenset[str] = frozenset(), inside: bool = False
) -> Any:
    """``value`` as our dicts have it: times as seconds, blobs inside JSON shapes as base64."""
    inside = inside or shape.name in json_shapes
    kind = shape.type_name
    if kind == "timestamp":
        return value.timestamp()
    if kind == "blob":
        return base64.b64encode(value).decode() if inside else value
    if kind == "structure" and not shape.is_document_type:
        return {k: expected(v, shape.members[k], json_shapes, inside) for k, v in value.items()}
    if kind == "list":
        return [expected(item, shape.member, json_shapes, inside) for item in value]
    if kind == "map":
        return {k: expected(v, shape.value, json_shapes, inside) for k, v in value.items()}
    return value


def is_xml(protocol: str) -> bool:
    return protocol in ("query", "rest-xml")


def without_empty(value: Any) -> Any:
    """Empty lists, maps and structures left out: XML cannot tell them from absent."""
    if isinstance(value, dict):
        pairs = ((k, without_empty(v)) for k, v in value.items())
        return {k: v for k, v in pairs if v not in ({}, [])}
    if isinstance(value, list):
        return [without_empty(item) for item in value]
    return value
