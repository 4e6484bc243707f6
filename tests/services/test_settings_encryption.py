"""What schedules and event source mappings keep under a KMS key: the input of the one, the filters of the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, nothing_came, queue, received, role, user_client
from lambdas import create
from played import Functions

SECRET = "what nobody may read on the disk"
OFF = {"Mode": "OFF"}


@pytest.fixture
def key(client: Any) -> str:
    return str(client("kms").create_key()["KeyMetadata"]["Arn"])


def let(client: Any, key: str, *statements: dict[str, Any]) -> None:
    owner = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [owner, *statements]})
    client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


def stored(platform: Any) -> bytes:
    async def rows() -> bytes:
        found = await platform.cloud.db.transact(lambda tx: list(tx.scan((b"", b"\xff"))))
        return b"".join(value for _, value in found)

    return bytes(platform.run(rows()))


def test_the_input_of_a_schedule_is_sealed_until_its_role_calls_the_target(client: Any, platform: Any, key: str) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/encryption-rest.html"""
    scheduler = client("scheduler")
    url, arn = queue(client, services=())
    dead_url, dead = queue(client, "dead", services=())
    may = role(client, "may", "scheduler.amazonaws.com", "sqs:*", "kms:Decrypt")
    may_not = role(client, "may-not", "scheduler.amazonaws.com", "sqs:*")
    target = {"Arn": arn, "RoleArn": may, "Input": json.dumps({"say": SECRET})}

    def schedule(name: str, at: str = "2099-01-01T00:00:00", **more: str) -> dict[str, Any]:
        said: Any = {"Name": name, "ScheduleExpression": f"at({at})", "FlexibleTimeWindow": OFF, "KmsKeyArn": key}  # fmt: skip
        return said | {"Target": {**target, **more}}

    scheduler.create_schedule(**schedule("s"))
    assert SECRET.encode() not in stored(platform)
    got = scheduler.get_schedule(Name="s")
    assert (got["KmsKeyArn"], json.loads(got["Target"]["Input"])) == (key, {"say": SECRET})
    allowed = [{"Effect": "Allow", "Action": "scheduler:*", "Resource": "*"}]
    with pytest.raises(ClientError, match="kms:Decrypt"):
        user_client(client, "scheduler", allowed).get_schedule(Name="s")
    scheduler.update_schedule(**schedule("s") | {"ScheduleExpression": "rate(1 day)"})
    assert received(client, url)[0] == {"say": SECRET}
    refusing = {"RoleArn": may_not, "DeadLetterConfig": {"Arn": dead}}
    scheduler.create_schedule(**schedule("r", **refusing) | {"ScheduleExpression": "rate(1 day)"})
    message = received(client, dead_url, raw=True)[0]
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "AccessDeniedException"
    assert message["Body"] == "{}"
    assert nothing_came(client, url)


def test_the_filters_of_a_mapping_are_sealed_and_lambda_filters_by_them(client: Any, platform: Any, key: str) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filter-criteria-encryption"""
    functions, lambdas, sqs = Functions(platform), client("lambda"), client("sqs")
    url, arn = queue(client, services=())
    function = create(client, "seen", Role=role(client, "reader", "lambda.amazonaws.com", "sqs:*"))
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"kind": [SECRET]}})}]}
    let(client, key, {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "kms:Decrypt", "Resource": "*"})  # fmt: skip
    made = lambdas.create_event_source_mapping(FunctionName=function["FunctionArn"], EventSourceArn=arn, FilterCriteria=filters, KMSKeyArn=key)  # fmt: skip
    uuid = made["UUID"]
    assert SECRET.encode() not in stored(platform)
    assert lambdas.get_event_source_mapping(UUID=uuid)["FilterCriteria"] == filters
    assert "FilterCriteria" not in lambdas.list_event_source_mappings()["EventSourceMappings"][0]
    allowed = [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}]
    shown = user_client(client, "lambda", allowed).get_event_source_mapping(UUID=uuid)
    assert "FilterCriteria" not in shown
    assert shown["FilterCriteriaError"]["ErrorCode"] == "AccessDeniedException"
    for said in ("other", SECRET):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"kind": said}))
    [event] = functions.got("seen")
    assert [json.loads(r["body"])["kind"] for r in event["Records"]] == [SECRET]
    lambdas.update_event_source_mapping(UUID=uuid, KMSKeyArn="", BatchSize=5)
    got = lambdas.get_event_source_mapping(UUID=uuid)
    assert got["FilterCriteria"] == filters
    assert "KMSKeyArn" not in got
    assert SECRET.encode() in stored(platform)
    with pytest.raises(ClientError, match="cannot be used"):
        lambdas.update_event_source_mapping(
            UUID=uuid, KMSKeyArn=key[:-1] + ("1" if key.endswith("0") else "0")
        )


def test_a_key_that_shuts_lambda_out_holds_a_mapping_up(client: Any, platform: Any, key: str) -> None:  # fmt: skip
    functions, lambdas, sqs = Functions(platform), client("lambda"), client("sqs")
    url, arn = queue(client, services=())
    function = create(client, "seen", Role=role(client, "reader", "lambda.amazonaws.com", "sqs:*"))
    filters = {"Filters": [{"Pattern": json.dumps({"body": {"kind": ["wanted"]}})}]}
    lambdas.create_event_source_mapping(FunctionName=function["FunctionArn"], EventSourceArn=arn, FilterCriteria=filters, KMSKeyArn=key)  # fmt: skip
    for said in ("other", "wanted"):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"kind": said}))
    left = lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]["ApproximateNumberOfMessages"]  # noqa: E731  # fmt: skip
    assert left() == "2"
    let(client, key, {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "kms:Decrypt", "Resource": "*"})  # fmt: skip
    functions.until(lambda: functions.events["seen"], step_s=5)
    assert [json.loads(r["body"])["kind"] for r in functions.events["seen"][0]["Records"]] == ["wanted"]  # fmt: skip
