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


def has_own_keys() -> bool:
    """Whether the caller's environment says who asks; else it is the local root."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE"))


def client(service: str, endpoint: str, region: str, account: str = "test") -> Any:
    """A boto3 client with the caller's own credentials, or those of ``account``'s local root."""
    import boto3
    from botocore.config import Config

    default = {"aws_access_key_id": account, "aws_secret_access_key": "test"}
    keys = {} if has_own_keys() else default
    config = Config(
        retries={"total_max_attempts": 3},
        s3={"addressing_style": "path"},
        read_timeout=920,
        inject_host_prefix=False,  # ACCOUNT.127.0.0.1 is nowhere
    )
    if service == "s3control":
        endpoint = control_endpoint(endpoint)
    return boto3.client(service, endpoint_url=endpoint, region_name=region, config=config, **keys)


def control_endpoint(endpoint: str) -> str:
    """The endpoint for S3 Control, whose endpoint rules put "ACCOUNT." before whatever host they are given.

    No setting of an SDK keeps it from that, and ACCOUNT.127.0.0.1 is nowhere. Before a user name it does no harm:
    http://ACCOUNT.account@127.0.0.1:4566 is http://127.0.0.1:4566 to botocore, which sends no user names.
    """
    scheme, separator, rest = endpoint.partition("://")
    return f"{scheme}{separator}account@{rest}" if "@" not in rest else endpoint


def quick_client(service: str, endpoint: str, region: str) -> Any:
    """``client`` for the few calls a deploy makes, at once there: boto3's own only for a profile, TLS or half a key."""
    key, secret = (bool(os.environ.get(f"AWS_{n}")) for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if os.environ.get("AWS_PROFILE") or key != secret or not endpoint.startswith("http://"):
        return client(service, endpoint, region)
    from stratolite.cli.quick_client import QuickClient

    return QuickClient(service, endpoint.rstrip("/"), region)


def own(
    method: str,
    name: str,
    endpoint: str,
    region: str,
    document: dict[str, Any] | None = None,
    keys: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """One of the server's own calls (``gateway.own``). Raises ClickException with what the server said."""
    return ask(method, f"{endpoint}/_stratolite/{name}", region, document, keys=keys)


def ask(
    method: str,
    url: str,
    region: str,
    document: dict[str, Any] | None = None,
    service: str = "stratolite",
    keys: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """A signed request for JSON, with the caller's own keys unless ``keys`` are given. Raises ClickException with what the server said."""
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    found = None if keys else boto3.Session().get_credentials()
    own_keys = found.get_frozen_credentials() if found else Credentials(*(keys or ("test", "test")))
    body = json.dumps(document).encode() if document is not None else b""
    signed = AWSRequest(method, url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(own_keys, service, region).add_auth(signed)
    request = Request(url, body or None, dict(signed.headers), method=method)  # noqa: S310 - the caller's own endpoint
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            made: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        said = error.read()
        try:
            sentence = json.loads(said)["message"]
        except (ValueError, KeyError, TypeError):
            sentence = f"{error.code} {error.reason}"
        raise click.ClickException(sentence) from error
    except (URLError, OSError) as error:
        sentence = f"nothing answers at {url.rpartition('/_')[0]} (start it with: stratolite up)"
        raise click.ClickException(sentence) from error
    return made
