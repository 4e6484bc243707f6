"""Random operations against a plain model: table, indexes, stream, counts and backups agree with it, across reopens and restores."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from typing import Any

import orjson
from harness import Harness
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.services.dynamodb.conditions import compile_test, needles

PKS, SKS, VALUES = ["a", "b"], ["0", "1", "2"], ["x", "y"]
STEPS = 400 if os.environ.get("STRATOLITE_SOAK") else 60
RUNS = 60 if os.environ.get("STRATOLITE_SOAK") else 8

key = st.tuples(st.sampled_from(PKS), st.sampled_from(SKS))
attributes = st.dictionaries(
    st.sampled_from(["g", "l", "v"]), st.sampled_from(VALUES).map(lambda v: {"S": v}), max_size=3
)
step = st.one_of(
    st.tuples(st.just("put"), key, attributes),
    st.tuples(st.just("delete"), key, st.none()),
    st.tuples(st.just("update"), key, st.sampled_from(VALUES)),
    st.tuples(st.just("remove"), key, st.sampled_from(["g", "l", "v"])),
    st.tuples(st.just("put-if-absent"), key, attributes),
    st.tuples(st.just("batch"), key, attributes),
    st.tuples(st.just("transact"), key, attributes),
    st.tuples(st.just("partiql"), key, st.sampled_from(VALUES)),
    st.tuples(st.just("seal"), key, st.none()),
    st.tuples(st.just("reopen"), key, st.none()),
    st.tuples(st.just("restore"), key, st.none()),
)
Items = dict[tuple[str, str], dict[str, Any]]


class Run:
    """One cloud on a folder, what it must hold, and what its stream must tell."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.name, self.number, self.is_sealed = "table0", 0, False
        self.items: Items = {}
        self.told: list[tuple[str, Any, Any, Any]] = []
        self.arn = ""

    async def open(self) -> None:
        from stratolite.server import open_cloud

        self.cloud = await open_cloud(self.folder, World())
        self.ask = Harness(self.cloud)

    async def create(self) -> None:
        def element(name: str, kind: str) -> dict[str, str]:
            return {"AttributeName": name, "KeyType": kind}

        projection = {"Projection": {"ProjectionType": "ALL"}}
        made = await self.ask(
            "dynamodb", "CreateTable", TableName=self.name, BillingMode="PAY_PER_REQUEST",
            KeySchema=[element("pk", "HASH"), element("sk", "RANGE")],
            AttributeDefinitions=[
                {"AttributeName": n, "AttributeType": k}
                for n, k in (("pk", "S"), ("sk", "N"), ("g", "S"), ("l", "S"))
            ],
            GlobalSecondaryIndexes=[
                {"IndexName": "by-g", "KeySchema": [element("g", "HASH"), element("sk", "RANGE")], **projection}
            ],
            LocalSecondaryIndexes=[
                {"IndexName": "by-l", "KeySchema": [element("pk", "HASH"), element("l", "RANGE")], **projection}
            ],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        self.arn = made["TableDescription"]["LatestStreamArn"]

    def change(self, at: tuple[str, str], new: dict[str, Any] | None) -> None:
        old = self.items.get(at)
        if new is None:
            self.items.pop(at, None)
        else:
            self.items[at] = new
        if old != new:
            kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
            self.told.append((kind, names(at), old, new))

    async def do(self, kind: str, at: tuple[str, str], what: Any) -> None:
        old = self.items.get(at)
        here = {"TableName": self.name}
        if kind == "put":
            await self.ask("dynamodb", "PutItem", **here, Item={**names(at), **what})
            self.change(at, {**names(at), **what})
        elif kind == "delete":
            await self.ask("dynamodb", "DeleteItem", **here, Key=names(at))
            self.change(at, None)
        elif kind == "update":
            await self.ask(
                "dynamodb", "UpdateItem", **here, Key=names(at), UpdateExpression="SET g = :v, v = :v",
                ExpressionAttributeValues={":v": {"S": what}},
            )  # fmt: skip
            self.change(at, {**(old or names(at)), "g": {"S": what}, "v": {"S": what}})
        elif kind == "remove":
            await self.ask(
                "dynamodb", "UpdateItem", **here, Key=names(at), UpdateExpression=f"REMOVE {what}"
            )
            self.change(at, {k: v for k, v in (old or names(at)).items() if k != what})
        elif kind == "put-if-absent":
            item = {**names(at), **what}
            try:
                await self.ask(
                    "dynamodb",
                    "PutItem",
                    **here,
                    Item=item,
                    ConditionExpression="attribute_not_exists(pk)",
                )
                assert old is None
                self.change(at, item)
            except Fault as fault:
                assert fault.code == "ConditionalCheckFailedException"
                assert old is not None
        elif kind == "batch":
            other = (at[0], SKS[(SKS.index(at[1]) + 1) % 3])
            writes = [
                {"PutRequest": {"Item": {**names(at), **what}}},
                {"DeleteRequest": {"Key": names(other)}},
            ]
            await self.ask("dynamodb", "BatchWriteItem", RequestItems={self.name: writes})
            self.change(at, {**names(at), **what})
            self.change(other, None)
        elif kind == "transact":
            await self._transact(at, what)
        elif kind == "partiql":
            text = f"UPDATE \"{self.name}\" SET v = '{what}' REMOVE l WHERE pk = '{at[0]}' AND sk = {at[1]}"
            try:
                await self.ask("dynamodb", "ExecuteStatement", Statement=text)
                assert old is not None
                self.change(at, {**{k: v for k, v in old.items() if k != "l"}, "v": {"S": what}})
            except Fault as fault:
                assert fault.code == "ConditionalCheckFailedException"
                assert old is None
        elif kind == "seal":
            await self._seal()
        elif kind == "reopen":
            await self.cloud.close()
            await self.open()
        else:
            await self._restore()

    async def _seal(self) -> None:
        """Put the table under a KMS key, or take it away from there, unless the last change is still under way."""
        try:
            await self.ask(
                "dynamodb", "UpdateTable", TableName=self.name, SSESpecification={"Enabled": not self.is_sealed}
            )  # fmt: skip
            self.is_sealed = not self.is_sealed
        except Fault as fault:
            assert fault.code == "ResourceInUseException"

    async def _transact(self, at: tuple[str, str], what: Any) -> None:
        """Two writes that both happen or neither does."""
        other = ("b" if at[0] == "a" else "a", at[1])
        item = {**names(at), **what}
        check = {
            "TableName": self.name,
            "Key": names(other),
            "ConditionExpression": "attribute_exists(pk)",
        }
        writes = [{"Put": {"TableName": self.name, "Item": item}}, {"Delete": check}]
        try:
            await self.ask("dynamodb", "TransactWriteItems", TransactItems=writes)
            assert other in self.items
            self.change(at, item)
            self.change(other, None)
        except Fault as fault:
            assert fault.code == "TransactionCanceledException"
            assert other not in self.items

    async def _restore(self) -> None:
        """Into another table, which is then the one that is written to; with a stream of its own."""
        await self.verify()
        while not await self._is_active(self.name):  # noqa: ASYNC110 - as a user would wait
            await asyncio.sleep(0.01)
        backup = await self.ask(
            "dynamodb", "CreateBackup", TableName=self.name, BackupName="backup"
        )
        arn = backup["BackupDetails"]["BackupArn"]
        self.number += 1
        target = f"table{self.number}"
        while True:
            try:
                await self.ask(
                    "dynamodb", "RestoreTableFromBackup", TargetTableName=target, BackupArn=arn
                )
                break
            except Fault as fault:
                assert fault.code == "BackupInUseException"
                await asyncio.sleep(0.01)
        while not await self._is_active(target):  # noqa: ASYNC110 - as a user would wait
            await asyncio.sleep(0.01)
        self.name, self.told = target, []
        made = await self.ask(
            "dynamodb", "UpdateTable", TableName=target,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        self.arn = made["TableDescription"]["LatestStreamArn"]

    async def _is_active(self, name: str) -> bool:
        described = await self.ask("dynamodb", "DescribeTable", TableName=name)
        return bool(described["Table"]["TableStatus"] == "ACTIVE")

    async def verify(self) -> None:
        wanted = sorted(map(plain, self.items.values()))
        found = await self._all("Scan")
        assert sorted(found) == wanted
        by_g = await self._all("Scan", IndexName="by-g")
        assert sorted(by_g) == sorted(plain(i) for i in self.items.values() if "g" in i)
        for pk in PKS:
            mine = [i for i in self.items.values() if i["pk"]["S"] == pk]
            values = {":p": {"S": pk}}
            query = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": values}
            rows = await self._all("Query", **query)
            assert rows == [plain(i) for i in sorted(mine, key=lambda i: int(i["sk"]["N"]))]
            rows = await self._all("Query", IndexName="by-l", **query)
            listed = sorted(
                (i for i in mine if "l" in i), key=lambda i: (i["l"]["S"], int(i["sk"]["N"]))
            )
            assert rows == [plain(i) for i in listed]
        table = (await self.ask("dynamodb", "DescribeTable", TableName=self.name))["Table"]
        assert table["ItemCount"] == len(self.items)
        assert table["GlobalSecondaryIndexes"][0]["ItemCount"] == len(by_g)
        assert await self._records() == self.told

    async def _all(self, operation: str, **request: Any) -> list[str]:
        found, page = [], {"LastEvaluatedKey": None}
        while "LastEvaluatedKey" in page:
            start = page["LastEvaluatedKey"]
            more = {"ExclusiveStartKey": start} if start else {}
            page = await self.ask(
                "dynamodb", operation, TableName=self.name, Limit=2, **request, **more
            )
            page = orjson.loads(orjson.dumps(page))
            found += map(plain, page["Items"])
        return found

    async def _records(self) -> list[Any]:
        stream = await self.ask("dynamodbstreams", "DescribeStream", StreamArn=self.arn)
        found = []
        for shard in stream["StreamDescription"]["Shards"]:
            at = (
                await self.ask(
                    "dynamodbstreams", "GetShardIterator", StreamArn=self.arn, ShardId=shard["ShardId"],
                    ShardIteratorType="TRIM_HORIZON",
                )
            )["ShardIterator"]  # fmt: skip
            while at:
                page = await self.ask("dynamodbstreams", "GetRecords", ShardIterator=at, Limit=7)
                for record in page["Records"]:
                    body = record["dynamodb"]
                    found.append(
                        (
                            record["eventName"],
                            body["Keys"],
                            body.get("OldImage"),
                            body.get("NewImage"),
                        )
                    )
                at = page.get("NextShardIterator") if page["Records"] else None
        return found


def names(at: tuple[str, str]) -> dict[str, Any]:
    return {"pk": {"S": at[0]}, "sk": {"N": at[1]}}


def plain(item: dict[str, Any]) -> str:
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()


@settings(
    max_examples=RUNS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(step, max_size=STEPS))
def test_everything_agrees_with_a_plain_model(steps: list[Any]) -> None:
    """In the end and before every restore: items, both kinds of index, counts, and each change in the stream."""
    folder = tempfile.mkdtemp()

    async def main() -> None:
        run = Run(folder)
        await run.open()
        try:
            await run.create()
            for kind, at, what in steps:
                await run.do(kind, at, what)
            await run.verify()
        finally:
            await run.cloud.close()

    try:
        asyncio.run(main())
    finally:
        shutil.rmtree(folder)


scalar = st.one_of(
    st.text(max_size=4).map(lambda t: {"S": t}),
    st.sampled_from(
        [{"N": "1"}, {"N": "10"}, {"BOOL": True}, {"NULL": True}, {"B": "AQ=="}, {"S": 'q"\\é\n'}]
    ),
)
attribute = st.sampled_from(["a", 'b"', "é"])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(attribute, st.one_of(scalar, st.lists(scalar, max_size=2).map(lambda v: {"L": v}))),
    st.lists(st.tuples(st.sampled_from(["=", "begins", "exists", "<>", "or"]), attribute, scalar), min_size=1, max_size=3),
)  # fmt: skip
def test_a_row_without_what_a_filter_needs_never_matches(item: Any, asked: list[Any]) -> None:
    """A scan does not parse such rows, so this must hold for every item and every condition."""
    values, node = {}, None
    for i, (kind, name, value) in enumerate(asked):
        values[f":{i}"] = value
        path, operand = ("path", (name,)), ("value", f":{i}")
        made: Any = ("cmp", "=", path, operand)
        if kind == "begins":
            made = ("fn", "begins_with", [path, operand])
        elif kind == "exists":
            made = ("fn", "attribute_exists", [path])
        elif kind == "<>":
            made = ("cmp", "<>", operand, path)
        elif kind == "or":
            made = ("or", made, ("fn", "attribute_not_exists", [path]))
        node = made if node is None else ("and", node, made)
    if compile_test(node)(item, values):
        raw = orjson.dumps(item)
        assert all(needle in raw for needle in needles(node, values))
