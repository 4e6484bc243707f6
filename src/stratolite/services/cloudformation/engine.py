"""Carries out a stack's operation as a durable job: what it has done so far is in the store, always.

A stack's ``op`` names the phase it is in; each phase walks a graph of resources, as many at once as depend on
nothing unfinished:

    create, update   forward -> done, or (update) -> cleanup -> done
                     forward fails -> rollback -> rollback_cleanup -> done      (create skips ``rollback``)
    delete           delete -> done

With its rollback disabled, an operation that fails is *halted* before the way back: RollbackStack lets it go on, an update
starts a new one that carries it on (its ``chain`` names those it carries on, ``from_create`` whether the first of them
made the stack). Until one goes well, a record keeps what was before the first of them.

A step on a resource is two transactions around its handler: one that stores what shall be done (its token,
the resolved properties, what was before) with the event that says so, one that stores how it ended. After a
crash the job comes back, finds the phase, and repeats exactly the steps that were begun and not ended, each
under its stored token. Nothing is kept in memory that the store does not have.

A Record, besides id, type, physical_id, attributes, status, reason, updated_s and ``surroundings``:

    token     given at creation, the same for every later step on the same physical resource
    step      {"op", "verb": create | update | replace | keep | import, "state": started | done | failed,
               "whole": the verbs of all steps since the stack was last stable as one, "back": started | done (by a rollback),
               "undo": started | done | failed (a failed update that stays is taken back for itself)}
    private   {"properties", "before": how it was when the stack was last stable, "last": its properties when the step
               began, "leftover": the replacement a rollback must delete, "debris": what a creation that failed has left,
               "old-...": physical resources that came and went since the stack was last stable}
"""

from __future__ import annotations

import orjson

from stratolite.core import work
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.forward import Forward
from stratolite.services.cloudformation.quotas import STACKS_AT_ONCE_MAX
from stratolite.services.cloudformation.removal import Removal
from stratolite.services.cloudformation.rollback import Rollback
from stratolite.services.cloudformation.state import Stack
from stratolite.services.cloudformation.steps import Gone

QUEUE = "cloudformation.stack"
_EXPIRE_STEP_COUNT = 200


def start(call: Call, stack: Stack) -> None:
    """Leave the operation in ``stack["op"]`` for the worker, in the transaction that stores it."""
    payload = orjson.dumps([call.account, call.region, stack["uuid"], stack["op"]["id"]])
    partition = f"{call.account}/{call.region}/{stack['uuid']}".encode()
    work.put(call.tx, QUEUE, payload, partition=partition)


class StackWorker:
    """The queue of stack operations, one at a time for each stack."""

    queue = QUEUE
    ordered = True
    concurrency = STACKS_AT_ONCE_MAX

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, uuid, op_id = orjson.loads(job.payload)
        call = self._cloud.call(account, region, op_id)
        call.service = (
            "cloudformation"  # what it asks for others it asks as this service: aws:CalledVia
        )
        await Operation(call, uuid, op_id).run()
        return None


class ExpiryWorker:
    """Forgets deleted stacks when nobody may ask for them any more."""

    queue = state.EXPIRE_QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, uuid = orjson.loads(job.payload)
        call = self._cloud.call(account, region, "expiry")
        while not await call.transact(
            lambda c: state.forget_part(c.tx, state.rows_of(c), uuid, _EXPIRE_STEP_COUNT)
        ):
            pass
        return None


class Operation(Forward, Rollback, Removal):
    """One operation of one stack, from wherever it stands to its end."""

    async def run(self) -> None:
        phases = {
            "forward": self.forward,
            "cleanup": self.cleanup,
            "rollback": self.rollback,
            "rollback_cleanup": self.rollback_cleanup,
            "delete": self.delete,
        }
        try:
            while True:
                stack = await self.tx(self._stack)
                op = stack["op"]
                if op.get("halted") or (op.get("held") and op["phase"] == "cleanup"):
                    return
                self.acting = self._acting(stack)
                await phases[op["phase"]](stack)
        except Gone:
            return
