"""Physical resources go: after an update what it left behind, after a rollback what it made, with a stack all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Resource
from stratolite.services.cloudformation import drift_aware, signals, state
from stratolite.services.cloudformation.change_tree import drop_below
from stratolite.services.cloudformation.dynamic import Looked
from stratolite.services.cloudformation.examination import STACK
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.steps import Steps, olds, operations_of, whole


def is_creation(stack: Stack) -> bool:
    """Whether the stack has never been stable: a way back leaves nothing of it."""
    return stack["op"]["kind"] == "create" or bool(stack["op"].get("from_create"))


def goes_on_without(stack: Stack) -> bool:
    """Whether the stack lives on, and has no more to do with what is deleted."""
    phase = stack["op"]["phase"]
    return phase == "cleanup" or (phase == "rollback_cleanup" and not is_creation(stack))


class Removal(Steps):
    async def cleanup(self, stack: Stack) -> None:
        """After an update: what was replaced, and what the template no longer has."""
        await self._load(stack)
        await self._let_inner_go_on()
        kept, ours = set(self._scope(None).resources), operations_of(stack)
        await self._delete_all(
            lambda r: r["id"] not in kept,
            lambda r: "before" if r["step"]["op"] in ours and whole(r) == "replace" else "",
        )

        def done(call: Call) -> None:
            stack = self._stack(call)
            if stack["op"].get("drift_aware"):
                drift_aware.forget(call, self.uuid, restore=False)
            stack["private"].pop("undo", None)
            undo = stack.pop("undo", None)
            if undo is not None:
                state.keep_imports(call.tx, self.rows, stack, set(stack["op"]["imports"]))
                if undo["template"] != stack["template"]:
                    state.drop_template(call.tx, self.rows, self.uuid, undo["template"])
            self._enter(call, stack, "UPDATE_COMPLETE", "")

        await self.tx(done)

    async def _let_inner_go_on(self) -> None:
        """Nested stacks have waited with their own cleanup."""
        for record in await self._records():
            if record["type"] != STACK or not record.get("physical_id"):
                continue
            uuid = record["physical_id"].rsplit("/", 1)[-1]
            op_id = await self.tx(lambda c, uuid=uuid: self._unheld(c, uuid))  # type: ignore[misc]
            if op_id:
                await type(self)(self.acting, uuid, op_id).run()  # type: ignore[attr-defined]

    def _unheld(self, call: Call, uuid: str) -> str:
        stack = state.stack_of(call.tx, self.rows, uuid)
        op = stack.get("op") if stack is not None else None
        if stack is None or op is None or op["phase"] != "cleanup":
            return ""
        op["held"] = False
        state.put_stack(call.tx, self.rows, stack)
        return str(op["id"])

    async def rollback_cleanup(self, stack: Stack) -> None:
        """After a rollback: what the operation created."""
        creating, ours = is_creation(stack), operations_of(stack)
        failed = await self._delete_all(
            lambda r: r["step"]["op"] in ours and whole(r) in ("create", "import"),
            lambda _: "leftover",
        )

        def done(call: Call) -> None:
            stack = self._stack(call)
            op = stack["op"]
            drop_below(call, stack["op"])
            if op.get("drift_aware"):
                drift_aware.forget(call, self.uuid, restore=True)
            if not creating:
                if op["template"] not in (None, stack["template"]):
                    state.drop_template(call.tx, self.rows, self.uuid, op["template"])
                state.keep_imports(call.tx, self.rows, stack, set(op["imports_before"]))
                word = "IMPORT" if op["kind"] == "import" else "UPDATE"
                self._enter(call, stack, f"{word}_ROLLBACK_COMPLETE", "")
                return
            state.keep_imports(call.tx, self.rows, stack, set())
            if failed:
                text = f"The following resource(s) failed to delete: [{', '.join(failed)}]."
                self._enter(call, stack, "ROLLBACK_FAILED", "", text)
            else:
                self._enter(call, stack, "ROLLBACK_COMPLETE", "")

        await self.tx(done)

    async def delete(self, stack: Stack) -> None:
        if not await self.tx(self._let_go):
            return
        failed = await self._delete_all(lambda _: True, self._also_there)

        def done(call: Call) -> None:
            stack = self._stack(call)
            if failed and not stack["op"].get("force"):
                text = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
                self._enter(call, stack, "DELETE_FAILED", "", text)
                return
            state.keep_imports(call.tx, self.rows, stack, set())
            signals.forget(call.tx, call, self.rows, self.uuid)
            drop_below(call, stack["op"])
            state.retire(call, self.rows, stack)

        await self.tx(done)

    def _let_go(self, call: Call) -> bool:
        """Give up the exports; False if one is in use, and the stack stays as it was."""
        stack = self._stack(call)
        try:
            with call.tx.savepoint():
                state.set_exports(call.tx, self.rows, stack, {})
        except Fault as fault:
            stack["status"], stack["reason"] = stack["op"]["status_before"], fault.message
            state.add_event(call, self.rows, stack, stack["status"], reason=fault.message)
            stack["op"] = stack["op"]["op_before"]
            state.put_stack(call.tx, self.rows, stack)
            return False
        state.put_stack(call.tx, self.rows, stack)
        return True

    @staticmethod
    def _also_there(record: Record) -> str:
        """A rollback that stopped half way may have left two physical resources for one name."""
        if record["private"].get("leftover"):
            return "leftover"
        replaced = whole(record) == "replace" and record["step"].get("back") != "done"
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
            for where in (second(record), *olds(record)):
                if where and record["private"].get(where):
                    targets[f"{record['id']}/{where}"] = (record["id"], record["private"][where])
        keys_of: dict[str, list[str]] = {}
        for key, (name, _) in targets.items():
            keys_of.setdefault(name, []).append(key)
        needs: dict[str, set[str]] = {key: set() for key in targets}
        for key, (_, what) in targets.items():
            for name in what.get("needs") or ():
                for other in keys_of.get(name, ()):
                    needs[other].add(key)
        failed = await self._walk(needs, self._delete_step, stop=False)
        return sorted({key.split("/")[0] for key in failed})

    async def _delete_step(self, key: str) -> bool:
        target = await self.tx(lambda c: self._begin_delete(c, key))
        if target is None:
            return True
        stack = await self.tx(self._stack)
        spec = self._spec(stack, target, target["properties"])

        async def apply(handler: Resource, looked: Looked) -> bool:
            try:
                given = await self._given(handler, spec, looked)
            except Fault:  # what it was made with may be gone
                given = spec
            await handler.delete(self.acting, target["physical_id"], given)
            await self._settled(handler, target["physical_id"], given, gone=True)
            return True

        done, reason, _ = await self._do(target["type"], apply)
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
        replaced = where == "before" or where.startswith("old-")
        policy = target.get("replace_policy" if replaced else "deletion_policy") or "Delete"
        ours = record["step"]["op"] in operations_of(stack)
        created_now = ours and whole(record) == "create"
        if policy == "RetainExceptOnCreate":
            policy = "Delete" if created_now else "Retain"
        if created_now and stack["op"].get("retain_except_on_create"):
            policy = "Delete"
        taken_now = ours and whole(record) == "import"
        skip = taken_now or policy == "Retain" or name in stack["op"].get("retain", [])
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
            call,
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
        elif goes_on_without(stack):
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
        if stack["op"]["kind"] == "update" and goes_on_without(
            stack
        ):  # as on AWS, an update leaves behind what will not go
            self._forget(call, stack, record, where, "DELETE_FAILED")
        else:
            target["status"] = "DELETE_FAILED"
            state.put_record(call.tx, self.rows, self.uuid, record)
