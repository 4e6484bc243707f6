"""CORS of an HTTP API: it answers preflights itself and replaces what functions say.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from typing import Any

Headers = list[tuple[str, str]]


def headers_for(cors: dict[str, Any], origin: str) -> Headers:
    """What an answer to ``origin`` carries; empty where the origin is not allowed."""
    allowed = _origin(cors, origin)
    if allowed is None:
        return []
    found: Headers = [("Access-Control-Allow-Origin", allowed)]
    if allowed != "*":
        found.append(("Vary", "Origin"))
    if cors.get("AllowCredentials"):
        found.append(("Access-Control-Allow-Credentials", "true"))
    if cors.get("ExposeHeaders"):
        found.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
    return found


def preflight(cors: dict[str, Any], origin: str) -> Headers:
    """What OPTIONS is answered with; empty where the origin is not allowed."""
    found = headers_for(cors, origin)
    if not found:
        return []
    for member, name in (("AllowMethods", "Methods"), ("AllowHeaders", "Headers")):
        if cors.get(member):
            found.append((f"Access-Control-Allow-{name}", ",".join(cors[member])))
    if cors.get("MaxAge"):
        found.append(("Access-Control-Max-Age", str(cors["MaxAge"])))
    return found


def _origin(cors: dict[str, Any], origin: str) -> str | None:
    for allowed in cors.get("AllowOrigins", []):
        if allowed == "*":
            return origin if cors.get("AllowCredentials") else "*"
        scheme, star, rest = allowed.partition("*")
        if allowed == origin or (star and not rest and origin.startswith(scheme)):
            return origin
    return None
