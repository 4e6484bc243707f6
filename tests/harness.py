"""A whole cloud in the test's own process, on a temporary folder, called without HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from stratolite.clock import World
from stratolite.service import Call, Cloud, Principal, root


class Harness:
    """``await harness("dynamodb", "PutItem", TableName=..., ...)`` as root of account 000000000000."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def call(
        self,
        account: str = "000000000000",
        region: str = "us-east-1",
        principal: Principal | None = None,
    ) -> Call:
        return Call(
            self.cloud,
            principal or root(account),
            region,
            "test-request",
            self.cloud.endpoint,
            account=account,
        )

    async def __call__(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        return await self.call().request(service, operation, request)


def run_in_cloud(folder: str, body: Any, world: World | None = None) -> Any:
    """Open a cloud in ``folder``, run ``await body(Harness)``, close it. Call again to see what is durable."""
    from stratolite.server import open_cloud

    async def main() -> Any:
        cloud = await open_cloud(folder, world or World())
        try:
            return await body(Harness(cloud))
        finally:
            await cloud.close()

    return asyncio.run(main())
