"""Groups, streams and events through boto3, and that reading costs what it touches."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import come_to_rest

from stratolite.clock import World
from stratolite.errors import Fault

NOW = int(time.time() * 1000)


@pytest.fixture
def logs(client: Any) -> Any:
    return client("logs")


def put(logs: Any, *events: tuple[int, str], group: str = "g", stream: str = "s") -> Any:
    """Events at so many ms before NOW; group and stream are made as needed."""
    for make, ask in (
        (logs.create_log_group, {"logGroupName": group}),
        (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
    ):
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            make(**ask)
    return logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[{"timestamp": NOW - ago, "message": text} for ago, text in events],
    )


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_a_group_is_described_and_found_by_prefix_in_pages(logs):
    for name in ("/a/1", "/a/2", "/a/3", "/b"):
        logs.create_log_group(logGroupName=name, tags={"k": name})
    first = logs.describe_log_groups(logGroupNamePrefix="/a", limit=2)
    rest = logs.describe_log_groups(logGroupNamePrefix="/a", limit=2, nextToken=first["nextToken"])
    assert [g["logGroupName"] for g in first["logGroups"] + rest["logGroups"]] == [
        "/a/1",
        "/a/2",
        "/a/3",
    ]
    assert "nextToken" not in rest
    group = first["logGroups"][0]
    assert group["arn"] == "arn:aws:logs:us-east-1:000000000000:log-group:/a/1:*"
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"k": "/a/1"}
    assert [
        g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePattern="b")["logGroups"]
    ] == ["/b"]


def test_names_that_are_taken_missing_or_wrong_are_refused(logs):
    logs.create_log_group(logGroupName="g")
    with pytest.raises(
        logs.exceptions.ResourceAlreadyExistsException,
        match="The specified log group already exists",
    ):
        logs.create_log_group(logGroupName="g")
    with pytest.raises(
        logs.exceptions.ResourceNotFoundException, match="The specified log group does not exist"
    ):
        logs.create_log_stream(logGroupName="x", logStreamName="s")
    with pytest.raises(
        logs.exceptions.ResourceNotFoundException, match="The specified log stream does not exist"
    ):
        logs.get_log_events(logGroupName="g", logStreamName="s")
    with pytest.raises(
        logs.exceptions.InvalidParameterException, match="regular expression pattern"
    ):
        logs.create_log_group(logGroupName="a b")


def test_events_are_read_forwards_and_backwards_by_token(logs):
    put(logs, *((100 - n, f"e{n}") for n in range(10)))
    where = {"logGroupName": "g", "logStreamName": "s", "limit": 4}
    page = logs.get_log_events(**where, startFromHead=True)
    assert texts(page["events"]) == ["e0", "e1", "e2", "e3"]
    page = logs.get_log_events(**where, nextToken=page["nextForwardToken"])
    assert texts(page["events"]) == ["e4", "e5", "e6", "e7"]
    back = logs.get_log_events(**where, nextToken=page["nextBackwardToken"])
    assert texts(back["events"]) == ["e0", "e1", "e2", "e3"]
    assert texts(logs.get_log_events(**where)["events"]) == ["e6", "e7", "e8", "e9"], (
        "the newest by default"
    )
    page = logs.get_log_events(**where, nextToken=page["nextForwardToken"])
    assert texts(page["events"]) == ["e8", "e9"]
    end = logs.get_log_events(**where, nextToken=page["nextForwardToken"])
    assert (end["events"], end["nextForwardToken"]) == ([], page["nextForwardToken"]), (
        "the end of the stream"
    )
    put(logs, (0, "e10"))
    assert texts(logs.get_log_events(**where, nextToken=end["nextForwardToken"])["events"]) == [
        "e10"
    ]


def test_times_bound_what_is_read(logs):
    """GetLogEvents leaves its endTime out, FilterLogEvents takes it in."""
    put(logs, (30, "a"), (20, "b"), (10, "c"))
    span = {"logGroupName": "g", "startTime": NOW - 20, "endTime": NOW - 10}
    assert texts(logs.get_log_events(**span, logStreamName="s")["events"]) == ["b"]
    assert texts(logs.filter_log_events(**span)["events"]) == ["b", "c"]


def test_filtering_goes_through_all_streams_in_order_of_time(logs):
    put(logs, (40, "a ERROR"), (10, "d"), stream="one")
    put(logs, (30, "b"), (20, "c ERROR"), stream="two")
    put(logs, (25, "x"), stream="other")
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == [
        "a ERROR",
        "b",
        "x",
        "c ERROR",
        "d",
    ]
    found = logs.filter_log_events(logGroupName="g", filterPattern="ERROR")["events"]
    assert [(e["logStreamName"], e["message"]) for e in found] == [
        ("one", "a ERROR"),
        ("two", "c ERROR"),
    ]
    named = logs.filter_log_events(logGroupName="g", logStreamNames=["two", "other"])
    assert texts(named["events"]) == ["b", "x", "c ERROR"]
    assert texts(logs.filter_log_events(logGroupName="g", logStreamNamePrefix="o")["events"]) == [
        "a ERROR",
        "x",
        "d",
    ]
    seen, more = [], {}
    while True:
        page = logs.filter_log_events(logGroupName="g", limit=2, **more)
        seen += texts(page["events"])
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    assert seen == ["a ERROR", "b", "x", "c ERROR", "d"]


def test_what_is_too_old_or_too_new_is_rejected_and_the_rest_kept(logs):
    day = 86_400_000
    said = put(logs, (15 * day, "old"), (15 * day - 1, "old too"))
    assert said["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
    said = put(logs, (0, "now"), (-3 * 3_600_000, "new"))
    assert said["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["now"]


def test_a_batch_must_be_in_order(logs):
    message = "Log events in a single PutLogEvents request must be in chronological order."
    with pytest.raises(logs.exceptions.InvalidParameterException, match=message):
        put(logs, (10, "b"), (20, "a"))


def test_streams_are_listed_by_name_or_by_their_last_event(logs):
    for name, ago in (("a", 10), ("b", 30), ("c", 20)):
        put(logs, (ago, "x"), stream=name)
    put(logs, (5, "y"), stream="b")
    ask = {"logGroupName": "g", "orderBy": "LastEventTime", "descending": True}
    first = logs.describe_log_streams(**ask, limit=2)
    rest = logs.describe_log_streams(**ask, limit=2, nextToken=first["nextToken"])
    assert [s["logStreamName"] for s in first["logStreams"] + rest["logStreams"]] == ["b", "a", "c"]
    assert first["logStreams"][0]["firstEventTimestamp"] == NOW - 30
    assert first["logStreams"][0]["lastEventTimestamp"] == NOW - 5
    named = logs.describe_log_streams(logGroupName="g", logStreamNamePrefix="c")["logStreams"]
    assert [s["logStreamName"] for s in named] == ["c"]
    with pytest.raises(
        ClientError, match="Cannot order by LastEventTime with a logStreamNamePrefix"
    ):
        logs.describe_log_streams(**ask, logStreamNamePrefix="c")


def rows(platform: Any) -> dict[str, int]:
    """How many rows of each kind Logs has stored."""
    from stratolite.core import Keyspace

    keys = Keyspace("000000000000", "us-east-1", "logs")

    def count(tx: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, _ in tx.scan(keys.span()):
            kind = str(keys.parts(key)[0])
            found[kind] = found.get(kind, 0) + 1
        return found

    return platform.run(platform.cloud.db.transact(count))


def until(holds: Any) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_deleting_a_group_takes_everything_and_a_new_one_starts_empty(logs, platform):
    put(logs, *((50, f"e{n}") for n in range(2500)))
    logs.delete_log_group(logGroupName="g")
    assert logs.describe_log_groups()["logGroups"] == []
    put(logs, (1, "new"))
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["new"]
    until(lambda: rows(platform) == {"group": 1, "stream": 1, "recent": 1, "event": 1, "time": 1})


def test_deleting_a_stream_leaves_the_others(logs, platform):
    put(logs, *((50, f"e{n}") for n in range(1500)), stream="a")
    put(logs, (1, "stays"), stream="b")
    logs.delete_log_stream(logGroupName="g", logStreamName="a")
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["stays"]
    until(lambda: rows(platform) == {"group": 1, "stream": 1, "recent": 1, "event": 1, "time": 1})


class TestRetention:
    @pytest.fixture
    def world(self) -> World:
        return World()

    def test_what_has_passed_it_is_neither_read_nor_kept(self, logs, platform, world):
        put(logs, (2 * 86_400_000, "old"), (2 * 86_400_000, "old too"))
        put(logs, (1, "new"))
        logs.put_retention_policy(logGroupName="g", retentionInDays=1)
        assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 1
        assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["new"]
        until(lambda: rows(platform)["event"] == 1)
        world.cloud_offset_s += 2 * 86_400
        platform.reopen()
        until(lambda: "event" not in rows(platform))
        with pytest.raises(logs.exceptions.InvalidParameterException, match="retentionInDays"):
            logs.put_retention_policy(logGroupName="g", retentionInDays=2)


def test_what_has_passed_its_retention_is_not_read_before_it_is_deleted(logs, monkeypatch):
    monkeypatch.setattr("stratolite.services.logs.worker.expire_later", lambda *_: None)
    put(logs, (2 * 86_400_000, "old"))
    put(logs, (1, "new"))
    logs.put_retention_policy(logGroupName="g", retentionInDays=1)
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["new"]
    assert texts(logs.get_log_events(logGroupName="g", logStreamName="s")["events"]) == ["new"]


def test_events_survive_a_restart(logs, platform):
    put(logs, (1, "kept"))
    platform.reopen()
    assert texts(logs.filter_log_events(logGroupName="g")["events"]) == ["kept"]


def test_a_page_costs_the_same_with_many_events_stored(logs, platform, monkeypatch):
    """Counted in rows read: the promise is that cost grows with what a call touches."""
    from stratolite.services.logs import state

    put(logs, *((60_000 - n, f"e{n}") for n in range(10_000)))
    read = 0
    real = state.stream_events

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal read
        for event in real(*args, **more):
            read += 1
            yield event

    monkeypatch.setattr(state, "stream_events", counted)
    assert len(logs.get_log_events(logGroupName="g", logStreamName="s", limit=5)["events"]) == 5
    assert read <= 6


@pytest.mark.parametrize("token", ["x", "f/1", "n/" + "0" * 40, "f/" + "9" * 40])
def test_any_token_is_used_or_refused(logs, token):
    put(logs, (1, "x"))
    try:
        logs.get_log_events(logGroupName="g", logStreamName="s", nextToken=token)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidParameterException"


def test_only_lambda_may_write_without_being_allowed(client, platform):
    """The platform writes function output; a user or another service needs a policy."""
    from stratolite.service import Call, root

    cloud = platform.cloud
    call = Call(
        cloud, root("000000000000"), "us-east-1", "r", cloud.endpoint, account="000000000000"
    )
    ask = {"logGroupName": "g"}
    with pytest.raises(Fault, match="not authorized"):
        platform.run(
            call.as_service("s3.amazonaws.com", "arn:x").request("logs", "CreateLogGroup", ask)
        )
    lambdas = call.as_service("lambda.amazonaws.com", "arn:x")
    platform.run(lambdas.request("logs", "CreateLogGroup", ask))
    with pytest.raises(Fault, match="not authorized"):
        platform.run(lambdas.request("logs", "DeleteLogGroup", ask))
    assert json.dumps(ask)


def test_a_policy_lets_a_rule_write_to_a_group(platform, client, logs):
    """Without one EventBridge may not, as on AWS; answers as in LocalStack's test_logs_resource_policies.snapshot.json."""
    events = client("events")
    logs.create_log_group(logGroupName="/aws/events/g")
    arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/g"
    events.put_rule(Name="r", EventPattern='{"source": ["me"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])

    def written() -> list[str]:
        events.put_events(Entries=[{"Source": "me", "DetailType": "d", "Detail": "{}"}])
        come_to_rest(platform, "events.route", "events.deliver")
        found = logs.filter_log_events(logGroupName="/aws/events/g")["events"]
        return [json.loads(e["message"])["source"] for e in found]

    assert written() == []
    principals = {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]}
    statement = {"Sid": "s", "Effect": "Allow", "Principal": principals, "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"{arn}:*"}  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = logs.put_resource_policy(policyName="p", policyDocument=document)["resourcePolicy"]
    assert isinstance(made.pop("lastUpdatedTime"), int)
    assert made == {"policyName": "p", "policyDocument": document, "policyScope": "ACCOUNT"}
    assert written() == ["me"]
    for number in range(9):
        logs.put_resource_policy(policyName=f"p{number}", policyDocument=document)
    with pytest.raises(logs.exceptions.LimitExceededException, match="Resource limit exceeded."):
        logs.put_resource_policy(policyName="q", policyDocument=document)
    logs.put_resource_policy(policyName="p", policyDocument=document)
    pages = logs.get_paginator("describe_resource_policies").paginate(PaginationConfig={"PageSize": 4})  # fmt: skip
    names = [one["policyName"] for page in pages for one in page["resourcePolicies"]]
    assert names == ["p", *(f"p{n}" for n in range(9))]
    for name in names:
        logs.delete_resource_policy(policyName=name)
    assert written() == ["me"]
    with pytest.raises(logs.exceptions.ResourceNotFoundException, match=r"Policy with name \[p\] does not exist."):  # fmt: skip
        logs.delete_resource_policy(policyName="p")
    for wrong in (
        "{",
        json.dumps({"Statement": [{"Effect": "Allow"}]}),
        "x" * 6000,
    ):
        with pytest.raises(logs.exceptions.InvalidParameterException):
            logs.put_resource_policy(policyName="p", policyDocument=wrong)


def test_events_are_found_newest_first_too(logs):
    """Over all streams or some, and the token goes on the way it came."""
    put(logs, *((10 - n, f"{n}") for n in range(5)), stream="a")
    put(logs, *((10 - n, f"{n}") for n in range(5, 10)), stream="b")

    def pages(**more: Any) -> list[list[str]]:
        found, token = [], None
        while True:
            ask = {"nextToken": token} if token else {"startFromHead": False}
            page = logs.filter_log_events(logGroupName="g", limit=4, **ask, **more)
            found.append(texts(page["events"]))
            if not (token := page.get("nextToken")):
                return found

    assert [text for page in pages() for text in page] == [str(n) for n in range(9, -1, -1)]
    assert [t for page in pages(logStreamNames=["b", "a"]) for t in page] == [str(n) for n in range(9, -1, -1)]  # fmt: skip
    assert [t for page in pages(logStreamNamePrefix="a") for t in page] == ["4", "3", "2", "1", "0"]
    with pytest.raises(logs.exceptions.InvalidParameterException, match="Jan 1, 2024"):
        logs.filter_log_events(logGroupName="g", startFromHead=False, startTime=1)


def test_words_of_refusals_are_as_recorded(logs):
    """test_logs_groups and test_logs_streams of LocalStack's snapshots."""
    said = "Invalid LogGroup or LogStream, both must have length less than or equal to 512."
    with pytest.raises(logs.exceptions.InvalidParameterException, match=said):
        logs.create_log_group(logGroupName="x" * 513)
    logs.create_log_group(logGroupName="/A/DataLogs")
    found = [logs.describe_log_groups(logGroupNamePattern=p)["logGroups"] for p in ("DataLogs", "datalogs")]  # fmt: skip
    assert [len(groups) for groups in found] == [1, 0]
    both = {"logGroupName": "/A/DataLogs", "logGroupIdentifier": "/A/DataLogs"}
    with pytest.raises(ClientError, match="ValidationException.*mutually exclusive"):
        logs.describe_log_streams(**both)
    with pytest.raises(ClientError, match="InvalidParameterException.*mutually exclusive"):
        logs.get_log_events(logStreamName="s", **both)
