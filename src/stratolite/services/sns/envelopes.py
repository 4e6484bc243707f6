"""What subscribers get around a message: AWS's JSON, in AWS's order and layout, and what of it is signed.

Sources  https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
         https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from stratolite.services.sns.publication import Publication

_PLACE = object()


class Signed(NamedTuple):
    version: str
    signature: str
    certificate_url: str


def timestamp(ms: int) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def to_sign(fields: dict[str, str | None]) -> bytes:
    """The text that the signature is of: names and values of what is there, a line each, in byte order."""
    lines = []
    for name in sorted(fields):
        value = fields[name]
        if value is not None:
            lines += [name, value]
    return ("\n".join(lines) + "\n").encode()


def notification_fields(publication: Publication, text: str) -> dict[str, str | None]:
    return {
        "Message": text,
        "MessageId": publication["id"],
        "Subject": publication["subject"],
        "Timestamp": timestamp(publication["ms"]),
        "TopicArn": publication["topic"],
        "Type": "Notification",
    }


URL_PLACE = "\x00"
"""Stands in a notification where the subscription's link belongs; JSON has no such character."""


def notification(
    publication: Publication, text: str, signed: Signed | None, *, is_replayed: bool = False
) -> str:
    """What all subscribers get but for ``URL_PLACE``. Of a FIFO topic it is not signed, and has the sequence number."""
    fields: list[tuple[str, Any]] = [("Type", "Notification"), ("MessageId", publication["id"])]
    if publication["sequence"]:
        fields.append(("SequenceNumber", f"{publication['sequence']:020d}"))
    fields.append(("TopicArn", publication["topic"]))
    if publication["subject"] is not None:
        fields.append(("Subject", publication["subject"]))
    fields += [("Message", text), ("Timestamp", timestamp(publication["ms"]))]
    if is_replayed:
        fields.append(("Replayed", "true"))
    if signed is not None:
        fields += [
            ("SignatureVersion", signed.version),
            ("Signature", signed.signature),
            ("SigningCertURL", signed.certificate_url),
        ]
    fields.append(("UnsubscribeURL", _PLACE))
    if publication["attributes"]:
        fields.append(("MessageAttributes", _attributes(publication)))
    return _laid_out(fields)


def confirmation_fields(
    topic: str, id: str, ms: int, token: str, subscribe_url: str, left: str = ""
) -> dict[str, str | None]:
    """``left``: the ARN of the subscription, where it has ended."""
    text = f"You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, visit the"
    if left:
        text = (
            f"You have chosen to deactivate subscription {left}.\n"
            "To cancel this operation and restore the subscription, visit the"
        )
    return {
        "Message": f"{text} SubscribeURL included in this message.",
        "MessageId": id,
        "SubscribeURL": subscribe_url,
        "Timestamp": timestamp(ms),
        "Token": token,
        "TopicArn": topic,
        "Type": "UnsubscribeConfirmation" if left else "SubscriptionConfirmation",
    }


def confirmation(fields: dict[str, str | None], signed: Signed) -> str:
    names = ("Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp")
    return _laid_out(
        [
            *((name, fields[name]) for name in names),
            ("SignatureVersion", signed.version),
            ("Signature", signed.signature),
            ("SigningCertURL", signed.certificate_url),
        ]
    )


def lambda_event(
    publication: Publication, text: str, signed: Signed, unsubscribe_url: str, subscription: str
) -> bytes:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html

    SignatureVersion is 1 whatever signed it, as AWS was recorded to say: LocalStack's test_publish_lambda_verify_signature.
    """
    sns = {
        "Type": "Notification",
        "MessageId": publication["id"],
        "TopicArn": publication["topic"],
        "Subject": publication["subject"],
        "Message": text,
        "Timestamp": timestamp(publication["ms"]),
        "SignatureVersion": "1",
        "Signature": signed.signature,
        "SigningCertUrl": signed.certificate_url,
        "UnsubscribeUrl": unsubscribe_url,
        "MessageAttributes": _attributes(publication),
    }
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": sns,
    }
    return orjson.dumps({"Records": [record]})


def unsubscribe_url(endpoint: str, subscription: str, token: str) -> str:
    arn = quote(subscription, safe=":")
    return f"{endpoint}/_aws/sns/unsubscribe?Action=Unsubscribe&SubscriptionArn={arn}&Token={token}"


def subscribe_url(endpoint: str, topic: str, token: str) -> str:
    arn = quote(topic, safe=":")
    return f"{endpoint}/_aws/sns/confirm?Action=ConfirmSubscription&TopicArn={arn}&Token={token}"


def _attributes(publication: Publication) -> dict[str, dict[str, str]]:
    return {
        name: {"Type": kind, "Value": value}
        for name, (kind, value) in publication["attributes"].items()
    }


def _laid_out(fields: list[tuple[str, Any]]) -> str:
    """One field a line, as AWS lays it out; subscribers have been seen to split at that."""
    lines = []
    for name, value in fields:
        if value is _PLACE:
            lines.append(f'  "{name}" : "{URL_PLACE}"')
        elif isinstance(value, dict):
            inner = ",\n".join(f'    "{k}" : {orjson.dumps(v).decode()}' for k, v in value.items())
            lines.append(f'  "{name}" : {{\n{inner}\n  }}')
        else:
            lines.append(f'  "{name}" : {orjson.dumps(value).decode()}')
    return "{\n" + ",\n".join(lines) + "\n}"
