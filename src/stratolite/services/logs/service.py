"""Log groups and streams: create, describe, keep, tag, delete."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import orjson

from stratolite.core.keys import Span
from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Response, Tagged, Worker, is_number
from stratolite.services.logs import policies, state, worker
from stratolite.services.logs.events import BOTH, group_name, group_of, page_size
from stratolite.services.logs.metric_filters import MetricFilters, metric_filters
from stratolite.services.logs.subscriptions import Sender

_GROUP_NAME = r"[\.\-_/#A-Za-z0-9]+"
_STREAM_NAME = r"[^:*]*"
_PAGE_COUNT_MAX = 50
_LOOKED_AT_MAX = 2000
_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
_LAMBDA_WRITES = orjson.dumps({
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": "*",
    }],
}).decode()  # fmt: skip


class Logs(MetricFilters, policies.Policies):
    name: ClassVar[str] = "logs"

    tag_types: ClassVar[tuple[str, ...]] = ("logs:log-group",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:logs:{call.region}:{call.account}:log-group"
        for name, record in state.groups(call.tx, call.keys("logs"), "", after):
            yield Tagged(name, f"{where}:{name}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """AWS asks about a stream where there is none, too, of no name: a group's ARN with ``:*`` allows it."""
        action = f"logs:{operation}"
        base = f"arn:aws:logs:{call.region}:{call.account}:log-group:"
        if arn := request.get("resourceArn"):
            return ((action, arn),)
        if operation == "DescribeLogGroups":
            return ((action, f"{base}:log-stream:"),)
        request = _by_identifier(call, request)
        if not (request.get("logGroupName") or request.get("logGroupIdentifier")):
            return ((action, "*"),)
        stream = request.get("logStreamName") or ""
        named = request.get("logGroupName") or group_name(call, request)
        needed = [(action, f"{base}{named}:log-stream:{stream}")]
        if role := request.get("roleArn"):
            needed.append(("iam:PassRole", role))
        return tuple(needed)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        if needed[0] == "iam:PassRole":
            return {"iam:passedtoservice": ["logs.amazonaws.com"]}
        return {}

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """The platform writes what functions print."""
        who = call.principal
        if (who.kind, who.name) == ("service", "lambda.amazonaws.com"):
            return _LAMBDA_WRITES
        return policies.merged(call) if resource != "*" else None

    # -- groups

    def create_log_group(self, call: Call, request: Request) -> Response:
        name, keys = request["logGroupName"], call.keys("logs")
        _check_name("logGroupName", name, _GROUP_NAME)
        if request.get("deletionProtectionEnabled"):
            raise _not_offered("deletionProtectionEnabled")
        if request.get("logGroupClass", "STANDARD") != "STANDARD":
            raise _not_offered(f"logGroupClass {request['logGroupClass']}")
        token = request.get(
            "StackToken"
        )  # not AWS's: a stack's step finds what it made before a crash
        if (known := state.get_group(call.tx, keys, name)) is not None:
            if token and known["token"] == token:
                return {}
            raise Fault("ResourceAlreadyExistsException", "The specified log group already exists")
        _check_tags(request.get("tags") or {})
        group = {
            "id": call.tx.stamp(),
            "created_ms": int(call.tx.time_s * 1000),
            "retention_days": None,
            "tags": request.get("tags") or {},
            "token": token,
        }
        if request.get("kmsKeyId"):
            group = self.sealer.associated(call, name, group, request["kmsKeyId"])
        state.put_group(call.tx, keys, name, group)
        return {}

    def describe_log_groups(self, call: Call, request: Request) -> Response:
        for member in ("accountIdentifiers", "includeLinkedAccounts", "logGroupIdentifiers"):
            if request.get(member):
                raise _not_offered(member)
        if request.get("logGroupClass", "STANDARD") != "STANDARD":
            return {"logGroups": []}
        prefix, part = request.get("logGroupNamePrefix") or "", request.get("logGroupNamePattern")
        if prefix and part:
            raise Fault(
                "InvalidParameterException",
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            )
        most = page_size(request, _PAGE_COUNT_MAX)
        found: list[Response] = []
        place = request.get("nextToken") or ""
        rows = state.groups(call.tx, call.keys("logs"), prefix, place)
        for looked_at, (name, group) in enumerate(rows):
            if len(found) >= most or looked_at == _LOOKED_AT_MAX:
                return {"logGroups": found, "nextToken": place}
            place = name
            if not part or part in name:
                found.append(_described(call, name, group))
        return {"logGroups": found}

    def delete_log_group(self, call: Call, request: Request) -> Response:
        name, keys = request["logGroupName"], call.keys("logs")
        group = group_of(call, request)
        for one in metric_filters(group):
            state.drop_metric_filter(call.tx, keys, one["name"], name)
        self._sweep(call, state.drop_group(call.tx, keys, name, group))
        return {}

    def associate_kms_key(self, call: Call, request: Request) -> Response:
        request = _by_identifier(call, request)
        group, name = group_of(call, request), group_name(call, request)
        sealed = self.sealer.associated(call, name, group, request["kmsKeyId"])
        state.put_group(call.tx, call.keys("logs"), name, sealed)
        return {}

    def disassociate_kms_key(self, call: Call, request: Request) -> Response:
        """What comes in from now on is not sealed; what came in before needs the key as before."""
        self._change(call, _by_identifier(call, request), sealed_by=None)
        return {}

    def put_retention_policy(self, call: Call, request: Request) -> Response:
        days = request["retentionInDays"]
        if days not in _RETENTION_DAYS:
            values = ", ".join(str(d) for d in _RETENTION_DAYS)
            raise Fault(
                "InvalidParameterException",
                f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy"
                f" constraint: Member must satisfy enum value set: [{values}]",
            )
        group = self._change(call, request, retention_days=days)
        worker.expire_later(call, request["logGroupName"], group["id"])
        return {}

    def delete_retention_policy(self, call: Call, request: Request) -> Response:
        self._change(call, request, retention_days=None)
        return {}

    # -- streams

    def create_log_stream(self, call: Call, request: Request) -> Response:
        name, keys = request["logStreamName"], call.keys("logs")
        _check_name("logStreamName", name, _STREAM_NAME)
        group = group_of(call, request)
        if state.get_stream(call.tx, keys, group["id"], name) is not None:
            raise Fault("ResourceAlreadyExistsException", "The specified log stream already exists")
        stream = {
            "id": call.tx.stamp(),
            "created_ms": int(call.tx.time_s * 1000),
            "first_ms": None,
            "last_ms": None,
            "ingested_ms": None,
        }
        state.put_stream(call.tx, keys, group["id"], name, stream)
        return {}

    def describe_log_streams(self, call: Call, request: Request) -> Response:
        if request.get("logGroupName") and request.get("logGroupIdentifier"):
            raise Fault("ValidationException", BOTH)
        group, group_named = group_of(call, request), group_name(call, request)
        keys, number = call.keys("logs"), group["id"]
        prefix, order = request.get("logStreamNamePrefix") or "", request.get("orderBy")
        reverse = bool(request.get("descending"))
        most = page_size(request, _PAGE_COUNT_MAX)
        found: list[Response] = []
        token = request.get("nextToken") or ""
        if order == "LastEventTime":
            if prefix:
                raise Fault(
                    "InvalidParameterException",
                    "Cannot order by LastEventTime with a logStreamNamePrefix.",
                )
            last_ms, _, last_name = token.partition("/")
            if token and not is_number(last_ms):
                raise Fault("InvalidParameterException", "The specified nextToken is invalid.")
            after = (int(last_ms), last_name) if token else None
            place = token
            recent = state.recent_streams(call.tx, keys, number, after, reverse=reverse)
            for event_ms, name in recent:
                if len(found) >= most:
                    return {"logStreams": found, "nextToken": place}
                stream = state.get_stream(call.tx, keys, number, name)
                assert stream is not None
                found.append(_described_stream(call, group_named, name, stream))
                place = f"{event_ms}/{name}"
            return {"logStreams": found}
        if order not in (None, "LogStreamName"):
            raise Fault(
                "InvalidParameterException",
                f"1 validation error detected: Value '{order}' at 'orderBy' failed to satisfy"
                " constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]",
            )
        for name, stream in state.streams(call.tx, keys, number, prefix, token, reverse=reverse):
            if len(found) >= most:
                return {"logStreams": found, "nextToken": found[-1]["logStreamName"]}
            found.append(_described_stream(call, group_named, name, stream))
        return {"logStreams": found}

    def delete_log_stream(self, call: Call, request: Request) -> Response:
        name, keys = request["logStreamName"], call.keys("logs")
        group = group_of(call, request)
        stream = state.get_stream(call.tx, keys, group["id"], name)
        if stream is None:
            raise Fault("ResourceNotFoundException", "The specified log stream does not exist.")
        state.drop_stream(call.tx, keys, group["id"], name, stream)
        worker.drop_events(call, group["id"], stream["id"])
        return {}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        return self.tag_log_group(call, _by_arn(call, request))

    def untag_resource(self, call: Call, request: Request) -> Response:
        return self.untag_log_group(
            call, {**_by_arn(call, request), "tags": request.get("tagKeys") or []}
        )

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return self.list_tags_log_group(call, _by_arn(call, request))

    def tag_log_group(self, call: Call, request: Request) -> Response:
        tags = {**group_of(call, request)["tags"], **request["tags"]}
        _check_tags(tags)
        self._change(call, request, tags=tags)
        return {}

    def untag_log_group(self, call: Call, request: Request) -> Response:
        tags = group_of(call, request)["tags"]
        self._change(
            call, request, tags={k: v for k, v in tags.items() if k not in request["tags"]}
        )
        return {}

    def list_tags_log_group(self, call: Call, request: Request) -> Response:
        return {"tags": group_of(call, request)["tags"]}

    # --

    def workers(self) -> Iterable[Worker]:
        return (*worker.workers(self.cloud), Sender(self.cloud, self.sealer))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.logs.resources import RESOURCES

        return RESOURCES

    def _change(self, call: Call, request: Request, **changes: Any) -> state.Record:
        group = {**group_of(call, request), **changes}
        state.put_group(call.tx, call.keys("logs"), group_name(call, request), group)
        return group

    def _sweep(self, call: Call, spans: list[Span]) -> None:
        worker.drop_spans(call, spans)


