"""What every phase of a stack's operation is made of: transactions, the walk over a graph, one handler's work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Made, Principal, Resource, Spec, created
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.dynamic import Looked, mentions_any
from stratolite.services.cloudformation.finding import Plain
from stratolite.services.cloudformation.intrinsics import Scope, Unknown
from stratolite.services.cloudformation.parameters import parsed
from stratolite.services.cloudformation.quotas import (
    REASON_LENGTH_MAX,
    STABILISE_S_FIRST,
    STABILISE_S_MAX,
    STEPS_AT_ONCE_MAX,
)
from stratolite.services.cloudformation.resolution import (
    attribute_from,
    conform,
    pseudo,
    scope_of,
)
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.state import Record, Rows, Stack
from stratolite.services.cloudformation.template import Template, check_template

SNAPSHOT = [
    "type",
    "physical_id",
    "attributes",
    "status",
    "token",
    "needs",
    "deletion_policy",
    "replace_policy",
    "metadata",
    "creation_policy",
]
"""What ``private.before`` keeps of a Record, besides its properties."""

_log = logging.getLogger("stratolite.cloudformation")
T = TypeVar("T")
Step = Callable[[str], Awaitable[bool]]


def whole(record: Record) -> str:
    """What has become of the resource since the stack was last stable: the verb of its step, or of several steps together."""
    return str(record["step"].get("whole") or record["step"]["verb"])


def together(first: str, verb: str) -> str:
    """Two steps one after another as one: what was made is still to be deleted by a way back, whatever came after."""
    if first in ("create", "import", "replace"):
        return first
    return "update" if "update" in (first, verb) else verb


def operations_of(stack: Stack) -> set[str]:
    """Ids of the operation and of the failed ones that it carries on: what they touched is not stable yet."""
    return {stack["op"]["id"], *stack["op"].get("chain", ())}


def olds(record: Record) -> list[str]:
    """Where its ``private`` has physical resources that came and went since the stack was last stable."""
    return [key for key in record["private"] if key.startswith("old-")]


def take(record: Record, made: Made) -> None:
    """The record is of what a handler made."""
    record["physical_id"] = made.physical_id
    record["attributes"] = {} if made.no_echo else made.attributes
    record["private"]["attributes"] = made.attributes if made.no_echo else {}


class Gone(Exception):
    """The stack is no longer in this operation."""


class Steps:
    """One operation of one stack."""

    def __init__(self, call: Call, uuid: str, op_id: str) -> None:
        self.call, self.uuid, self.op_id = call, uuid, op_id
        self.rows: Rows = state.rows_of(call)
        self.acting = call
        self.template: Template
        self.parameters: dict[str, Any] = {}

    async def tx(self, body: Callable[[Call], T]) -> T:
        return await self.call.transact(body)

    def _stack(self, call: Call) -> Stack:
        stack = state.stack_of(call.tx, self.rows, self.uuid)
        if stack is None or not stack.get("op") or stack["op"]["id"] != self.op_id:
            raise Gone
        return stack

    def _acting(self, stack: Stack) -> Call:
        """Handlers work as the caller, or as the role the stack was given."""
        who = Principal(**stack["op"]["principal"])
        if role := stack.get("role_arn"):
            who = role_principal(role)
        acting = self.call.scoped(self.call.account, self.call.region, who)
        acting.context = {**acting.context, "aws:CalledVia": "cloudformation.amazonaws.com"}
        return acting

    async def _load(self, stack: Stack) -> None:
        """The template the operation leads to, and its parameters."""
        version = stack["op"]["template"]
        text = await self.tx(
            lambda c: state.template_text(c.tx, self.rows, self.uuid, version, "processed")
        )
        self.template = await asyncio.to_thread(
            lambda: check_template(orjson.loads(text), transformed=True)
        )
        private = stack["private"]
        self.parameters = {
            **parsed(
                self.template.parameters, private["op_parameters"], private.get("op_looked_up")
            ),
            **pseudo(
                self.call,
                stack["name"],
                stack["id"],
                stack["op"].get("notify", stack.get("notify") or []),
            ),
        }

    def _scope(self, call: Call | None) -> Scope:
        """With what the store has now; without ``call``, nothing is known yet."""
        if call is None:
            return scope_of(self.template, self.parameters, lambda _: None, lambda _: Unknown(""))  # type: ignore[arg-type,return-value]  # flows like a string
        tx = call.tx

        def made(logical_id: str) -> Made | None:
            record = state.record_of(tx, self.rows, self.uuid, logical_id)
            if record is None or record.get("physical_id") is None:
                return None
            secret = record["private"].get("attributes") or {}
            return Made(record["physical_id"], {**(record.get("attributes") or {}), **secret})

        def attribute(logical_id: str, name: str, _: Made) -> Any:
            record = state.record_of(tx, self.rows, self.uuid, logical_id)
            assert record is not None
            return attribute_from(record["private"]["properties"], name)

        return scope_of(
            self.template,
            self.parameters,
            made,
            lambda name: state.export_value(tx, self.rows, name),
            attribute,
        )

    async def _walk(self, needs: Mapping[str, set[str]], step: Step, *, stop: bool) -> list[str]:
        """Run ``step`` on every name once all it needs are done; the names that failed.

        After a failure nothing new starts (``stop``), or only what does not need the failed one.
        """
        left = {name: {n for n in wanted if n in needs} for name, wanted in needs.items()}
        running: dict[asyncio.Task[bool], str] = {}
        failed: list[str] = []
        try:
            while True:
                if not (stop and failed):
                    for name in [n for n, wanted in left.items() if not wanted]:
                        if len(running) == STEPS_AT_ONCE_MAX:
                            break
                        del left[name]
                        running[asyncio.ensure_future(step(name))] = name
                if not running:
                    return sorted(failed)
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    name = running.pop(task)
                    if not task.result():
                        failed.append(name)
                        continue
                    for wanted in left.values():
                        wanted.discard(name)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _do(
        self, kind: str, work: Callable[[Resource, Looked], Awaitable[T]]
    ) -> tuple[T | None, str, str | None]:
        """A handler's result, or why it failed and the physical id it may have left behind.

        What the world does (``Unavailable``) is no failure: it ends the job, which comes back.
        """
        looked = Looked(self.acting)
        try:
            handler = self._handler(kind)
            async with asyncio.timeout(handler.time_s_max):
                return await work(handler, looked), "", None
        except Plain as fault:
            return None, looked.masked(fault.message), fault.members.get("PhysicalResourceId")
        except Fault as fault:
            left = fault.members.get("PhysicalResourceId")
            text = f'Resource handler returned message: "{fault.message}" (HandlerErrorCode: {fault.code})'
            return None, looked.masked(text), left
        except TimeoutError:
            return None, f"Resource is not stable after {handler.time_s_max:.0f} s", None
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - a handler's bug fails its resource, not the server
            _log.exception("a handler failed unexpectedly: op=%s", self.op_id)
            return None, "Internal Failure", None

    async def _given(self, handler: Resource, spec: Spec, looked: Looked) -> Spec:
        """What the handler is given: dynamic references looked up, in the types the schema asks for."""
        if not mentions_any(spec.properties):
            return spec
        properties = await looked.resolved(spec.properties)
        properties = conform(self.call.region, handler, spec.logical_id, properties, {})
        return replace(spec, properties=properties)

    async def _taken_back(
        self,
        handler: Resource,
        looked: Looked,
        stack: Stack,
        record: Record,
        properties: dict[str, Any],
    ) -> Made:
        """The resource updated from what it was given last to ``properties``, which it had before."""
        there = self._spec(stack, record, record["private"]["properties"], "-back")
        old = await self._given(handler, there, looked)
        new = await self._given(handler, replace(old, properties=properties), looked)
        made = await handler.update(self.acting, record["physical_id"], old, new)
        await self._settled(handler, made.physical_id, new)
        return made

    async def _settled(
        self, handler: Resource, physical_id: str, spec: Spec, *, gone: bool = False
    ) -> None:
        """Return when the resource says that it is ready, or that it is gone."""
        if not handler.can("deleted" if gone else "stabilise"):
            return
        pause_s = STABILISE_S_FIRST
        ask = handler.deleted if gone else handler.stabilise
        with created(physical_id):
            while not await ask(self.acting, physical_id, spec):
                await self.call.world.sleep(pause_s)
                pause_s = min(pause_s * 1.5, STABILISE_S_MAX)

    def _handler(self, kind: str) -> Resource:
        handler = self.call.cloud.resource(kind)
        if handler is None:
            raise Fault("NotImplemented", f"Resource type {kind} is not offered by Stratolite")
        return handler

    def _spec(
        self,
        stack: Stack,
        record: Mapping[str, Any],
        properties: dict[str, Any],
        way: str = "",
    ) -> Spec:
        return Spec(
            record["type"],
            record["id"],
            stack["name"],
            stack["id"],
            record["token"],
            properties,
            f"{self.op_id}{way}",
            record.get("creation_policy") or {},
        )

    def _say(
        self,
        call: Call,
        stack: Stack,
        record: Record,
        status: str,
        *,
        reason: str = "",
        physical_id: str | None = None,
    ) -> None:
        """Put the record in ``status`` and tell it."""
        reason = reason[:REASON_LENGTH_MAX]
        record["status"], record["reason"], record["updated_s"] = status, reason, call.tx.time_s
        state.add_event(
            call, self.rows, stack, status, reason=reason, record=record, physical_id=physical_id
        )

    def _enter(self, call: Call, stack: Stack, status: str, phase: str, reason: str = "") -> None:
        """The stack's next phase, or with phase "" the end of the operation."""
        stack["status"], stack["reason"] = status, reason[:REASON_LENGTH_MAX]
        state.add_event(call, self.rows, stack, status, reason=reason)
        if phase:
            stack["op"]["phase"] = phase
        else:
            state.leave(stack)
        state.put_stack(call.tx, self.rows, stack)

    async def _records(self) -> list[Record]:
        return await self.tx(lambda c: state.records(c.tx, self.rows, self.uuid))
