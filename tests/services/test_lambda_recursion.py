"""Loops of functions are ended: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html

Errors as AWS answered LocalStack: TestLambdaRecursion in test_lambda_api.snapshot.json of localstack/localstack.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from zlib import crc32

import pytest
from botocore.exceptions import ClientError
from lambdas import create, role

from stratolite.clock import World
from stratolite.services.lambda_ import recursion
from stratolite.services.lambda_.names import Ref

CODE = """
import os
def handler(event, context):
    return os.environ["_X_AMZN_TRACE_ID"]
"""
ACCOUNT = "000000000000"
FN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:fn"
MARK = f"{crc32(FN.encode()):08x}"


@pytest.fixture
def world() -> World:
    return World()


def traced(client: Any, name: str, header: str) -> Any:
    """A client that sends the header with every request, as an SDK within a function does."""
    made = client(name)

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = header

    made.meta.events.register(f"before-sign.{name}", add)
    return made


def refused(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def wait(look: Any) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_the_seventeenth_invocation_of_a_chain_is_stopped(client, platform, monkeypatch):
    """The function's SDK sends on what the function is told; the count is in it."""
    create(client, "fn", CODE)
    header = "Root=1-67891233-abcdef012345678912345678;Sampled=0"
    for count in range(1, 17):
        answer = traced(client, "lambda", header).invoke(FunctionName="fn")
        header = json.loads(answer["Payload"].read())
        assert header.endswith(f";Lineage={MARK}:{count}")
    dropped = []

    def measure(account, region, namespace, dimensions, name, *_, **__):
        dropped.append((dimensions, name))

    monkeypatch.setattr(platform.cloud, "measure", measure)
    caller = traced(client, "lambda", header)
    assert refused(caller.invoke, FunctionName="fn") == (recursion.CODE, recursion.MESSAGE)
    assert ((("FunctionName", "fn"),), "RecursiveInvocationsDropped") in dropped
    client("lambda").invoke(FunctionName="fn")  # another chain
    create(client, "other", CODE)
    answer = json.loads(caller.invoke(FunctionName="other")["Payload"].read())
    assert sorted(recursion.read((answer,)).values()) == [1, 16]
    client("lambda").put_function_recursion_config(FunctionName="fn", RecursiveLoop="Allow")
    answer = json.loads(caller.invoke(FunctionName="fn")["Payload"].read())
    assert answer.endswith(f"Lineage={MARK}:17")


def test_a_function_says_whether_it_may_run_in_a_loop(client):
    create(client, "fn", CODE)
    functions = client("lambda", parameter_validation=False)
    get = lambda: functions.get_function_recursion_config(FunctionName="fn")["RecursiveLoop"]  # noqa: E731
    assert get() == "Terminate"
    answer = functions.put_function_recursion_config(FunctionName=FN, RecursiveLoop="Allow")
    assert answer["RecursiveLoop"] == get() == "Allow"
    functions.update_function_configuration(FunctionName="fn", Timeout=5)
    assert get() == "Allow"
    code, said = refused(
        functions.put_function_recursion_config, FunctionName="fn", RecursiveLoop="InvalidValue"
    )
    assert code == "ValidationException"
    assert said == (
        "1 validation error detected: Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: Member must"
        " satisfy enum value set: [Terminate, Allow]"
    )
    code, _ = refused(functions.get_function_recursion_config, FunctionName="nope")
    assert code == "ResourceNotFoundException"


