"""Dynamic references: ``{{resolve:ssm:NAME:VERSION}}``, ``ssm-secure``, ``secretsmanager``.

A template, its properties as they are kept, events and change sets hold the reference; only the handler gets the value, at
its step, looked up as whoever the operation works as. What it then says in a failure is shown without it.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, is_number
from stratolite.services.cloudformation.finding import Plain
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.places import Misplaced

_REFERENCE = re.compile(r"\{\{resolve:([a-z-]+):([^{}]*)\}\}")
_SECURE_PLACES = {
    "AWS::IAM::User": ("LoginProfile/Password",),
    "AWS::RDS::DBCluster": ("MasterUserPassword",),
    "AWS::RDS::DBInstance": ("MasterUserPassword",),
}
"""Where AWS takes ssm-secure, of the types offered here."""
_MASKED_LENGTH_MIN = 4  # masking shorter ones would blot out words


def mentions_any(value: Any) -> bool:
    if isinstance(value, str):
        return "{{resolve:" in value
    if isinstance(value, dict):
        return any(mentions_any(item) for item in value.values())
    if isinstance(value, list):
        return any(mentions_any(item) for item in value)
    return False


def refuse_secure(properties: dict[str, Any], kind: str, logical_id: str) -> None:
    """Raises Misplaced for a reference that is none, or a secure one where AWS takes none."""
    for place, text in _texts(properties, ()):
        for service, _ in _REFERENCE.findall(text):
            if service not in ("ssm", "ssm-secure", "secretsmanager"):
                raise Misplaced(
                    f"Dynamic reference of {logical_id}: {service} is not one of ssm, ssm-secure, secretsmanager",
                    ("Resources", logical_id, "Properties", *place),
                )
            path = "/".join(place)
            if service == "ssm-secure" and path not in _SECURE_PLACES.get(kind, ()):
                raise Misplaced(
                    f"SSM Secure reference is not supported in: [{kind}/Properties/{path}]",
                    ("Resources", logical_id, "Properties", *place),
                )


def _texts(node: Any, place: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(node, str):
        return [(place, node)] if "{{resolve:" in node else []
    found = []
    if isinstance(node, dict):
        for key, value in node.items():
            found += _texts(value, (*place, str(key)))
    elif isinstance(node, list):
        for n, value in enumerate(node):
            found += _texts(value, (*place, str(n)))
    return found


class Looked:
    """Looks references up, each once, and remembers what must not be shown."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._known: dict[str, str] = {}
        self.secrets: set[str] = set()

    async def resolved(self, value: Any) -> Any:
        """``value`` with every reference replaced. Raises Fault where one leads nowhere."""
        if isinstance(value, str):
            if "{{resolve:" not in value:
                return value
            out, end = [], 0
            for found in _REFERENCE.finditer(value):
                out.append(value[end : found.start()])
                end = found.end()
                if found[0] not in self._known:
                    self._known[found[0]] = await self._look_up(found[1], found[2])
                out.append(self._known[found[0]])
            out.append(value[end:])
            return "".join(out)
        if isinstance(value, dict):
            return {key: await self.resolved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [await self.resolved(item) for item in value]
        return value

    def masked(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _MASKED_LENGTH_MIN:
                text = text.replace(secret, "****")
        return text

    async def _look_up(self, service: str, rest: str) -> str:
        if service == "secretsmanager":
            return await self._secret(rest)
        name, colon, version = rest.rpartition(":")
        if not colon or not is_number(version):
            name, version = rest, ""
        is_secure = service == "ssm-secure"
        wanted = f"{name}:{version}" if version else name
        try:
            answer = await self._call.request(
                "ssm", "GetParameter", {"Name": wanted, "WithDecryption": is_secure}
            )
        except Fault as fault:
            if fault.code != "ParameterNotFound":  # which says nothing more, as AWS's
                raise
            raise Plain(f"Parameters: [{service}:{wanted}] cannot be found.") from fault
        parameter = answer["Parameter"]
        if (parameter["Type"] == "SecureString") != is_secure:
            raise Fault(
                "ValidationError",
                f"{name} is of type {parameter['Type']}, which {{{{resolve:{service}:...}}}} does not read",
            )
        if is_secure:
            self.secrets.add(parameter["Value"])
        return str(parameter["Value"])

    async def _secret(self, rest: str) -> str:
        """secret-id:SecretString:json-key:version-stage:version-id; an ARN has colons of its own."""
        parts = rest.split(":")
        count = 7 if parts[0] == "arn" else 1
        secret_id = ":".join(parts[:count])
        kind, key, stage, version = (*parts[count : count + 4], "", "", "", "")[:4]
        if kind not in ("", "SecretString"):
            raise Fault("ValidationError", f"Could not parse SecretString reference of {secret_id}")
        request = {"SecretId": secret_id}
        if stage:
            request["VersionStage"] = stage
        if version:
            request["VersionId"] = version
        answer = await self._call.request("secretsmanager", "GetSecretValue", request)
        text = str(answer.get("SecretString", ""))
        self.secrets.add(text)
        if not key:
            return text
        try:
            value = orjson.loads(text)[key]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Fault(
                "ValidationError",
                f"Could not find a value associated with JSONKey {key} in SecretString",
            ) from None
        made = orjson.dumps(value).decode() if isinstance(value, dict | list) else text_of(value)
        self.secrets.add(made)
        return made
