"""The service SQS: its operations put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.service import Access, Call, Cloud, Request, Resource, Tagged, Worker
from stratolite.services.sqs import moves, state, worker
from stratolite.services.sqs.messages import Messages
from stratolite.services.sqs.moves import Moves
from stratolite.services.sqs.permissions import Permissions
from stratolite.services.sqs.queues import Queues
from stratolite.services.sqs.receipts import Receipts
from stratolite.services.sqs.sealing import Sealer


class Sqs(Queues, Messages, Moves, Permissions):
    name: ClassVar[str] = "sqs"

    tag_types: ClassVar[tuple[str, ...]] = ("sqs:queue",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        for queue in state.queues(call.tx, call.keys("sqs"), "", after):
            yield Tagged(queue.name, queue.arn, queue.record["tags"])

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.sealer = Sealer()
        if cloud is not None:
            self.receipts = Receipts(cloud.vault.derive("sqs:receipt"))

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation == "CancelMessageMoveTask" and (handle := request.get("TaskHandle")):
            return (("sqs:cancelmessagemovetask", moves.handle_source(handle)),)
        return super().access(call, operation, request)

    def workers(self) -> Iterable[Worker]:
        return (*worker.workers(self.cloud), moves.Mover(self.cloud))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.sqs.resources import RESOURCES

        return RESOURCES
