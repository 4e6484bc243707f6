"""Tags and resource policies of streams and consumers."""

from __future__ import annotations

from typing import Any

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kinesis import names, state
from stratolite.services.kinesis.consumers import consumer_of
from stratolite.services.kinesis.names import Ref
from stratolite.services.kinesis.streams import check_tags, found, known

_POLICY_BYTES_MAX = 20_480
_TAGS_PAGE = 50


class Policies(Service):
    def add_tags_to_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        check_tags(request["Tags"], stream["tags"])
        state.put_stream(call.tx, ref, {**stream, "tags": {**stream["tags"], **request["Tags"]}})
        return {}

    def remove_tags_from_stream(self, call: Call, request: Request) -> Response:
        ref, stream = found(call, request)
        left = {k: v for k, v in stream["tags"].items() if k not in request["TagKeys"]}
        state.put_stream(call.tx, ref, {**stream, "tags": left})
        return {}

    def list_tags_for_stream(self, call: Call, request: Request) -> Response:
        _, stream = found(call, request)
        limit = request.get("Limit", _TAGS_PAGE)
        names.between("limit", limit, 1, 50)
        after = request.get("ExclusiveStartTagKey") or ""
        keys = sorted(k for k in stream["tags"] if k > after)
        shown = [{"Key": k, "Value": stream["tags"][k]} for k in keys[:limit]]
        return {"Tags": shown, "HasMoreTags": len(keys) > limit}

    def tag_resource(self, call: Call, request: Request) -> Response:
        record = _record(call, request)
        check_tags(request["Tags"], record["tags"])
        _put(call, request, {**record, "tags": {**record["tags"], **request["Tags"]}})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        record = _record(call, request)
        left = {k: v for k, v in record["tags"].items() if k not in request["TagKeys"]}
        _put(call, request, {**record, "tags": left})
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        tags = _record(call, request)["tags"]
        return {"Tags": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]}

    # -- policies

    def put_resource_policy(self, call: Call, request: Request) -> Response:
        record = _record(call, request)
        policy = request["Policy"]
        if len(policy.encode()) > _POLICY_BYTES_MAX:
            raise Fault(
                "InvalidArgumentException", f"Policy is larger than {_POLICY_BYTES_MAX} bytes."
            )
        try:
            Document.parse(policy, has_principal=True)
        except Malformed as error:
            raise Fault("InvalidArgumentException", f"Invalid policy: {error}") from error
        if principals.unknown(call, policy):
            raise Fault("InvalidArgumentException", "Invalid policy: Invalid principal in policy")
        _put(call, request, {**record, "policy": policy})
        return {}

    def get_resource_policy(self, call: Call, request: Request) -> Response:
        return {"Policy": _record(call, request)["policy"] or "{}"}

    def delete_resource_policy(self, call: Call, request: Request) -> Response:
        _put(call, request, {**_record(call, request), "policy": ""})
        return {}


def _record(call: Call, request: Request) -> dict[str, Any]:
    """The stream's or consumer's of ResourceARN."""
    arn = request["ResourceARN"]
    if request.get("StreamId"):
        raise names.not_offered("StreamId")
    consumer = names.consumer_from_arn(arn)
    if consumer is not None:
        return consumer_of(call, consumer)[3]
    return known(call, _stream(arn))


def _put(call: Call, request: Request, record: dict[str, Any]) -> None:
    arn = request["ResourceARN"]
    consumer = names.consumer_from_arn(arn)
    if consumer is not None:
        ref, stream, name, _ = consumer_of(call, consumer)
        state.put_consumer(call.tx, ref, stream, name, record)
    else:
        state.put_stream(call.tx, _stream(arn), record)


def _stream(arn: str) -> Ref:
    if ":channel/" in arn or ":queue/" in arn:
        raise names.not_offered("A channel or queue")
    return names.from_arn(arn)
