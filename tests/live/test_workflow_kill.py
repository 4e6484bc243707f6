"""kill -9 while executions run: each goes on where it stood, nothing happens twice in its history, nothing is left out.

STRATOLITE_KILLS sets how often (`make soak` uses 20).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import lambdas
import pytest
from eventing import role
from live.server_process import ServerProcess
from workflows import machine, one, passing

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
KILLS = int(os.environ.get("STRATOLITE_KILLS") or ("20" if os.environ.get("STRATOLITE_SOAK") else "3"))  # fmt: skip
ITEMS = 12
WAITING = """
import time, boto3
def handler(event, context):
    table = boto3.resource("dynamodb").Table("told")
    table.put_item(Item={"k": f"ran-{context.aws_request_id}"})
    while "Item" not in table.get_item(Key={"k": "go"}):
        time.sleep(0.05)
    return "gone"
"""


@pytest.fixture
def server(tmp_path):
    made = ServerProcess(str(tmp_path / "data"))
    yield made
    if made.process.poll() is None:
        made.stop()


def until(look, what):
    end = time.monotonic() + 240
    while not (found := look()):
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.02)
    return found


def events(server, arn):
    pages = server.client("stepfunctions").get_paginator("get_execution_history")
    return [event for page in pages.paginate(executionArn=arn) for event in page["events"]]


def ended(server, arn):
    def look():
        found = server.client("stepfunctions").describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None

    return until(look, f"end of {arn}")


def create(server, name, definition, **more):
    runner = role(server.client, f"{name}-runner", "states.amazonaws.com", "*")
    sfn = server.client("stepfunctions")
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=runner, **more)["stateMachineArn"]  # fmt: skip


def aws(server, *command):
    """The unmodified command line."""
    environment = {
        "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_DISABLE_HOST_PREFIX_INJECTION": "true", "HOME": os.path.dirname(server.folder),
    }  # fmt: skip
    words = [Path(sys.executable).parent / "aws", *command]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_task_under_way_is_done_again_and_told_of_once(server):
    client = server.client
    client("dynamodb").create_table(
        TableName="told", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    reader = lambdas.role(client)
    policy = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]}
    client("iam").put_role_policy(RoleName=reader.rpartition("/")[2], PolicyName="p", PolicyDocument=json.dumps(policy))  # fmt: skip
    function = lambdas.create(client, "waits", WAITING, Role=reader, Timeout=600)
    task = {"Type": "Task", "Resource": function["FunctionArn"], "Next": "B"}
    arn = create(server, "m", machine(A=task, B=passing()))
    running = client("stepfunctions").start_execution(stateMachineArn=arn)["executionArn"]
    runs = lambda: server.client("dynamodb").scan(TableName="told")["Count"]  # noqa: E731
    until(lambda: runs() == 1, "run of the function")
    server.kill()
    server.start()
    until(lambda: runs() == 2, "second run")
    server.client("dynamodb").put_item(TableName="told", Item={"k": {"S": "go"}})
    assert ended(server, running)["output"] == '"gone"'
    told = json.loads(
        aws(server, "stepfunctions", "describe-execution", "--execution-arn", running)
    )
    assert (told["status"], told["output"]) == ("SUCCEEDED", '"gone"')
    assert [e["type"] for e in events(server, running)] == [
        "ExecutionStarted", "TaskStateEntered", "LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded",
        "TaskStateExited", "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
    ]  # fmt: skip


def test_killed_at_any_moment_executions_come_to_what_they_would_have(server):
    """Each kill comes after some more events were seen, wherever that may be."""
    send = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sqs:sendMessage", "Parameters": {"QueueUrl.$": "$.url", "MessageBody.$": "States.Format('{}', $.n)"}, "ResultSelector": {"md5.$": "$.MD5OfMessageBody"}, "ResultPath": "$.sent", "Next": "W"}  # fmt: skip
    inner = machine(S=send, W={"Type": "Wait", "Seconds": 1, "Next": "P"}, P=passing(InputPath="$.n"))  # fmt: skip
    work = {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 3, "ItemSelector": {"n.$": "$$.Map.Item.Value", "url.$": "$.url"}, "ItemProcessor": inner, "End": True}  # fmt: skip
    arn = create(server, "m", one(work))
    url = server.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    said = json.dumps({"items": list(range(ITEMS)), "url": url})
    sfn = server.client("stepfunctions")
    running = [sfn.start_execution(stateMachineArn=arn, input=said)["executionArn"] for _ in range(2)]  # fmt: skip
    for _ in range(KILLS):
        seen = len(events(server, running[0]))
        until(lambda seen=seen: len(events(server, running[0])) > seen + 3 or ended_now(server, running[0]), "progress")  # fmt: skip
        server.kill()
        server.start()
    for one_arn in running:
        found = ended(server, one_arn)
        assert found["status"] == "SUCCEEDED"
        assert json.loads(found["output"]) == list(range(ITEMS))
        told = events(server, one_arn)
        assert [e["id"] for e in told] == list(range(1, len(told) + 1))
        kinds = Counter(e["type"] for e in told)
        for kind in ("MapIterationStarted", "MapIterationSucceeded", "TaskScheduled", "TaskStarted", "TaskSucceeded", "WaitStateExited"):  # fmt: skip
            assert kinds[kind] == ITEMS, kinds
    left = server.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert int(left["Attributes"]["ApproximateNumberOfMessages"]) >= 2 * ITEMS


def ended_now(server, arn):
    found = server.client("stepfunctions").describe_execution(executionArn=arn)
    return found["status"] != "RUNNING"
