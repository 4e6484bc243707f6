"""How asynchronous invocations end: records to destinations, dead letters, and who may say where.

Shapes and words as AWS answered LocalStack: test_lambda_destinations.snapshot.json and test_lambda_api.snapshot.json
(TestLambdaEventInvokeConfig) in localstack/localstack.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lambdas import create, role

from stratolite.clock import World

CODE = """
def handler(event, context):
    print("attempt")
    if event.get("fail"): raise ValueError("no")
    return {"got": event}
"""
ACCOUNT = "000000000000"
FN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:fn"


@pytest.fixture
def world() -> World:
    return World()


def allow(client: Any, *actions: str, name: str = "function-role") -> str:
    arn = role(client, name)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def queue(client: Any, name: str = "ends") -> tuple[str, str]:
    url = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def wait(receive: Any) -> Any:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if found := receive():
            return found
        time.sleep(0.02)
    raise AssertionError("nothing came")


def message(client: Any, url: str) -> dict[str, Any]:
    def receive() -> Any:
        answer = client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"])
        return (answer.get("Messages") or [None])[0]

    return wait(receive)


def invoke(client: Any, event: Any) -> str:
    answer = client("lambda").invoke(
        FunctionName="fn", InvocationType="Event", Payload=json.dumps(event).encode()
    )
    return answer["ResponseMetadata"]["RequestId"]


def configure(client: Any, **config: Any) -> dict[str, Any]:
    return client("lambda").put_function_event_invoke_config(FunctionName="fn", **config)


def test_a_success_is_recorded_in_the_queue(client):
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    answer = configure(client, DestinationConfig={"OnSuccess": {"Destination": arn}})
    assert answer["DestinationConfig"] == {"OnSuccess": {"Destination": arn}, "OnFailure": {}}
    id_ = invoke(client, {"a": 1})
    said = json.loads(message(client, url)["Body"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("timestamp"))
    assert said == {
        "version": "1.0",
        "requestContext": {
            "requestId": id_,
            "functionArn": f"{FN}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"a": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"got": {"a": 1}},
    }


def test_the_elder_way_to_invoke_leads_to_the_same_queue(client):
    """https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html: 256 KB, where Invoke takes 1 MB."""
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(client, DestinationConfig={"OnSuccess": {"Destination": arn}})
    functions = client("lambda")
    answer = functions.invoke_async(FunctionName="fn", InvokeArgs=b'{"a": 1}')
    assert answer["Status"] == answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    record = json.loads(message(client, url)["Body"])
    assert (record["requestPayload"], record["responsePayload"]) == ({"a": 1}, {"got": {"a": 1}})
    for name, args, code in (
        ("nope", b"{}", "ResourceNotFoundException"),
        ("fn", b"{", "InvalidRequestContentException"),
        ("fn", b'"' + b"x" * (256 << 10) + b'"', "RequestTooLargeException"),
    ):
        with pytest.raises(ClientError) as caught:
            functions.invoke_async(FunctionName=name, InvokeArgs=args)
        assert caught.value.response["Error"]["Code"] == code


def test_a_failure_is_recorded_after_its_retries(client, platform, world):
    """One and two minutes on the cloud clock, and across restarts."""
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(client, DestinationConfig={"OnFailure": {"Destination": arn}})
    id_ = invoke(client, {"fail": 1})
    for passed in (61, 121):
        wait(lambda: _waiting(platform))
        assert "Messages" not in client("sqs").receive_message(QueueUrl=url)
        world.cloud_offset_s += passed
        platform.reopen()
    said = json.loads(message(client, url)["Body"])
    assert said["requestContext"] == {
        "requestId": id_,
        "functionArn": f"{FN}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert said["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
    }  # fmt: skip
    assert said["responsePayload"]["errorMessage"] == "no"


def _waiting(platform: Any) -> bool:
    """Whether the event waits for its next attempt."""
    from stratolite.core.keys import Keyspace

    async def look() -> bool:
        span = Keyspace("", "", "work")["later"]["lambda.async"].span()
        return await platform.cloud.db.transact(lambda tx: any(True for _ in tx.scan(span)))

    return platform.run(look())


def test_an_event_too_old_for_another_attempt_is_recorded_at_once(client):
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(
        client, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    invoke(client, {"fail": 1})
    context = json.loads(message(client, url)["Body"])["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("EventAgeExceeded", 1)


def test_an_event_that_waited_too_long_is_not_run_at_all(client, platform):
    """https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html: how long Lambda keeps an event.

    As after a time in which nothing ran: its job is put as it was left then.
    """
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(
        client, DestinationConfig={"OnFailure": {"Destination": arn}}, MaximumEventAgeInSeconds=60
    )
    job = {
        "account": ACCOUNT, "region": "us-east-1", "name": "fn", "qualifier": "", "id": "kept", "event": "{}", "blob": "",
        "client": "", "first_s": platform.cloud.world.cloud() - 61, "failures": 0, "throttles": 0,
    }  # fmt: skip
    put = platform.cloud.work.put
    platform.run(
        platform.cloud.db.transact(lambda tx: put(tx, "lambda.async", json.dumps(job).encode()))
    )
    record = json.loads(message(client, url)["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert "responseContext" not in record
    assert client("logs").describe_log_groups()["logGroups"] == []


def test_with_no_concurrency_events_go_to_the_failures_without_an_attempt(client):
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html, the note."""
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(client, DestinationConfig={"OnFailure": {"Destination": arn}})
    client("lambda").put_function_concurrency(FunctionName="fn", ReservedConcurrentExecutions=0)
    invoke(client, {"a": 1})
    said = json.loads(message(client, url)["Body"])
    assert said["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert "responsePayload" not in said
    assert "responseContext" not in said


def test_a_dead_letter_is_the_event_and_why(client):
    url, arn = queue(client)
    made = create(
        client, "fn", CODE, Role=allow(client, "sqs:SendMessage"), DeadLetterConfig={"TargetArn": arn}
    )  # fmt: skip
    assert made["DeadLetterConfig"] == {"TargetArn": arn}
    configure(client, MaximumRetryAttempts=0)
    id_ = invoke(client, {"fail": 1})
    found = message(client, url)
    assert json.loads(found["Body"]) == {"fail": 1}
    assert found["MessageAttributes"] == {
        "RequestID": {"StringValue": id_, "DataType": "String"},
        "ErrorCode": {"StringValue": "200", "DataType": "Number"},
        "ErrorMessage": {"StringValue": "no", "DataType": "String"},
    }
    lam = client("lambda")
    again = lam.update_function_configuration(FunctionName="fn", DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in again


def test_a_large_event_and_its_answer_come_through_and_leave_no_blob(client, platform):
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage", "s3:PutObject"))
    client("s3").create_bucket(Bucket="ends")
    configure(
        client, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::ends"}}
    )  # fmt: skip
    id_ = invoke(client, {"fail": "x" * 600_000})
    (found,) = wait(lambda: client("s3").list_objects_v2(Bucket="ends").get("Contents"))
    assert re.fullmatch(
        rf"aws/lambda/async/fn/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\dT\d\d\.\d\d\.\d\d-{id_}",
        found["Key"],
    )
    said = json.loads(client("s3").get_object(Bucket="ends", Key=found["Key"])["Body"].read())
    assert len(said["requestPayload"]["fail"]) == 600_000


def test_a_record_beyond_a_messages_size_comes_without_its_payload(client):
    code = "def handler(event, context): return 'y' * 1_200_000"
    create(client, "fn", code, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(client, DestinationConfig={"OnSuccess": {"Destination": arn}})
    invoke(client, {"a": 1})
    said = json.loads(message(client, url)["Body"])
    assert said["requestPayload"] == {"a": 1}
    assert "responsePayload" not in said


def test_a_record_invokes_the_next_function(client, platform):
    arn = allow(client, "lambda:InvokeFunction", "sqs:SendMessage")
    create(client, "next", CODE, Role=arn)
    create(client, "fn", CODE, Role=arn)
    url, ends = queue(client)
    client("lambda").put_function_event_invoke_config(
        FunctionName="next", DestinationConfig={"OnSuccess": {"Destination": ends}}
    )
    target = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:next"
    configure(client, DestinationConfig={"OnSuccess": {"Destination": target}})
    id_ = invoke(client, {"a": 1})
    said = json.loads(message(client, url)["Body"])
    assert said["requestPayload"]["requestContext"]["requestId"] == id_
    assert said["requestPayload"]["responsePayload"] == {"got": {"a": 1}}


def test_a_topic_takes_records_and_dead_letters(client):
    """Both as SNS hands them on to a queue."""
    sns, (url, queue_arn) = client("sns"), queue(client)
    topic = sns.create_topic(Name="ends")["TopicArn"]
    policy = {
        "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": queue_arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]
    }  # fmt: skip
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    arn = allow(client, "sns:Publish")
    create(client, "fn", CODE, Role=arn, DeadLetterConfig={"TargetArn": topic})
    configure(
        client, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": topic}}
    )
    id_ = invoke(client, {"fail": 1})
    found = [json.loads(message(client, url)["Body"]) for _ in range(2)]
    letters = [said for said in found if "MessageAttributes" in said]
    records = [json.loads(said["Message"]) for said in found if "MessageAttributes" not in said]
    assert [json.loads(said["Message"]) for said in letters] == [{"fail": 1}]
    assert letters[0]["MessageAttributes"]["RequestID"] == {"Type": "String", "Value": id_}
    assert [said["requestContext"]["condition"] for said in records] == ["RetriesExhausted"]


def test_a_record_is_an_event_on_a_bus(client):
    """As recorded in TestLambdaDestinationEventbridge of LocalStack's tests."""
    create(client, "fn", CODE, Role=allow(client, "events:PutEvents"))
    events, (url, queue_arn) = client("events"), queue(client)
    bus = events.create_event_bus(Name="results")["EventBusArn"]
    rule = events.put_rule(
        Name="all", EventBusName="results", EventPattern=json.dumps({"source": ["lambda"]})
    )["RuleArn"]
    policy = {
        "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": queue_arn, "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }]
    }  # fmt: skip
    client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule="all", EventBusName="results", Targets=[{"Id": "q", "Arn": queue_arn}])
    configure(client, DestinationConfig={"OnSuccess": {"Destination": bus}})
    id_ = invoke(client, {"a": 1})
    said = json.loads(message(client, url)["Body"])
    assert said["source"] == "lambda"
    assert said["detail-type"] == "Lambda Function Invocation Result - Success"
    assert said["resources"] == [bus, f"{FN}:$LATEST"]
    assert said["detail"]["requestContext"]["requestId"] == id_
    assert said["detail"]["responsePayload"] == {"got": {"a": 1}}


def counted(platform, monkeypatch) -> dict[str, float]:
    """Metric of the function -> the sum of what was counted, from now on."""
    sums: dict[str, float] = {}

    def measure(account, region, namespace, dimensions, name, value=1.0, *_, **__):
        if (namespace, dimensions) == ("AWS/Lambda", (("FunctionName", "fn"),)):
            sums[name] = sums.get(name, 0) + value

    monkeypatch.setattr(platform.cloud, "measure", measure)
    return sums


def test_a_failure_is_an_object_in_a_bucket_and_counted(client, platform, monkeypatch):
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html and
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#async-metrics"""
    create(client, "fn", CODE, Role=allow(client, "s3:PutObject"))
    client("s3").create_bucket(Bucket="ends")
    target = {"OnFailure": {"Destination": "arn:aws:s3:::ends"}}
    configure(client, DestinationConfig=target, MaximumRetryAttempts=0)
    sums = counted(platform, monkeypatch)
    request_id = invoke(client, {"fail": True})
    (found,) = wait(lambda: client("s3").list_objects_v2(Bucket="ends").get("Contents"))
    assert re.fullmatch(
        rf"aws/lambda/async/fn/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\dT\d\d\.\d\d\.\d\d-{request_id}",
        found["Key"],
    )
    record = json.loads(client("s3").get_object(Bucket="ends", Key=found["Key"])["Body"].read())
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"] == {"fail": True}
    assert (sums["AsyncEventsReceived"], sums["AsyncEventsDropped"]) == (1, 1)
    assert sums["AsyncEventAge"] >= 0
    assert not sums.keys() & {"DestinationDeliveryFailures", "DeadLetterErrors"}


def test_a_role_that_may_no_longer_send_sends_nothing(client, platform, caplog, monkeypatch):
    """The hop is checked when it is made, under the role, not only when it is configured."""
    sums = counted(platform, monkeypatch)
    create(client, "fn", CODE, Role=allow(client, "sqs:SendMessage"))
    url, arn = queue(client)
    configure(client, DestinationConfig={"OnSuccess": {"Destination": arn}})
    client("iam").delete_role_policy(RoleName="function-role", PolicyName="p")
    invoke(client, {"a": 1})
    wait(lambda: "sqs:sendmessage" in caplog.text)
    wait(lambda: sums.get("DestinationDeliveryFailures") == 1)
    assert "AsyncEventsDropped" not in sums
    assert "Messages" not in client("sqs").receive_message(QueueUrl=url)


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({}, "InvalidParameterValueException", "You must specify at least one of error handling or destination setting."),
        (
            {"DestinationConfig": {"OnSuccess": {"Destination": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:doesnotexist"}}},
            "InvalidParameterValueException",
            f"The destination ARN arn:aws:lambda:us-east-1:{ACCOUNT}:function:doesnotexist is invalid.",
        ),
        (
            {"DestinationConfig": {"OnSuccess": {"Destination": FN}}},
            "InvalidParameterValueException",
            "You can't specify the function as a destination for itself.",
        ),
        (
            {"DestinationConfig": {"OnSuccess": {"Destination": FN.replace(":lambda:", ":iam:")}}},
            "InvalidParameterValueException",
            ("The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
            f"{FN.replace(':lambda:', ':iam:')}), onFailure=null) is invalid."),
        ),
        (
            {"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:s3:::bucket"}}},
            "InvalidParameterValueException",
            ("The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::bucket), "
            "onFailure=null) is invalid."),
        ),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo"}}},
            "InvalidParameterValueException",
            ("The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination="
            f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo)) is invalid."),
        ),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": FN.replace(":lambda:", ":_-/!lambda:")}}},
            "ValidationException",
            (f"1 validation error detected: Value '{FN.replace(':lambda:', ':_-/!lambda:')}' at "
            "'destinationConfig.onFailure.destination' failed to satisfy constraint: Member must satisfy regular "
            r"expression pattern: $|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
            r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"),
        ),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:sqs:us-east-1:{ACCOUNT}:ends"}}},
            "InvalidParameterValueException",
            ("The function's execution role does not have permissions to call SendMessage on "
            f"arn:aws:sqs:us-east-1:{ACCOUNT}:ends."),
        ),
    ],
)  # fmt: skip
def test_what_is_no_destination_is_refused_in_awss_words(client, config, code, words):
    create(client, "fn", CODE)
    queue(client)
    with pytest.raises(ClientError) as caught:
        configure(client, **config)
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, words)


def test_a_dead_letter_queue_the_role_may_not_send_to_is_refused(client):
    """https://github.com/elastic/beats/issues/13963 has AWS's words."""
    _, arn = queue(client)
    with pytest.raises(ClientError) as caught:
        create(client, "fn", CODE, DeadLetterConfig={"TargetArn": arn})
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"] == (
        "The provided execution role does not have permissions to call SendMessage on SQS"
    )
    with pytest.raises(ClientError) as caught:  # the API reference: "a standard SQS queue"
        create(client, "fn", CODE, DeadLetterConfig={"TargetArn": f"{arn}.fifo"})
    assert "standard" in caught.value.response["Error"]["Message"]
