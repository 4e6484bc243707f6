"""EventBridge: rules, targets and what reaches them. Messages are AWS's as localstack/localstack recorded them
(tests/aws/services/events/*.snapshot.json) unless a page is named."""

from __future__ import annotations

import json
from zlib import crc32

import pytest
from botocore.exceptions import ClientError
from eventing import (
    ACCOUNT,
    advance,
    come_to_rest,
    nothing_came,
    queue,
    received,
    rest_api,
    role,
    user_client,
    web_site,
)
from lambdas import create

from stratolite.core import Keyspace

SOURCE = json.dumps({"source": ["shop"]})


@pytest.fixture
def events(client):
    return client("events")


def entry(source="shop", kind="order", detail=None, **more):
    return {"Source": source, "DetailType": kind, "Detail": json.dumps(detail or {"n": 1}), **more}


def rule(events, target, name="r", pattern=SOURCE, bus="default", **more):
    """A rule with one target; its ARN."""
    arn = events.put_rule(Name=name, EventPattern=pattern, EventBusName=bus)["RuleArn"]
    answer = events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "t", "Arn": target, **more}])  # fmt: skip
    assert answer["FailedEntryCount"] == 0
    return arn


def largest():
    """As large as entries may be together: 1 MB (``putting``); the event is larger than a value of the store."""
    room = (1 << 20) - len("shoporder") - len('{"x": ""}')
    return entry(detail={"x": "y" * room})


def refused(code, message, call, **request):
    with pytest.raises(ClientError) as found:
        call(**request)
    error = found.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, message)


# -- from PutEvents to a target


def test_an_event_reaches_the_targets_of_the_rules_that_match(client, events):
    url, arn = queue(client)
    rule(events, arn)
    answer = events.put_events(Entries=[entry(), entry(source="else"), entry(Resources=["arn:x"])])
    assert answer["FailedEntryCount"] == 0
    ids = [e["EventId"] for e in answer["Entries"]]
    got = sorted(received(client, url, 2), key=lambda e: ids.index(e["id"]))
    assert [e["id"] for e in got] == [ids[0], ids[2]]
    assert list(got[0]) == ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"]  # fmt: skip
    first = {k: got[0][k] for k in ("version", "detail-type", "source", "account", "region", "resources", "detail")}  # fmt: skip
    assert first == {
        "version": "0", "detail-type": "order", "source": "shop", "account": ACCOUNT, "region": "us-east-1", "resources": [], "detail": {"n": 1},
    }  # fmt: skip
    assert got[1]["resources"] == ["arn:x"]
    assert nothing_came(client, url)


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        ({"Source": ""}, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."),
        ({"DetailType": None}, "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument."),
        ({"Detail": None}, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."),
        ({"Detail": "[1]"}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": '"text"'}, "MalformedDetail", "Detail is malformed."),
        ({"Detail": "{"}, "MalformedDetail", "Detail is malformed."),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException", "Not authorized for the source."),
    ],
)  # fmt: skip
def test_a_bad_entry_fails_alone(client, events, bad, code, message):
    url, arn = queue(client)
    rule(events, arn)
    wrong = {k: v for k, v in (entry() | bad).items() if v is not None}
    answer = events.put_events(Entries=[wrong, entry()])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0] == {"ErrorCode": code, "ErrorMessage": message}
    assert [e["id"] for e in received(client, url)] == [answer["Entries"][1]["EventId"]]


def test_requests_that_are_too_large_are_refused_whole(events):
    big = largest()
    big["Detail"] = big["Detail"].replace("y", "yy", 1)
    refused("ValidationException", "Total size of the entries in the request is over the limit.", events.put_events, Entries=[big])  # fmt: skip
    with pytest.raises(ClientError, match="less than or equal to 10"):
        events.put_events(Entries=[entry()] * 11)


def test_the_largest_event_is_delivered_archived_replayed_and_forgotten(platform, client, events):
    url, arn = queue(client)
    dead_url, dead = queue(client, "dead")
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    made = events.create_archive(ArchiveName="a", EventSourceArn=bus, RetentionDays=1)
    rule(events, arn, InputPath="$.detail", DeadLetterConfig={"Arn": dead})
    sent = largest()
    events.put_events(Entries=[sent])
    assert received(client, url) == [json.loads(sent["Detail"])]
    described = events.describe_archive(ArchiveName="a")
    assert described["EventCount"] == 1
    assert described["SizeBytes"] > 1 << 20
    now_s = platform.cloud.world.cloud()
    events.start_replay(
        ReplayName="p", EventSourceArn=made["ArchiveArn"], EventStartTime=now_s - 3600, EventEndTime=now_s + 10, Destination={"Arn": bus}
    )  # fmt: skip
    assert received(client, url) == [json.loads(sent["Detail"])]
    assert nothing_came(client, dead_url)
    advance(platform, 90_000)
    come_to_rest(platform, "events.expire")
    left = events.describe_archive(ArchiveName="a")
    assert (left["EventCount"], left["SizeBytes"]) == (0, 0)
    keys = platform.cloud.call(ACCOUNT, "us-east-1").keys("events")
    spans = (keys.span("archived"), keys.span("archived part"), Keyspace("", "", "work").span("part"))  # fmt: skip

    def rows(tx):
        return [key for span in spans for key, _ in tx.scan(span)]

    async def look():
        return await platform.cloud.db.transact(rows)

    assert platform.run(look()) == []


def test_a_large_event_for_many_rules_is_more_than_one_transaction(client, events):
    """Twenty events for dead-letter queues, and ten times an event and its document: 40 MB. A transaction takes 32."""
    url, arn = queue(client)
    _, dead = queue(client, "dead")
    for n in range(20):
        template = {"InputPathsMap": {"kind": "$.detail-type"}, "InputTemplate": f'"{n} <kind>"'}
        rule(events, arn, f"r{n}", InputTransformer=template, DeadLetterConfig={"Arn": dead})
        more = {"Id": "whole", "Arn": arn, "InputPath": "$.detail", "DeadLetterConfig": {"Arn": dead}}  # fmt: skip
        if n < 10:
            events.put_targets(Rule=f"r{n}", Targets=[more])
    events.put_events(Entries=[largest()])
    got = received(client, url, 30)
    assert sorted(one for one in got if isinstance(one, str)) == sorted(f"{n} order" for n in range(20))  # fmt: skip
    assert len(got) == 30


