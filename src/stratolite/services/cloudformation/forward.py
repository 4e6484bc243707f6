"""The way forward of a create or an update: every resource the template wants, and how it ends."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.quotas import OUTPUTS_BYTES_MAX, PROPERTIES_BYTES_MAX
from stratolite.services.cloudformation.resolution import (
    conform,
    needs_of,
    replacing,
    resolved_outputs,
    surroundings,
)
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.steps import SNAPSHOT, Steps


class Forward(Steps):
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
                    call.region, self._handler(resource["Type"]), name, wanted, stack["op"]["tags"]
                )
                if len(orjson.dumps(properties)) > PROPERTIES_BYTES_MAX:
                    reason = f"The properties are larger than {PROPERTIES_BYTES_MAX} bytes"
            except Fault as fault:
                reason = fault.message
        before = None
        if record is not None and not fresh:
            before = {key: record.get(key) for key in SNAPSHOT}
            before["properties"] = record["private"]["properties"]
            if not reason:
                try:
                    verb, reason = self._verb(call, record, properties, around)
                except Fault as fault:
                    reason = fault.message
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
                if len(orjson.dumps(outputs)) > OUTPUTS_BYTES_MAX:
                    text = f"The outputs are larger than {OUTPUTS_BYTES_MAX} bytes"
                    raise Fault("ValidationError", text)
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


def _word(verb: str, ending: str) -> str:
    return f"{'CREATE' if verb == 'create' else 'UPDATE'}_{ending}"
