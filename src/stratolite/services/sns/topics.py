"""Topics: create, describe, change, tag, delete."""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.clock import iso
from stratolite.core.dropping import leave
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.sns import attributes, fanout, state
from stratolite.services.sns.finding import invalid, read, topic_of
from stratolite.services.sns.permissions import default_policy
from stratolite.services.sns.state import Topic, keys_of

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_PAGE = 100
_TAGS_MAX = 50
_DAY_MS = 86_400_000


class Topics(Service):
    def create_topic(self, call: Call, request: Request) -> Response:
        name = request.get("Name") or ""
        is_fifo = name.endswith(".fifo")
        given = {k: v for k, v in (request.get("Attributes") or {}).items() if v is not None}
        wants_fifo = given.get("FifoTopic", "").lower() == "true"
        if request.get("DataProtectionPolicy"):
            raise invalid("DataProtectionPolicy is not offered by Stratolite; see docs/coverage.md")
        if not _NAME.fullmatch(name.removesuffix(".fifo") if wants_fifo else name) or (
            wants_fifo and not is_fifo
        ):
            raise invalid("Topic Name")
        for key, value in given.items():
            attributes.check_topic(call, key, value, is_fifo=wants_fifo, is_new=True)
        tags = _tags(request.get("Tags") or [])
        keys, tx = keys_of(call.account, call.region), call.tx
        token = request.get("StackToken")  # not AWS's: a stack's step finds what it made before
        found = state.topic(tx, keys, name)
        if found is not None:
            if token and found.record["token"] != token:
                raise invalid("Topic Name Reason: Topic already exists")
            for key, value in given.items():
                if found.attributes.get(key, _default(key)) != value:
                    raise invalid(
                        "Attributes Reason: Topic already exists with different attributes"
                    )
            if tags and any(found.record["tags"].get(k) != v for k, v in tags.items()):
                raise invalid("Tags Reason: Topic already exists with different tags")
            return {"TopicArn": found.arn}
        _check_kms(call, given)
        record: state.Record = {
            "name": name,
            "account": call.account,
            "region": call.region,
            "id": tx.stamp(),
            "created_ms": int(tx.time_s * 1000),
            "attributes": {
                k: v for k, v in given.items() if v and (k, v) != ("FifoTopic", "false")
            },
            "tags": tags,
            "counts": {"confirmed": 0, "pending": 0, "deleted": 0},
            "token": token,
        }
        state.put_topic(tx, keys, record)
        if "ArchivePolicy" in record["attributes"]:
            fanout.plan_archive_expiry(call, record)
        return {"TopicArn": f"arn:aws:sns:{call.region}:{call.account}:{name}"}

    def delete_topic(self, call: Call, request: Request) -> Response:
        named = read(request.get("TopicArn"))
        if named.region != call.region:
            raise invalid("TopicArn")
        keys = keys_of(named.account, named.region)
        found = state.topic(call.tx, keys, named.name)
        if found is not None:
            if found.archive_days:
                raise Fault(
                    "InvalidState",
                    "Invalid state: Topic has an active ArchivePolicy; deactivate it first.",
                )
            leave(call.tx, fanout.DROP, state.drop_topic(call.tx, keys, found))
        return {}

    def list_topics(self, call: Call, request: Request) -> Response:
        found: list[str] = []
        keys = keys_of(call.account, call.region)
        for topic in state.topics(call.tx, keys, request.get("NextToken") or ""):
            if len(found) == _PAGE:
                token = found[-1].rpartition(":")[2]
                return {"Topics": [{"TopicArn": arn} for arn in found], "NextToken": token}
            found.append(topic.arn)
        return {"Topics": [{"TopicArn": arn} for arn in found]}

    def get_topic_attributes(self, call: Call, request: Request) -> Response:
        found = topic_of(call, request.get("TopicArn"))
        return {"Attributes": described(found, int(call.tx.time_s * 1000))}

    def set_topic_attributes(self, call: Call, request: Request) -> Response:
        found = topic_of(call, request.get("TopicArn"))
        name, value = request.get("AttributeName") or "", request.get("AttributeValue") or ""
        attributes.check_topic(call, name, value, is_fifo=found.is_fifo, is_new=False)
        if name == "MaximumMessageSize":
            keys = keys_of(found.account, found.region)
            most = attributes.LARGE_SUBSCRIPTIONS_MAX + 1
            listed = state.subscriptions(call.tx, keys, found.number, "", most)
            attributes.check_large(int(value), [one.protocol for one in listed])
        _check_kms(call, {name: value})
        kept = {k: v for k, v in {**found.attributes, name: value}.items() if v}
        if name == "ArchivePolicy" and value in ("", "{}"):
            kept.pop("ArchivePolicy", None)
        record = {**found.record, "attributes": kept}
        if name == "ArchivePolicy" and not found.archive_days:
            record["archived_ms"] = int(call.tx.time_s * 1000)
        state.put_topic(call.tx, keys_of(found.account, found.region), record)
        if name == "ArchivePolicy":
            fanout.plan_archive_expiry(call, record)
        return {}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        found = _tagged(call, request)
        self._put_tags(call, found, {**found.record["tags"], **_tags(request["Tags"])})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        found = _tagged(call, request)
        gone = set(request["TagKeys"])
        left = {k: v for k, v in found.record["tags"].items() if k not in gone}
        self._put_tags(call, found, left)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        tags = _tagged(call, request).record["tags"]
        return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}

    def _put_tags(self, call: Call, found: Topic, tags: dict[str, str]) -> None:
        if len(tags) > _TAGS_MAX:
            raise Fault(
                "TagLimitExceeded",
                "Could not complete request: tag quota of per resource exceeded",
            )
        record = {**found.record, "tags": tags}
        state.put_topic(call.tx, keys_of(found.account, found.region), record)


