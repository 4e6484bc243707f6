"""Email, text messages and push notifications: kept where their sender can look at them, never sent."""

from __future__ import annotations

from typing import NamedTuple

from stratolite.core import Keyspace, Tx
from stratolite.services.sns import state

KEPT_MS = 30 * 86_400_000
_EXPIRED_MAX = 4  # a mail put in takes up to so many old ones out


class Mail(NamedTuple):
    channel: str
    """email, email-json, sms, push; ``to`` is then the endpoint's ARN."""
    to: str
    subject: str | None
    text: str
    topic: str
    message_id: str


def put(tx: Tx, keys: Keyspace, mail: Mail) -> None:
    ms = int(tx.time_s * 1000)
    state.put_mail(tx, keys, {**mail._asdict(), "ms": ms})
    state.expire_mails(tx, keys, ms - KEPT_MS, _EXPIRED_MAX)