def test_an_event_for_a_bus_that_is_not_there_is_lost_with_an_id(events):
    """As AWS does."""
    answer = events.put_events(Entries=[entry(EventBusName="nowhere")])
    assert answer["FailedEntryCount"] == 0
    assert answer["Entries"][0]["EventId"]


def test_events_that_were_accepted_are_delivered_after_a_restart(platform, client, events):
    """The work of routing is committed with the answer."""
    url, arn = queue(client)
    rule(events, arn)
    sent = {events.put_events(Entries=[entry()])["Entries"][0]["EventId"] for _ in range(5)}
    platform.reopen()
    assert {e["id"] for e in received(client, url, 5)} == sent


def test_a_changed_rule_holds_for_the_next_event(client, events):
    url, arn = queue(client)
    rule(events, arn)
    events.put_events(Entries=[entry(detail={"n": 1})])
    assert received(client, url)
    events.put_rule(Name="r", EventPattern=json.dumps({"detail": {"n": [2]}}))
    events.put_events(Entries=[entry(detail={"n": 3}), entry(detail={"n": 2})])
    assert [e["detail"]["n"] for e in received(client, url)] == [2]
    events.disable_rule(Name="r")
    events.put_events(Entries=[entry(detail={"n": 2})])
    events.enable_rule(Name="r")
    events.put_events(Entries=[entry(detail={"n": 2}, Resources=["after"])])
    assert [e["resources"] for e in received(client, url)] == [["after"]]
    assert nothing_came(client, url)


# -- what a target is sent


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"Input": '{"fixed": true}'}, {"fixed": True}),
        ({"InputPath": "$.detail.who"}, "Ann"),
        (
            {"InputTransformer": {"InputPathsMap": {"who": "$.detail.who"}, "InputTemplate": '{"to": <who>, "text": "Hi <who>, <aws.events.rule-name>"}'}},
            {"to": "Ann", "text": "Hi Ann, r"},
        ),
    ],
    ids=["Input", "InputPath", "InputTransformer"],
)  # fmt: skip
def test_a_target_gets_what_it_asks_for(client, events, how, expected):
    url, arn = queue(client)
    rule(events, arn, **how)
    events.put_events(Entries=[entry(detail={"who": "Ann"})])
    assert received(client, url) == [expected]


def test_a_fifo_queue_gets_its_group(client, events):
    url, arn = queue(client, "q.fifo", FifoQueue="true")
    rule(events, arn, SqsParameters={"MessageGroupId": "g"})
    events.put_events(Entries=[entry()])
    assert received(client, url, raw=True)[0]["Attributes"]["MessageGroupId"] == "g"


def test_a_function_gets_the_event_if_its_policy_lets_the_rule(platform, client, events):
    function = create(client, "f", "def handler(event, context): print('got', event['id'])")
    made = rule(events, function["FunctionArn"])
    first = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    come_to_rest(platform, "events.route", "events.deliver")
    client("lambda").add_permission(FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal="events.amazonaws.com", SourceArn=made)  # fmt: skip
    second = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    come_to_rest(platform, "events.route", "events.deliver", "lambda.async")
    platform.reopen()  # what functions print is answered before its sync
    lines = [e["message"] for e in client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]]  # fmt: skip
    assert f"got {second}\n" in lines
    assert not any(first in line for line in lines)


# -- failing targets


def test_a_target_closed_to_us_goes_to_the_dead_letter_queue(client, events):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html"""
    _, closed = queue(client, "closed", services=())
    dead_url, dead = queue(client, "dead")
    arn = rule(events, closed, DeadLetterConfig={"Arn": dead})
    sent = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    message = received(client, dead_url, raw=True)[0]
    assert json.loads(message["Body"])["id"] == sent
    said = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert (said["RULE_ARN"], said["TARGET_ARN"]) == (arn, closed)
    assert (said["ERROR_CODE"], said["RETRY_ATTEMPTS"]) == ("NO_PERMISSIONS", "0")


def test_only_the_rule_that_the_policy_names_may_send(client, events):
    """aws:SourceArn is the rule's: no deputy is confused."""
    url, arn = queue(client, services=())
    mine = rule(events, arn, name="mine")
    rule(events, arn, name="other", pattern=json.dumps({"source": ["other"]}))
    policy = {"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": mine}},
    }]}  # fmt: skip
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_events(Entries=[entry(source="other"), entry()])
    assert [e["source"] for e in received(client, url)] == ["shop"]
    assert nothing_came(client, url)


# -- rules and targets as data


def test_rules_are_listed_described_and_deleted(client, events):
    _, arn = queue(client)
    events.create_event_bus(Name="bus")
    made = rule(events, arn, name="a", bus="bus")
    assert made == f"arn:aws:events:us-east-1:{ACCOUNT}:rule/bus/a"
    assert rule(events, arn, name="a") == f"arn:aws:events:us-east-1:{ACCOUNT}:rule/a"
    listed = events.list_rules(EventBusName="bus")["Rules"]
    assert listed == [{"Name": "a", "Arn": made, "EventPattern": SOURCE, "State": "ENABLED", "EventBusName": "bus"}]  # fmt: skip
    described = events.describe_rule(Name="a", EventBusName="bus")
    del described["ResponseMetadata"]
    assert described == listed[0] | {"CreatedBy": ACCOUNT}
    assert events.list_rule_names_by_target(TargetArn=arn, EventBusName="bus")["RuleNames"] == ["a"]
    refused("ValidationException", "Rule can't be deleted since it has targets.", events.delete_rule, Name="a")  # fmt: skip
    events.remove_targets(Rule="a", Ids=["t"])
    events.delete_rule(Name="a")
    events.delete_rule(Name="a")
    refused("ResourceNotFoundException", "Rule a does not exist on EventBus default.", events.describe_rule, Name="a")  # fmt: skip
    refused("ValidationException", "Event bus can't be deleted since it has rules.", events.delete_event_bus, Name="bus")  # fmt: skip


def test_pages_are_of_the_size_asked_for(client, events):
    _, arn = queue(client)
    for number in range(5):
        events.put_rule(Name=f"r{number}", EventPattern=SOURCE)
        events.put_targets(Rule="r0", Targets=[{"Id": f"t{number}", "Arn": arn}])
    pages = [p["Rules"] for p in _pages(events.list_rules, NamePrefix="r", Limit=2)]
    assert [len(p) for p in pages] == [2, 2, 1]
    targets = [p["Targets"] for p in _pages(events.list_targets_by_rule, Rule="r0", Limit=2)]
    assert [t["Id"] for page in targets for t in page] == [f"t{n}" for n in range(5)]
    refused("LimitExceededException", "The requested resource exceeds the maximum number allowed.", events.put_targets, Rule="r0", Targets=[{"Id": "t5", "Arn": arn}])  # fmt: skip
    assert len(events.list_targets_by_rule(Rule="r0")["Targets"]) == 5


