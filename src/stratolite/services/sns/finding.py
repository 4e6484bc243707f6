"""ARNs of topics and subscriptions: read, and what they name found."""

from __future__ import annotations

from typing import NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.sns import state
from stratolite.services.sns.state import Subscription, Topic


class Arn(NamedTuple):
    region: str
    account: str
    name: str
    id: str = ""
    """Of a subscription."""


def invalid(message: str) -> Fault:
    return Fault("InvalidParameter", f"Invalid parameter: {message}")


def read(arn: str | None, parameter: str = "TopicArn") -> Arn:
    """Raises Fault for what is no ARN of SNS."""
    if arn is None:
        raise invalid(f"{parameter} Reason: no value for required parameter")
    parts = arn.split(":")
    if len(parts) < 6:
        raise invalid(f"{parameter} Reason: An ARN must have at least 6 elements, not {len(parts)}")
    if parts[0] != "arn" or parts[2] != "sns" or len(parts) > 7:
        raise invalid(parameter)
    return Arn(*parts[3:])


def topic_of(call: Call, arn: str | None, parameter: str = "TopicArn") -> Topic:
    """Raises Fault if there is no such topic in this region."""
    named = read(arn, parameter)
    if named.region != call.region:
        raise invalid(parameter)
    found = state.topic(call.tx, state.keys_of(named.account, named.region), named.name)
    if found is None:
        raise no_topic()
    return found


def no_topic() -> Fault:
    return Fault("NotFound", "Topic does not exist", status=404)


def subscription_of(call: Call, arn: str | None) -> tuple[Topic, Subscription] | None:
    """Raises Fault for what is no ARN of a subscription; None if it is not there."""
    named = read(arn, "SubscriptionArn")
    if len(named.id) != 36 or named.id.count("-") != 4:
        raise invalid("SubscriptionId")
    keys = state.keys_of(named.account, named.region)
    topic = state.topic(call.tx, keys, named.name)
    if topic is None:
        return None
    found = state.subscription(call.tx, keys, topic.number, named.id)
    return None if found is None else (topic, found)