def _described(call: Call, name: str, group: state.Record) -> Response:
    arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}"
    described = {
        "logGroupName": name,
        "creationTime": group["created_ms"],
        "metricFilterCount": len(metric_filters(group)),
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
        "deletionProtectionEnabled": False,
    }
    if group["retention_days"]:
        described["retentionInDays"] = group["retention_days"]
    if (number := group.get("sealed_by")) is not None:
        described["kmsKeyId"] = group["data_keys"][number]["key"]
    return described


def _described_stream(call: Call, group: str, name: str, stream: state.Record) -> Response:
    arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{group}:log-stream:{name}"
    described = {
        "logStreamName": name,
        "creationTime": stream["created_ms"],
        "arn": arn,
        "storedBytes": 0,  # AWS answers 0 for every stream since 2019
    }
    for member, field in (
        ("firstEventTimestamp", "first_ms"),
        ("lastEventTimestamp", "last_ms"),
        ("lastIngestionTime", "ingested_ms"),
    ):
        if stream[field] is not None:
            described[member] = stream[field]
    if stream["ingested_ms"] is not None:
        described["uploadSequenceToken"] = f"{stream['id']:056d}"
    return described


def _by_identifier(call: Call, request: Request) -> Request:
    """A request that names its group by resourceIdentifier, as it would by name. Raises Fault for what is no log group's."""
    given = request.get("resourceIdentifier")
    if not given:
        return request
    if ":query-result:" in given:
        raise _not_offered("resourceIdentifier of query results")
    return {**request, "logGroupName": group_name(call, {"logGroupIdentifier": given})}