def _pages(call, **request):
    token = {}
    while True:
        page = call(**request, **token)
        yield page
        if "NextToken" not in page:
            return
        token = {"NextToken": page["NextToken"]}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Input": "{}", "InputPath": "$.detail"}, "Only one of Input, InputPath, or InputTransformer must be provided for target t."),
        ({"InputTransformer": {"InputTemplate": '"<gone>"'}}, "InputTemplate for target t contains invalid placeholder gone."),
        ({"Arn": "nothing"}, "Parameter Arn is not valid. Reason: nothing is not an ARN."),
        ({"Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/c"}, "Parameter Arn is not valid. Reason: targets of the service ecs are not offered by Stratolite."),
        ({"Arn": "arn:aws:sqs:us-east-1:000000000000:q.fifo"}, "Parameter(s) SqsParameters must be specified for target: t."),
    ],
)  # fmt: skip
def test_targets_that_could_not_be_served_are_refused(events, target, message):
    events.put_rule(Name="r", EventPattern=SOURCE)
    request = {"Id": "t", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"} | target
    refused("ValidationException", message, events.put_targets, Rule="r", Targets=[request])


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"EventPattern": "not json"}, "InvalidEventPatternException", None),
        ({"EventPattern": '{"a": "text"}'}, "InvalidEventPatternException", None),
        ({"ScheduleExpression": "rate(1 minutes)"}, "ValidationException", "Parameter ScheduleExpression is not valid."),
        ({"ScheduleExpression": "cron(0 1 * * * *)"}, "ValidationException", "Parameter ScheduleExpression is not valid."),
        ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "ValidationException", "Parameter ScheduleExpression is not valid."),
        ({"ScheduleExpression": "rate(1 day)", "EventBusName": "bus"}, "ValidationException", "ScheduleExpression is supported only on the default event bus."),
        ({"EventPattern": SOURCE, "EventBusName": "gone"}, "ResourceNotFoundException", "Event bus gone does not exist."),
        ({}, "ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified."),
    ],
)  # fmt: skip
def test_bad_rules_are_refused(events, request_, code, message):
    events.create_event_bus(Name="bus")
    with pytest.raises(ClientError) as found:
        events.put_rule(Name="r", **request_)
    error = found.value.response["Error"]
    assert error["Code"] == code
    if message:
        assert error["Message"] == message
    else:
        assert error["Message"].startswith("Event pattern is not valid. Reason: ")
    assert events.list_rules()["Rules"] == []


# -- buses


def test_buses_are_made_listed_and_deleted(events):
    made = events.create_event_bus(Name="bus", Description="d", Tags=[{"Key": "k", "Value": "v"}])
    assert made["EventBusArn"] == f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/bus"
    refused("ResourceAlreadyExistsException", "Event bus bus already exists.", events.create_event_bus, Name="bus")  # fmt: skip
    assert [b["Name"] for b in events.list_event_buses()["EventBuses"]] == ["bus", "default"]
    assert [b["Name"] for b in events.list_event_buses(NamePrefix="b")["EventBuses"]] == ["bus"]
    assert events.describe_event_bus(Name="bus")["Description"] == "d"
    assert events.list_tags_for_resource(ResourceARN=made["EventBusArn"])["Tags"] == [{"Key": "k", "Value": "v"}]  # fmt: skip
    events.delete_event_bus(Name="bus")
    events.delete_event_bus(Name="bus")
    refused("ResourceNotFoundException", "Event bus bus does not exist.", events.describe_event_bus, Name="bus")  # fmt: skip
    refused("ValidationException", "Cannot delete event bus default.", events.delete_event_bus, Name="default")  # fmt: skip


def test_another_account_may_put_events_only_when_the_bus_lets_it(client, events):
    url, arn = queue(client)
    rule(events, arn)
    other = client("events", account="111111111111")
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        other.put_events(Entries=[entry(EventBusName=bus)])
    events.put_permission(StatementId="s", Action="events:PutEvents", Principal="111111111111")
    policy = json.loads(events.describe_event_bus()["Policy"])
    assert policy["Statement"] == [{
        "Sid": "s", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "events:PutEvents", "Resource": bus,
    }]  # fmt: skip
    other.put_events(Entries=[entry(EventBusName=bus)])
    assert [e["account"] for e in received(client, url)] == ["111111111111"]
    events.remove_permission(StatementId="s")
    assert "Policy" not in events.describe_event_bus()
    refused("ResourceNotFoundException", "Statement with the provided id does not exist.", events.remove_permission, StatementId="s")  # fmt: skip


def test_an_event_goes_on_to_another_bus_and_a_ring_of_buses_ends(client, events):
    url, arn = queue(client)
    events.create_event_bus(Name="two")
    bus = "arn:aws:events:us-east-1:000000000000:event-bus/"
    rule(events, f"{bus}two", name="on")
    rule(events, f"{bus}default", name="back", bus="two")
    rule(events, arn, name="see", bus="two")
    sent = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    assert {e["id"] for e in received(client, url, 3)} == {sent}
    assert nothing_came(client, url)


# -- at set times


def test_a_rule_fires_at_its_rate_and_says_when(platform, client, events):
    """rate(5 minutes): three times in a quarter of an hour, each with its own time."""
    url, arn = queue(client)
    made = events.put_rule(Name="r", ScheduleExpression="rate(5 minutes)")["RuleArn"]
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    assert nothing_came(client, url)
    advance(platform, 901)
    got = received(client, url, 3)
    assert {e["detail-type"] for e in got} == {"Scheduled Event"}
    assert {(e["source"], tuple(e["resources"])) for e in got} == {("aws.events", (made,))}
    assert len({e["time"] for e in got}) == 3
    events.disable_rule(Name="r")
    advance(platform, 901)
    assert nothing_came(client, url)


def test_a_rule_fires_after_a_restart_and_only_once_for_each_time(platform, client, events):
    url, arn = queue(client)
    events.put_rule(Name="r", ScheduleExpression="rate(1 hour)")
    events.put_targets(Rule="r", Targets=[{"Id": "t", "Arn": arn}])
    events.put_rule(Name="r", ScheduleExpression="rate(1 hour)", Description="again")
    platform.reopen()
    advance(platform, 3601)
    assert len(received(client, url)) == 1
    assert nothing_came(client, url)


