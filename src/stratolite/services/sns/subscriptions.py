"""Subscriptions: subscribe, confirm, describe, change, unsubscribe."""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.sns import attributes, fanout, replays, state
from stratolite.services.sns.finding import invalid, read, subscription_of, topic_of
from stratolite.services.sns.phones import PHONE
from stratolite.services.sns.state import Subscription, Topic, keys_of

_PAGE = 100
_PROTOCOLS = (
    "http",
    "https",
    "email",
    "email-json",
    "sms",
    "sqs",
    "lambda",
    "firehose",
    "application",
)
_ARNS = {
    "sqs": (re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[\w.-]+"), "SQS endpoint ARN"),
    "lambda": (
        re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[\w$:-]+"),
        "Lambda endpoint ARN",
    ),
    "application": (
        re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:endpoint/[A-Z_]+/[\w.-]+/[0-9a-f-]{36}"),
        "Application endpoint arn invalid",
    ),
    "firehose": (
        re.compile(r"arn:aws[a-z-]*:firehose:[a-z0-9-]+:\d{12}:deliverystream/[\w.-]+"),
        "Firehose endpoint ARN",
    ),
}
_TOKEN = re.compile(r"[0-9a-f]{64,512}")


class Subscriptions(Service):
    def subscribe(self, call: Call, request: Request) -> Response:
        topic = topic_of(call, request.get("TopicArn"))
        protocol, endpoint = request.get("Protocol") or "", request.get("Endpoint") or ""
        _check_endpoint(topic, protocol, endpoint)
        given = {k: v for k, v in (request.get("Attributes") or {}).items() if v is not None}
        _check_attributes(topic, protocol, endpoint, given, {}, "Attributes Reason: ")
        if protocol == "firehose" and not given.get("SubscriptionRoleArn"):
            raise invalid("Attributes Reason: SubscriptionRoleArn is required for Firehose")
        kept = {k: v for k, v in given.items() if v and k != "ReplayPolicy"}
        if "RawMessageDelivery" in kept:
            kept["RawMessageDelivery"] = kept["RawMessageDelivery"].lower()
        tx, keys = call.tx, keys_of(topic.account, topic.region)
        who = call.principal
        known = state.same(tx, keys, topic.number, protocol, endpoint)
        if known is not None:
            found = state.subscription(tx, keys, topic.number, known)
            assert found is not None, "an endpoint without its subscription"
            for name, value in kept.items():
                if found.attributes.get(name, _default(name)) != value:
                    raise invalid(
                        "Attributes Reason: Subscription already exists with different attributes"
                    )
            if found.record["confirmed"]:
                return {"SubscriptionArn": found.arn}
            fanout.ask_for_confirmation(call, topic, found)
            return _subscribed(found, request)
        others = topic.record["counts"]["confirmed"] + topic.record["counts"]["pending"]
        attributes.check_large(topic.size_bytes_max, [protocol] * (others + 1))
        fresh = call.world.uuid()
        owner_arn = endpoint.split(":")[4] if protocol in _ARNS else ""
        confirmed = protocol == "sms" or (protocol in _ARNS and owner_arn == who.account)
        record: state.Record = {
            "id": fresh,
            "topic": topic.arn,
            "protocol": protocol,
            "endpoint": endpoint,
            "owner": who.account or call.account,
            "principal": who.arn,
            "attributes": kept,
            "confirmed": confirmed,
            "authenticated": confirmed,
            "token": "" if confirmed else _token(call, fresh),
            "unsubscribe_authenticated": False,
            "stack": request.get("StackToken"),  # not AWS's
        }
        state.put_subscription(tx, keys, topic.number, record)
        _count(call, topic, confirmed=int(confirmed), pending=int(not confirmed))
        found = state.subscription(tx, keys, topic.number, fresh)
        assert found is not None
        if not confirmed:
            fanout.ask_for_confirmation(call, topic, found)
            fanout.forget_unconfirmed(call, topic, found)
        elif given.get("ReplayPolicy"):
            replays.begin(call, topic, found, given["ReplayPolicy"])
        return _subscribed(found, request)

    def confirm_subscription(self, call: Call, request: Request) -> Response:
        """Signed only where it has AuthenticateOnUnsubscribe.

        https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html
        """
        named = read(request.get("TopicArn"))
        token = request.get("Token") or ""
        if not _TOKEN.fullmatch(token):
            raise invalid("Token") if not token else Fault("InvalidParameter", "Invalid token")
        keys = keys_of(named.account, named.region)
        topic = state.topic(call.tx, keys, named.name)
        number = f"{token[:8]}-{token[8:12]}-{token[12:16]}-{token[16:20]}-{token[20:32]}"
        found = topic and state.subscription(call.tx, keys, topic.number, number)
        gone = topic and not found and state.left(call.tx, keys, topic.number, number)
        one = found or gone
        if not topic or not one or one.record["token"] != token:
            raise invalid("Token")
        careful = str(request.get("AuthenticateOnUnsubscribe", "")).lower() == "true"
        if careful and call.principal.kind == "anonymous":
            raise Fault(
                "AuthorizationError",
                "AuthenticateOnUnsubscribe is for signed calls only",
                status=403,
            )
        if gone:
            state.drop_left(call.tx, keys, topic.number, gone.id)
            other = state.same(call.tx, keys, topic.number, gone.protocol, gone.endpoint)
            if other is not None:  # subscribed again meanwhile
                return {"SubscriptionArn": f"{topic.arn}:{other}"}
            state.put_subscription(call.tx, keys, topic.number, gone.record)
            _count(call, topic, confirmed=1, deleted=-1)
        elif not one.record["confirmed"]:
            changed = {
                **one.record,
                "confirmed": True,
                "authenticated": call.principal.kind != "anonymous",
                "unsubscribe_authenticated": careful,
            }
            state.put_subscription(call.tx, keys, topic.number, changed)
            _count(call, topic, confirmed=1, pending=-1)
        return {"SubscriptionArn": one.arn}

    def unsubscribe(self, call: Call, request: Request) -> Response:
        found = subscription_of(call, request.get("SubscriptionArn"))
        if found is not None:
            topic, subscription = found
            _check_own(call, topic, subscription, "Unsubscribe")
            drop(call, topic, subscription)
        return {}

    def list_subscriptions(self, call: Call, request: Request) -> Response:
        token = request.get("NextToken")
        after = None
        if token:
            number, _, after_id = token.partition("/")
            if not is_number(number):
                raise invalid("NextToken")
            after = (int(number), after_id)
        keys = keys_of(call.account, call.region)
        found: list[Response] = []
        place = ""
        for number, one in state.all_subscriptions(call.tx, keys, after):
            if len(found) == _PAGE:
                return {"Subscriptions": found, "NextToken": place}
            topic = state.topic(call.tx, keys, read(one.topic_arn).name)
            if topic is not None and topic.number == number:  # else it is being swept away
                found.append(_listed(one))
            place = f"{number}/{one.id}"
        return {"Subscriptions": found}

    def list_subscriptions_by_topic(self, call: Call, request: Request) -> Response:
        topic = topic_of(call, request.get("TopicArn"))
        keys = keys_of(topic.account, topic.region)
        after = request.get("NextToken") or ""
        found = state.subscriptions(call.tx, keys, topic.number, after, _PAGE + 1)
        answer: Response = {"Subscriptions": [_listed(one) for one in found[:_PAGE]]}
        if len(found) > _PAGE:
            answer["NextToken"] = found[_PAGE - 1].id
        return answer

    def get_subscription_attributes(self, call: Call, request: Request) -> Response:
        topic, found = _found(call, request, "GetSubscriptionAttributes")
        return {"Attributes": _described(topic, found)}

    def set_subscription_attributes(self, call: Call, request: Request) -> Response:
        topic, found = _found(call, request, "SetSubscriptionAttributes")
        name, value = request.get("AttributeName") or "", request.get("AttributeValue") or ""
        _check_attributes(
            topic, found.protocol, found.endpoint, {name: value}, found.attributes, ""
        )
        if name == "ReplayPolicy":
            replays.begin(call, topic, found, value or "{}")
            return {}
        if name == "RawMessageDelivery":
            value = value.lower()
        kept = {k: v for k, v in {**found.attributes, name: value}.items() if v}
        if name == "FilterPolicy" and value in ("", "{}"):
            kept.pop("FilterPolicy", None)
        changed = {**found.record, "attributes": kept}
        state.put_subscription(call.tx, keys_of(topic.account, topic.region), topic.number, changed)
        return {}


def drop(call: Call, topic: Topic, found: Subscription) -> None:
    """Unsubscribe. A web address is told, with a token that restores its subscription.

    https://docs.aws.amazon.com/sns/latest/dg/http-unsubscribe-confirmation-json.html
    """
    keys = keys_of(topic.account, topic.region)
    state.drop_subscription(call.tx, keys, topic.number, found)
    confirmed = int(found.record["confirmed"])
    _count(call, topic, confirmed=-confirmed, pending=confirmed - 1, deleted=confirmed)
    if confirmed and found.protocol in ("http", "https"):
        record = {**found.record, "token": _token(call, found.id)}
        record.pop("replay", None)
        state.put_left(call.tx, keys, topic.number, record)
        fanout.ask_for_confirmation(call, topic, found, has_left=True)
        fanout.forget_unconfirmed(call, topic, found, "left")


def _token(call: Call, id: str) -> str:
    return id.replace("-", "") + call.world.token(80).hex()


def _count(call: Call, topic: Topic, **more: int) -> None:
    keys = keys_of(topic.account, topic.region)
    now = state.topic(call.tx, keys, topic.name)
    assert now is not None
    counts = {k: v + more.get(k, 0) for k, v in now.record["counts"].items()}
    state.put_topic(call.tx, keys, {**now.record, "counts": counts})


def _found(call: Call, request: Request, operation: str) -> tuple[Topic, Subscription]:
    found = subscription_of(call, request.get("SubscriptionArn"))
    if found is None:
        raise Fault("NotFound", "Subscription does not exist", status=404)
    _check_own(call, *found, operation)
    return found


def _check_own(call: Call, topic: Topic, found: Subscription, operation: str) -> None:
    """IAM knows no subscriptions: they are their owner's and the topic's owner's."""
    if call.principal.account not in (topic.account, found.record["owner"]):
        raise Fault(
            "AuthorizationError",
            f"User: {call.principal.arn} is not authorized to perform: SNS:{operation} on resource: {found.arn}",
            status=403,
        )


def _subscribed(found: Subscription, request: Request) -> Response:
    if found.record["confirmed"] or request.get("ReturnSubscriptionArn"):
        return {"SubscriptionArn": found.arn}
    return {"SubscriptionArn": "pending confirmation"}


def _listed(found: Subscription) -> Response:
    return {
        "SubscriptionArn": found.arn if found.record["confirmed"] else "PendingConfirmation",
        "Owner": found.record["owner"],
        "Protocol": found.protocol,
        "Endpoint": found.endpoint,
        "TopicArn": found.topic_arn,
    }


def _described(topic: Topic, found: Subscription) -> dict[str, str]:
    record, kept = found.record, found.attributes
    shown = {
        "SubscriptionArn": found.arn,
        "TopicArn": found.topic_arn,
        "Protocol": found.protocol,
        "Endpoint": found.endpoint,
        "Owner": record["owner"],
        "SubscriptionPrincipal": record["principal"],
        "ConfirmationWasAuthenticated": str(record["authenticated"]).lower(),
        "PendingConfirmation": str(not record["confirmed"]).lower(),
        "RawMessageDelivery": kept.get("RawMessageDelivery", "false"),
        **kept,
    }
    if "FilterPolicy" in kept:
        shown.setdefault("FilterPolicyScope", "MessageAttributes")
    else:
        shown.pop("FilterPolicyScope", None)
    if found.protocol in ("http", "https"):
        topics = topic.attributes.get("DeliveryPolicy", "")
        effective = attributes.delivery(topics, kept.get("DeliveryPolicy", ""))
        shown["EffectiveDeliveryPolicy"] = orjson.dumps(effective).decode()
    if replay := record.get("replay"):
        shown["ReplayStatus"] = replay["status"]
    return shown


def _default(name: str) -> Any:
    return {"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}.get(name)


def _check_attributes(
    topic: Topic,
    protocol: str,
    endpoint: str,
    given: dict[str, str],
    kept: dict[str, str],
    where: str,
) -> None:
    merged = {**kept, **given}
    scope = merged.get("FilterPolicyScope") or "MessageAttributes"
    for name, value in given.items():
        try:
            attributes.check_subscription(
                name,
                value,
                protocol=protocol,
                is_fifo=topic.is_fifo,
                endpoint=endpoint,
                scope=scope,
                policy=merged.get("FilterPolicy", ""),
            )
        except Fault as fault:
            if not where or "Filter policy scope" in fault.message:
                raise
            said = fault.message.removeprefix("Invalid parameter: ")
            raise invalid(where + said) from fault


def check_protocol(protocol: str) -> None:
    """Raises Fault for one that SNS does not have, or that is not offered."""
    if protocol not in _PROTOCOLS:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")


def _check_endpoint(topic: Topic, protocol: str, endpoint: str) -> None:
    check_protocol(protocol)
    if protocol in _ARNS:
        form, said = _ARNS[protocol]
        if not form.fullmatch(endpoint):
            raise invalid(said)
    if protocol == "sqs" and endpoint.endswith(".fifo") and not topic.is_fifo:
        raise invalid(
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
        )
    if topic.is_fifo and protocol != "sqs":
        raise invalid(
            f"Invalid parameter: Protocol Reason: {protocol} endpoints can not be subscribed to FIFO SNS topics"
        )
    if protocol in ("http", "https") and not endpoint.startswith(f"{protocol}://"):
        raise invalid("Endpoint must match the specified protocol")
    if protocol.startswith("email") and not re.fullmatch(r"[^@\s]+@[^@\s]+", endpoint):
        raise invalid("Email address")
    if protocol == "sms" and not PHONE.fullmatch(endpoint):
        raise Fault("InvalidParameter", f"Invalid SMS endpoint: {endpoint}")