def _by_arn(call: Call, request: Request) -> Request:
    """The request with the group's name in place of its ARN."""
    return {
        **request,
        "logGroupName": group_name(call, {"logGroupIdentifier": request["resourceArn"]}),
    }


def _check_name(field: str, name: str, pattern: str) -> None:
    constraint = ""
    if len(name) > 512:
        raise Fault(
            "InvalidParameterException",
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512.",
        )
    if not name:
        constraint = "Member must have length greater than or equal to 1"
    elif not re.fullmatch(pattern, name):
        constraint = f"Member must satisfy regular expression pattern: {pattern}"
    if constraint:
        raise Fault(
            "InvalidParameterException",
            f"1 validation error detected: Value '{name}' at '{field}' failed to satisfy constraint:"
            f" {constraint}",
        )


def _check_tags(tags: dict[str, str]) -> None:
    if any(key.lower().startswith("aws:") for key in tags):
        raise Fault(
            "InvalidParameterException",
            "aws: prefixed tag key names are not allowed for external use.",
        )
    if len(tags) > 50 or any(not 1 <= len(k) <= 128 or len(v) > 256 for k, v in tags.items()):
        raise Fault("InvalidParameterException", "At most 50 tags of 128 and 256 characters each")


def _not_offered(member: str) -> Fault:
    return Fault(
        "InvalidParameterException", f"{member} is not offered by Stratolite; see docs/coverage.md"
    )
