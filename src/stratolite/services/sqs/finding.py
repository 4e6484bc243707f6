"""Which queue a request means: its URL in all the forms that clients know.

    http://HOST/ACCOUNT/NAME       http://HOST/queue/REGION/ACCOUNT/NAME       NAME, one's own

The host may be anything (``localhost``, ``sqs.us-east-1.localhost``): the region is that of the signature.
"""

from __future__ import annotations

import re
from functools import lru_cache

from stratolite.core import Keyspace
from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.sqs import state
from stratolite.services.sqs.state import Queue

_URL = re.compile(r"(?:(?:https?:)?//[^/]*)?(?:/queue/[a-z0-9-]+)?/?(\d{12})/([A-Za-z0-9_.-]+)/?")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@lru_cache(maxsize=4096)
def place_of(url: str) -> tuple[str, str]:
    """(account, name), the account "" for a name alone. Raises Fault for what is no queue's URL."""
    match = _URL.fullmatch(url)
    if match is None:
        if _NAME.fullmatch(url):
            return "", url
        raise Fault(
            "InvalidAddress", f"The address {url} is not valid for this endpoint.", status=404
        )
    return match[1], match[2]


@lru_cache(maxsize=4096)
def key_of(account: str, region: str) -> Keyspace:
    return Keyspace(account, region, "sqs")


def queue_of(call: Call, request: Request) -> Queue:
    """The queue of QueueUrl. Raises Fault if there is none."""
    url = request.get("QueueUrl")
    if not url:
        raise Fault("MissingParameter", "The request must contain the parameter QueueUrl.")
    account, name = place_of(url)
    found = state.queue(call.tx, key_of(account or call.account, call.region), name)
    if found is None:
        raise no_queue()
    return found


def no_queue() -> Fault:
    return Fault("QueueDoesNotExist", "The specified queue does not exist.")


def url_of(call: Call, found: Queue) -> str:
    return f"{call.endpoint}/{found.account}/{found.name}"
