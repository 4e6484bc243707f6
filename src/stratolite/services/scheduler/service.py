"""Schedules and their groups: create, get, list, update, delete, tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Response, Service, Tagged, Worker
from stratolite.services.scheduler import checks, sealing, state, worker

_PAGE = 100
_GROUPS_MAX = 500
_TAGS_MAX = 200
_ASKED = (
    "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "EndDate", "Description", "State", "Target", "FlexibleTimeWindow",
    "ActionAfterCompletion", "KmsKeyArn",
)  # fmt: skip
_GROUP_ARN = re.compile(r"arn:aws[\w-]*:scheduler:[a-z0-9-]+:\d{12}:schedule-group/([0-9a-zA-Z-_.]+)\Z")  # fmt: skip


class Scheduler(Service):
    name: ClassVar[str] = "scheduler"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("scheduler:schedule-group",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:scheduler:{call.region}:{call.account}:schedule-group"
        for name, record in state.groups(call.tx, call.keys("scheduler"), "", after):
            yield Tagged(name, f"{where}/{name}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"scheduler:{operation}"
        if arn := request.get("ResourceArn"):
            return ((action, arn),)
        if operation.endswith("ScheduleGroup"):
            return ((action, _group_arn(call, request["Name"])),)
        if operation.startswith("List"):
            kind = "schedule-group" if "Group" in operation else "schedule"
            return ((action, f"arn:aws:scheduler:{call.region}:{call.account}:{kind}/*"),)
        needed = [(action, _arn(call, request.get("GroupName") or state.DEFAULT, request["Name"]))]
        if role := request.get("Target", {}).get("RoleArn"):
            needed.append(("iam:PassRole", role))
        return tuple(needed)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        if needed[0] == "iam:PassRole":
            return {"iam:passedtoservice": [worker.SERVICE]}
        return {}

    # -- schedules

    def create_schedule(self, call: Call, request: Request) -> Response:
        group, name = request.get("GroupName") or state.DEFAULT, request["Name"]
        keys, token = call.keys("scheduler"), request.get("ClientToken")
        arn = _arn(call, group, name)
        if _find_group(call, group)["state"] == "DELETING":
            raise Fault(
                "ConflictException", f"Schedule group {group} is being deleted.", status=409
            )
        known = state.schedule(call.tx, keys, group, name)
        if known is not None:
            if token and known["token"] == token:
                return {"ScheduleArn": arn}
            raise Fault("ConflictException", f"Schedule {name} already exists.", status=409)
        checks.check(call, request, arn)
        record = {"created_s": call.tx.time_s, "token": token}
        _keep(call, group, name, record, request)
        return {"ScheduleArn": arn}

    def update_schedule(self, call: Call, request: Request) -> Response:
        """What the request leaves out goes back to its default, as on AWS."""
        group, name, record = _find(call, request)
        arn = _arn(call, group, name)
        checks.check(call, request, arn)
        _keep(call, group, name, record, request)
        return {"ScheduleArn": arn}

    def get_schedule(self, call: Call, request: Request) -> Response:
        group, name, record = _find(call, request)
        answer: Response = {"Arn": _arn(call, group, name), "GroupName": group, "Name": name}
        answer |= {"CreationDate": record["created_s"], "LastModificationDate": record["modified_s"]}  # fmt: skip
        answer |= record["request"]
        if (text := record.get("sealed")) is not None:
            whole = sealing.opened(call, answer["Arn"], text)
            answer["Target"] = {**answer["Target"], "Input": whole}
        return answer

    def delete_schedule(self, call: Call, request: Request) -> Response:
        group, name, _ = _find(call, request)
        state.delete_schedule(call.tx, call.keys("scheduler"), group, name)
        return {}

    def list_schedules(self, call: Call, request: Request) -> Response:
        keys, prefix = call.keys("scheduler"), request.get("NamePrefix", "")
        limit, wanted = request.get("MaxResults") or _PAGE, request.get("State")
        after = _token(request)
        found: list[Response] = []
        if group := request.get("GroupName"):
            _find_group(call, group)
            named = state.schedules(call.tx, keys, group, prefix, after[1] if after else "")
            rows: Iterator[tuple[str, str, state.Record]] = (
                (group, name, record) for name, record in named
            )
        else:
            rows = state.all_schedules(call.tx, keys, prefix, after)
        for group_name, name, record in rows:
            if wanted and record["request"]["State"] != wanted:
                continue
            if len(found) == limit:
                last = found[-1]
                token = orjson.dumps([last["GroupName"], last["Name"]]).hex()
                return {"Schedules": found, "NextToken": token}
            found.append(
                {
                    "Arn": _arn(call, group_name, name),
                    "GroupName": group_name,
                    "Name": name,
                    "State": record["request"]["State"],
                    "CreationDate": record["created_s"],
                    "LastModificationDate": record["modified_s"],
                    "Target": {"Arn": record["request"]["Target"]["Arn"]},
                }
            )
        return {"Schedules": found}

    # -- groups

    def create_schedule_group(self, call: Call, request: Request) -> Response:
        name, keys, token = request["Name"], call.keys("scheduler"), request.get("ClientToken")
        known = state.group(call.tx, keys, name)
        if known is not None:
            if token and known["token"] == token:
                return {"ScheduleGroupArn": _group_arn(call, name)}
            raise Fault("ConflictException", f"Schedule group {name} already exists.", status=409)
        if sum(1 for _ in state.groups(call.tx, keys, "", "")) >= _GROUPS_MAX:
            raise Fault("ServiceQuotaExceededException", "The request exceeds a service quota.", status=402)  # fmt: skip
        record = {
            "created_s": call.tx.time_s,
            "modified_s": call.tx.time_s,
            "state": "ACTIVE",
            "tags": checks.tags_of(request.get("Tags") or ()),
            "token": token,
        }
        state.put_group(call.tx, keys, name, record)
        return {"ScheduleGroupArn": _group_arn(call, name)}

    def get_schedule_group(self, call: Call, request: Request) -> Response:
        return _described(call, request["Name"], _find_group(call, request["Name"]))

    def list_schedule_groups(self, call: Call, request: Request) -> Response:
        limit, after = request.get("MaxResults") or _PAGE, _token(request)
        found: list[Response] = []
        rows = state.groups(
            call.tx, call.keys("scheduler"), request.get("NamePrefix", ""), after[1] if after else ""
        )  # fmt: skip
        for name, record in rows:
            if len(found) == limit:
                token = orjson.dumps(["", found[-1]["Name"]]).hex()
                return {"ScheduleGroups": found, "NextToken": token}
            found.append(_described(call, name, record))
        return {"ScheduleGroups": found}

    def delete_schedule_group(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        if name == state.DEFAULT:
            raise checks.invalid("Deleting default schedule group is not allowed.")
        record = _find_group(call, name)
        record["state"] = "DELETING"
        state.put_group(call.tx, call.keys("scheduler"), name, record)
        worker.drop_group(call, name)
        return {}

    # -- tags, of groups

    def tag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] |= checks.tags_of(request["Tags"])
        if len(record["tags"]) > _TAGS_MAX:
            raise checks.invalid(f"A resource can have at most {_TAGS_MAX} tags.")
        state.put_group(call.tx, call.keys("scheduler"), name, record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["TagKeys"]}
        state.put_group(call.tx, call.keys("scheduler"), name, record)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        _, record = _tagged(call, request)
        return {"Tags": [{"Key": k, "Value": v} for k, v in record["tags"].items()]}

    # --

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.scheduler.resources import RESOURCES

        return RESOURCES


def _arn(call: Call, group: str, name: str) -> str:
    return f"arn:aws:scheduler:{call.region}:{call.account}:schedule/{group}/{name}"


def _group_arn(call: Call, name: str) -> str:
    return f"arn:aws:scheduler:{call.region}:{call.account}:schedule-group/{name}"


def _keep(call: Call, group: str, name: str, record: state.Record, request: Request) -> None:
    """A schedule that is on gets a new timer; whatever timer it had is void."""
    asked = {m: request[m] for m in _ASKED if request.get(m) is not None}
    asked = {"ScheduleExpressionTimezone": "UTC", "State": "ENABLED", "ActionAfterCompletion": "NONE"} | asked  # fmt: skip
    retries = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    target = asked["Target"]
    asked["Target"] = target | {"RetryPolicy": retries | (target.get("RetryPolicy") or {})}
    record["sealed"] = sealing.sealed(call, _arn(call, group, name), asked)
    record |= {"request": asked, "modified_s": call.tx.time_s, "anchor_s": call.tx.time_s}
    record["timer"] = worker.start(call, group, name, record)
    state.put_schedule(call.tx, call.keys("scheduler"), group, name, record)


def _find(call: Call, request: Request) -> tuple[str, str, state.Record]:
    group, name = request.get("GroupName") or state.DEFAULT, request["Name"]
    record = state.schedule(call.tx, call.keys("scheduler"), group, name)
    if record is None:
        raise Fault("ResourceNotFoundException", f"Schedule {name} does not exist.", status=404)
    return group, name, record


def _find_group(call: Call, name: str) -> state.Record:
    record = state.group(call.tx, call.keys("scheduler"), name)
    if record is None:
        message = f"Schedule group {name} does not exist."
        raise Fault("ResourceNotFoundException", message, status=404)
    return record


def _tagged(call: Call, request: Request) -> tuple[str, state.Record]:
    found = _GROUP_ARN.match(request["ResourceArn"])
    if found is None:
        raise checks.invalid(f"{request['ResourceArn']} is not the ARN of a schedule group.")
    return found[1], _find_group(call, found[1])


def _described(call: Call, name: str, record: state.Record) -> Response:
    answer = {"Arn": _group_arn(call, name), "Name": name, "State": record["state"]}
    if record["created_s"]:
        answer |= {"CreationDate": record["created_s"], "LastModificationDate": record["modified_s"]}  # fmt: skip
    return answer


def _token(request: Request) -> list[str] | None:
    """Where the page before ended. Raises Fault for a token we did not make."""
    if not (text := request.get("NextToken")):
        return None
    try:
        found = orjson.loads(bytes.fromhex(text))
    except ValueError:
        found = None
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(f, str) for f in found):
        raise checks.invalid("Invalid NextToken.")
    return found
