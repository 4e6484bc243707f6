"""The principal of a role that CloudFormation works as."""

from __future__ import annotations

from stratolite.service import Principal


def role_principal(arn: str) -> Principal:
    """The session AWSCloudFormation of the role ``arn``."""
    name, account = arn.rsplit("/", 1)[1], arn.split(":")[4]
    session = f"arn:aws:sts::{account}:assumed-role/{name}/AWSCloudFormation"
    return Principal("role", account, session, name, "AWSCloudFormation")
