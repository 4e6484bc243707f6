"""The way back of an update: every resource it touched becomes what it was."""

from __future__ import annotations

from stratolite.service import Call, Made, Resource
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.dynamic import Looked
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.steps import SNAPSHOT, Steps, operations_of, take, whole


class Rollback(Steps):
    async def rollback(self, stack: Stack) -> None:
        """Every resource an update touched goes back to how it was."""
        ours = operations_of(stack)
        touched = [r for r in await self._records() if r["step"]["op"] in ours]
        needs = {
            r["id"]: set(r["private"]["before"]["needs"] or ())
            for r in touched
            if r["private"]["before"]
        }
        failed = await self._walk(needs, self._rollback_step, stop=True)
        await self.tx(lambda c: self._rolled_back(c, failed))

    async def _rollback_step(self, name: str) -> bool:
        record = await self.tx(lambda c: self._begin_back(c, name))
        if record is None:
            return True
        stack, before = await self.tx(self._stack), record["private"]["before"]

        async def apply(handler: Resource, looked: Looked) -> Made:
            return await self._taken_back(handler, looked, stack, record, before["properties"])

        made, reason, _ = await self._do(record["type"], apply)
        await self.tx(lambda c: self._end_back(c, name, made, reason))
        return made is not None

    def _begin_back(self, call: Call, name: str) -> Record | None:
        """None if the record needs no handler to be what it was."""
        stack = self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        step, verb = record["step"], whole(record)
        if step.get("back") == "done":
            return None
        skip = name in stack["op"].get("skip", [])
        untouched = verb == "update" and step["state"] == "failed" and not self._was_tried(record)
        if verb != "update" or skip or untouched:
            if verb == "replace" and record.get("physical_id") is not None:
                keys = ("type", "physical_id", "token", "needs", "deletion_policy")
                record["private"]["leftover"] = {
                    **{key: record.get(key) for key in keys},
                    "properties": record["private"]["properties"],
                }
            self._restore(record)
            if verb != "keep" and not untouched:
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
        record.update({key: before[key] for key in SNAPSHOT})
        record["status"] = "UPDATE_COMPLETE"
        record["private"]["properties"] = before["properties"]
        record["private"]["attributes"] = before.get("secret_attributes") or {}
        record["step"]["back"] = "done"

    def _end_back(self, call: Call, name: str, made: Made | None, reason: str) -> None:
        stack = self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        if made is None:
            self._say(call, stack, record, "UPDATE_FAILED", reason=reason)
        else:
            self._restore(record)
            take(record, made)
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
