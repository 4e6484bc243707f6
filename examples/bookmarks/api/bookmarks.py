"""Bookmarks of one customer: list (all, or a folder), add, change, remove."""

import time
import uuid
from urllib.parse import urlsplit

from answers import Refused, answer, body_of, routed
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError
from store import BOOKMARK, CUSTOMER, folder_key, table

client = table.meta.client


def shown(item):
    hidden = ("sk", "folderKey", "customerId")
    return {k: v for k, v in item.items() if k not in hidden} | {"id": item["sk"][len(BOOKMARK) :]}


def list_all(event):
    customer_id = event["pathParameters"]["customerId"]
    folder = (event.get("queryStringParameters") or {}).get("folder")
    if folder:
        where = Key("folderKey").eq(folder_key(customer_id, folder))
        query = {"IndexName": "byFolder", "KeyConditionExpression": where}
    else:
        where = Key("customerId").eq(customer_id) & Key("sk").begins_with(BOOKMARK)
        query = {"KeyConditionExpression": where}
    items, page = [], {}
    while True:
        page = table.query(**query, **page)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            break
        page = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return answer(200, {"bookmarks": [shown(item) for item in items]})


def fields(event):
    body = body_of(event, ["url", "title"])
    if urlsplit(body["url"]).scheme not in ("http", "https"):
        raise Refused(400, "url does not start with http:// or https://.")
    folder = str(body.get("folder") or "unsorted").strip()
    return body["url"], body["title"], folder


def add(event):
    """The bookmark and the customer's count change together, or not at all."""
    url, title, folder = fields(event)
    customer_id = event["pathParameters"]["customerId"]
    item = {
        "customerId": customer_id,
        "sk": BOOKMARK + f"{int(time.time() * 1000):013d}-{uuid.uuid4().hex[:6]}",
        "url": url,
        "title": title,
        "folder": folder,
        "folderKey": folder_key(customer_id, folder),
        "addedAt": int(time.time()),
    }
    count = {
        "TableName": table.name,
        "Key": {"customerId": customer_id, "sk": CUSTOMER},
        "UpdateExpression": "SET bookmarkCount = bookmarkCount + :one",
        "ConditionExpression": "attribute_exists(customerId)",
        "ExpressionAttributeValues": {":one": 1},
    }
    try:
        client.transact_write_items(
            TransactItems=[{"Update": count}, {"Put": {"TableName": table.name, "Item": item}}]
        )
    except client.exceptions.TransactionCanceledException:
        raise Refused(404, "There is no such customer.") from None
    return answer(201, shown(item))


def key_of(event):
    path = event["pathParameters"]
    return {"customerId": path["customerId"], "sk": BOOKMARK + path["bookmarkId"]}


def change(event):
    url, title, folder = fields(event)
    key = key_of(event)
    try:
        changed = table.update_item(
            Key=key,
            UpdateExpression="SET #url = :url, title = :title, folder = :folder, folderKey = :key",
            ConditionExpression="attribute_exists(sk)",
            ExpressionAttributeNames={"#url": "url"},
            ExpressionAttributeValues={
                ":url": url,
                ":title": title,
                ":folder": folder,
                ":key": folder_key(key["customerId"], folder),
            },
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise Refused(404, "There is no such bookmark.") from None
    return answer(200, shown(changed["Attributes"]))


def remove(event):
    key = key_of(event)
    count = {
        "TableName": table.name,
        "Key": {"customerId": key["customerId"], "sk": CUSTOMER},
        "UpdateExpression": "SET bookmarkCount = bookmarkCount - :one",
        "ExpressionAttributeValues": {":one": 1},
    }
    gone = {"TableName": table.name, "Key": key, "ConditionExpression": "attribute_exists(sk)"}
    try:
        client.transact_write_items(TransactItems=[{"Update": count}, {"Delete": gone}])
    except client.exceptions.TransactionCanceledException:
        raise Refused(404, "There is no such bookmark.") from None
    return answer(204)


BASE = "/customers/{customerId}/bookmarks"
handler = routed(
    {
        f"GET {BASE}": list_all,
        f"POST {BASE}": add,
        f"PUT {BASE}/{{bookmarkId}}": change,
        f"DELETE {BASE}/{{bookmarkId}}": remove,
    }
)
