"""Integrations with AWS's own APIs: a method that is a call of SQS, DynamoDB, Step Functions and the like, with no function between.

    arn:aws:apigateway:REGION:SERVICE:path/PATH      the request as it is mapped, sent to that path of the service
    arn:aws:apigateway:REGION:SERVICE:action/NAME    a call of the operation, what is mapped into the query its parameters

The call is made in the role that the integration names, or as the caller; its answer is what the service writes on the wire.
Sources https://docs.aws.amazon.com/apigateway/latest/api/API_PutIntegration.html (uri, credentials)
        https://docs.aws.amazon.com/apigateway/latest/developerguide/integrating-api-with-aws-services-kinesis.html
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlencode

from stratolite.errors import Fault
from stratolite.http import FileSlice, HttpRequest, HttpResponse
from stratolite.service import Call
from stratolite.services.apigateway.incoming import BODY_BYTES_MAX
from stratolite.services.apigateway.mapping import Answer, Outgoing
from stratolite.services.apigateway.refusals import internal
from stratolite.services.apigateway.targets import aws_parts


async def asked(
    hop: Call, uri: str, method: str, outgoing: Outgoing, content_type: str | None
) -> Answer:
    """``hop`` is who asks. Raises Refusal for an answer that is too large; what the service refuses is an answer."""
    parts = aws_parts(uri)
    assert parts is not None, "checked when it was put"
    region, name, way, rest = parts
    hop = hop if region == hop.region else hop.scoped(hop.account, region)
    request = _request(method, rest if way == "path" else "", outgoing, content_type)
    if way == "action":
        request = hop.cloud.spoken.action(name, rest.partition("&")[0], request)
    try:
        one = hop.cloud.spoken.read(request, name)
    except Fault as fault:
        text = f'{{"__type":"{fault.code}","message":""}}'
        return Answer(fault.status or 400, [("Content-Type", "application/json")], text.encode())
    try:
        hop.cloud.validate(one.service, one.operation, one.request)
        response = one.answer(
            await hop.request(one.service, one.operation, one.request), hop.request_id
        )
    except Fault as fault:
        response = one.refusal(fault, hop.request_id)
    return Answer(response.status, response.headers, await _drained(response))


def _request(method: str, path: str, outgoing: Outgoing, content_type: str | None) -> HttpRequest:
    for name, value in outgoing.path.items():
        safe = quote(value, safe="/:@!$&'()*+,;=~%")
        path = path.replace(f"{{{name}}}", safe).replace(f"{{{name}+}}", safe)
    path, _, query = path.partition("?")
    more = urlencode(outgoing.query, doseq=True)
    headers = {"host": "localhost", "content-type": content_type or "application/json"}
    headers |= {name.lower(): value for name, value in outgoing.headers.items()}
    headers["content-length"] = str(len(outgoing.body))
    whole = "&".join(part for part in (query, more) if part)
    return HttpRequest(method, "/" + path.lstrip("/"), whole, headers, outgoing.body)


async def _drained(response: HttpResponse) -> bytes:
    body: Any = response.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileSlice):
        if body.size_bytes > BODY_BYTES_MAX:
            raise internal()
        return await asyncio.to_thread(_sliced, body)
    made = bytearray()
    async for piece in body:
        made += piece
        if len(made) > BODY_BYTES_MAX:
            raise internal()
    return bytes(made)


def _sliced(body: FileSlice) -> bytes:
    with open(body.path, "rb") as file:
        file.seek(body.offset)
        return file.read(body.size_bytes)
