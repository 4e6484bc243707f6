"""Carries out a stack's operation as a durable job: what it has done so far is in the store, always.

A stack's ``op`` names the phase it is in; each phase walks a graph of resources, as many at once as depend on
nothing unfinished:

    create, update   forward -> done, or (update) -> cleanup -> done
                     forward fails -> rollback -> rollback_cleanup -> done      (create skips ``rollback``)
    delete           delete -> done

A step on a resource is two transactions around its handler: one that stores what shall be done (its token,
the resolved properties, what was before) with the event that says so, one that stores how it ended. After a
crash the job comes back, finds the phase, and repeats exactly the steps that were begun and not ended, each
under its stored token. Nothing is kept in memory that the store does not have.

A Record, besides id, type, physical_id, attributes, status, reason, updated_s and ``surroundings``:

    token     given at creation, the same for every later step on the same physical resource
    step      {"op", "verb": create | update | replace | keep, "state": started | done | failed,
               "back": started | done (by a rollback)}
    private   {"properties", "before": how it was when the step began, "leftover": the replacement a
               rollback must delete}
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson

from stratolite.core import work
from stratolite.errors import Fault, Unavailable
from stratolite.service import Call, Cloud, Job, Made, Principal, Resource, Settle, Spec, root
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.intrinsics import Scope, Unknown
from stratolite.services.cloudformation.parameters import parsed
from stratolite.services.cloudformation.proposal import (
    attribute_from,
    conform,
    needs_of,
    pseudo,
    replacing,
    resolved_outputs,
    scope_of,
    surroundings,
)
from stratolite.services.cloudformation.quotas import (
    DELETED_KEPT_S,
    PROPERTIES_BYTES_MAX,
    STACKS_AT_ONCE_MAX,
    STEP_TIME_S_MAX,
    STEPS_AT_ONCE_MAX,
)
from stratolite.services.cloudformation.state import Record, Rows, Stack
from stratolite.services.cloudformation.template import Template, check_template

QUEUE = "cloudformation.stack"
EXPIRE_QUEUE = "cloudformation.expire"
_EXPIRE_STEP_COUNT = 200
_SNAPSHOT = [
    "type",
    "physical_id",
    "attributes",
    "status",
    "token",
    "needs",
    "deletion_policy",
    "replace_policy",
    "metadata",
]
_log = logging.getLogger("stratolite.cloudformation")
T = TypeVar("T")


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
        call = Call(
            self._cloud, root(account), region, op_id, self._cloud.endpoint, account=account
        )
        await Operation(call, uuid, op_id).run()
        return None


class ExpiryWorker:
    """Forgets deleted stacks when nobody may ask for them any more."""

    queue = EXPIRE_QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, uuid = orjson.loads(job.payload)
        call = Call(
            self._cloud, root(account), region, "expiry", self._cloud.endpoint, account=account
        )
        while not await call.transact(
            lambda c: state.forget_part(c.tx, state.rows_of(c), uuid, _EXPIRE_STEP_COUNT)
        ):
            pass
        return None


class _Gone(Exception):
    """The stack is no longer in this operation."""


Step = Callable[[str], Awaitable[bool]]


class Operation:
    """One operation of one stack, from wherever it stands to its end."""

    def __init__(self, call: Call, uuid: str, op_id: str) -> None:
        self.call, self.uuid, self.op_id = call, uuid, op_id
        self.rows: Rows = state.rows_of(call)
        self.acting = call
        self.template: Template
        self.parameters: dict[str, Any] = {}

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
                if stack["op"].get("halted"):
                    return
                self.acting = self._acting(stack)
                await phases[stack["op"]["phase"]](stack)
        except _Gone:
            return

    # -- the parts every phase uses

    async def tx(self, body: Callable[[Call], T]) -> T:
        return await self.call.transact(body)

    def _stack(self, call: Call) -> Stack:
        stack = state.stack_of(call.tx, self.rows, self.uuid)
        if stack is None or not stack.get("op") or stack["op"]["id"] != self.op_id:
            raise _Gone
        return stack

    def _acting(self, stack: Stack) -> Call:
        """Handlers work as the caller, or as the role the stack was given."""
        who = Principal(**stack["op"]["principal"])
        if role := stack.get("role_arn"):
            name = role.rsplit("/", 1)[1]
            account = role.split(":")[4]
            arn = f"arn:aws:sts::{account}:assumed-role/{name}/AWSCloudFormation"
            who = Principal("role", account, arn, name, "AWSCloudFormation")
        return self.call.scoped(self.call.account, self.call.region, who)

    async def _load(self, stack: Stack) -> None:
        """The template the operation leads to, and its parameters."""
        version = stack["op"]["template"]
        text = await self.tx(
            lambda c: state.template_text(c.tx, self.rows, self.uuid, version, "processed")
        )
        self.template = await asyncio.to_thread(
            lambda: check_template(orjson.loads(text), transformed=True)
        )
        values = stack["private"]["op_parameters"]
        self.parameters = {
            **parsed(self.template.parameters, values),
            **pseudo(self.call, stack["name"], stack["id"]),
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
            return Made(record["physical_id"], record.get("attributes") or {})

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

    async def _do(self, work: Callable[[], Awaitable[T]]) -> tuple[T | None, str, str | None]:
        """A handler's result, or why it failed and the physical id it may have left behind.

        What the world does (``Unavailable``) is no failure: it ends the job, which comes back.
        """
        try:
            async with asyncio.timeout(STEP_TIME_S_MAX):
                return await work(), "", None
        except Fault as fault:
            left = fault.members.get("PhysicalResourceId")
            text = f'Resource handler returned message: "{fault.message}" (HandlerErrorCode: {fault.code})'
            return None, text, left
        except TimeoutError:
            return None, f"Resource is not stable after {STEP_TIME_S_MAX:.0f} s", None
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - a handler's bug fails its resource, not the server
            _log.exception("a handler failed unexpectedly: op=%s", self.op_id)
            return None, "Internal Failure", None

    def _handler(self, kind: str) -> Resource:
        handler = self.call.cloud.resource(kind)
        if handler is None:
            raise Fault("NotImplemented", f"Resource type {kind} is not offered by Stratolite")
        return handler

    def _spec(self, stack: Stack, record: Mapping[str, Any], properties: dict[str, Any]) -> Spec:
        return Spec(
            record["type"], record["id"], stack["name"], stack["id"], record["token"], properties
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
        record["status"], record["reason"], record["updated_s"] = status, reason, call.tx.time_s
        state.add_event(
            call.tx, self.rows, stack, status, reason=reason, record=record, physical_id=physical_id
        )

    def _enter(self, call: Call, stack: Stack, status: str, phase: str, reason: str = "") -> None:
        """The stack's next phase, or with phase "" the end of the operation."""
        stack["status"], stack["reason"] = status, reason
        state.add_event(call.tx, self.rows, stack, status, reason=reason)
        if phase:
            stack["op"]["phase"] = phase
        else:
            stack["op"] = None
            stack["private"].pop("op_parameters", None)
        state.put_stack(call.tx, self.rows, stack)

    # -- forward

    async def forward(self, stack: Stack) -> None:
        await self._load(stack)
        scope = self._scope(None)
        needs = {name: needs_of(name, scope)[1] for name in scope.resources}
        failed = await self._walk(needs, self._forward_step, stop=True)
        if not failed:
            fault = await self.tx(self._complete)
            if fault is None:
                return
            await self.tx(lambda c: self._fail_forward(c, [], fault))
            return
        await self.tx(lambda c: self._fail_forward(c, failed, ""))

    async def _forward_step(self, name: str) -> bool:
        record = await self.tx(lambda c: self._begin(c, name))
        if record is None:
            return True
        if record["step"]["state"] == "failed":
            return False
        stack, verb = await self.tx(self._stack), record["step"]["verb"]
        new = self._spec(stack, record, record["private"]["properties"])

        async def apply() -> Made:
            handler = self._handler(record["type"])
            if verb != "update":
                return await handler.create(self.acting, new)
            old = self._spec(stack, record, record["private"]["before"]["properties"])
            return await handler.update(self.acting, record["physical_id"], old, new)

        made, reason, left = await self._do(apply)
        await self.tx(lambda c: self._end(c, name, made, reason, left))
        return made is not None

    def _begin(self, call: Call, name: str) -> Record | None:
        """The record with its step begun, or failed at once; None if there is nothing to do."""
        tx, stack = call.tx, self._stack(call)
        record = state.record_of(tx, self.rows, self.uuid, name)
        if record is not None and record["step"]["op"] == self.op_id:
            return None if record["step"]["state"] == "done" else record
        fresh = record is None or record.get("physical_id") is None
        verb = "create" if fresh else "update"
        resource = self.template.resources[name]
        around: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        reason = self._interrupted(call, stack)
        if not reason:
            try:
                scope = self._scope(call)
                wanted, needs = needs_of(name, scope)
                around = surroundings(resource, needs)
                properties = conform(
                    call.region, resource["Type"], name, wanted, stack["op"]["tags"]
                )
                if len(orjson.dumps(properties)) > PROPERTIES_BYTES_MAX:
                    reason = f"The properties are larger than {PROPERTIES_BYTES_MAX} bytes"
            except Fault as fault:
                reason = fault.message
        before = None
        if record is not None and not fresh:
            before = {key: record.get(key) for key in _SNAPSHOT}
            before["properties"] = record["private"]["properties"]
            if not reason:
                verb, reason = self._verb(call, record, properties, around)
                if verb == "":
                    return None
        token = base64.b32encode(call.world.token(20)).decode()
        if before is not None and verb != "replace":
            token = str(before["token"])
        begun: Record = {
            "id": name,
            "type": resource["Type"],
            "physical_id": before["physical_id"] if before and verb != "replace" else None,
            "attributes": before["attributes"] if before and verb != "replace" else {},
            "token": token,
            "step": {"op": self.op_id, "verb": verb, "state": "started"},
            "private": {"properties": properties, "before": before},
            **(around or surroundings(resource, set())),
        }
        if reason:
            begun["step"]["state"] = "failed"
            if before is not None:
                begun["private"]["properties"] = before["properties"]
            self._say(call, stack, begun, _word(verb, "FAILED"), reason=reason)
        elif verb == "keep":
            begun["step"]["state"] = "done"
            begun["status"], begun["updated_s"] = "UPDATE_COMPLETE", tx.time_s
        else:
            why = ""
            if verb == "replace":
                why = "Requested update requires the creation of a new physical resource; hence creating one."
            self._say(call, stack, begun, _word(verb, "IN_PROGRESS"), reason=why)
        state.put_record(tx, self.rows, self.uuid, begun)
        return None if verb == "keep" and not reason else begun

    def _interrupted(self, call: Call, stack: Stack) -> str:
        op = stack["op"]
        if op.get("cancel"):
            return (
                "Resource creation cancelled"
                if op["kind"] == "create"
                else "Resource update cancelled"
            )
        if op.get("deadline_s") and call.tx.time_s > op["deadline_s"]:
            return "Stack creation time exceeded the specified timeout"
        return ""

    def _verb(
        self, call: Call, record: Record, properties: dict[str, Any], around: dict[str, Any]
    ) -> tuple[str, str]:
        """What has to be done to a resource that is there: "" for nothing; and why it cannot be."""
        from stratolite.services.cloudformation.schema import load_schema

        old = record["private"]["properties"]
        differing = [key for key in {*old, *properties} if old.get(key) != properties.get(key)]
        if not differing:
            same = all(record.get(key) == value for key, value in around.items())
            return ("" if same else "keep"), ""
        if not replacing(self._handler(record["type"]), differing):
            return "update", ""
        schema = load_schema(call.region, record["type"])
        if schema is not None and schema.is_named_by(old, properties):
            named = record["id"]
            return "replace", (
                "CloudFormation cannot update a stack when a custom-named resource requires replacing."
                f" Rename {record['physical_id']} and update the stack again. ({named})"
            )
        return "replace", ""

    def _end(self, call: Call, name: str, made: Made | None, reason: str, left: str | None) -> None:
        stack = self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None, "a step begun is in the store"
        verb = record["step"]["verb"]
        if made is None:
            record["step"]["state"] = "failed"
            record["physical_id"] = record.get("physical_id") or left
            self._say(call, stack, record, _word(verb, "FAILED"), reason=reason)
        else:
            record["step"]["state"] = "done"
            record["physical_id"], record["attributes"] = made.physical_id, made.attributes
            self._say(call, stack, record, _word(verb, "COMPLETE"))
        state.put_record(call.tx, self.rows, self.uuid, record)

    def _complete(self, call: Call) -> str | None:
        """Everything is as the template wants it: outputs, exports; the template is the stack's own now.

        Answers why not, if an output cannot be.
        """
        stack = self._stack(call)
        op = stack["op"]
        if op.get("cancel"):
            return (
                "Resource update cancelled"
                if op["kind"] == "update"
                else "Resource creation cancelled"
            )
        try:
            with call.tx.savepoint():
                outputs = resolved_outputs(self.template, self._scope(call))
                wanted = {row["export"]: row["value"] for row in outputs if "export" in row}
                if len(wanted) < sum("export" in row for row in outputs):
                    raise Fault("ValidationError", "Two outputs have the same export name")
                state.set_exports(call.tx, self.rows, stack, wanted)
        except Fault as fault:
            return fault.message
        stack["outputs"] = outputs
        state.keep_imports(call.tx, self.rows, stack, set(op["imports"]))
        if stack.get("template") and stack["template"] != op["template"]:
            state.drop_template(call.tx, self.rows, self.uuid, stack["template"])
        stack["template"] = op["template"]
        stack["private"]["parameters"] = stack["private"]["op_parameters"]
        for key in ("description", "capabilities", "tags", "secret", "change_set_id"):
            stack[key] = op[key]
        if op["kind"] == "create":
            self._enter(call, stack, "CREATE_COMPLETE", "")
        else:
            self._enter(call, stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "cleanup")
        return None

    def _fail_forward(self, call: Call, failed: list[str], reason: str) -> None:
        stack = self._stack(call)
        op = stack["op"]
        verbs: dict[str, list[str]] = {}
        for name in failed:
            record = state.record_of(call.tx, self.rows, self.uuid, name)
            assert record is not None
            verb = "update" if record["step"]["verb"] in ("update", "keep") else "create"
            verbs.setdefault(verb, []).append(name)
        said = [reason] if reason else []
        said += [
            f"The following resource(s) failed to {verb}: [{', '.join(names)}]."
            for verb, names in sorted(verbs.items())
        ]
        text = " ".join(said)
        if op["kind"] == "update":
            self._enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS", "rollback", text)
        elif op.get("then") == "delete":
            self._enter(call, stack, "DELETE_IN_PROGRESS", "delete", "User Initiated")
        elif op["on_failure"] == "DELETE":
            self._enter(
                call, stack, "DELETE_IN_PROGRESS", "delete", f"{text} Delete requested by user."
            )
        elif op["on_failure"] == "DO_NOTHING":
            self._enter(call, stack, "CREATE_FAILED", "", text)
        else:
            text = f"{text} Rollback requested by user."
            self._enter(call, stack, "ROLLBACK_IN_PROGRESS", "rollback_cleanup", text)

    # -- rollback

    async def rollback(self, stack: Stack) -> None:
        """Every resource an update touched goes back to how it was."""
        touched = [r for r in await self._records() if r["step"]["op"] == self.op_id]
        needs = {
            r["id"]: set(r["private"]["before"]["needs"] or ())
            for r in touched
            if r["private"]["before"]
        }
        failed = await self._walk(needs, self._rollback_step, stop=True)
        await self.tx(lambda c: self._rolled_back(c, failed))

    async def _records(self) -> list[Record]:
        return await self.tx(lambda c: state.records(c.tx, self.rows, self.uuid))

    async def _rollback_step(self, name: str) -> bool:
        record = await self.tx(lambda c: self._begin_back(c, name))
        if record is None:
            return True
        stack, before = await self.tx(self._stack), record["private"]["before"]

        async def apply() -> Made:
            old = self._spec(stack, record, record["private"]["properties"])
            new = self._spec(stack, record, before["properties"])
            return await self._handler(record["type"]).update(
                self.acting, record["physical_id"], old, new
            )

        made, reason, _ = await self._do(apply)
        await self.tx(lambda c: self._end_back(c, name, made, reason))
        return made is not None

    def _begin_back(self, call: Call, name: str) -> Record | None:
        """None if the record needs no handler to be what it was."""
        stack = self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        step = record["step"]
        if step.get("back") == "done":
            return None
        skip = name in stack["op"].get("skip", [])
        untouched = (
            step["verb"] == "update" and step["state"] == "failed" and not self._was_tried(record)
        )
        if step["verb"] != "update" or skip or untouched:
            if step["verb"] == "replace" and record.get("physical_id") is not None:
                keys = ("type", "physical_id", "token", "needs", "deletion_policy")
                record["private"]["leftover"] = {
                    **{key: record.get(key) for key in keys},
                    "properties": record["private"]["properties"],
                }
            self._restore(record)
            if step["verb"] != "keep" and not untouched:
                self._say(call, stack, record, "UPDATE_COMPLETE")
            state.put_record(call.tx, self.rows, self.uuid, record)
            return None
        if step.get("back") != "started":
            step["back"] = "started"
            self._say(call, stack, record, "UPDATE_IN_PROGRESS")
            state.put_record(call.tx, self.rows, self.uuid, record)
        return record

    @staticmethod
    def _was_tried(record: Record) -> bool:
        """Whether a handler was asked: a step that failed before keeps the old properties."""
        private = record["private"]
        return bool(private["properties"] != private["before"]["properties"])

    @staticmethod
    def _restore(record: Record) -> None:
        before = record["private"]["before"]
        record.update({key: before[key] for key in _SNAPSHOT})
        record["status"] = "UPDATE_COMPLETE"
        record["private"]["properties"] = before["properties"]
        record["step"]["back"] = "done"

    def _end_back(self, call: Call, name: str, made: Made | None, reason: str) -> None:
        stack = self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        if made is None:
            self._say(call, stack, record, "UPDATE_FAILED", reason=reason)
        else:
            self._restore(record)
            record["physical_id"], record["attributes"] = made.physical_id, made.attributes
            self._say(call, stack, record, "UPDATE_COMPLETE")
        state.put_record(call.tx, self.rows, self.uuid, record)

    def _rolled_back(self, call: Call, failed: list[str]) -> None:
        stack = self._stack(call)
        if failed:
            stack["op"]["halted"] = True
            text = f"The following resource(s) failed to update: [{', '.join(failed)}]."
            self._enter(call, stack, "UPDATE_ROLLBACK_FAILED", "rollback", text)
            return
        state.keep_imports(call.tx, self.rows, stack, set(stack["op"]["imports_before"]))
        self._enter(call, stack, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "rollback_cleanup")

    # -- deleting, in three phases

    async def cleanup(self, stack: Stack) -> None:
        """After an update: what was replaced, and what the template no longer has."""
        await self._load(stack)
        kept = set(self._scope(None).resources)
        await self._delete_all(
            lambda r: r["id"] not in kept,
            lambda r: (
                "before" if r["step"]["op"] == self.op_id and r["step"]["verb"] == "replace" else ""
            ),
        )

        def done(call: Call) -> None:
            self._enter(call, self._stack(call), "UPDATE_COMPLETE", "")

        await self.tx(done)

    async def rollback_cleanup(self, stack: Stack) -> None:
        """After a rollback: what the operation created."""
        creating = stack["op"]["kind"] == "create"
        failed = await self._delete_all(
            lambda r: r["step"]["op"] == self.op_id and r["step"]["verb"] == "create",
            lambda _: "leftover",
        )

        def done(call: Call) -> None:
            stack = self._stack(call)
            op = stack["op"]
            if not creating:
                if op["template"] != stack["template"]:
                    state.drop_template(call.tx, self.rows, self.uuid, op["template"])
                self._enter(call, stack, "UPDATE_ROLLBACK_COMPLETE", "")
                return
            state.keep_imports(call.tx, self.rows, stack, set())
            if failed:
                text = f"The following resource(s) failed to delete: [{', '.join(failed)}]."
                self._enter(call, stack, "ROLLBACK_FAILED", "", text)
            else:
                self._enter(call, stack, "ROLLBACK_COMPLETE", "")

        await self.tx(done)

    async def delete(self, stack: Stack) -> None:
        failed = await self._delete_all(lambda _: True, self._also_there)

        def done(call: Call) -> None:
            stack = self._stack(call)
            reason = ""
            if failed:
                reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            else:
                try:
                    with call.tx.savepoint():
                        state.set_exports(call.tx, self.rows, stack, {})
                except Fault as fault:
                    reason = f"Delete canceled. {fault.message}"
            if reason:
                self._enter(call, stack, "DELETE_FAILED", "", reason)
                return
            state.keep_imports(call.tx, self.rows, stack, set())
            if state.named_uuid(call.tx, self.rows, stack["name"]) == self.uuid:
                state.free_name(call.tx, self.rows, stack["name"])
            stack["deleted_s"] = call.tx.time_s
            self._enter(call, stack, "DELETE_COMPLETE", "")
            payload = orjson.dumps([call.account, call.region, self.uuid])
            work.put(call.tx, EXPIRE_QUEUE, payload, due_s=call.tx.time_s + DELETED_KEPT_S)

        await self.tx(done)

    @staticmethod
    def _also_there(record: Record) -> str:
        """A rollback that stopped half way may have left two physical resources for one name."""
        if record["private"].get("leftover"):
            return "leftover"
        replaced = record["step"]["verb"] == "replace" and record["step"].get("back") != "done"
        return "before" if replaced and record["private"].get("before") else ""

    async def _delete_all(
        self, gone: Callable[[Record], bool], second: Callable[[Record], str]
    ) -> list[str]:
        """Delete the records ``gone`` picks and the second physical resources ``second`` names.

        Dependents first. The logical ids whose deletion failed.
        """
        targets: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for record in await self._records():
            if gone(record) and not record.get("gone"):
                targets[record["id"]] = (record["id"], record)
            where = second(record)
            if where and record["private"].get(where):
                targets[f"{record['id']}/{where}"] = (record["id"], record["private"][where])
        needs: dict[str, set[str]] = {key: set() for key in targets}
        for key, (_, what) in targets.items():
            for other, (name, _) in targets.items():
                if name in (what.get("needs") or ()):
                    needs[other].add(key)
        failed = await self._walk(needs, self._delete_step, stop=False)
        return sorted({key.split("/")[0] for key in failed})

    async def _delete_step(self, key: str) -> bool:
        target = await self.tx(lambda c: self._begin_delete(c, key))
        if target is None:
            return True
        stack = await self.tx(self._stack)
        spec = self._spec(stack, target, target["properties"])

        async def apply() -> bool:
            await self._handler(target["type"]).delete(self.acting, target["physical_id"], spec)
            return True

        done, reason, _ = await self._do(apply)
        await self.tx(lambda c: self._end_delete(c, key, reason))
        return done is not None

    def _begin_delete(self, call: Call, key: str) -> dict[str, Any] | None:
        """What to delete, with its properties; None if there is nothing left to do."""
        stack = self._stack(call)
        name, _, where = key.partition("/")
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        if record is None:
            return None
        target = record["private"].get(where) if where else record
        if target is None or target.get("gone"):
            return None
        policy = (
            target.get("replace_policy" if where == "before" else "deletion_policy") or "Delete"
        )
        if policy == "RetainExceptOnCreate":
            created_here = record["step"]["op"] == self.op_id and record["step"]["verb"] == "create"
            policy = "Delete" if created_here else "Retain"
        skip = policy == "Retain" or name in stack["op"].get("retain", [])
        if target.get("physical_id") is None or skip:
            if target.get("physical_id") is not None:
                self._tell_delete(call, stack, record, target, "DELETE_SKIPPED")
            self._forget(
                call, stack, record, where, "DELETE_SKIPPED" if skip else "DELETE_COMPLETE"
            )
            return None
        if target.get("status") != "DELETE_IN_PROGRESS" or target.get("deleting") != self.op_id:
            target["status"], target["deleting"] = "DELETE_IN_PROGRESS", self.op_id
            self._tell_delete(call, stack, record, target, "DELETE_IN_PROGRESS")
            state.put_record(call.tx, self.rows, self.uuid, record)
        properties = target["properties"] if where else record["private"]["properties"]
        keys = ("type", "physical_id", "token")
        return {"id": name, "properties": properties, **{k: target[k] for k in keys}}

    def _tell_delete(
        self,
        call: Call,
        stack: Stack,
        record: Record,
        target: Mapping[str, Any],
        status: str,
        reason: str = "",
    ) -> None:
        if target is record:
            self._say(call, stack, record, status, reason=reason)
            return
        state.add_event(
            call.tx,
            self.rows,
            stack,
            status,
            reason=reason,
            record=record,
            physical_id=target["physical_id"],
        )

    def _forget(self, call: Call, stack: Stack, record: Record, where: str, status: str) -> None:
        """The physical resource is no longer the stack's."""
        if where:
            record["private"].pop(where, None)
            state.put_record(call.tx, self.rows, self.uuid, record)
        elif (
            stack["op"]["phase"] in ("cleanup", "rollback_cleanup")
            and stack["op"]["kind"] == "update"
        ):
            state.drop_record(call.tx, self.rows, self.uuid, record["id"])
        else:
            record["status"], record["updated_s"], record["gone"] = status, call.tx.time_s, True
            state.put_record(call.tx, self.rows, self.uuid, record)

    def _end_delete(self, call: Call, key: str, reason: str) -> None:
        stack = self._stack(call)
        name, _, where = key.partition("/")
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        target = record["private"][where] if where else record
        if not reason:
            self._tell_delete(call, stack, record, target, "DELETE_COMPLETE")
            self._forget(call, stack, record, where, "DELETE_COMPLETE")
            return
        self._tell_delete(call, stack, record, target, "DELETE_FAILED", reason)
        if stack["op"]["kind"] == "update":  # as on AWS, an update leaves behind what will not go
            self._forget(call, stack, record, where, "DELETE_FAILED")
        else:
            target["status"] = "DELETE_FAILED"
            state.put_record(call.tx, self.rows, self.uuid, record)


def _word(verb: str, ending: str) -> str:
    return f"{'CREATE' if verb == 'create' else 'UPDATE'}_{ending}"
