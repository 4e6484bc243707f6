"""The operations of S3 Control put together, and what IAM must allow for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from stratolite.service import Access, Call, Request, Worker
from stratolite.services.s3control import grants, state
from stratolite.services.s3control.batch import Preparer, Ticker
from stratolite.services.s3control.jobs import Jobs, job_arn
from stratolite.services.s3control.tags import Tags

_ACTIONS = {
    "GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutAccountPublicAccessBlock",
    "DeletePublicAccessBlock": "s3:PutAccountPublicAccessBlock",
    "KeepAccessPointBlock": "s3:PutAccessPointPublicAccessBlock",
}


class S3control(Jobs, Tags, grants.Grants):
    """Tags brings the access points, which have some."""

    name: ClassVar[str] = "s3control"
    prefix: ClassVar[str] = "s3"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = _ACTIONS.get(operation, f"s3:{operation}")
        if request.get("JobId"):
            return ((action, job_arn(call, request["JobId"])),)
        if arn := request.get("ResourceArn"):
            return ((action, arn),)
        if "AccessGrant" in operation or operation == "GetDataAccess":
            below = ""
            if location := request.get("AccessGrantsLocationId"):
                below = f"/location/{location}"
            elif grant := request.get("AccessGrantId"):
                below = f"/grant/{grant}"
            account = request.get("AccountId") or call.account
            needed = [(action, grants.arn(call.region, account, below))]
            if role := request.get("IAMRoleArn"):
                needed.append(("iam:PassRole", role))
            return needed
        if "AccessPoint" in operation and request.get("Name"):
            name = request["Name"].rpartition("/")[2]
            return ((action, f"arn:aws:s3:{call.region}:{call.account}:accesspoint/{name}"),)
        if operation == "CreateJob":
            needed = [(action, "*")]
            if role := request.get("RoleArn"):
                needed.append(("iam:PassRole", role))
            return needed
        return ((action, "*"),)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """Of an instance of S3 Access Grants, by which other accounts use it. Access points' are S3's to honour."""
        parts = resource.split(":", 5)
        if len(parts) != 6 or not parts[5].startswith("access-grants/"):
            return None
        found = state.instance(call.tx, state.space(parts[4], parts[3]))
        policy: str | None = (found or {}).get("policy")
        return policy

    def workers(self) -> Iterable[Worker]:
        return (Preparer(self.cloud), Ticker(self.cloud))
