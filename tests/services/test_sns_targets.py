"""SNS to functions, with filters set through the API, and what CloudFormation makes of topics."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lambdas import create
from services.drift import drifted

ACCOUNT = "000000000000"


def policy_for(queue_arn: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def printed(client: Any, platform: Any) -> str:
    """What the function printed, waited for."""

    async def flush() -> None:
        await platform.cloud.service("lambda").output.flush()

    end = time.time() + 120
    while time.time() < end:
        platform.run(flush())
        with contextlib.suppress(ClientError):
            events = client("logs").filter_log_events(logGroupName="/aws/lambda/fn")["events"]
            for event in events:
                if event["message"].startswith("EVENT "):
                    return event["message"].removeprefix("EVENT ")
        time.sleep(0.02)
    raise AssertionError("it printed nothing")


def test_a_function_gets_the_event_aws_sends(client: Any, platform: Any) -> None:
    """Keys as recorded by LocalStack against AWS: test_python_lambda_subscribe_sns_topic."""
    sns, sqs = client("sns"), client("sqs")
    code = "import json\ndef handler(e, c): print('EVENT', json.dumps(e))"
    arn = create(client, "fn", code)["FunctionArn"]
    topic = sns.create_topic(Name="t")["TopicArn"]
    dead_arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    dead = sqs.create_queue(QueueName="dead", Attributes={"Policy": policy_for(dead_arn)})
    sub = sns.subscribe(
        TopicArn=topic,
        Protocol="lambda",
        Endpoint=arn,
        Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn})},
    )["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="not allowed yet")
    got = sqs.receive_message(QueueUrl=dead["QueueUrl"], WaitTimeSeconds=10)["Messages"]
    assert json.loads(got[0]["Body"])["Message"] == "not allowed yet"
    client("lambda").add_permission(
        FunctionName="fn",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    sns.publish(TopicArn=topic, Message="Hello world.")
    (record,) = json.loads(printed(client, platform))["Records"]
    assert record["EventSource"] == "aws:sns"
    assert record["EventSubscriptionArn"] == sub
    assert record["Sns"]["Message"] == "Hello world."
    assert record["Sns"]["Subject"] is None
    assert set(record["Sns"]) == {
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertUrl",
        "UnsubscribeUrl",
        "MessageAttributes",
    }


def test_filters_are_set_and_change_what_is_delivered(client: Any) -> None:
    sns, sqs = client("sns"), client("sqs")
    topic = sns.create_topic(Name="t")["TopicArn"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    url = sqs.create_queue(QueueName="q", Attributes={"Policy": policy_for(arn)})["QueueUrl"]
    sub = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"FilterPolicy": '{"kind": ["a"]}', "RawMessageDelivery": "true"},
    )["SubscriptionArn"]

    def bodies(count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, MaxNumberOfMessages=10).get(
                "Messages", []
            )
            assert got
            found += [m["Body"] for m in got]
            for one in got:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return found

    def publish(body: str, kind: str = "") -> None:
        attributes = {"kind": {"DataType": "String", "StringValue": kind}} if kind else {}
        sns.publish(TopicArn=topic, Message=body, MessageAttributes=attributes)

    publish("no", "b")
    publish("yes", "a")
    assert bodies(1) == ["yes"]

    def change(name: str, value: str) -> None:
        sns.set_subscription_attributes(
            SubscriptionArn=sub, AttributeName=name, AttributeValue=value
        )

    with pytest.raises(ClientError) as error:
        change("FilterPolicy", '{"a": {"b": ["c"]}}')
    assert error.value.response["Error"]["Message"] == (
        "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"
    )
    with pytest.raises(ClientError) as error:
        change("FilterPolicyScope", "RandomValue")
    assert error.value.response["Error"]["Message"] == (
        "Invalid parameter: FilterPolicyScope: Invalid value [RandomValue]. Please use either MessageBody"
        " or MessageAttributes"
    )
    with pytest.raises(ClientError) as error:
        change("FilterPolicy", '{"key_a": "value_one"}')
    assert '"key_a" must be an object or an array' in str(error.value)
    change("FilterPolicyScope", "MessageBody")
    change("FilterPolicy", '{"a": {"b": ["c"]}}')
    publish("yes", "a")
    publish('{"a": {"b": "c"}}')
    assert bodies(1) == ['{"a": {"b": "c"}}']
    change("FilterPolicy", "{}")
    publish("all")
    assert bodies(1) == ["all"]
    found = sns.get_subscription_attributes(SubscriptionArn=sub)["Attributes"]
    assert "FilterPolicy" not in found


TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Let": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "sns.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": "*",
                            "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}},
                        }
                    ],
                },
            },
        },
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "DisplayName": "d",
                "Subscription": [{"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}}],
                "Tags": [{"Key": "k", "Value": "v"}],
            },
        },
        "Other": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"FifoTopic": True, "ContentBasedDeduplication": True},
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Other"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
                "FilterPolicy": {"a": ["b"]},
                "FilterPolicyScope": "MessageBody",
                "RawMessageDelivery": True,
            },
        },
        "Policy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "Topics": [{"Ref": "Topic"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "s3.amazonaws.com"},
                            "Action": "sns:Publish",
                            "Resource": {"Ref": "Topic"},
                        }
                    ],
                },
            },
        },
    },
    "Outputs": {
        "Topic": {"Value": {"Ref": "Topic"}},
        "Name": {"Value": {"Fn::GetAtt": ["Topic", "TopicName"]}},
        "Subscription": {"Value": {"Ref": "Subscription"}},
        "Queue": {"Value": {"Ref": "Queue"}},
    },
}


def test_a_stack_makes_changes_and_deletes_its_topics(client: Any) -> None:
    cfn, sns, sqs = client("cloudformation"), client("sns"), client("sqs")

    def wait(what: str) -> None:
        cfn.get_waiter(f"stack_{what}_complete").wait(
            StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )

    template = json.loads(json.dumps(TEMPLATE))
    cfn.create_stack(StackName="s", TemplateBody=json.dumps(template))
    wait("create")
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    made = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    assert made["Topic"].endswith(f":{made['Name']}")
    found = sns.get_subscription_attributes(SubscriptionArn=made["Subscription"])["Attributes"]
    assert json.loads(found["FilterPolicy"]) == {"a": ["b"]}
    assert (found["FilterPolicyScope"], found["RawMessageDelivery"]) == ("MessageBody", "true")
    attributes = sns.get_topic_attributes(TopicArn=made["Topic"])["Attributes"]
    assert "s3.amazonaws.com" in attributes["Policy"]
    assert attributes["SubscriptionsConfirmed"] == "1"
    sns.publish(TopicArn=made["Topic"], Message="m")
    got = sqs.receive_message(QueueUrl=made["Queue"], WaitTimeSeconds=10)["Messages"]
    assert json.loads(got[0]["Body"])["Message"] == "m"
    assert drifted(cfn, "s") == {}
    del template["Resources"]["Policy"]
    template["Resources"]["Topic"]["Properties"]["Subscription"] = []
    template["Resources"]["Subscription"]["Properties"]["FilterPolicy"] = {"a": ["c"]}
    cfn.update_stack(StackName="s", TemplateBody=json.dumps(template))
    wait("update")
    attributes = sns.get_topic_attributes(TopicArn=made["Topic"])["Attributes"]
    assert "s3.amazonaws.com" not in attributes["Policy"]
    assert attributes["SubscriptionsConfirmed"] == "0"
    found = sns.get_subscription_attributes(SubscriptionArn=made["Subscription"])["Attributes"]
    assert json.loads(found["FilterPolicy"]) == {"a": ["c"]}
    cfn.delete_stack(StackName="s")
    wait("delete")
    end = time.time() + 120
    while sns.list_subscriptions()["Subscriptions"] and time.time() < end:
        time.sleep(0.01)
    assert sns.list_topics()["Topics"] == []
    assert sns.list_subscriptions()["Subscriptions"] == []