# -- archives


def test_an_archive_keeps_what_matches_and_replays_it(platform, client, events):
    url, arn = queue(client)
    other_url, other = queue(client, "other")
    rule(events, arn)
    rule(events, other, name="other")
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    made = events.create_archive(ArchiveName="a", EventSourceArn=bus, EventPattern=json.dumps({"detail": {"n": [{"numeric": [">", 1]}]}}), RetentionDays=7)  # fmt: skip
    assert made["State"] == "ENABLED"
    ids = [events.put_events(Entries=[entry(detail={"n": n})])["Entries"][0]["EventId"] for n in range(5)]  # fmt: skip
    assert {e["id"] for e in received(client, url, 5)} == set(ids)
    received(client, other_url, 5)
    described = events.describe_archive(ArchiveName="a")
    assert described["EventCount"] == 3
    assert described["SizeBytes"] > 300
    now_s = platform.cloud.world.cloud()
    only = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r"
    request = {"EventSourceArn": made["ArchiveArn"], "EventStartTime": now_s - 3600, "EventEndTime": now_s + 10, "Destination": {"Arn": bus, "FilterArns": [only]}}  # fmt: skip
    assert events.start_replay(ReplayName="p", **request)["State"] == "STARTING"
    again = received(client, url, 3)
    assert {e["id"] for e in again} == set(ids[2:])
    assert {e["replay-name"] for e in again} == {"p"}
    assert nothing_came(client, other_url)
    assert events.describe_replay(ReplayName="p")["State"] == "COMPLETED"
    assert events.describe_archive(ArchiveName="a")["EventCount"] == 3
    refused("ResourceAlreadyExistsException", "Replay p already exists.", events.start_replay, ReplayName="p", **request)  # fmt: skip


def test_an_archive_forgets_after_its_days(platform, client, events):
    url, arn = queue(client)
    rule(events, arn)
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    events.create_archive(ArchiveName="a", EventSourceArn=bus, RetentionDays=1)
    events.put_events(Entries=[entry()])
    received(client, url)
    assert events.describe_archive(ArchiveName="a")["EventCount"] == 1
    advance(platform, 90_000)
    come_to_rest(platform, "events.expire")
    assert events.describe_archive(ArchiveName="a")["EventCount"] == 0


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        ("create_archive", {"ArchiveName": "a", "EventSourceArn": "arn:aws:events:us-east-1:000000000000:event-bus/gone"}, "ResourceNotFoundException", "Event bus gone does not exist."),
        ("describe_archive", {"ArchiveName": "a"}, "ResourceNotFoundException", "Archive a does not exist."),
        ("update_archive", {"ArchiveName": "a"}, "ValidationException", "At least one of EventPattern, RetentionDays or Description must be provided."),
        ("describe_replay", {"ReplayName": "p"}, "ResourceNotFoundException", "Replay p does not exist."),
        (
            "start_replay",
            {"ReplayName": "p", "EventSourceArn": "arn:aws:events:us-east-1:000000000000:archive/a", "EventStartTime": 1, "EventEndTime": 2,
             "Destination": {"Arn": "arn:aws:events:us-east-1:000000000000:event-bus/default"}},
            "ValidationException", "Parameter EventSourceArn is not valid. Reason: Archive a does not exist.",
        ),
        ("describe_connection", {"Name": "c"}, "ResourceNotFoundException", "Failed to describe the connection(s). Connection 'c' does not exist."),
        ("describe_api_destination", {"Name": "d"}, "ResourceNotFoundException", "Failed to describe the api-destination(s). An api-destination 'd' does not exist."),
        ("test_event_pattern", {"EventPattern": SOURCE, "Event": '"text"'}, "ValidationException", "Parameter Event is not valid."),
    ],
)  # fmt: skip
def test_what_is_not_there_or_not_right_says_so(events, operation, request_, code, message):
    refused(code, message, getattr(events, operation), **request_)


# -- who may


def test_a_user_needs_the_action_on_the_rule_and_may_pass_only_roles_it_is_let(client, events):
    passed = role(client, "target", "events.amazonaws.com")
    ann = user_client(client, "events", [
        {"Effect": "Allow", "Action": ["events:PutRule", "events:PutTargets"], "Resource": f"arn:aws:events:us-east-1:{ACCOUNT}:rule/ann-*"},
    ])  # fmt: skip
    ann.put_rule(Name="ann-1", EventPattern=SOURCE)
    with pytest.raises(ClientError, match="not authorized to perform: events:PutRule"):
        ann.put_rule(Name="bob-1", EventPattern=SOURCE)
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        ann.put_targets(Rule="ann-1", Targets=[{"Id": "t", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "RoleArn": passed}])  # fmt: skip


# -- API destinations


@pytest.fixture
def site(platform):
    with web_site(platform) as server:
        yield server


@pytest.fixture
def caller(client):
    """A role as which EventBridge may ask any API destination."""
    return role(client, "caller", "events.amazonaws.com", "events:InvokeApiDestination")


def destination(client, site, path="/hook", **connection):
    events = client("events")
    linked = events.create_connection(Name="c", **connection)
    waits = connection["AuthorizationType"] == "OAUTH_CLIENT_CREDENTIALS"
    assert linked["ConnectionState"] == ("AUTHORIZING" if waits else "AUTHORIZED")
    made = events.create_api_destination(
        Name="d", ConnectionArn=linked["ConnectionArn"], InvocationEndpoint=f"http://127.0.0.1:{site.server_port}{path}", HttpMethod="POST",
    )  # fmt: skip
    return made["ApiDestinationArn"]


