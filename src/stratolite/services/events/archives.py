"""Archives of what came over a bus, and replays of them."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.events import jobs, names, state
from stratolite.services.events.buses import find
from stratolite.services.events.names import invalid
from stratolite.services.events.rules import check_pattern

_PAGE = 100
_REPLAYS_ACTIVE_MAX = 10
_REPLAY_DAYS_KEPT = 90
_ACTIVE = frozenset({"STARTING", "RUNNING", "CANCELLING"})


class Archives(Service):
    def create_archive(self, call: Call, request: Request) -> Response:
        name, keys, tx = request["ArchiveName"], call.keys("events"), call.tx
        if request.get("KmsKeyIdentifier"):
            raise names.not_offered("KmsKeyIdentifier")
        bus_name = names.own_bus(call, request["EventSourceArn"])
        find(call, bus_name)
        if pattern := request.get("EventPattern"):
            check_pattern(pattern)
        if state.get(tx, keys, "archive", name) is not None:
            raise names.there_already(f"Archive {name} already exists.")
        record = {
            "bus": bus_name,
            "pattern": pattern or "",
            "description": request.get("Description", ""),
            "days": request.get("RetentionDays", 0),
            "created_s": tx.time_s,
            "count": 0,
            "bytes": 0,
            "id": tx.stamp(),
        }
        self._keep_archive(call, name, record, is_new_retention=bool(record["days"]))
        return _made(call, name, record)

    def describe_archive(self, call: Call, request: Request) -> Response:
        name = request["ArchiveName"]
        record = _archive(call, name)
        answer = {"ArchiveArn": names.arn(call, "archive", name)} | _listed(call, name, record)
        answer |= {"Description": record["description"]} if record["description"] else {}
        return answer | ({"EventPattern": record["pattern"]} if record["pattern"] else {})

    def list_archives(self, call: Call, request: Request) -> Response:
        wanted = [m for m in ("NamePrefix", "EventSourceArn", "State") if request.get(m)]
        if len(wanted) > 1:
            raise invalid(
                "At most one filter is allowed for ListArchives. Use either : State, EventSourceArn, or NamePrefix."
            )
        bus_name = None
        if request.get("EventSourceArn"):
            bus_name = names.own_bus(call, request["EventSourceArn"])
            find(call, bus_name)

        def matches(record: state.Record) -> bool:
            if bus_name is not None and record["bus"] != bus_name:
                return False
            return bool(request.get("State", "ENABLED") == "ENABLED")

        rows, token = _page(call, "archive", request, matches)
        answer: Response = {"Archives": [_listed(call, name, record) for name, record in rows]}
        return answer | token

    def update_archive(self, call: Call, request: Request) -> Response:
        name = request["ArchiveName"]
        if request.get("KmsKeyIdentifier"):
            raise names.not_offered("KmsKeyIdentifier")
        if not any(m in request for m in ("EventPattern", "RetentionDays", "Description")):
            raise invalid(
                "At least one of EventPattern, RetentionDays or Description must be provided."
            )
        record = _archive(call, name)
        if "EventPattern" in request:
            if request["EventPattern"]:
                check_pattern(request["EventPattern"])
            record["pattern"] = request["EventPattern"] or ""
        record["description"] = request.get("Description", record["description"])
        before = record["days"]
        record["days"] = request.get("RetentionDays", before)
        new = bool(record["days"]) and not before
        self._keep_archive(call, name, record, is_new_retention=new)
        return _made(call, name, record)

    def delete_archive(self, call: Call, request: Request) -> Response:
        name, keys = request["ArchiveName"], call.keys("events")
        record = _archive(call, name)
        state.delete(call.tx, keys, "archive", name)
        state.changed(call.tx, keys, record["bus"])
        jobs.expire_later(call, name, record["id"], after_s=0)  # finds it gone, and sweeps
        return {}

    def _keep_archive(
        self, call: Call, name: str, record: state.Record, *, is_new_retention: bool
    ) -> None:
        keys = call.keys("events")
        state.put(call.tx, keys, "archive", name, record=record)
        state.changed(call.tx, keys, record["bus"])
        if is_new_retention:
            jobs.expire_later(call, name, record["id"])

    # -- replays

    def start_replay(self, call: Call, request: Request) -> Response:
        name, keys, tx = request["ReplayName"], call.keys("events"), call.tx
        destination = request["Destination"]
        bus_name = names.own_bus(call, destination["Arn"])
        find(call, bus_name)
        archive_name = request["EventSourceArn"].rpartition("/")[2]
        archive = state.get(tx, keys, "archive", archive_name)
        if archive is None:
            raise invalid(
                f"Parameter EventSourceArn is not valid. Reason: Archive {archive_name} does not exist."
            )
        if request["EventStartTime"] >= request["EventEndTime"]:
            raise invalid(
                "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime."
            )
        if archive["bus"] != bus_name:
            raise invalid(
                "Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted."
            )
        if state.get(tx, keys, "replay", name) is not None:
            raise names.there_already(f"Replay {name} already exists.")
        active = sum(r["state"] in _ACTIVE for _, r in state.rows(tx, keys, "replay"))
        if active >= _REPLAYS_ACTIVE_MAX:
            raise names.limit_reached()
        only = [_rule_name(arn) for arn in destination.get("FilterArns") or ()]
        record = {
            "archive": archive_name,
            "destination": destination,
            "description": request.get("Description", ""),
            "only": only or None,
            "start_s": request["EventStartTime"],
            "end_s": request["EventEndTime"],
            "state": "STARTING",
            "begun_s": tx.time_s,
            "ended_s": None,
            "last_s": None,
            "at": None,
        }
        state.put(tx, keys, "replay", name, record=record)
        jobs.replay_next(call, name)
        answer = {"ReplayArn": names.arn(call, "replay", name), "State": "STARTING"}
        return answer | {"ReplayStartTime": tx.time_s}

    def describe_replay(self, call: Call, request: Request) -> Response:
        name = request["ReplayName"]
        record = _replay(call, name)
        answer = _listed_replay(call, name, record)
        answer |= {"ReplayArn": names.arn(call, "replay", name)}
        answer |= {"Destination": record["destination"]}
        return answer | ({"Description": record["description"]} if record["description"] else {})

    def list_replays(self, call: Call, request: Request) -> Response:
        wanted = [m for m in ("NamePrefix", "EventSourceArn", "State") if request.get(m)]
        if len(wanted) > 1:
            raise invalid(
                "At most one filter is allowed for ListReplays. Use either : State, EventSourceArn, or NamePrefix."
            )
        source = request.get("EventSourceArn", "").rpartition("/")[2]

        def matches(record: state.Record) -> bool:
            if source and record["archive"] != source:
                return False
            return bool(request.get("State", record["state"]) == record["state"])

        rows, token = _page(call, "replay", request, matches)
        answer: Response = {"Replays": [_listed_replay(call, name, r) for name, r in rows]}
        return answer | token

    def cancel_replay(self, call: Call, request: Request) -> Response:
        name = request["ReplayName"]
        record = _replay(call, name)
        if record["state"] not in ("STARTING", "RUNNING"):
            raise Fault(
                "IllegalStatusException",
                f"Replay {name} is not in a valid state for this operation.",
            )
        record["state"] = "CANCELLING"
        state.put(call.tx, call.keys("events"), "replay", name, record=record)
        return {"ReplayArn": names.arn(call, "replay", name), "State": "CANCELLING"}


def _archive(call: Call, name: str) -> state.Record:
    record = state.get(call.tx, call.keys("events"), "archive", name)
    if record is None:
        raise names.missing(f"Archive {name} does not exist.")
    return record


def _replay(call: Call, name: str) -> state.Record:
    record = state.get(call.tx, call.keys("events"), "replay", name)
    if record is None:
        raise names.missing(f"Replay {name} does not exist.")
    return record


def _made(call: Call, name: str, record: state.Record) -> Response:
    arn = names.arn(call, "archive", name)
    return {"ArchiveArn": arn, "State": "ENABLED", "CreationTime": record["created_s"]}


def _listed(call: Call, name: str, record: state.Record) -> Response:
    return {
        "ArchiveName": name,
        "EventSourceArn": names.arn(call, "event-bus", record["bus"]),
        "State": "ENABLED",
        "RetentionDays": record["days"],
        "SizeBytes": record["bytes"],
        "EventCount": record["count"],
        "CreationTime": record["created_s"],
    }


def _listed_replay(call: Call, name: str, record: state.Record) -> Response:
    answer: Response = {
        "ReplayName": name,
        "EventSourceArn": names.arn(call, "archive", record["archive"]),
        "State": record["state"],
        "EventStartTime": record["start_s"],
        "EventEndTime": record["end_s"],
        "ReplayStartTime": record["begun_s"],
    }
    for member, field in (("EventLastReplayedTime", "last_s"), ("ReplayEndTime", "ended_s")):
        if record[field] is not None:
            answer[member] = record[field]
    return answer


def _rule_name(arn: str) -> str:
    """Raises Fault for what is no rule's ARN."""
    kind, _, path = (arn.split(":", 5)[5] if arn.count(":") >= 5 else "").partition("/")
    if kind != "rule" or not path:
        raise invalid(
            f"Parameter Destination.FilterArns is not valid. Reason: {arn} is not a rule."
        )
    return path.rpartition("/")[2]


def _page(
    call: Call, kind: str, request: Request, matches: Any
) -> tuple[list[tuple[str, state.Record]], Response]:
    limit = request.get("Limit") or _PAGE
    found: list[tuple[str, state.Record]] = []
    prefix, after = request.get("NamePrefix", ""), names.after(request)
    for name, record in state.rows(call.tx, call.keys("events"), kind, prefix=prefix, after=after):
        if not matches(record):
            continue
        if len(found) == limit:
            return found, {"NextToken": names.token(found[-1][0])}
        found.append((name, record))
    return found, {}