def test_a_queue_keeps_the_chain_and_gets_back_what_is_not_done(client):
    """Also in a batch of requests that the gateway has learnt to read quickly."""
    arn = role(client)
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("iam").put_role_policy(
        RoleName="function-role", PolicyName="p", PolicyDocument=json.dumps(policy)
    )
    create(client, "fn", CODE, Role=arn)
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead", "maxReceiveCount": 1}
    url = sqs.create_queue(
        QueueName="q", Attributes={"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "3"}
    )["QueueUrl"]
    for count in (15, 16, 16, 16):
        header = f"Root=1-67891233-abcdef012345678912345678;Sampled=0;Lineage={MARK}:{count}"
        answer = traced(client, "sqs", header).send_message(QueueUrl=url, MessageBody=f"{count}")
        assert "MD5OfMessageSystemAttributes" not in answer
    plain = traced(client, "sqs", "Root=1-67891233-abcdef012345678912345678;Sampled=1")
    plain.send_message(QueueUrl=url, MessageBody="plain")
    client("lambda").create_event_source_mapping(
        FunctionName="fn", EventSourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", BatchSize=1
    )
    found: list[Any] = []

    def look() -> bool:
        ask = {"QueueUrl": dead, "MessageSystemAttributeNames": ["AWSTraceHeader"]}
        found.extend(sqs.receive_message(**ask, MaxNumberOfMessages=10).get("Messages", ()))
        return len(found) >= 3

    wait(look)
    assert [message["Body"] for message in found] == ["16"] * 3
    for message in found:
        assert message["Attributes"]["AWSTraceHeader"].endswith(f"Lineage={MARK}:16")
    left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == "0"


@pytest.mark.parametrize("way", ["s3", "sns", "s3 to sns", "sns to sqs", "s3 to sqs"])
def test_what_other_services_deliver_goes_on_in_its_chain(client, way):
    """S3 and SNS to a function, each directly, one over the other, and over a queue."""
    account = f"arn:aws:{{}}:us-east-1:{ACCOUNT}:{{}}"
    topic, queue = account.format("sns", "t"), account.format("sqs", "q")
    arn = role(client)
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("iam").put_role_policy(
        RoleName="function-role", PolicyName="p", PolicyDocument=json.dumps(policy)
    )
    code = 'import os\ndef handler(event, context):\n    print(os.environ["_X_AMZN_TRACE_ID"])\n'
    create(client, "fn", code, Role=arn)
    for service in ("s3", "sns"):
        client("lambda").add_permission(
            FunctionName="fn", StatementId=service, Action="lambda:InvokeFunction", Principal=f"{service}.amazonaws.com",
        )  # fmt: skip
    client("s3").create_bucket(Bucket="loops")
    client("sns").create_topic(Name="t")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": queue}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    client("sqs").create_queue(QueueName="q", Attributes={"Policy": policy})
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    client("sns").set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=policy
    )
    hops = way.split(" to ")
    if hops[0] == "s3":
        kinds = {
            "s3": {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": FN, "Events": ["s3:ObjectCreated:*"]}]},
            "sns": {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]},
            "sqs": {"QueueConfigurations": [{"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}]},
        }  # fmt: skip
        client("s3").put_bucket_notification_configuration(
            Bucket="loops", NotificationConfiguration=kinds[hops[-1]]
        )
    if hops[-1] == "sqs":
        client("lambda").create_event_source_mapping(FunctionName="fn", EventSourceArn=queue)
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    elif "sns" in hops:
        client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=FN)
    header = f"Root=1-67891233-abcdef012345678912345678;Sampled=0;Lineage={MARK}:7"
    if hops[0] == "s3":
        traced(client, "s3", header).put_object(Bucket="loops", Key="k", Body=b"x")
    else:
        traced(client, "sns", header).publish(TopicArn=topic, Message="x")

    def look() -> bool:
        try:
            events = client("logs").filter_log_events(logGroupName="/aws/lambda/fn")["events"]
        except ClientError:
            return False
        return any(f"Lineage={MARK}:8" in event["message"] for event in events)

    wait(look)


def test_an_event_of_a_loop_becomes_a_dead_letter(client):
    arn = role(client)
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("iam").put_role_policy(
        RoleName="function-role", PolicyName="p", PolicyDocument=json.dumps(policy)
    )
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    letters = {"TargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"}
    create(client, "fn", CODE, Role=arn, DeadLetterConfig=letters)
    header = f"Root=1-67891233-abcdef012345678912345678;Lineage={MARK}:16"
    traced(client, "lambda", header).invoke(
        FunctionName="fn", InvocationType="Event", Payload=b'{"a": 1}'
    )

    def look() -> Any:
        ask = {"QueueUrl": url, "MessageAttributeNames": ["All"]}
        return sqs.receive_message(**ask).get("Messages")

    (letter,) = wait(look)
    assert json.loads(letter["Body"]) == {"a": 1}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert (attributes["ErrorCode"], attributes["ErrorMessage"]) == ("400", recursion.MESSAGE)


def test_a_header_counts_so_many_functions_and_no_more():
    ref = Ref(ACCOUNT, "us-east-1", "fn", "live")
    chain: recursion.Chain = {f"{n:08x}": n for n in range(1, 100)}
    chain, is_loop = recursion.longer(chain, ref)
    assert not is_loop
    text = recursion.written(chain)
    assert re.fullmatch(r";Lineage=([0-9a-f]{8}:\d+\|){31}[0-9a-f]{8}:\d+", text)
    assert min(recursion.read((text,)).values()) == 68
    assert recursion.read(("Lineage=zz:1", "Root=1;Lineage=", "")) == {}
