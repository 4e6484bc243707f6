"""AssumeRoleWithWebIdentity: whom an OIDC token speaks of, and where the keys come from that signed it.

Source  https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from stratolite.egress import Failed
from stratolite.errors import Fault
from stratolite.service import Call, Request, root
from stratolite.services.sts import jwt

_KEYS_BYTES_MAX = 1 << 20
_KEYS_COUNT_MAX = 100
_TIME_S = 5.0
_TAGS = "https://aws.amazon.com/tags"
_SOURCE = "https://aws.amazon.com/source_identity"
_NOT_BELIEVED = (
    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
)
_NO_KEY = (
    "Couldn't retrieve verification key from your identity provider,  please reference"
    " AssumeRoleWithWebIdentity documentation for requirements"
)


class Believed(NamedTuple):
    """A token whose signature, time and audience are right."""

    provider: str
    """ARN of the OIDC provider."""
    issuer: str
    """Without its scheme: what condition keys start with."""
    subject: str
    audience: str
    claims: dict[str, Any]

    def condition_keys(self) -> dict[str, list[str]]:
        keys = {f"{self.issuer}:sub": [self.subject], f"{self.issuer}:aud": [self.audience]}
        for claim in ("amr", "azp", "oaud", "email"):
            if (value := self.claims.get(claim)) is not None:
                keys[f"{self.issuer}:{claim}"] = [
                    str(v) for v in (value if isinstance(value, list) else [value])
                ]
        return {k.lower(): v for k, v in keys.items()}

    def session(self) -> Request:
        """Tags and source identity that the provider put into the token, as AssumeRole takes them."""
        asked: Request = {}
        tags = self.claims.get(_TAGS)
        if isinstance(tags, dict):
            given = tags.get("principal_tags", {})
            asked["Tags"] = [
                {"Key": str(k), "Value": str(v[0] if isinstance(v, list) and v else v)}
                for k, v in given.items()
            ]
            asked["TransitiveTagKeys"] = [str(k) for k in tags.get("transitive_tag_keys", ())]
        if isinstance(source := self.claims.get(_SOURCE), str):
            asked["SourceIdentity"] = source
        return asked


async def believed(call: Call, account: str, text: str) -> Believed:
    """Raises Fault in AWS's words for a token that is not to be believed."""
    try:
        token = jwt.parse(text)
        issuer = str(token.claims["iss"])
        ends_s = float(token.claims["exp"])
        starts_s = max(float(token.claims.get(k, 0)) for k in ("nbf", "iat")) - 300.0
        subject = str(token.claims["sub"])
    except (ValueError, KeyError, TypeError) as error:
        raise Fault("InvalidIdentityToken", _NOT_BELIEVED, status=400) from error
    provider = await _provider(call, account, issuer)
    now_s = call.world.wall()
    if now_s >= ends_s:
        raise Fault(
            "ExpiredTokenException",
            f"Token expired: current date/time {int(now_s)} must be before the expiration date/time {int(ends_s)}",
            status=400,
        )
    given = token.claims.get("aud")
    audiences = [str(a) for a in (given if isinstance(given, list) else [given])]
    audience = (
        str(token.claims["azp"]) if "azp" in token.claims and len(audiences) > 1 else audiences[0]
    )
    if not set(audiences) & set(provider["ClientIDList"]):
        raise Fault("InvalidIdentityToken", "Incorrect token audience", status=400)
    keys = await _keys(call, issuer)
    if keys is None:
        raise Fault("InvalidIdentityToken", _NO_KEY, status=400)
    is_good = await asyncio.get_running_loop().run_in_executor(None, jwt.is_signed_by, token, keys)
    if not is_good or now_s < starts_s:
        raise Fault("InvalidIdentityToken", _NOT_BELIEVED, status=400)
    place = issuer.removeprefix("https://")
    return Believed(provider["Arn"], place, subject, audience, token.claims)


async def _provider(call: Call, account: str, issuer: str) -> dict[str, Any]:
    arn = f"arn:aws:iam::{account}:oidc-provider/{issuer.removeprefix('https://')}"
    inside = call.scoped(account, call.region, root(account))
    try:
        found = await inside.request(
            "iam", "GetOpenIDConnectProvider", {"OpenIDConnectProviderArn": arn}
        )
    except Fault as fault:
        raise Fault(
            "InvalidIdentityToken",
            f"No OpenIDConnect provider found in your account for {issuer}",
            status=400,
        ) from fault
    return found | {"Arn": arn}


async def _keys(call: Call, issuer: str) -> list[dict[str, Any]] | None:
    """The issuer's keys; None where they cannot be had."""
    loop = asyncio.get_running_loop()
    if path := os.environ.get("STRATOLITE_OIDC_KEYS"):
        found = await loop.run_in_executor(None, _from_file, path, issuer)
        if found is not None:
            return found
    if call.cloud.egress is None:
        return None
    try:
        about = await _fetched(call, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        uri = str(about["jwks_uri"])
        if urlsplit(uri).scheme != "https":
            return None
        return _listed(await _fetched(call, uri))
    except (Failed, ValueError, KeyError, TypeError):
        return None


async def _fetched(call: Call, url: str) -> dict[str, Any]:
    answer = await call.cloud.egress.request(
        "GET", url, timeout_s=_TIME_S, answer_bytes_max=_KEYS_BYTES_MAX
    )
    if answer.status != 200:
        raise ValueError(f"status={answer.status}")
    body = orjson.loads(answer.body)
    if not isinstance(body, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what came from outside is no list of keys
    return body


def _from_file(path: str, issuer: str) -> list[dict[str, Any]] | None:
    try:
        with open(path, "rb") as file:
            known = orjson.loads(file.read(_KEYS_BYTES_MAX))
        return _listed(known[issuer])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _listed(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [key for key in body["keys"][:_KEYS_COUNT_MAX] if isinstance(key, dict)]