@pytest.mark.parametrize(
    ("kind", "parameters", "header", "value"),
    [
        ("BASIC", {"BasicAuthParameters": {"Username": "u", "Password": "secret-pw"}}, "authorization", "Basic dTpzZWNyZXQtcHc="),
        ("API_KEY", {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "secret-key"}}, "x-key", "secret-key"),
        (
            "OAUTH_CLIENT_CREDENTIALS",
            {"OAuthParameters": {"ClientParameters": {"ClientID": "id", "ClientSecret": "secret-client"}, "AuthorizationEndpoint": "TOKEN", "HttpMethod": "POST"}},
            "authorization", "Bearer tok1",
        ),
    ],
)  # fmt: skip
def test_an_event_goes_out_by_http_with_the_connection_s_proof(platform, client, events, site, caller, kind, parameters, header, value):  # fmt: skip
    """And the secret is neither answered nor on the disk in clear."""
    text = json.dumps(parameters).replace("TOKEN", f"http://127.0.0.1:{site.server_port}/token")
    arn = destination(client, site, "/hook/*", AuthorizationType=kind, AuthParameters=json.loads(text))  # fmt: skip
    come_to_rest(platform, "events.authorize")
    rule(events, arn, RoleArn=caller, HttpParameters={"PathParameterValues": ["a b"], "QueryStringParameters": {"q": "1"}})  # fmt: skip
    sent = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    come_to_rest(platform, "events.route", "events.deliver")
    path, headers, body = site.got[-1]
    assert path == "/hook/a%20b?q=1"
    assert {k.lower(): v for k, v in headers.items()}[header] == value
    assert json.loads(body)["id"] == sent
    shown = json.dumps(events.describe_connection(Name="c"), default=str)
    assert "secret-" not in shown
    import subprocess

    found = subprocess.run(["grep", "-rlE", "secret-(pw|key|client)", platform.folder], capture_output=True, text=True)  # fmt: skip
    assert found.stdout == ""


def test_a_destination_that_fails_is_asked_again_and_one_that_refuses_is_not(platform, client, events, site, caller):  # fmt: skip
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html: 429 and 5xx are retried."""
    dead_url, dead = queue(client, "dead")
    arn = destination(client, site, AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}})  # fmt: skip
    rule(events, arn, RoleArn=caller, DeadLetterConfig={"Arn": dead})
    site.answers[:] = [(503, b""), (200, b""), (400, b"")]
    events.put_events(Entries=[entry()])
    come_to_rest(platform, "events.route", "events.deliver")
    assert len(site.got) == 1
    advance(platform, 2)
    come_to_rest(platform, "events.deliver")
    assert len(site.got) == 2
    events.put_events(Entries=[entry()])
    message = received(client, dead_url, raw=True)[0]
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "SDK_CLIENT_ERROR"
    assert len(site.got) == 3


def test_a_destination_gets_no_more_events_a_second_than_it_takes(
    platform, client, events, site, caller
):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html: what is over waits, and is no failed attempt."""
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = destination(client, site, AuthorizationType="API_KEY", AuthParameters=given)
    events.update_api_destination(Name="d", InvocationRateLimitPerSecond=2)
    _, dead = queue(client, "dead")
    rule(events, arn, RoleArn=caller, DeadLetterConfig={"Arn": dead}, RetryPolicy={"MaximumRetryAttempts": 0})  # fmt: skip
    begun_s = platform.cloud.world.cloud()
    events.put_events(Entries=[entry(detail={"n": n}) for n in range(5)])
    for _ in range(3):
        come_to_rest(platform, "events.route", "events.deliver")
        second = int(platform.cloud.world.cloud()) - int(begun_s)
        assert len(site.got) <= 2 * (second + 1)
        advance(platform, 1.0)
    for _ in range(5):
        come_to_rest(platform, "events.deliver")
        advance(platform, 1.0)
    assert sorted(json.loads(body)["detail"]["n"] for _, _, body in site.got) == list(range(5))
    assert nothing_came(client, client("sqs").get_queue_url(QueueName="dead")["QueueUrl"])


def oauth(site, **more):
    client = {"ClientID": "id", "ClientSecret": "secret-client"}
    where = f"http://127.0.0.1:{site.server_port}/token"
    return {
        "OAuthParameters": {
            "ClientParameters": client,
            "AuthorizationEndpoint": where,
            "HttpMethod": "POST",
            **more,
        }
    }


OAUTH = "OAUTH_CLIENT_CREDENTIALS"


def test_an_oauth_connection_is_authorized_when_it_has_its_token(platform, client, events, site, caller):  # fmt: skip
    """And its destinations are active then. A token is asked for once, and again when it is refused with 401 or 407.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
    """
    more = {
        "OAuthHttpParameters": {
            "BodyParameters": [{"Key": "scope", "Value": "all"}],
            "QueryStringParameters": [{"Key": "q", "Value": "1"}],
        }
    }
    arn = destination(client, site, AuthorizationType=OAUTH, AuthParameters=oauth(site, **more))
    come_to_rest(platform, "events.authorize")
    assert events.describe_connection(Name="c")["ConnectionState"] == "AUTHORIZED"
    assert events.describe_api_destination(Name="d")["ApiDestinationState"] == "ACTIVE"
    [(path, _, body)] = site.got
    assert (path, body) == (
        "/token?q=1",
        b"grant_type=client_credentials&client_id=id&client_secret=secret-client&scope=all",
    )
    rule(events, arn, RoleArn=caller)

    def sent():
        events.put_events(Entries=[entry()])
        come_to_rest(platform, "events.route", "events.deliver")
        return [headers["authorization"] for path, headers, _ in site.got if path == "/hook"]

    assert sent() == ["Bearer tok1"]
    assert sent() == ["Bearer tok1"] * 2
    site.answers[:] = [(401, b""), (200, b""), (200, b"")]
    assert sent() == ["Bearer tok1"] * 3 + ["Bearer tok2"]
    assert sent() == ["Bearer tok1"] * 3 + ["Bearer tok2"] * 2


def test_an_oauth_connection_without_a_token_is_deauthorized_and_says_why(platform, client, events, site):  # fmt: skip
    site.token_status = 403
    arn = destination(client, site, AuthorizationType=OAUTH, AuthParameters=oauth(site))
    assert arn
    assert events.describe_api_destination(Name="d")["ApiDestinationState"] == "INACTIVE"
    for _ in range(3):
        come_to_rest(platform, "events.authorize")
        advance(platform, 1.1)
    found = events.describe_connection(Name="c")
    assert found["ConnectionState"] == "DEAUTHORIZED"
    assert "gave no token: HTTP status 403" in found["StateReason"]
    assert site.tokens == 3
    site.token_status = 200
    assert (
        events.update_connection(Name="c", AuthParameters=oauth(site))["ConnectionState"]
        == "AUTHORIZING"
    )
    come_to_rest(platform, "events.authorize")
    found = events.describe_connection(Name="c")
    assert found["ConnectionState"] == "AUTHORIZED"
    assert "StateReason" not in found


