"""Who is asking: finds the claim in a request, the secret it should have been signed with, and compares.

Every signature is checked. The default keys (``test``/``test``) are a convenience of one's own machine and
believed only there: from a loopback peer, under a Host that is ours, and not from a web page.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from stratolite.clock import World, iso
from stratolite.errors import Fault
from stratolite.gateway.hosts import is_loopback
from stratolite.gateway.refusals import HINT, Refused
from stratolite.gateway.sigv2 import WeakClaim, check_signature, check_time
from stratolite.gateway.sigv4 import (
    ALGORITHM,
    Claim,
    Scope,
    header_claim,
    matches,
    query_claim,
)
from stratolite.http import HttpRequest
from stratolite.limits import CLOCK_SKEW_S_MAX
from stratolite.service import Principal, root

Credentials = Callable[[str, str | None], tuple[str, Principal] | None]
"""(access key id, session token) -> (secret, who), None if unknown. May raise Fault ExpiredToken."""

SANDBOX = "sandbox"
"""The peer of requests from a function: it is who its role is, and no key of root's is believed from there."""
DEFAULT_SECRET = "test"  # noqa: S105 - public by design, and fenced in below
_DEFAULT_KEY = re.compile(r"test|[0-9]{12}")
_PROXIED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
_TELLTALE = _PROXIED | {"origin", "sec-fetch-site"}
_SHAPES_COUNT_MAX = 16
_NOT_FROM_SANDBOX = (
    "Root's keys and the default keys are not believed from a function; use its role's."
)
_FREE_UNSIGNED = frozenset({"x-amz-content-sha256", "x-amz-user-agent"})


class Identity(NamedTuple):
    principal: Principal
    signing_key: bytes


