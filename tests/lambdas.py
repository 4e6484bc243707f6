"""What the tests of Lambda share: roles that Lambda may assume, zips, a function in one line."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip


def zipped(code: str = "def handler(event, context): return event", name: str = "index") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.py", (1980, 1, 1, 0, 0, 0)), code)
    return out.getvalue()


def role(client: Any, name: str = "function-role") -> str:
    iam = client("iam")
    try:
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName=name)["Role"]["Arn"]


def create(client: Any, name: str = "fn", code: str | None = None, **more: Any) -> dict[str, Any]:
    """CreateFunction with what every function needs."""
    request = {
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": more.pop("Role", None) or role(client),
        "Handler": "index.handler",
        "Code": {"ZipFile": zipped(code) if code else zipped()},
    }
    return client("lambda").create_function(**(request | more))
