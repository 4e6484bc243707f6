"""Orders into the table. The order and its share of the day's figures are written together, so that each counts once."""

import json
import os

import boto3
from botocore.exceptions import ClientError

dynamodb = boto3.client("dynamodb")


def handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            add(json.loads(json.loads(record["body"])["Message"]))
        except Exception as error:  # noqa: BLE001 - the others of the batch are done
            print(f"{record['messageId']} comes again: {error!r}")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def add(order):
    table, day = os.environ["TABLE"], order["date"]
    total, discs = {"N": order["total"]}, {"N": str(order["discs"])}
    item = {
        "pk": {"S": f"customer#{order['customer']}"},
        "sk": {"S": f"{day}#{order['order']}"},
        "day": {"S": day},
        "total": total,
        "discs": discs,
    }
    is_new = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    figures = {
        "TableName": table,
        "Key": {"pk": {"S": "days"}, "sk": {"S": day}},
        "UpdateExpression": "ADD orders :one, discs :discs, revenue :total",
        "ExpressionAttributeValues": {":one": {"N": "1"}, ":discs": discs, ":total": total},
    }
    try:
        dynamodb.transact_write_items(TransactItems=[{"Put": is_new}, {"Update": figures}])
    except ClientError as error:
        reasons = [one["Code"] for one in error.response.get("CancellationReasons", [])]
        if reasons[:1] != ["ConditionalCheckFailed"]:
            raise  # a conflict over the day's figures, most likely: it comes again
