"""DynamoDB's operations, put together by topic, and what IAM is asked for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stratolite.service import Access, Call, Request, Resource, Worker
from stratolite.services.dynamodb.base import table_arn
from stratolite.services.dynamodb.batches import Batches
from stratolite.services.dynamodb.items import Items
from stratolite.services.dynamodb.reading import Reading
from stratolite.services.dynamodb.tables import Tables
from stratolite.services.dynamodb.transactions import Transactions

_TRANSACT = {
    "ConditionCheck": "dynamodb:ConditionCheckItem",
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "Get": "dynamodb:GetItem",
}
_EVERYWHERE = frozenset(("ListTables", "DescribeLimits", "DescribeEndpoints"))


class Dynamodb(Items, Reading, Batches, Transactions, Tables):
    name = "dynamodb"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html"""
        action = f"dynamodb:{operation}"
        if operation in ("BatchGetItem", "BatchWriteItem"):
            names = request.get("RequestItems")
            if isinstance(names, dict) and names:
                return [(action, table_arn(call, name)) for name in names]
            return ((action, "*"),)
        if operation in ("TransactWriteItems", "TransactGetItems"):
            return _transact_access(call, action, request.get("TransactItems"))
        if operation in _EVERYWHERE:
            return ((action, "*"),)
        if "ResourceArn" in request:
            return ((action, str(request["ResourceArn"])),)
        arn = table_arn(call, str(request.get("TableName", "*")))
        if operation in ("Query", "Scan") and request.get("IndexName") is not None:
            arn = f"{arn}/index/{request['IndexName']}"
        if operation == "CreateTable" and request.get("Tags"):
            return ((action, arn), ("dynamodb:TagResource", arn))
        return ((action, arn),)

    def workers(self) -> Iterable[Worker]:
        from stratolite.services.dynamodb.expiry import Expirer
        from stratolite.services.dynamodb.worker import Backfiller, Sweeper

        return (Sweeper(self.cloud), Backfiller(self.cloud), Expirer(self.cloud))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.dynamodb.resources import TableResource

        return (TableResource(),)


def _transact_access(call: Call, action: str, items: Any) -> Sequence[Access]:
    found: dict[Access, None] = {}
    for each in items if isinstance(items, list) else ():
        for kind, inner in each.items() if isinstance(each, dict) else ():
            if kind in _TRANSACT and isinstance(inner, dict):
                found[_TRANSACT[kind], table_arn(call, str(inner.get("TableName", "*")))] = None
    return list(found) or ((action, "*"),)
