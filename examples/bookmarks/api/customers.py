"""Customers: make one, read one."""

import uuid

from answers import Refused, answer, body_of, routed
from store import CUSTOMER, table


def create(event):
    body = body_of(event, ["name", "email"])
    if "@" not in body["email"]:
        raise Refused(400, "email is not an e-mail address.")
    customer = {
        "customerId": uuid.uuid4().hex[:12],
        "sk": CUSTOMER,
        "name": body["name"],
        "email": body["email"],
        "bookmarkCount": 0,
    }
    table.put_item(Item=customer, ConditionExpression="attribute_not_exists(customerId)")
    return answer(201, customer)


def read(event):
    key = {"customerId": event["pathParameters"]["customerId"], "sk": CUSTOMER}
    found = table.get_item(Key=key).get("Item")
    if found is None:
        raise Refused(404, "There is no such customer.")
    return answer(200, found)


handler = routed({"POST /customers": create, "GET /customers/{customerId}": read})
