"""One document to an API destination: its turn, its connection's proof, and the request itself.

Rules (``outgoing``) and pipes send by InvokeApiDestination, which is an action of IAM's and no operation of AWS's API: no
client can ask for it.

Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
"""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from stratolite import delivery
from stratolite.egress import Answer, Failed, Refused
from stratolite.http_targets import (
    JSON_TYPE,
    NotTaken,
    Parameters,
    fill_path,
    query_text,
    refused,
)
from stratolite.service import Call, Request, Response, Service
from stratolite.services.events import authorizing, connections, names, state

_HTTP_S_MAX = 5.0
_ANSWER_BYTES_MAX = 6 << 20
"""What a pipe takes from its enrichment: https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-enrichment.html"""
_FIXED = (("user-agent", "Amazon/EventBridge/ApiDestinations"), ("range", "bytes=0-1048575"), ("accept-encoding", "gzip,deflate"))  # fmt: skip


class Destinations(Service):
    async def invoke_api_destination(self, call: Call, asked: Request) -> Response:
        """{ApiDestinationArn, Document, Parameters, HasTurn} -> {StatusCode, Body}. Raises Fault, NotTaken."""
        arn = delivery.parse(asked["ApiDestinationArn"])
        if not asked["HasTurn"] and (wait_s := await call.transact(lambda c: turn_s(c, arn))) > 0:
            await _pause(call, wait_s)
        destination, connection = await call.transact(lambda c: _find(c, arn))
        link, is_state = destination["connection"], connections.state_of(connection)
        if is_state != "AUTHORIZED":
            waits = is_state == "AUTHORIZING"
            raise NotTaken(0, f"Connection '{link}' is {is_state.lower()}", is_final=not waits)
        answer = await _asked(call, destination, connection, asked["Document"], asked["Parameters"])  # fmt: skip
        if not 200 <= answer.status < 300:
            raise refused(answer.status, answer.header("retry-after") or "")
        return {"StatusCode": answer.status, "Body": _plain(answer)}


def turn_s(call: Call, arn: delivery.Arn) -> float:
    """Takes the next turn that the destination's InvocationRateLimitPerSecond leaves: in how many seconds it comes."""
    found, _ = _find(call, arn)
    name = arn.resource.split("/")[1]
    return state.turn_s(call.tx, call.keys("events"), name, found["rate"]) - call.tx.time_s


def _find(call: Call, arn: delivery.Arn) -> tuple[state.Record, state.Record]:
    """A destination and its connection. Raises Fault."""
    tx, keys = call.tx, call.keys("events")
    _, name, *uuid = arn.resource.split("/")
    found = state.get(tx, keys, "destination", name)
    if found is None or (uuid and uuid[0] != found["uuid"]):
        raise names.missing(f"An api-destination '{name}' does not exist.")
    link = state.get(tx, keys, "connection", found["connection"].split("/")[1])
    if link is None or not found["connection"].endswith(f"/{link['uuid']}"):
        raise names.missing(f"Connection '{found['connection']}' does not exist.")
    return found, link


async def _pause(call: Call, wait_s: float) -> None:
    """On the cloud clock."""
    until_s = call.world.cloud() + wait_s

    def wait(inner: Call) -> None:
        if inner.tx.time_s < until_s:
            inner.tx.wait([], until_s)

    await call.transact(wait)


async def _asked(
    call: Call, destination: state.Record, connection: state.Record, document: str, asked: Parameters
) -> Answer:  # fmt: skip
    """What the connection says takes precedence; a token that is refused is got anew, once. Raises NotTaken where there is no answer."""
    headers = {"content-type": JSON_TYPE} | {k.lower(): v for k, v in asked.headers}
    query = dict(asked.query)
    url = fill_path(destination["endpoint"], asked.path)
    body = b"" if destination["method"] in ("GET", "HEAD") else document.encode()
    is_oauth = connection["type"] == "OAUTH_CLIENT_CREDENTIALS"
    try:
        if is_oauth and not connection.get("token"):  # one of those made before tokens were kept
            connection = await authorizing.refresh(call, destination["connection"].split("/")[1], connection)  # fmt: skip
        while True:
            proof = connections.proof_of(call, connection)
            pairs = query | proof.query
            answer = await call.cloud.egress.request(
                destination["method"],
                url + (("&" if "?" in url else "?") + query_text(pairs.items()) if pairs else ""),
                list((headers | {k.lower(): v for k, v in proof.headers} | dict(_FIXED)).items()),
                _with(body, proof.body) if proof.body and body else body,
                timeout_s=_HTTP_S_MAX,
                answer_bytes_max=_ANSWER_BYTES_MAX,
            )
            if not is_oauth or answer.status not in (401, 407):
                return answer
            connection = await authorizing.refresh(call, destination["connection"].split("/")[1], connection)  # fmt: skip
            is_oauth = False
    except Failed as failed:
        raise NotTaken(0, str(failed), is_final=isinstance(failed, Refused)) from failed


def _with(body: bytes, more: dict[str, Any]) -> bytes:
    """A JSON object with the connection's own members; anything else as it is."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    return orjson.dumps(document | more) if isinstance(document, dict) else body


def _plain(answer: Answer) -> bytes:
    """Its body, unpacked. Raises NotTaken for one that is not what it says, or too large."""
    coding = (answer.header("content-encoding") or "").lower()
    if coding not in ("gzip", "deflate") or not answer.body:
        return answer.body
    unpacker = zlib.decompressobj(wbits=31 if coding == "gzip" else 15)
    try:
        body = unpacker.decompress(answer.body, _ANSWER_BYTES_MAX)
    except zlib.error as error:
        raise NotTaken(answer.status, f"the answer is not {coding}", is_final=True) from error
    if unpacker.unconsumed_tail:
        raise NotTaken(answer.status, f"the answer is longer than {_ANSWER_BYTES_MAX} bytes", is_final=True)  # fmt: skip
    return body
