"""What aioboto3's guide begins with: a table as a resource, written in batches, queried."""

import asyncio
import os

import aioboto3
from boto3.dynamodb.conditions import Key


async def main() -> None:
    session = aioboto3.Session()
    async with session.resource("dynamodb", endpoint_url=os.environ["ENDPOINT"]) as dynamodb:
        table = await dynamodb.create_table(
            TableName="aio",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        await table.wait_until_exists()
        async with table.batch_writer() as batch:
            for i in range(60):
                await batch.put_item(Item={"pk": "a", "sk": i})
        found = await table.query(KeyConditionExpression=Key("pk").eq("a") & Key("sk").gte(50))
        assert [int(i["sk"]) for i in found["Items"]] == list(range(50, 60))
    print("ok")


asyncio.run(main())
