"""Functions played by a test, for what services hand to them; and the events AWS publishes to compare that with."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import corpora
from eventing import advance, received

from stratolite.services.lambda_.invoking import Answer


class Functions:
    """Stands for every function: keeps the events of each by its name, and answers what ``answers`` says for it."""

    def __init__(self, platform: Any) -> None:
        self.events: dict[str, list[Any]] = defaultdict(list)
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self._platform = platform
        platform.run(self._stand_in())

    async def _stand_in(self) -> None:
        self._platform.cloud.service("lambda").run = self.run

    async def run(self, call: Any, target: Any, event: bytes, **_: Any) -> Answer:
        said, name = json.loads(event), target.ref.name
        self.events[name].append(said)
        answer = self.answers.get(name, lambda event: {})(said)
        if isinstance(answer, Exception):
            return Answer(b'{"errorMessage": "no"}', "Unhandled", "")
        return Answer(json.dumps(answer).encode(), None, "")

    def got(self, name: str, count: int = 1, step_s: float = 0.0) -> list[Any]:
        """The events of a function once there are so many; the cloud clock goes on by ``step_s`` with each look."""
        self.until(lambda: len(self.events[name]) >= count, step_s)
        return self.events[name]

    def letters(self, client: Any, url: str, count: int = 1) -> list[Any]:
        """The messages of a queue, deleted, once there are so many."""
        found: list[Any] = []

        def enough() -> bool:
            found.extend(received(client, url, count - len(found), wait_s=0, raw=True))
            return len(found) >= count

        self.until(enough, 1)
        return found

    def until(self, holds: Callable[[], Any], step_s: float = 0.0) -> None:
        until_s = time.monotonic() + 180
        while time.monotonic() < until_s:
            if holds():
                return
            time.sleep(0.01)
            if step_s:
                advance(self._platform, step_s)
        raise AssertionError(f"never: {dict(self.events)!r}"[:3000])


def published(name: str) -> Any:
    """An example of AWS's, as aws-lambda-go keeps them."""
    return json.loads(corpora.one("lambda-events", name).read_text())


def shape(value: Any) -> Any:
    """Keys and types."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__
