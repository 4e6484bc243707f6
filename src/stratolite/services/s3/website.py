"""A bucket's website configuration: checked when put, and what it makes of a path.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/IndexDocumentSupport.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from stratolite.services.s3.faults import invalid_argument, invalid_request, malformed_xml

ROUTING_RULES_MAX = 50
Config = Mapping[str, Any]


def check(config: Config) -> None:
    everything = config.get("RedirectAllRequestsTo")
    if everything is not None:
        if len(config) > 1:
            raise invalid_request(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."
            )
        if not everything.get("HostName"):
            raise invalid_argument("A hostname must be provided.", "HostName", "")
        _check_protocol(everything)
        return
    index = config.get("IndexDocument")
    if index is None or not index.get("Suffix"):
        raise invalid_argument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            "IndexDocument",
            "null",
        )
    if "/" in index["Suffix"]:
        raise invalid_argument(
            "The IndexDocument Suffix is not well formed", "IndexDocument", index["Suffix"]
        )
    error = config.get("ErrorDocument")
    if error is not None and not error.get("Key"):
        raise invalid_argument("The ErrorDocument Key is not well formed", "ErrorDocument", "")
    rules = config.get("RoutingRules") or []
    if "RoutingRules" in config and not rules:
        raise malformed_xml()
    if len(rules) > ROUTING_RULES_MAX:
        raise invalid_request(
            f"The website configuration has {len(rules)} routing rules; the most is {ROUTING_RULES_MAX}"
        )
    for rule in rules:
        redirect = rule.get("Redirect")
        if not redirect:
            raise invalid_request("The Redirect of a routing rule must not be empty")
        if "ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect:
            raise invalid_request(
                "You can only define ReplaceKeyPrefix or ReplaceKey but not both."
            )
        _check_protocol(redirect)
        code = redirect.get("HttpRedirectCode")
        if code is not None and code not in ("301", "302", "303", "304", "305", "307", "308"):
            raise invalid_request(
                f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300."
            )
        condition = rule.get("Condition")
        if condition is not None:
            if not condition.get("KeyPrefixEquals") and not condition.get(
                "HttpErrorCodeReturnedEquals"
            ):
                raise invalid_request(
                    "Condition cannot be empty. To redirect all requests without a condition, the "
                    "condition element shouldn't be present."
                )
            error_code = condition.get("HttpErrorCodeReturnedEquals")
            if error_code is not None and not (
                len(error_code) == 3 and error_code.isdigit() and error_code[0] in "45"
            ):
                raise invalid_request(
                    f"The provided HTTP error code ({error_code}) is not valid. Valid codes are 4XX or 5XX."
                )


def _check_protocol(redirect: Mapping[str, Any]) -> None:
    if redirect.get("Protocol") not in (None, "http", "https"):
        raise invalid_request(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."
        )


def index_key(config: Config, key: str) -> str:
    """The object for a path: folders are their index document."""
    if not key or key.endswith("/"):
        return f"{key}{config['IndexDocument']['Suffix']}"
    return key


class Redirect(NamedTuple):
    status: int
    protocol: str | None
    host: str | None
    """None: where the request came to."""
    path: str
    """Percent-encoded, starting with "/"."""


def everything_redirected(config: Config, path: str, query: str) -> Redirect | None:
    """RedirectAllRequestsTo keeps path and query."""
    to = config.get("RedirectAllRequestsTo")
    if to is None:
        return None
    kept = f"{path}?{query}" if query else path
    return Redirect(301, to.get("Protocol"), to["HostName"], kept)


def routed(config: Config, key: str, error_status: int | None) -> Redirect | None:
    """The first routing rule for ``key``: before an answer is known, or after an error of that status."""
    for rule in config.get("RoutingRules") or ():
        condition = rule.get("Condition") or {}
        wanted_error = condition.get("HttpErrorCodeReturnedEquals")
        prefix = condition.get("KeyPrefixEquals") or ""
        if not key.startswith(prefix):
            continue
        if wanted_error is not None and wanted_error != str(error_status):
            continue
        if wanted_error is None and error_status is not None:
            continue  # it had its turn
        to = rule["Redirect"]
        target = key
        if to.get("ReplaceKeyWith") is not None:
            target = to["ReplaceKeyWith"]
        elif to.get("ReplaceKeyPrefixWith") is not None:
            target = to["ReplaceKeyPrefixWith"] + key[len(prefix) :]
        return Redirect(
            int(to.get("HttpRedirectCode") or 301),
            to.get("Protocol"),
            to.get("HostName"),
            "/" + quote(target, safe="/?&=#:+,;@!$'()*~"),
        )
    return None
