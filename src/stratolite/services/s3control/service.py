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
            if request.get("Tags"):
                needed.append(("s3:PutJobTagging", job_arn(call, "*")))
            return needed
        return ((action, "*"),)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """Of jobs, and of what is tagged. https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-job-tags-examples.html"""
        keys: dict[str, list[str]] = {}
        if given := request.get("Tags"):
            keys["aws:tagkeys"] = [tag["Key"] for tag in given]
            keys |= {f"aws:requesttag/{tag['Key'].lower()}": [tag["Value"]] for tag in given}
        if operation == "CreateJob":
            keys["s3:requestjoboperation"] = list(request.get("Operation") or {})
        elif not request.get("JobId"):
            return keys
        if "Priority" in request:
            keys["s3:requestjobpriority"] = [str(request["Priority"])]
        rows = state.space(call.account, call.region)
        record = state.job(call.tx, rows, request["JobId"]) if request.get("JobId") else None
        if record is not None:
            keys["s3:existingjoboperation"] = list(record["Operation"])
            keys["s3:existingjobpriority"] = [str(record["Priority"])]
            keys |= {
                f"aws:resourcetag/{tag['Key'].lower()}": [tag["Value"]] for tag in record["Tags"]
            }
            if record["status"] == "Suspended":
                keys["s3:jobsuspendedcause"] = ["AwaitingConfirmation"]
        return keys

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
