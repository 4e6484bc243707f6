"""Who hangs up waits no longer: a long poll ends with its connection."""

from __future__ import annotations

import asyncio

import pytest
from clientside import Wire
from conftest import to_http

from stratolite.http import HttpRequest


@pytest.fixture
def queue(client):
    made = client("sqs")
    url = made.create_queue(QueueName="q")["QueueUrl"]
    polls = []

    def record(request, **_):
        polls.append(to_http(request))
        raise InterruptedError

    made.meta.events.register_first("before-send", record)
    with pytest.raises(InterruptedError):
        made.receive_message(QueueUrl=url, WaitTimeSeconds=20)
    made.meta.events.unregister("before-send", record)
    return made, url, polls[0]


def parked(platform) -> int:
    return platform.cloud.db._waits.count


@pytest.mark.parametrize("times", [1, 3])
def test_a_long_poll_ends_with_its_connection(platform, queue, times) -> None:
    """On the long way, and on the short one of the calls after the first; else it would take a message to nobody."""
    sqs, url, poll = queue
    before = parked(platform)
    for _ in range(times):
        wire = Wire(platform)
        wire.push(_bytes(poll))
        assert parked(platform) == before + 1
        wire.leave()
        assert parked(platform) == before
    sqs.send_message(QueueUrl=url, MessageBody="m")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1


def test_a_call_from_inside_waits_no_longer_than_who_asked(platform, queue) -> None:
    """``Call.request`` of a task that is cancelled leaves nothing parked."""
    _, url, _ = queue
    before = parked(platform)

    async def ask() -> None:
        from stratolite.service import Call, root

        call = Call(platform.cloud, root("000000000000"), "us-east-1", "r", "http://localhost:4566")
        asking = asyncio.ensure_future(
            call.request("sqs", "ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20})
        )
        while parked(platform) == before:  # noqa: ASYNC110 - a turn of the loop
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    platform.run(ask())
    assert parked(platform) == before


def _bytes(request: HttpRequest) -> bytes:
    from clientside import rendered

    return rendered(request)