def described(found: Topic, now_ms: int) -> dict[str, str]:
    """GetTopicAttributes' answer."""
    kept, counts = found.attributes, found.record["counts"]
    delivery = orjson.dumps(attributes.topic_delivery(kept.get("DeliveryPolicy", ""))).decode()
    shown = {
        "Policy": found.policy or default_policy(found.arn),
        "Owner": found.account,
        "SubscriptionsPending": str(counts["pending"]),
        "TopicArn": found.arn,
        "EffectiveDeliveryPolicy": delivery,
        "SubscriptionsConfirmed": str(counts["confirmed"]),
        "DisplayName": kept.get("DisplayName", ""),
        "SubscriptionsDeleted": str(counts["deleted"]),
    }
    if found.is_fifo:
        shown["FifoTopic"] = "true"
        shown["ContentBasedDeduplication"] = kept.get("ContentBasedDeduplication", "false")
    if found.archive_days:
        since_ms = found.record.get("archived_ms", found.record["created_ms"])
        first_ms = max(since_ms, now_ms - found.archive_days * _DAY_MS)
        shown["BeginningArchiveTime"] = f"{iso(first_ms // 1000)[:-1]}.{first_ms % 1000:03d}Z"
    hidden = shown.keys() | {"FifoTopic"}
    return shown | {k: v for k, v in kept.items() if k not in hidden}


def _default(name: str) -> Any:
    return {
        "DisplayName": "",
        "ContentBasedDeduplication": "false",
        "SignatureVersion": "1",
        "FifoTopic": "false",
        "FifoThroughputScope": "Topic",
    }.get(name)


def _check_kms(call: Call, given: dict[str, str]) -> None:
    key = given.get("KmsMasterKeyId")
    if not key or key == "alias/aws/sns":
        if key and "kms" not in call.cloud.services:
            raise attributes.kms_refusal()
        return
    if "kms" not in call.cloud.services:
        raise attributes.kms_refusal()
    call.invoke("kms", "DescribeKey", {"KeyId": key})


def _tagged(call: Call, request: Request) -> Topic:
    named = read(request.get("ResourceArn"), "ResourceArn")
    found = state.topic(call.tx, keys_of(named.account, named.region), named.name)
    if found is None:
        raise Fault("ResourceNotFound", "Resource does not exist", status=404)
    return found


def _tags(listed: list[dict[str, str]]) -> dict[str, str]:
    tags = {tag["Key"]: tag.get("Value", "") for tag in listed}
    if len(tags) < len(listed):
        raise invalid("Duplicated keys are not allowed.")
    if any(not key or len(key) > 128 or key.lower().startswith("aws:") for key in tags):
        raise invalid("Tags Reason: keys are 1 to 128 characters and must not begin with aws:")
    return tags
