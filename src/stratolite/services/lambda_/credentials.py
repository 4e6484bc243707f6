"""The credentials a function runs with: its role, assumed by Lambda, kept until they near their end."""

from __future__ import annotations

from typing import Any

from stratolite.service import Call, Cloud, Service
from stratolite.services.lambda_.names import Ref

_FRESH_S = 900
_KEPT_MAX = 1000


class Credentials(Service):
    """Knows a function's credentials."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}

    async def credentials(self, call: Call, role_arn: str, ref: Ref) -> dict[str, Any]:
        """AccessKeyId, SecretAccessKey, SessionToken, Expiration (wall clock, s), good for a while yet.

        Raises Fault when the role does not exist or does not trust lambda.amazonaws.com.
        """
        key = (role_arn, ref.function_arn)
        known = self._kept.get(key)
        if known is not None and known["Expiration"] - call.world.wall() > _FRESH_S:
            return known
        found = await self.assume(call, role_arn, ref)
        if len(self._kept) > _KEPT_MAX:
            self._kept.clear()
        self._kept[key] = found
        return found

    async def assume(self, call: Call, role_arn: str, ref: Ref) -> dict[str, Any]:
        """New credentials. Raises as ``credentials`` does."""
        inside = call.scoped(ref.account, ref.region)
        acting = inside.as_service("lambda.amazonaws.com", ref.function_arn)
        session = ref.name.ljust(2, "_")  # two characters at least
        ask = {"RoleArn": role_arn, "RoleSessionName": session, "DurationSeconds": 3600}
        answer = await acting.request("sts", "AssumeRole", ask)
        found: dict[str, Any] = answer["Credentials"]
        return found
