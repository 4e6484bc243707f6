"""Celery over its SQS transport against a real server: it sends, long polls, acknowledges and retries through us."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
pytest.importorskip("kombu.transport.SQS", reason="celery[sqs] is a development dependency")


@pytest.fixture
def server(tmp_path: Any) -> Iterator[ServerProcess]:
    made = ServerProcess(str(tmp_path / "cloud"))
    yield made
    made.stop()


def test_tasks_are_carried_out_and_retried(server: ServerProcess, monkeypatch: Any) -> None:
    """kombu's SQS transport speaks through botocore's own signing and its own asynchronous client."""
    import warnings

    from celery import Celery

    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    host = server.endpoint.removeprefix("http://")
    app = Celery("t", broker=f"sqs://test:test@{host}")
    app.set_default()  # its worker runs in another thread
    app.conf.update(
        broker_transport_options={
            "region": "us-east-1",
            "is_secure": False,
            "wait_time_seconds": 1,
            "polling_interval": 0.05,
            "visibility_timeout": 30,
        },
        task_default_queue="celery",
        task_ignore_result=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    done: list[tuple[int, int]] = []
    sqs = server.client("sqs")

    def waiting() -> int:
        """Of what was sent: a task's message is deleted some time after it returned."""
        url = sqs.get_queue_url(QueueName="celery")["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        left = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(map(int, left.values()))

    @app.task(bind=True, max_retries=2, name="add")
    def add(self: Any, a: int, b: int) -> None:
        if a == 3 and self.request.retries == 0:
            raise self.retry(countdown=0)
        done.append((a, b))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(5):
            add.delay(n, n)
        consumer = app.WorkController(pool="solo", concurrency=1, quiet=True, without_gossip=True)
        worker = threading.Thread(target=consumer.start, daemon=True)
        worker.start()
        end = time.monotonic() + 120
        while (len(done) < 5 or waiting()) and time.monotonic() < end:
            time.sleep(0.05)
        consumer.stop()
        worker.join(60)
    assert sorted(done) == [(n, n) for n in range(5)]
    assert not waiting(), "every message was acknowledged"
