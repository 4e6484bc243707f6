"""Whether a bucket policy is public, by the meaning Block Public Access gives the word.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
        #access-control-block-public-access-policy-status
"""

from __future__ import annotations

import orjson

from stratolite.policy.document import Document, Statement

_NARROWING = frozenset(
    {
        "aws:sourceip",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:sourceorgid",
        "aws:userid",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    }
)
"""A fixed value for one of these makes a statement for everyone a statement for some."""
_FIXING = (
    "stringequals",
    "stringlike",
    "arnequals",
    "arnlike",
    "ipaddress",
    "stringequalsignorecase",
)
_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0", "*"})


def is_public(text: str) -> bool:
    """Of a policy that parses; anything it cannot be sure of counts as public."""
    return any(
        statement.allow and _for_everyone(statement) and not _narrowed(statement)
        for statement in Document.parse(text, has_principal=True).statements
    )


def parse_public(raw: bytes) -> bool:
    """The same for a stored policy (JSON string), kept by ``tx.parsed``."""
    return is_public(orjson.loads(raw))


def _for_everyone(statement: Statement) -> bool:
    if statement.principals is None or statement.principals_negated:
        return True
    return any(kind != "Service" and "*" in value for kind, value in statement.principals)


def _narrowed(statement: Statement) -> bool:
    return any(
        test.operator.lower() in _FIXING
        and not test.if_exists
        and test.quantifier != "ForAllValues"
        and test.key in _NARROWING
        and all(_fixed(value) for value in test.wanted)
        for test in statement.tests
    )


def _fixed(value: str) -> bool:
    if value in _EVERYWHERE or "${" in value:
        return False
    if value.startswith("arn:"):
        parts = value.split(":")
        return len(parts) > 4 and ("*" not in parts[4] or parts[2] == "s3")
    if value.count("/") == 1 and value.rpartition("/")[2].isdigit():
        # AWS counts the widest address ranges as everyone
        return int(value.rpartition("/")[2]) >= (32 if ":" in value else 8)
    return "*" not in value and "?" not in value