def test_a_connection_has_its_secret_in_secrets_manager(platform, client, events):
    """Recorded: tests/aws/services/events/test_api_destinations_and_connection.snapshot.json, test_connection_secrets and test_update_connection."""
    secrets = client("secretsmanager")
    basic = {
        "BasicAuthParameters": {"Username": "user", "Password": "pass"},
        "InvocationHttpParameters": {},
    }
    events.create_connection(Name="b", AuthorizationType="BASIC", AuthParameters=basic)
    arn = events.describe_connection(Name="b")["SecretArn"]
    found = secrets.get_secret_value(SecretId=arn)
    assert found["Name"].startswith("events!connection/b/")
    assert json.loads(found["SecretString"]) == {
        "username": "user",
        "password": "pass",
        "invocation_http_parameters": {},
    }
    new = {"BasicAuthParameters": {"Username": "new", "Password": "pw"}}
    events.update_connection(Name="b", AuthParameters=new)
    assert events.describe_connection(Name="b")["SecretArn"] == arn
    assert json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])["username"] == "new"
    key = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    events.update_connection(Name="b", AuthorizationType="API_KEY", AuthParameters=key)
    assert json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) == {
        "api_key_name": "k",
        "api_key_value": "v",
        "invocation_http_parameters": {},
    }
    events.deauthorize_connection(Name="b")
    assert "SecretArn" not in events.describe_connection(Name="b")
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.describe_secret(SecretId=arn)
    events.update_connection(Name="b", AuthParameters=key)
    again = events.describe_connection(Name="b")["SecretArn"]
    events.delete_connection(Name="b")
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.describe_secret(SecretId=again)


def test_what_a_connection_says_is_sent_before_what_a_target_says(platform, client, events, site, caller):  # fmt: skip
    """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_HttpParameters.html: values from the connection take precedence.

    And https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html: each value may be a path into the event.
    """
    given = {
        "ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"},
        "InvocationHttpParameters": {
            "HeaderParameters": [{"Key": "X-One", "Value": "connection"}], "QueryStringParameters": [{"Key": "q", "Value": "connection"}],
            "BodyParameters": [{"Key": "b", "Value": "connection"}],
        },
    }  # fmt: skip
    arn = destination(client, site, "/of/*", AuthorizationType="API_KEY", AuthParameters=given)
    asked = {
        "PathParameterValues": ["$.detail.who"], "HeaderParameters": {"x-one": "target", "x-two": "$.detail.many", "content-type": "text/x"},
        "QueryStringParameters": {"q": "target", "$.source": "$.detail-type"},
    }  # fmt: skip
    rule(events, arn, RoleArn=caller, HttpParameters=asked, InputPath="$.detail")
    events.put_events(Entries=[entry(detail={"who": "Ann/B", "many": [1, 2]})])
    come_to_rest(platform, "events.route", "events.deliver")
    path, headers, body = site.got[-1]
    assert path == "/of/Ann%2FB?q=connection&shop=order"
    sent = {name.lower(): text for name, text in headers.items()}
    assert (sent["x-one"], sent["x-two"], sent["content-type"]) == ("connection", "[1,2]", "text/x")
    assert (sent["user-agent"], sent["range"]) == ("Amazon/EventBridge/ApiDestinations", "bytes=0-1048575")  # fmt: skip
    assert json.loads(body) == {"who": "Ann/B", "many": [1, 2], "b": "connection"}


def test_a_parameter_that_leads_nowhere_ends_in_the_dead_letter_queue(client, events, site, caller):
    dead_url, dead = queue(client, "dead")
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = destination(client, site, "/*", AuthorizationType="API_KEY", AuthParameters=given)
    rule(events, arn, RoleArn=caller, DeadLetterConfig={"Arn": dead}, HttpParameters={"PathParameterValues": ["$.detail.no"]})  # fmt: skip
    events.put_events(Entries=[entry()])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert told["ERROR_CODE"]["StringValue"] == "INVALID_PARAMETER"
    assert told["ERROR_MESSAGE"]["StringValue"] == "$.detail.no leads nowhere"


