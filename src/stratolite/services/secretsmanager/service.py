"""The operations of Secrets Manager put together, and what IAM must allow for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.secretsmanager import faults, state, worker
from stratolite.services.secretsmanager.faults import arn_of
from stratolite.services.secretsmanager.replicas import Replicas
from stratolite.services.secretsmanager.rotation import Rotation


class Secretsmanager(Rotation, Replicas):
    name: ClassVar[str] = "secretsmanager"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("secretsmanager:secret",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        for name, record in state.rows(call.tx, call.keys("secretsmanager"), after):
            yield Tagged(name, faults.arn_of(call, name, record), record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"secretsmanager:{operation}"
        if operation == "CreateSecret":
            arn = f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{request['Name']}-*"
            more = (("secretsmanager:ReplicateSecretToRegions", arn),)
            return ((action, arn), *(more if request.get("AddReplicaRegions") else ()))
        secret_id = request.get("SecretId")
        if not secret_id:
            return ((action, "*"),)
        return ((action, self._arn(call, secret_id)),)

    def _arn(self, call: Call, secret_id: str) -> str:
        """The full ARN of a secret that is there; of one that is not, what was asked for."""
        try:
            where, name, record = faults.find(call, secret_id)
        except Fault:
            if secret_id.startswith("arn:"):
                return secret_id
            return f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{secret_id}"
        return arn_of(where, name, record)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for member, key in (
            ("SecretId", "secretsmanager:secretid"),
            ("Name", "secretsmanager:name"),
            ("VersionStage", "secretsmanager:versionstage"),
            ("VersionId", "secretsmanager:versionid"),
            ("RotationLambdaARN", "secretsmanager:rotationlambdaarn"),
            ("KmsKeyId", "secretsmanager:kmskeyid"),
        ):
            if value := request.get(member):
                found[key] = [str(value)]
        tags = [t for t in request.get("Tags") or () if "Key" in t]  # its model does not ask for it
        found |= {f"aws:requesttag/{t['Key'].lower()}": [t.get("Value", "")] for t in tags}
        if keys := [t["Key"] for t in tags] or request.get("TagKeys"):
            found["aws:tagkeys"] = list(keys)
        if secret_id := request.get("SecretId"):
            try:
                _, _, record = faults.find(call, secret_id)
            except Fault:
                return found
            for key, value in record["tags"].items():
                found[f"aws:resourcetag/{key.lower()}"] = [value]
                found[f"secretsmanager:resourcetag/{key.lower()}"] = [value]
        return found

    def resource_policy(self, call: Call, resource: str) -> str | None:
        if not resource.startswith("arn:aws:secretsmanager:"):
            return None
        try:
            _, _, record = faults.find(call, resource)
        except Fault:
            return None
        policy: str | None = record["policy"]
        return policy

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.secretsmanager.resources import RESOURCES

        return RESOURCES
