"""A bucket's CORS rules: checked when put, matched against a browser's request.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from stratolite.errors import Fault
from stratolite.services.s3.faults import invalid_request, malformed_xml

RULES_MAX = 100
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")

Rule = Mapping[str, Any]


def check(rules: Sequence[Rule]) -> None:
    if not 0 < len(rules) <= RULES_MAX:
        raise malformed_xml()
    for rule in rules:
        methods, origins = rule.get("AllowedMethods"), rule.get("AllowedOrigins")
        if not methods or not origins:
            raise malformed_xml()
        for method in methods:
            if method not in METHODS:
                raise invalid_request(
                    f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        for origin in origins:
            if origin.count("*") > 1:
                raise invalid_request(
                    f'AllowedOrigin "{origin}" can not have more than one wildcard.'
                )
        for header in rule.get("AllowedHeaders") or ():
            if header.count("*") > 1:
                raise invalid_request(
                    f'AllowedHeader "{header}" can not have more than one wildcard.'
                )
        for header in rule.get("ExposeHeaders") or ():
            if "*" in header:
                raise invalid_request(
                    f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard '
                    "for ExposeHeader."
                )


def find(rules: Sequence[Rule], origin: str, method: str, asked: Sequence[str]) -> Rule | None:
    """The first rule that allows ``method`` from ``origin`` with the request headers ``asked``."""
    for rule in rules:
        if method not in rule["AllowedMethods"]:
            continue
        if not any(_like(pattern).fullmatch(origin) for pattern in rule["AllowedOrigins"]):
            continue
        allowed = [_like(pattern.lower()) for pattern in rule.get("AllowedHeaders") or ()]
        if all(any(p.fullmatch(name.lower()) for p in allowed) for name in asked):
            return rule
    return None


def headers(
    rule: Rule, origin: str, asked: Sequence[str], *, preflight: bool
) -> list[tuple[str, str]]:
    """What the answer to a request that ``rule`` allows carries."""
    any_origin = "*" in rule["AllowedOrigins"]
    found = [
        ("Access-Control-Allow-Origin", "*" if any_origin else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])),
        ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    ]
    if not any_origin:
        found.append(("Access-Control-Allow-Credentials", "true"))
    if rule.get("ExposeHeaders"):
        found.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
    if preflight and asked:
        found.append(("Access-Control-Allow-Headers", ", ".join(n.lower() for n in asked)))
    if rule.get("MaxAgeSeconds") is not None:
        found.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
    return found


def asked_headers(headers: Mapping[str, str]) -> list[str]:
    """The names in Access-Control-Request-Headers."""
    given = headers.get("access-control-request-headers", "")
    return [name.strip() for name in given.split(",") if name.strip()]


def refused(*, enabled: bool, method: str) -> Fault:
    """The answer to a preflight that no rule allows."""
    message = (
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request "
        "method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted "
        "by the resource's CORS spec."
        if enabled
        else "CORSResponse: CORS is not enabled for this bucket."
    )
    code = "AccessForbidden"
    return Fault(
        code,
        message,
        status=403,
        Method=method,
        ResourceType="OBJECT" if enabled else "BUCKET",
    )


@lru_cache(maxsize=1000)
def _like(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
