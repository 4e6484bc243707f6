"""Pipes: create, describe, list, update, start, stop, delete, tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Response, Service, Tagged, Worker
from stratolite.services.pipes import checks, reading, sealing, state, worker

_SETTLED = frozenset({"StartingPosition", "StartingPositionTimestamp"})
"""Members of a source's parameters that an update does not have; of the others it replaces all.

https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_UpdatePipe.html
"""
_PAGE = 100
_ASKED = (
    "Description", "Source", "SourceParameters", "Enrichment", "EnrichmentParameters", "Target", "TargetParameters", "RoleArn", "LogConfiguration",
    "KmsKeyIdentifier",
)  # fmt: skip


class Pipes(Service):
    name: ClassVar[str] = "pipes"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("pipes:pipe",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:pipes:{call.region}:{call.account}:pipe"
        for name, record in state.rows(call.tx, call.keys("pipes"), "", after):
            yield Tagged(name, f"{where}/{name}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"pipes:{operation}"
        if arn := request.get("resourceArn"):
            return ((action, arn),)
        if "Name" not in request:
            return ((action, f"arn:aws:pipes:{call.region}:{call.account}:pipe/*"),)
        needed = [(action, _arn(call, request["Name"]))]
        if role := request.get("RoleArn"):
            needed.append(("iam:PassRole", role))
        return tuple(needed)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        if needed[0] == "iam:PassRole":
            return {"iam:passedtoservice": [reading.SERVICE]}
        return {}

    def create_pipe(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("pipes")
        token = request.get("StackToken")  # a stack's step finds what it made before a crash
        known = state.get(call.tx, keys, name)
        if known is not None:
            if token and known["token"] == token:
                return _answer(call, name, known)
            raise Fault("ConflictException", f"Pipe {name} already exists.", status=409)
        checks.check(call, request)
        asked = {m: request[m] for m in _ASKED if request.get(m) is not None}
        record = {
            "sealed": sealing.sealed(call, _arn(call, name), asked),
            "request": asked,
            "state": "CREATING",
            "wanted": request.get("DesiredState", "RUNNING"),
            "reason": "",
            "epoch": call.tx.stamp(),
            "created_s": call.tx.time_s,
            "modified_s": call.tx.time_s,
            "tags": request.get("Tags") or {},
            "token": token,
        }
        return self._keep(call, name, record)

    def update_pipe(self, call: Call, request: Request) -> Response:
        name, record = _find(call, request)
        before = sealing.opened(call, _arn(call, name), record)
        asked = before | {m: request[m] for m in _ASKED if request.get(m) is not None}
        if "SourceParameters" in request:
            old = before.get("SourceParameters") or {}
            asked["SourceParameters"] = old | {
                kind: {k: v for k, v in (old.get(kind) or {}).items() if k in _SETTLED}
                | (new or {})
                for kind, new in request["SourceParameters"].items()
            }
        if request.get("Enrichment") == "":
            asked.pop("Enrichment", None)
        if request.get("KmsKeyIdentifier") == "":
            asked.pop("KmsKeyIdentifier", None)
        checks.check(call, asked)
        record["sealed"] = sealing.sealed(call, _arn(call, name), asked)
        record |= {"request": asked, "state": "UPDATING"}
        record["wanted"] = request.get("DesiredState", record["wanted"])
        return self._keep(call, name, record)

    def start_pipe(self, call: Call, request: Request) -> Response:
        return self._turn(call, request, "RUNNING", "STARTING")

    def stop_pipe(self, call: Call, request: Request) -> Response:
        return self._turn(call, request, "STOPPED", "STOPPING")

    def delete_pipe(self, call: Call, request: Request) -> Response:
        return self._turn(call, request, "DELETED", "DELETING")

    def _turn(self, call: Call, request: Request, wanted: str, meanwhile: str) -> Response:
        name, record = _find(call, request)
        if record["wanted"] == "DELETED":
            raise Fault("ConflictException", f"Pipe {name} is being deleted.", status=409)
        record |= {"wanted": wanted, "state": meanwhile}
        return self._keep(call, name, record)

    def _keep(self, call: Call, name: str, record: state.Record) -> Response:
        """Whoever reads for the pipe as it was ends; the pipe is brought to what it shall be."""
        record |= {"epoch": call.tx.stamp(), "modified_s": call.tx.time_s}
        state.put(call.tx, call.keys("pipes"), name, record)
        worker.change(call, name)
        return _answer(call, name, record)

    def describe_pipe(self, call: Call, request: Request) -> Response:
        name, record = _find(call, request)
        asked = sealing.opened(call, _arn(call, name), record)
        answer = {**_answer(call, name, record), **asked, "SourceParameters": checks.shown(asked)}
        answer |= {"StateReason": record["reason"]} if record["reason"] else {}
        return answer | ({"Tags": record["tags"]} if record["tags"] else {})

    def list_pipes(self, call: Call, request: Request) -> Response:
        limit, found = request.get("Limit") or _PAGE, list[Response]()
        rows = state.rows(
            call.tx, call.keys("pipes"), request.get("NamePrefix", ""), _after(request)
        )
        for name, record in rows:
            asked = record["request"]
            fits = (
                asked["Source"].startswith(request.get("SourcePrefix", ""))
                and asked["Target"].startswith(request.get("TargetPrefix", ""))
                and request.get("CurrentState", record["state"]) == record["state"]
                and request.get("DesiredState", record["wanted"]) == record["wanted"]
            )
            if not fits:
                continue
            if len(found) == limit:
                return {"Pipes": found, "NextToken": found[-1]["Name"].encode().hex()}
            one = _answer(call, name, record) | {"Source": asked["Source"], "Target": asked["Target"]}  # fmt: skip
            found.append(one | ({"Enrichment": asked["Enrichment"]} if asked.get("Enrichment") else {}))  # fmt: skip
        return {"Pipes": found}

    def tag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] |= request["tags"]
        state.put(call.tx, call.keys("pipes"), name, record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["tagKeys"]}
        state.put(call.tx, call.keys("pipes"), name, record)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"tags": _tagged(call, request)[1]["tags"]}

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.pipes.resources import RESOURCES

        return RESOURCES


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:pipes:{call.region}:{call.account}:pipe/{name}"


def _answer(call: Call, name: str, record: state.Record) -> Response:
    return {
        "Arn": _arn(call, name),
        "Name": name,
        "DesiredState": record["wanted"],
        "CurrentState": record["state"],
        "CreationTime": record["created_s"],
        "LastModifiedTime": record["modified_s"],
    }


def _find(call: Call, request: Request) -> tuple[str, state.Record]:
    record = state.get(call.tx, call.keys("pipes"), request["Name"])
    if record is None:
        raise Fault("NotFoundException", f"Pipe {request['Name']} does not exist.", status=404)
    return request["Name"], record


def _after(request: Request) -> str:
    """The name that a NextToken stands behind. Raises Fault for one that is none of ours."""
    try:
        return bytes.fromhex(request.get("NextToken") or "").decode()
    except ValueError as error:
        raise checks.invalid("The NextToken is not valid.") from error


def _tagged(call: Call, request: Request) -> tuple[str, state.Record]:
    name = request["resourceArn"].rpartition("/")[2]
    return _find(call, {"Name": name})