class Auth:
    def __init__(
        self,
        world: World,
        credentials: Credentials | None = None,
        *,
        default_keys: bool = True,
        allow_sigv2: bool = True,
    ) -> None:
        self._world = world
        self.credentials = credentials
        self._default_keys = default_keys
        self.allow_sigv2 = allow_sigv2
        self._roots: dict[str, Principal] = {}

    def claim(self, request: HttpRequest) -> Claim | None:
        """What the request claims, None if it claims nothing. Raises Refused."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            if authorization.startswith(ALGORITHM):
                if "X-Amz-Signature=" in request.query:
                    raise Refused(
                        "mechanism",
                        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                        "string parameter or the Authorization header should be specified",
                    )
                return header_claim(request, authorization)
            if authorization.startswith("AWS4-"):
                raise Refused(
                    "mechanism",
                    f"The signing algorithm {authorization.split(' ')[0]} (Signature Version 4A) is not offered by "
                    "Stratolite; sign with AWS4-HMAC-SHA256.",
                )
            return None
        if "X-Amz-" in request.query:
            return _presigned(request)
        return None

    def verify(
        self,
        request: HttpRequest,
        claim: Claim,
        path: str,
        payload: str,
        *,
        ours: bool,
        page_allowed: bool = False,
    ) -> Identity:
        """The principal that signed ``request`` as sent to ``path``; ``payload`` is its body's SHA-256 in hex.

        ``ours``: the Host names us. ``page_allowed``: the bucket's own CORS rules let this web page in.
        Raises Refused.
        """
        self._check_time(claim)
        scope = claim.scope
        names = tuple(request.headers)
        plain = scope.shapes.get(names)
        if plain is None:
            plain = _is_plain(scope, names)
        secret, principal = self.secret(
            request, scope.key_id, claim.token, ours=ours, page_allowed=page_allowed, plain=plain
        )
        key = scope.key(secret)
        if not matches(claim, request, path, payload):
            hint = (
                " (The secret of this default key is test.)"
                if principal is self._roots.get(scope.key_id)
                else ""
            )
            raise Refused(
                "mismatch",
                hint=hint,
                AWSAccessKeyId=scope.key_id,
                SignatureProvided=claim.signature,
            )
        return Identity(principal, key)

    def is_default(self, found: tuple[str, Principal]) -> bool:
        """Whether what ``secret`` gave is a default key, which nothing but the peer and the Host can make unbelieved."""
        return found[1] is self._roots.get(found[1].access_key_id)

    def screen(
        self, request: HttpRequest, claim: Claim, *, ours: bool, page_allowed: bool = False
    ) -> None:
        """Raises Refused if ``verify`` would, whatever the body is."""
        self._check_time(claim)
        self.secret(request, claim.scope.key_id, claim.token, ours=ours, page_allowed=page_allowed)

    def verify_weak(
        self, request: HttpRequest, claim: WeakClaim, *, ours: bool, page_allowed: bool = False
    ) -> Principal:
        """Signature Version 2, for S3; ``request.path`` in path form. Raises Refused or Fault."""
        self._allow_weak()
        check_time(request, claim, self._world.wall())
        secret, principal = self.secret(
            request, claim.key_id, claim.token, ours=ours, page_allowed=page_allowed
        )
        check_signature(request, claim, secret)
        return principal

    def verify_policy(
        self,
        request: HttpRequest,
        fields: Mapping[str, str],
        *,
        ours: bool,
        page_allowed: bool = False,
    ) -> Principal:
        """Who signed the policy of a POST form (lower-case ``fields``). Raises Refused or Fault."""
        policy = fields["policy"]
        if _SIGNING_FIELDS.isdisjoint(fields):
            raise Fault("AccessDenied", "Access Denied", status=403)
        if not _NEWER_FIELDS.isdisjoint(fields):
            for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date"):
                if name.lower() not in fields:
                    raise _missing_field(name)
            if fields["x-amz-algorithm"] != ALGORITHM:
                raise Refused(
                    "mechanism", f"{fields['x-amz-algorithm']} is not offered; use {ALGORITHM}."
                )
            scope = Scope(fields.get("x-amz-credential", ""), "host")
            if not scope.is_s3 or fields.get("x-amz-date", "")[:8] != scope.day:
                raise Refused("wrong-scope", "the Credential is not for this service and day")
            key_id, given = scope.key_id, fields.get("x-amz-signature", "")
        else:
            self._allow_weak()
            for name in ("AWSAccessKeyId", "Signature"):
                if name.lower() not in fields:
                    raise _missing_field(name)
            scope, key_id, given = (
                None,
                fields.get("awsaccesskeyid", ""),
                fields.get("signature", ""),
            )
        token = fields.get("x-amz-security-token")
        secret, principal = self.secret(
            request, key_id, token, ours=ours, page_allowed=page_allowed
        )
        if scope is not None:
            made = hmac.digest(scope.key(secret), policy.encode(), "sha256").hex()
        else:
            made = b64encode(hmac.digest(secret.encode(), policy.encode(), "sha1")).decode()
        if not hmac.compare_digest(made.encode(), given.encode()):
            raise Refused("mismatch", AWSAccessKeyId=key_id, SignatureProvided=given)
        return principal

    def _allow_weak(self) -> None:
        if not self.allow_sigv2:
            raise Fault(
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
                status=400,
            )

    def secret(
        self,
        request: HttpRequest,
        key_id: str,
        token: str | None,
        *,
        ours: bool,
        page_allowed: bool,
        plain: bool = False,
    ) -> tuple[str, Principal]:
        """Raises Refused for keys that do not exist, or are not believed from there."""
        if self.credentials is not None:
            try:
                found = self.credentials(key_id, token)
            except Fault as fault:
                if "Expired" in fault.code:
                    raise Refused("expired-token") from fault
                raise
            if found is not None:
                if request.peer == SANDBOX and found[1].kind == "root":
                    raise Refused(
                        "unknown-key", hint=f" ({_NOT_FROM_SANDBOX})", AWSAccessKeyId=key_id
                    )
                return found
        principal = self._roots.get(key_id)
        if principal is None:
            principal = self._default_root(key_id)
        why = self._default_refused(request, ours, page_allowed, plain)
        if why:
            raise Refused("unknown-key", hint=f" ({why})", AWSAccessKeyId=key_id)
        return DEFAULT_SECRET, principal

    def _default_root(self, key_id: str) -> Principal:
        if not self._default_keys or not _DEFAULT_KEY.fullmatch(key_id):
            raise Refused(
                "unknown-key", hint=HINT if self._default_keys else "", AWSAccessKeyId=key_id
            )
        if len(self._roots) > 1000:
            self._roots.clear()
        account = "000000000000" if key_id == "test" else key_id
        principal = self._roots[key_id] = root(account, key_id)
        return principal

    def _default_refused(
        self, request: HttpRequest, ours: bool, page_allowed: bool, plain: bool
    ) -> str:
        headers = request.headers
        if request.peer == SANDBOX:
            return _NOT_FROM_SANDBOX
        if not is_loopback(request.peer):
            return "The default keys work from this machine only; make a key in IAM for others."
        if not ours:
            return (
                f"The default keys work only under a Host name of ours, not under {headers.get('host', '')}; use localhost "
                "or 127.0.0.1, or name this host when starting."
            )
        if plain:
            return ""
        if not headers.keys().isdisjoint(_PROXIED):
            return "The default keys do not work through a proxy; make a key in IAM."
        if not page_allowed and (
            "origin" in headers or headers.get("sec-fetch-site", "none") != "none"
        ):
            return "The default keys do not work from a web page, unless the bucket's CORS rules allow its origin."
        return ""

    def _check_time(self, claim: Claim) -> None:
        now_s = self._world.wall()
        time_s = claim.time_s
        if claim.expires_s < 0:
            if -CLOCK_SKEW_S_MAX <= now_s - time_s <= CLOCK_SKEW_S_MAX:
                return
            now, skew = _stamp(now_s), f"{CLOCK_SKEW_S_MAX / 60:.0f} min."
            if time_s < now_s:
                edge = _stamp(now_s - CLOCK_SKEW_S_MAX)
                words = (
                    f"Signature expired: {claim.stamp} is now earlier than {edge} ({now} - {skew})"
                )
            else:
                edge = _stamp(now_s + CLOCK_SKEW_S_MAX)
                words = f"Signature not yet current: {claim.stamp} is still later than {edge} ({now} + {skew})"
            raise Refused(
                "skewed",
                words,
                RequestTime=claim.stamp,
                ServerTime=iso(now_s),
                MaxAllowedSkewMilliseconds=str(int(CLOCK_SKEW_S_MAX * 1000)),
            )
        if now_s < time_s - CLOCK_SKEW_S_MAX:
            raise Refused(
                "skewed",
                f"Signature not yet current: {claim.stamp} is still later than {_stamp(now_s)}",
            )
        until_s = time_s + claim.expires_s
        if now_s > until_s:
            raise Refused(
                "expired-url",
                f"Signature expired: {claim.stamp} is now earlier than {_stamp(now_s - claim.expires_s)}",
                **{"X-Amz-Expires": str(claim.expires_s)},
                Expires=iso(until_s),
                ServerTime=iso(now_s),
            )


def _is_plain(scope: Scope, names: tuple[str, ...]) -> bool:
    """Whether requests with these header names come from neither a proxy nor a web page.

    SDKs send the same names over and over, so the answer is kept with the scope. Raises Refused for an
    ``x-amz-*`` that is not signed.
    """
    signed = scope.signed
    loose = [
        name
        for name in names
        if name not in signed and name[:6] == "x-amz-" and name not in _FREE_UNSIGNED
    ]
    if loose:
        raise Refused(
            "unsigned-headers",
            f"'{loose[0]}' must be a 'SignedHeader' in the AWS Authorization.",
            HeadersNotSigned=", ".join(sorted(loose)),
        )
    plain = _TELLTALE.isdisjoint(names)
    if len(scope.shapes) >= _SHAPES_COUNT_MAX:
        scope.shapes.clear()
    scope.shapes[names] = plain
    return plain


def check_listen(host: str, has_real_root_keys: bool) -> str | None:
    """Why listening on ``host`` must be refused, None if it may be: what others can reach needs real keys."""
    if host == "localhost" or is_loopback(host) or has_real_root_keys:
        return None
    return (
        f"refusing to listen on {host or 'all addresses'}: others could reach it, and there is no real root key yet. "
        "Make one with: stratolite root-keys create (or set STRATOLITE_ROOT_KEY=ACCESS_KEY_ID:SECRET), or listen on 127.0.0.1."
    )


_NEWER_FIELDS = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"})
_SIGNING_FIELDS = _NEWER_FIELDS | {"awsaccesskeyid", "signature"}


def _missing_field(name: str) -> Fault:
    """LocalStack's recorded test_post_request_missing_fields and test_post_request_missing_signature."""
    return Fault(
        "InvalidArgument",
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.",
        status=400,
        ArgumentName=name,
        ArgumentValue="",
    )


def _presigned(request: HttpRequest) -> Claim | None:
    pairs: dict[str, str] = {}
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name.startswith("X-Amz-"):
            if name in pairs:
                raise Refused("incomplete-url", f"{name} must not be given more than once")
            pairs[name] = unquote(value)
    algorithm = pairs.get("X-Amz-Algorithm")
    if algorithm is None and "X-Amz-Signature" not in pairs and "X-Amz-Credential" not in pairs:
        return None
    if algorithm is not None and algorithm != ALGORITHM:
        raise Refused(
            "incomplete-url",
            f'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"; {algorithm} is not offered by Stratolite.'
            if algorithm.startswith("AWS4-")
            else 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"',
        )
    if algorithm is None:
        del pairs["X-Amz-Signature" if "X-Amz-Signature" in pairs else "X-Amz-Credential"]
    return query_claim(request, pairs)


def _stamp(time_s: float) -> str:
    return iso(time_s).replace("-", "").replace(":", "")
