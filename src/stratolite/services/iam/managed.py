"""The AWS managed policies that templates name, from ``managed.json`` beside this file: path -> {version, date, statement}.

Only the default version of each is there, under its own number; ``date`` is that version's, seconds since the epoch.

Source  https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
A policy that is not in the file does not exist here: attaching it answers NoSuchEntity.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import orjson

from stratolite.policy import Document


@cache
def table() -> dict[str, dict[str, Any]]:
    """ARN -> {document, version, date}."""
    with open(os.path.join(os.path.dirname(__file__), "managed.json"), "rb") as file:
        policies: dict[str, Any] = orjson.loads(file.read())
    return {
        f"arn:aws:iam::aws:policy/{path}": {
            "document": {"Version": "2012-10-17", "Statement": policy["statement"]},
            "version": policy["version"],
            "date": policy["date"],
        }
        for path, policy in policies.items()
    }


@cache
def aws_managed(arn: str) -> Document | None:
    found = table().get(arn)
    return None if found is None else Document.parse(orjson.dumps(found["document"]).decode())
