"""What the default bus is told of keys. An automatic rotation is told when the key is next looked at, which is when it is made up for.

Source  https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html
"""

from __future__ import annotations

from typing import Any

from stratolite.service import Call
from stratolite.service_events import announce, entry
from stratolite.services.kms.state import Key, material_id


def tell_of_rotation(call: Call, key: Key) -> None:
    """The newest material of the key is new."""
    newest = key.record["materials"][-1]
    detail = {
        "key-id": key.id,
        "key-origin": key.record.get("origin", "AWS_KMS"),
        "rotation-type": newest["kind"],
        "previous-key-material-id": material_id(key, len(key.record["materials"]) - 2),
        "current-key-material-id": material_id(key),
    }
    _announce(call, "KMS CMK Rotation", key, detail, newest["at_s"])


def tell_of_deletion(call: Call, key: Key) -> None:
    _announce(call, "KMS CMK Deletion", key, {"key-id": key.id}, None)


def _announce(call: Call, what: str, key: Key, detail: dict[str, Any], time_s: float | None) -> None:  # fmt: skip
    there = call.scoped(key.place.account, key.place.region)
    announce(
        there,
        "kms.amazonaws.com",
        lambda: entry("aws.kms", what, [key.arn], detail, time_s=time_s),
        key.arn,
    )