def test_only_a_role_that_may_calls_a_destination(client, events, site):
    """The message for none: hashicorp's users met it, github.com/terraform-aws-modules/terraform-aws-eventbridge/issues/41."""
    dead_url, dead = queue(client, "dead")
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = destination(client, site, AuthorizationType="API_KEY", AuthParameters=given)
    with pytest.raises(ClientError, match=f"RoleArn is required for target {arn}."):
        rule(events, arn)
    idle = role(client, "idle", "events.amazonaws.com")
    rule(events, arn, RoleArn=idle, DeadLetterConfig={"Arn": dead})
    events.put_events(Entries=[entry()])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert told["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert "events:InvokeApiDestination" in told["ERROR_MESSAGE"]["StringValue"]
    assert site.got == []


def test_a_destination_says_when_it_may_be_asked_again(platform, client, events, site, caller):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html: Retry-After, if it is longer; never, if it is negative."""
    dead_url, dead = queue(client, "dead")
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = destination(client, site, AuthorizationType="API_KEY", AuthParameters=given)
    rule(events, arn, RoleArn=caller, DeadLetterConfig={"Arn": dead})
    site.answers[:] = [(503, b"", {"Retry-After": "100"}), (200, b""), (429, b"", {"Retry-After": "-1"})]  # fmt: skip
    events.put_events(Entries=[entry()])
    come_to_rest(platform, "events.route", "events.deliver")
    advance(platform, 90)
    come_to_rest(platform, "events.deliver")
    assert len(site.got) == 1
    advance(platform, 11)
    come_to_rest(platform, "events.deliver")
    assert len(site.got) == 2
    events.put_events(Entries=[entry()])
    assert received(client, dead_url, raw=True)
    assert len(site.got) == 3


def test_a_rest_api_is_a_target(platform, client, events, site):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-gateway-target.html"""
    arn = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:{rest_api(client, site)}/*/POST/orders/*"
    asked = {"PathParameterValues": ["prod", "$.detail.n"], "QueryStringParameters": {"q": "1"}, "HeaderParameters": {"x-one": "$.source"}}  # fmt: skip
    rule(events, arn, HttpParameters=asked, InputPath="$.detail")
    events.put_events(Entries=[entry(detail={"n": 7})])
    come_to_rest(platform, "events.route", "events.deliver")
    [(path, headers, body)] = site.got
    assert (path, body) == ("/behind/7?q=1", b'{"n":7}')
    assert {k.lower(): v for k, v in headers.items()}["x-one"] == "shop"
    with pytest.raises(ClientError, match="Parameter HttpParameters is not valid. Reason: the header Authorization is not permitted"):  # fmt: skip
        rule(events, arn, HttpParameters={"HeaderParameters": {"Authorization": "x"}})


TRACE = "Root=1-67f4141f-e1cd7672871da115129f8b19;Parent=d0ee9531727135a0;Sampled=1"


@pytest.mark.parametrize("by", ["header", "entry", "loop", "none"])
def test_a_trace_goes_from_an_event_to_its_function_and_over_buses(platform, client, events, by):
    """Recorded: tests/aws/services/events/test_x_ray_trace_propagation.py. An entry's TraceHeader comes before the request's.

    Lambda finds loops through SQS, SNS and S3 only: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    code = "import os\ndef handler(event, context): print('TRACE', os.environ['_X_AMZN_TRACE_ID'])"
    function = create(client, "f", code)["FunctionArn"]
    client("lambda").add_permission(FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal="events.amazonaws.com")  # fmt: skip
    events.create_event_bus(Name="next")
    sender = role(client, "sender", "events.amazonaws.com", "events:PutEvents")
    rule(events, f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/next", name="on", RoleArn=sender)
    rule(events, function, bus="next")
    more = {"TraceHeader": TRACE} if by == "entry" else {}
    chain = f";Lineage={crc32(function.encode()):08x}:"
    given = {"header": TRACE, "entry": "Root=1-other", "loop": f"{TRACE}{chain}16", "none": "nothing of ours"}[by]  # fmt: skip

    def add(request, **_):
        request.headers["X-Amzn-Trace-Id"] = given

    events.meta.events.register("before-send.events.PutEvents", add)
    events.put_events(Entries=[entry(**more)])
    come_to_rest(platform, "events.route", "events.deliver", "events.route", "events.deliver", "lambda.async")  # fmt: skip
    said = []
    for _ in range(1000):
        try:
            said = client("logs").filter_log_events(logGroupName="/aws/lambda/f", filterPattern="TRACE")["events"]  # fmt: skip
        except ClientError:
            continue
        if said:
            break
    found = said[0]["message"].split()[1]
    assert (found.partition(";Lineage=")[0] == TRACE) == (by != "none")
    assert found.startswith("Root=1-")
    assert found.endswith(f"{chain}1")


def test_a_rest_api_with_iam_is_called_as_the_target_s_role(platform, client, events, site):
    dead_url, dead = queue(client, "dead")
    id_ = rest_api(client, site, "AWS_IAM")
    arn = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:{id_}/prod/POST/orders/1"
    rule(events, arn, DeadLetterConfig={"Arn": dead})
    events.put_events(Entries=[entry()])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert told["ERROR_MESSAGE"]["StringValue"] == "HTTP status 403"
    assert site.got == []
    rule(events, arn, RoleArn=role(client, "in", "events.amazonaws.com", "execute-api:Invoke"))
    events.put_events(Entries=[entry()])
    come_to_rest(platform, "events.route", "events.deliver")
    assert site.got[0][0] == "/behind/1"


def test_a_deauthorized_connection_has_no_secrets_and_lets_nothing_through(client, events, site, caller):  # fmt: skip
    """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DeauthorizeConnection.html"""
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = events.create_connection(Name="c", AuthorizationType="API_KEY", AuthParameters=given)["ConnectionArn"]  # fmt: skip
    made = events.create_api_destination(Name="d", ConnectionArn=arn, InvocationEndpoint=f"http://127.0.0.1:{site.server_port}/", HttpMethod="POST")  # fmt: skip
    dead_url, dead = queue(client, "dead")
    rule(events, made["ApiDestinationArn"], RoleArn=caller, DeadLetterConfig={"Arn": dead})
    assert events.deauthorize_connection(Name="c")["ConnectionState"] == "DEAUTHORIZED"
    assert events.describe_connection(Name="c")["AuthParameters"] == {}
    assert events.describe_api_destination(Name="d")["ApiDestinationState"] == "INACTIVE"
    assert events.list_connections(ConnectionState="AUTHORIZED")["Connections"] == []
    events.put_events(Entries=[entry()])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert "is deauthorized" in told["ERROR_MESSAGE"]["StringValue"]
    assert site.got == []
    with pytest.raises(ClientError, match="ApiKeyAuthParameters must be provided"):
        events.update_connection(Name="c", AuthParameters={"InvocationHttpParameters": {}})
    events.update_connection(Name="c", AuthParameters=given)
    assert events.describe_connection(Name="c")["ConnectionState"] == "AUTHORIZED"
    assert events.describe_api_destination(Name="d")["ApiDestinationState"] == "ACTIVE"
    refused("ResourceNotFoundException", "Failed to describe the connection(s). Connection 'x' does not exist.", events.deauthorize_connection, Name="x")  # fmt: skip


def test_a_destination_nobody_may_reach_from_here_is_refused(client, events):
    linked = events.create_connection(Name="c", AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}})  # fmt: skip
    with pytest.raises(ClientError, match="InvocationEndpoint is not valid"):
        events.create_api_destination(Name="d", ConnectionArn=linked["ConnectionArn"], InvocationEndpoint="http://169.254.169.254/latest", HttpMethod="POST")  # fmt: skip


def test_what_happens_to_a_stack_is_on_the_default_bus(client, events):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/events-detail-reference.html"""
    url, arn = queue(client)
    events.put_rule(Name="r", EventPattern=json.dumps({"source": ["aws.cloudformation"]}))
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    stack = client("cloudformation").create_stack(StackName="s", TemplateBody=template, ClientRequestToken="mine")["StackId"]  # fmt: skip
    found = received(client, url, 5)
    assert {(e["source"], tuple(e["resources"]), e["detail"]["stack-id"], e["detail"]["client-request-token"]) for e in found} == {("aws.cloudformation", (stack,), stack, "mine")}  # fmt: skip
    told = {(e["detail-type"], e["detail"].get("logical-resource-id"), e["detail"]["status-details"]["status"]) for e in found}  # fmt: skip
    assert told == {
        ("CloudFormation Stack Status Change", None, "CREATE_IN_PROGRESS"),
        ("CloudFormation Stack Status Change", None, "CREATE_COMPLETE"),
        ("CloudFormation Resource Status Change", "Q", "CREATE_IN_PROGRESS"),
        ("CloudFormation Resource Status Change", "Q", "CREATE_COMPLETE"),
    }
    done = next(e["detail"] for e in found if e["detail"]["status-details"]["status"] == "CREATE_COMPLETE" and "resource-type" in e["detail"])  # fmt: skip
    name = client("cloudformation").describe_stack_resource(StackName="s", LogicalResourceId="Q")["StackResourceDetail"]["PhysicalResourceId"]  # fmt: skip
    assert (done["resource-type"], done["physical-resource-id"]) == ("AWS::SQS::Queue", name)


# -- as AWS was recorded: localstack/localstack, tests/aws/services/events/*.snapshot.json


def test_an_event_needs_no_resources_to_be_tested(events):
    """test_events_patterns: ``resources`` is not among what TestEventPattern misses."""
    event = {"id": "1", "source": "order", "detail-type": "Test", "account": ACCOUNT, "region": "us-east-1", "time": "2022-07-13T13:48:01Z"}  # fmt: skip
    asked = {"EventPattern": '{"source": ["order"]}'}
    assert events.test_event_pattern(Event=json.dumps(event), **asked)["Result"] is True
    for gone in event:
        less = {k: v for k, v in event.items() if k != gone}
        refused("ValidationException", "Parameter Event is not valid.", events.test_event_pattern, Event=json.dumps(less), **asked)  # fmt: skip


def test_archives_of_a_bus_that_is_not_there_are_not_listed(events):
    """test_archive_and_replay: test_list_archive_error_unknown_source_arn."""
    arn = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/gone"
    refused("ResourceNotFoundException", "Event bus gone does not exist.", events.list_archives, EventSourceArn=arn)  # fmt: skip


def test_a_replay_s_times_are_looked_at_before_its_bus(events):
    """test_archive_and_replay: test_start_replay_error_invalid_end_time."""
    here = f"arn:aws:events:us-east-1:{ACCOUNT}"
    events.create_event_bus(Name="other")
    archive = events.create_archive(ArchiveName="a", EventSourceArn=f"{here}:event-bus/default")
    refused(
        "ValidationException", "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.",
        events.start_replay, ReplayName="r", EventSourceArn=archive["ArchiveArn"], EventStartTime=10, EventEndTime=10,
        Destination={"Arn": f"{here}:event-bus/other"},
    )  # fmt: skip


def test_the_default_bus_has_times_once_it_was_changed(events):
    """test_events: test_put_permission[default]."""
    assert "CreationTime" not in events.describe_event_bus()
    events.put_permission(Action="events:PutEvents", Principal="*", StatementId="s")
    found = events.describe_event_bus()
    assert found["CreationTime"] <= found["LastModifiedTime"]


def test_a_token_is_not_a_name(events):
    """test_events: lists with a limit; another's token is refused."""
    for name in ("a", "b", "c"):
        events.put_rule(Name=name, EventPattern=SOURCE)
    page = events.list_rules(Limit=2)
    assert page["NextToken"] not in ("a", "b", "c")
    assert [r["Name"] for r in events.list_rules(NextToken=page["NextToken"])["Rules"]] == ["c"]
    for call in (events.list_rules, events.list_event_buses, events.list_archives, events.list_replays, events.list_connections):  # fmt: skip
        refused("ValidationException", "The NextToken is not valid.", call, NextToken="b")


def test_an_event_that_crosses_regions_is_another_event_of_its_region(client, events):
    """test_events_cross_account_region: the id changes with the region, ``region`` stays where the event came from."""
    there = client("events", region="eu-west-1")
    url, arn = queue(client)
    there_url = client("sqs", region="eu-west-1").create_queue(QueueName="far")["QueueUrl"]
    policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}]}  # fmt: skip
    client("sqs", region="eu-west-1").set_queue_attributes(QueueUrl=there_url, Attributes={"Policy": json.dumps(policy)})  # fmt: skip
    rule(there, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:far")
    sender = role(client, "sender", "events.amazonaws.com", "events:PutEvents")
    rule(events, f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/default", name="on", RoleArn=sender)
    events.create_event_bus(Name="next")
    rule(events, f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/next", name="along", RoleArn=sender)
    rule(events, arn, bus="next")
    sent = events.put_events(Entries=[entry()])["Entries"][0]["EventId"]
    [near] = received(client, url)
    assert (near["id"], near["region"]) == (sent, "us-east-1")
    found = client("sqs", region="eu-west-1").receive_message(QueueUrl=there_url, WaitTimeSeconds=20)["Messages"]  # fmt: skip
    far = json.loads(found[0]["Body"])
    assert far["id"] != sent
    assert (far["region"], far["detail"]) == ("us-east-1", {"n": 1})


def test_an_object_in_a_string_of_an_object_ends_in_the_dead_letter_queue(client, events):
    """test_events_inputs: test_input_transformer_nested_keys_replacement_not_valid."""
    url, arn = queue(client)
    dead_url, dead = queue(client, "dead")
    transformer = {"InputPathsMap": {"x": "$.detail"}, "InputTemplate": '{"a": "<x>"}'}
    rule(events, arn, InputTransformer=transformer, DeadLetterConfig={"Arn": dead})
    events.put_events(Entries=[entry()])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert told["ERROR_CODE"]["StringValue"] == "INVALID_JSON"
    assert nothing_came(client, url)


def test_no_header_holds_a_line_break_of_an_event(client, events, site, caller):
    dead_url, dead = queue(client, "dead")
    given = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}}
    arn = destination(client, site, AuthorizationType="API_KEY", AuthParameters=given)
    rule(events, arn, RoleArn=caller, DeadLetterConfig={"Arn": dead}, HttpParameters={"HeaderParameters": {"x": "$.detail.x"}})  # fmt: skip
    events.put_events(Entries=[entry(detail={"x": "a\r\nhost: b"})])
    told = received(client, dead_url, raw=True)[0]["MessageAttributes"]
    assert "is no value of a header" in told["ERROR_MESSAGE"]["StringValue"]
    assert site.got == []


def test_too_many_entries_are_shown_as_aws_shows_them(events):
    """test_events: test_put_events_exceed_limit_ten_entries."""
    one = {"Source": "s", "DetailType": "d", "Detail": '{"a": 1}', "EventBusName": "b"}
    shown = 'PutEventsRequestEntry(time=null, source=s, resources=null, detailType=d, detail={"a": 1}, eventBusName=b, traceHeader=null, kmsKeyIdentifier=null, internalMetadata=null)'  # fmt: skip
    refused(
        "ValidationException",
        f"1 validation error detected: Value '[{', '.join([shown] * 11)}]' at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10",
        events.put_events, Entries=[one] * 11,
    )  # fmt: skip
