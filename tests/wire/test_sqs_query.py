"""SQS in its first protocol, which the model has forgotten and clients have not.

Requests and answers are those of https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
SQSDeveloperGuide/sqs-making-api-requests-xml.html and the API reference's samples.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from stratolite import wire
from stratolite.http import HttpRequest


def decoded(operation: str, **fields: str) -> dict[str, Any]:
    named = {name.replace("_", "."): value for name, value in fields.items()}
    body = urlencode({"Action": operation, "Version": "2012-11-05", **named}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    asked = HttpRequest("POST", "/", "", headers, body)
    target = wire.resolve(asked, "sqs")
    assert target == ("sqs", operation, "query")
    return wire.codec(*target).decode(asked)


@pytest.mark.parametrize(
    ("operation", "fields", "request_"),
    [
        (
            "CreateQueue",
            {
                "QueueName": "q",
                "Attribute_1_Name": "VisibilityTimeout",
                "Attribute_1_Value": "40",
                "Tag_1_Key": "k",
                "Tag_1_Value": "v",
            },
            {"QueueName": "q", "Attributes": {"VisibilityTimeout": "40"}, "tags": {"k": "v"}},
        ),
        (
            "SetQueueAttributes",
            {"Attribute_Name": "VisibilityTimeout", "Attribute_Value": "35"},
            {"Attributes": {"VisibilityTimeout": "35"}},
        ),
        (
            "GetQueueAttributes",
            {"AttributeName_1": "VisibilityTimeout", "AttributeName_2": "DelaySeconds"},
            {"AttributeNames": ["VisibilityTimeout", "DelaySeconds"]},
        ),
        ("GetQueueAttributes", {"AttributeName": "All"}, {"AttributeNames": ["All"]}),
        (
            "SendMessage",
            {
                "MessageBody": "This is a test",
                "MessageAttribute_1_Name": "my",
                "MessageAttribute_1_Value_StringValue": "v",
                "MessageAttribute_1_Value_DataType": "String",
                "MessageAttribute_2_Name": "bin",
                "MessageAttribute_2_Value_BinaryValue": "aGk=",
                "MessageAttribute_2_Value_DataType": "Binary",
                "MessageSystemAttribute_1_Name": "AWSTraceHeader",
                "MessageSystemAttribute_1_Value_StringValue": "Root=1",
                "MessageSystemAttribute_1_Value_DataType": "String",
            },
            {
                "MessageBody": "This is a test",
                "MessageAttributes": {
                    "my": {"StringValue": "v", "DataType": "String"},
                    "bin": {"BinaryValue": b"hi", "DataType": "Binary"},
                },
                "MessageSystemAttributes": {
                    "AWSTraceHeader": {"StringValue": "Root=1", "DataType": "String"}
                },
            },
        ),
        (
            "SendMessageBatch",
            {
                "SendMessageBatchRequestEntry_1_Id": "m1",
                "SendMessageBatchRequestEntry_1_MessageBody": "one",
                "SendMessageBatchRequestEntry_2_Id": "m2",
                "SendMessageBatchRequestEntry_2_MessageBody": "two",
                "SendMessageBatchRequestEntry_2_DelaySeconds": "4",
            },
            {
                "Entries": [
                    {"Id": "m1", "MessageBody": "one"},
                    {"Id": "m2", "MessageBody": "two", "DelaySeconds": 4},
                ]
            },
        ),
        (
            "ReceiveMessage",
            {"MaxNumberOfMessages": "5", "AttributeName_1": "All", "MessageAttributeName_1": "a.*"},
            {"MaxNumberOfMessages": 5, "AttributeNames": ["All"], "MessageAttributeNames": ["a.*"]},
        ),
        (
            "DeleteMessageBatch",
            {
                "DeleteMessageBatchRequestEntry_1_Id": "1",
                "DeleteMessageBatchRequestEntry_1_ReceiptHandle": "h",
            },
            {"Entries": [{"Id": "1", "ReceiptHandle": "h"}]},
        ),
        (
            "ChangeMessageVisibilityBatch",
            {
                "ChangeMessageVisibilityBatchRequestEntry_1_Id": "1",
                "ChangeMessageVisibilityBatchRequestEntry_1_ReceiptHandle": "h",
                "ChangeMessageVisibilityBatchRequestEntry_1_VisibilityTimeout": "45",
            },
            {"Entries": [{"Id": "1", "ReceiptHandle": "h", "VisibilityTimeout": 45}]},
        ),
        (
            "AddPermission",
            {
                "Label": "l",
                "AWSAccountId_1": "1",
                "AWSAccountId_2": "2",
                "ActionName_1": "SendMessage",
            },
            {"Label": "l", "AWSAccountIds": ["1", "2"], "Actions": ["SendMessage"]},
        ),
        ("TagQueue", {"Tag_1_Key": "a", "Tag_1_Value": "b"}, {"Tags": {"a": "b"}}),
        ("UntagQueue", {"TagKey_1": "a", "TagKey_2": "b"}, {"TagKeys": ["a", "b"]}),
    ],
    ids=str,
)
def test_forms_as_the_documentation_has_them(
    operation: str, fields: dict[str, str], request_: dict[str, Any]
) -> None:
    """Flattened lists and maps under the names of their elements."""
    assert decoded(operation, **fields) == request_


def answered(operation: str, response: dict[str, Any]) -> str:
    text = wire.codec("sqs", operation, "query").encode(response, "r").body.decode()
    start = f'<{operation}Response xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
    assert start in text
    assert text.endswith(
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{operation}Response>"
    )
    return text.partition(start)[2].rpartition("<ResponseMetadata>")[0]


def test_answers_as_the_documentation_has_them() -> None:
    """Old SDKs know these elements only."""
    assert answered(
        "ReceiveMessage",
        {
            "Messages": [
                {
                    "MessageId": "1",
                    "Body": "a<b",
                    "Attributes": {"SentTimestamp": "5"},
                    "MessageAttributes": {"m": {"StringValue": "v", "DataType": "String"}},
                }
            ]
        },
    ) == (
        "<ReceiveMessageResult><Message><MessageId>1</MessageId><Body>a&lt;b</Body>"
        "<Attribute><Name>SentTimestamp</Name><Value>5</Value></Attribute>"
        "<MessageAttribute><Name>m</Name><Value><StringValue>v</StringValue>"
        "<DataType>String</DataType></Value></MessageAttribute></Message></ReceiveMessageResult>"
    )
    assert answered("ListQueues", {"QueueUrls": ["u1", "u2"]}) == (
        "<ListQueuesResult><QueueUrl>u1</QueueUrl><QueueUrl>u2</QueueUrl></ListQueuesResult>"
    )
    assert answered("GetQueueAttributes", {"Attributes": {"DelaySeconds": "0"}}) == (
        "<GetQueueAttributesResult><Attribute><Name>DelaySeconds</Name><Value>0</Value>"
        "</Attribute></GetQueueAttributesResult>"
    )
    assert answered(
        "DeleteMessageBatch",
        {"Successful": [{"Id": "1"}], "Failed": [{"Id": "2", "SenderFault": True, "Code": "c"}]},
    ) == (
        "<DeleteMessageBatchResult><DeleteMessageBatchResultEntry><Id>1</Id></DeleteMessageBatchResultEntry>"
        "<BatchResultErrorEntry><Id>2</Id><SenderFault>true</SenderFault><Code>c</Code>"
        "</BatchResultErrorEntry></DeleteMessageBatchResult>"
    )
    assert answered("DeleteMessage", {}) == ""
