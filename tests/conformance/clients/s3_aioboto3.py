"""What aioboto3's guide begins with: objects put and read, a file uploaded in parts, a bucket's objects as a resource."""

import asyncio
import io
import os

import aioboto3


async def main() -> None:
    session = aioboto3.Session()
    async with session.client("s3", endpoint_url=os.environ["ENDPOINT"]) as s3:
        await asyncio.gather(
            *(s3.put_object(Bucket="toolbox", Key=f"aio/{n}", Body=b"%d" % n) for n in range(20))
        )
        got = await s3.get_object(Bucket="toolbox", Key="aio/7")
        assert await got["Body"].read() == b"7"
        large = bytes(range(256)) * 40_000  # more than one part
        await s3.upload_fileobj(io.BytesIO(large), "toolbox", "aio/large")
        back = io.BytesIO()
        await s3.download_fileobj("toolbox", "aio/large", back)
        assert back.getvalue() == large
    async with session.resource("s3", endpoint_url=os.environ["ENDPOINT"]) as resource:
        bucket = await resource.Bucket("toolbox")
        keys = [found.key async for found in bucket.objects.filter(Prefix="aio/1")]
        assert keys == ["aio/1", *[f"aio/{n}" for n in range(10, 20)]]
    print("ok")


asyncio.run(main())
