"""Who reads a mapping's source, and how requests to it name it."""

from __future__ import annotations

from stratolite.service import Call, Request
from stratolite.services.lambda_.mapping_settings import Source
from stratolite.services.lambda_.names import Ref


async def as_function(call: Call, ref: Ref, role: str) -> Call:
    """A call in the function's account as its role, which Lambda assumes. Raises Fault as sts AssumeRole does."""
    inside = call.scoped(ref.account, ref.region)
    session = ref.name.ljust(2, "_")
    return await inside.as_role(role, "lambda.amazonaws.com", ref.function_arn, session)


def source_request(call: Call, source: Source) -> Request:
    """What names the source in most requests to its service."""
    if source.kind == "sqs":
        return {"QueueUrl": f"{call.cloud.endpoint}/{source.account}/{source.name}"}
    if source.kind == "kinesis":
        return {"StreamARN": source.stream_arn}
    return {"StreamArn": source.arn}
