"""The operations of the Parameter Store put together, and what IAM must allow for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.ssm import names, state, worker
from stratolite.services.ssm.labels import Labels
from stratolite.services.ssm.parameters import find


class Ssm(Labels):
    name: ClassVar[str] = "ssm"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("ssm:parameter",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:ssm:{call.region}:{call.account}:parameter"
        for name, record in state.rows(call.tx, call.keys("ssm"), "", after):
            yield Tagged(name, f"{where}/{name.removeprefix('/')}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"ssm:{operation}"
        given = request.get("Names") or [
            g for g in (request.get("Name"), request.get("Path"), request.get("ResourceId")) if g
        ]
        if operation == "DescribeParameters" or not given:
            return ((action, f"arn:aws:ssm:{call.region}:{call.account}:*"),)
        return tuple((action, self._arn(call, one)) for one in given)

    def _arn(self, call: Call, given: str) -> str:
        if given.startswith("arn:"):
            return given
        return names.arn(call, given.partition(":")[0])

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for member, key in (("Overwrite", "ssm:overwrite"), ("Recursive", "ssm:recursive")):
            if member in request:
                found[key] = [str(bool(request[member])).lower()]
        for tag in request.get("Tags") or ():
            found[f"aws:requesttag/{tag['Key'].lower()}"] = [tag["Value"]]
        given = request.get("Name") or request.get("ResourceId")
        if given is None and request.get("Names"):
            given = next((n for n in request["Names"] if self._arn(call, n) == needed[1]), None)
        if given:
            try:
                _, record = find(call, given.partition(":")[0] if not given.startswith("arn:") else given)  # fmt: skip
            except Fault:
                return found
            for key, value in record["tags"].items():
                found[f"aws:resourcetag/{key.lower()}"] = [value]
                found[f"ssm:resourcetag/{key.lower()}"] = [value]
        return found

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.ssm.resources import RESOURCES

        return RESOURCES
