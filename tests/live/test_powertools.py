"""AWS Lambda Powertools, packaged into a function: its parser, batches and idempotency on our queues and tables.

https://docs.powertools.aws.dev/lambda/python/latest/
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from live.server_process import ServerProcess

from stratolite.cli import target

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
PACKAGES = (
    "aws_lambda_powertools", "jmespath", "pydantic", "pydantic_core", "annotated_types", "typing_inspection",
    "typing_extensions",
)  # fmt: skip
ACCOUNT = "000000000000"
VISIBILITY_S, RECEIVES_MAX = 60, 2
CODE = """
import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from aws_lambda_powertools.utilities.parser.models import SqsModel

dynamodb = boto3.client("dynamodb")
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
kept = DynamoDBPersistenceLayer(table_name="idempotency")
config = IdempotencyConfig(event_key_jmespath="order")

class Order(BaseModel):
    order: str
    count: int

def handler(event, context):
    parse(event=event, model=SqsModel)
    config.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=one, processor=processor, context=context)

def one(record):
    asked = Order.model_validate_json(record.body)
    return carry_out(order=asked.model_dump())

@idempotent_function(data_keyword_argument="order", persistence_store=kept, config=config)
def carry_out(order):
    dynamodb.update_item(
        TableName="orders", Key={"id": {"S": order["order"]}}, UpdateExpression="ADD #c :c, runs :one",
        ExpressionAttributeNames={"#c": "count"},
        ExpressionAttributeValues={":c": {"N": str(order["count"])}, ":one": {"N": "1"}},
    )
    return order["order"]
"""


def package():
    """The function and what it needs of this environment, as ``pip install --target`` would lay it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("index.py", CODE)
        for name in PACKAGES:
            origin = Path(find_spec(name).origin)
            if origin.name != "__init__.py":
                archive.write(origin, origin.name)
                continue
            for path in origin.parent.rglob("*"):
                if path.suffix in (".py", ".so", ".json", ".typed"):
                    archive.write(path, path.relative_to(origin.parent.parent))
    return out.getvalue()


@pytest.fixture
def server(tmp_path):
    made = ServerProcess(str(tmp_path / "cloud"))
    yield made
    made.stop()


def arn(service, name):
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{name}"


def made(server):
    iam, sqs, dynamodb, function = (server.client(s) for s in ("iam", "sqs", "dynamodb", "lambda"))
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}  # fmt: skip
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))  # fmt: skip
    allowed = {
        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"): arn("sqs", "q"),
        ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"): arn(
            "dynamodb", "table/idempotency"
        ),
        ("dynamodb:UpdateItem",): arn("dynamodb", "table/orders"),
    }
    statements = [{"Effect": "Allow", "Action": list(a), "Resource": r} for a, r in allowed.items()]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=policy)
    for table in ("idempotency", "orders"):
        dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )  # fmt: skip
    sqs.create_queue(QueueName="dead")
    redrive = {"deadLetterTargetArn": arn("sqs", "dead"), "maxReceiveCount": RECEIVES_MAX}
    attributes = {"VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": json.dumps(redrive)}
    sqs.create_queue(QueueName="q", Attributes=attributes)
    function.create_function(
        FunctionName="fn", Runtime="python3.12", Role=role["Role"]["Arn"], Handler="index.handler", MemorySize=512,
        Timeout=VISIBILITY_S, Code={"ZipFile": package()},
    )  # fmt: skip
    function.create_event_source_mapping(
        FunctionName="fn", EventSourceArn=arn("sqs", "q"), FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": 2},
    )  # fmt: skip


def until(look, wanted, when_not=lambda: None):
    end = time.monotonic() + 200
    while (seen := look()) != wanted:
        assert time.monotonic() < end, (seen, wanted)
        when_not()
        time.sleep(0.5)


def test_parser_batches_and_idempotency(server):
    """An order sent three times is carried out once; what is no order is tried as often as the queue says, the rest not again."""
    made(server)
    sqs, dynamodb = server.client("sqs"), server.client("dynamodb")
    url = f"{server.endpoint}/{ACCOUNT}"

    def send(order, count):
        body = json.dumps({"order": order, "count": count})
        sqs.send_message(QueueUrl=f"{url}/q", MessageBody=body)

    def orders():
        items = dynamodb.scan(TableName="orders", ConsistentRead=True)["Items"]
        return {item["id"]["S"]: (item["count"]["N"], item["runs"]["N"]) for item in items}

    def counts(queue):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=f"{url}/{queue}", AttributeNames=names)
        return [int(found["Attributes"][name]) for name in names]

    def turn():
        """The next receive, for the one that is left."""
        moved = {"advance_s": VISIBILITY_S + 1}
        target.own("POST", "clock", server.endpoint, "us-east-1", moved, ("test", "test"))

    send("bad", "many")
    for number in (1, 2, 3):
        send(f"o{number}", number)
    until(lambda: (len(orders()), counts("q")), (3, [0, 1]))
    for _ in range(
        2
    ):  # not beside the first: what is in progress elsewhere is an error, and comes back
        send("o2", 2)
    until(lambda: counts("q"), [0, 1])
    until(lambda: counts("dead"), [1, 0], turn)
    until(lambda: counts("q"), [0, 0])
    assert orders() == {f"o{n}": (str(n), "1") for n in (1, 2, 3)}
    (letter,) = sqs.receive_message(QueueUrl=f"{url}/dead")["Messages"]
    assert json.loads(letter["Body"])["order"] == "bad"
    records = dynamodb.scan(TableName="idempotency")["Items"]
    assert [record["status"]["S"] for record in records] == ["COMPLETED"] * 3
