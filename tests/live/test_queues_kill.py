"""kill -9 at random moments while queues are written and read: order, exactly once, nothing acknowledged lost.

STRATOLITE_KILLS sets how often (`make soak` uses 60).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
KILLS = int(
    os.environ.get("STRATOLITE_KILLS") or ("60" if os.environ.get("STRATOLITE_SOAK") else "5")
)
VISIBILITY_S = 2
GROUPS = 6
ACCOUNT = "000000000000"


class Story:
    """What everybody did and saw; the claims are about it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stop_sending = threading.Event()
        self.stop_reading = threading.Event()
        self.sent: dict[str, set[str]] = defaultdict(set)
        """Queue -> bodies whose send was acknowledged."""
        self.seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        """Queue -> body -> message ids it was received under."""
        self.deleted: dict[str, set[str]] = defaultdict(set)
        """Queue -> bodies whose delete was acknowledged."""
        self.tried: dict[str, set[str]] = defaultdict(set)
        """Queue -> bodies whose delete was asked for, whatever came of it."""
        self.wrong: list[str] = []

    def wait_for_sends(self, count: int) -> None:
        """Until so many more were acknowledged, or the machine is too slow for it."""
        goal, end = len(self.sent["q.fifo"]) + count, time.monotonic() + 20
        while len(self.sent["q.fifo"]) < goal and time.monotonic() < end:
            time.sleep(0.002)

    def received(self, queue: str, body: str, message_id: str) -> None:
        with self.lock:
            if body in self.deleted[queue]:
                self.wrong.append(f"{queue}: {body} came again after it was deleted")
            self.seen[queue][body].add(message_id)
            if queue == "q.fifo":
                group, _, number = body.partition("-")
                earlier = (f"{group}-{n:05d}" for n in range(int(number)))
                if missing := [one for one in earlier if one not in self.tried[queue]]:
                    self.wrong.append(f"{body} came before {missing[:3]}")


class Actor(threading.Thread):
    """Does ``step`` again and again, also when the server goes away and comes back."""

    def __init__(self, clients: tuple[Any, Any], step: Callable[[Any, Any], bool]) -> None:
        super().__init__()
        self.clients, self.step = clients, step
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                try:
                    while self.step(*self.clients):
                        pass
                    return
                except (BotoCoreError, OSError):
                    time.sleep(0.05)  # the server is gone, it comes back
        except BaseException as error:
            self.failure = error


def url(server: ServerProcess, queue: str) -> str:
    return f"{server.endpoint}/{ACCOUNT}/{queue}"


def producer(server: ServerProcess, story: Story, group: str) -> Callable[[Any, Any], bool]:
    """Sends a group's messages in order, each until it is acknowledged; and to the others as well."""
    numbers = iter(range(1_000_000))
    waiting: list[str] = []

    def step(sqs: Any, sns: Any) -> bool:
        if not waiting:
            if story.stop_sending.is_set():
                return False
            waiting.append(f"{group}-{next(numbers):05d}")
        body = waiting[0]
        sqs.send_message(
            QueueUrl=url(server, "q.fifo"),
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=body,
        )
        with story.lock:
            story.sent["q.fifo"].add(body)
        waiting.pop()
        sqs.send_message(QueueUrl=url(server, "q"), MessageBody=body)
        with story.lock:
            story.sent["q"].add(body)
        sns.publish(TopicArn=f"arn:aws:sns:us-east-1:{ACCOUNT}:t", Message=body)
        with story.lock:
            story.sent["s"].add(body)
        return True

    return step


def consumer(server: ServerProcess, story: Story, queue: str) -> Callable[[Any, Any], bool]:
    def step(sqs: Any, _: Any) -> bool:
        got = sqs.receive_message(
            QueueUrl=url(server, queue), MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages", [])
        for one in got:
            story.received(queue, one["Body"], one["MessageId"])
            with story.lock:
                story.tried[queue].add(one["Body"])
            try:
                sqs.delete_message(QueueUrl=url(server, queue), ReceiptHandle=one["ReceiptHandle"])
            except ClientError as error:
                assert "The receipt handle has expired" in str(error), error
                return True  # the rest of the batch is visible again, too
            with story.lock:
                story.deleted[queue].add(one["Body"])
        if story.stop_reading.is_set():
            return False
        return bool(got) or not story.stop_reading.is_set()

    return step


@pytest.fixture
def server(tmp_path: Any) -> Iterator[ServerProcess]:
    made = ServerProcess(str(tmp_path / "cloud"))
    yield made
    made.stop()


def test_queues_survive_kills(server: ServerProcess) -> None:
    """FIFO: order per group, exactly once. Standard: everything acknowledged arrives. A topic's, too, and once."""
    sqs, sns = (server.client(s, max_pool_connections=20) for s in ("sqs", "sns"))
    clients = sqs, sns
    visible = {"VisibilityTimeout": str(VISIBILITY_S)}
    sqs.create_queue(QueueName="q", Attributes=visible)
    sqs.create_queue(QueueName="q.fifo", Attributes={**visible, "FifoQueue": "true"})
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.create_queue(QueueName="s", Attributes={**visible, "Policy": policy})
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:s",
        Attributes={"RawMessageDelivery": "true"},
    )
    story, chance = Story(), random.Random(7)
    producers = [Actor(clients, producer(server, story, f"g{n}")) for n in range(GROUPS)]
    consumers = [
        Actor(clients, consumer(server, story, queue))
        for queue in ("q.fifo", "q.fifo", "q.fifo", "q", "q", "s")
    ]
    for actor in producers + consumers:
        actor.start()
    for _ in range(KILLS):
        story.wait_for_sends(chance.randint(5, 60))
        time.sleep(chance.uniform(0, 0.02))
        server.kill()
        server.start()
    story.wait_for_sends(20)
    story.stop_sending.set()
    for actor in producers:
        actor.join(120)
    end = time.monotonic() + 240
    while time.monotonic() < end and any(
        story.sent[queue] - story.tried[queue] for queue in ("q.fifo", "q", "s")
    ):
        time.sleep(0.05)
    story.stop_reading.set()
    for actor in consumers:
        actor.join(120)
    assert [a.failure for a in producers + consumers if a.failure] == []
    assert story.wrong == []
    for queue in ("q.fifo", "q", "s"):
        lost = story.sent[queue] - set(story.seen[queue])
        assert not lost, f"{queue} lost {sorted(lost)[:5]} of {len(story.sent[queue])}"
    for queue in ("q.fifo", "s"):
        twice = {b: ids for b, ids in story.seen[queue].items() if len(ids) > 1}
        assert not twice, f"{queue} took in twice {twice}"
    assert len(story.sent["q.fifo"]) > KILLS
