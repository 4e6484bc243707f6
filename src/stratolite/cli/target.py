"""The cloud a command talks to: its endpoint, and boto3 clients for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

DEFAULT_ENDPOINT = "http://localhost:4566"
F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """--endpoint and --region, each from the environment AWS tools use."""
    function = click.option(
        "--endpoint",
        envvar="AWS_ENDPOINT_URL",
        default=DEFAULT_ENDPOINT,
        show_default=True,
        help="Where the cloud answers.",
    )(function)
    return click.option(
        "--region",
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        default="us-east-1",
        show_default=True,
        help="AWS region name.",
    )(function)


def client(service: str, endpoint: str, region: str) -> Any:
    """A boto3 client with the caller's own credentials, or the local root's."""
    import boto3
    from botocore.config import Config

    own = os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")
    keys = {} if own else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(
        retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}, read_timeout=920
    )
    return boto3.client(service, endpoint_url=endpoint, region_name=region, config=config, **keys)
