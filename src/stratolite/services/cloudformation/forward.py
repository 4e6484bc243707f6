"""The way forward of a create or an update: every resource the template wants, and how it ends."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.dynamic import Looked
from stratolite.services.cloudformation.examination import STACK
from stratolite.services.cloudformation.quotas import (
    MONITOR_EVERY_S,
    NESTED_DEPTH_MAX,
    OUTPUTS_BYTES_MAX,
    PROPERTIES_BYTES_MAX,
)
from stratolite.services.cloudformation.resolution import (
    conform,
    needs_of,
    replacing,
    resolved_outputs,
    surroundings,
)
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.stack_policy import denial
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.steps import (
    SNAPSHOT,
    Steps,
    olds,
    operations_of,
    take,
    together,
    whole,
)

NO_REPLACEMENT = "Replacement type updates not supported on stack with disable-rollback."


class Forward(Steps):
    async def forward(self, stack: Stack) -> None:
        await self._load(stack)
        refused = await self._refused_removal(stack)
        if refused:
            await self.tx(lambda c: self._fail_forward(c, [], refused))
            return
        scope = self._scope(None)
        needs = {name: needs_of(name, scope)[1] for name in scope.resources}
        failed = await self._walk(
            needs, self._forward_step, stop=stack["op"].get("on_failure") != "DO_NOTHING"
        )
        if failed:
            await self.tx(lambda c: self._fail_forward(c, failed, ""))
            return
        if alarms := alarms_of(stack):
            await self.tx(self._watch)
            alarm = await self._monitored(alarms)
            if alarm:
                await self.tx(lambda c: self._fail_forward(c, [], alarm))
                return
        fault = await self.tx(self._complete)
        if fault is not None:
            await self.tx(lambda c: self._fail_forward(c, [], fault))

    async def _refused_removal(self, stack: Stack) -> str:
        """Why the stack policy keeps a resource that the template no longer has, "" if it does not."""
        policy = policy_now(stack)
        if not policy or stack["op"]["kind"] == "create":
            return ""
        kept = set(self._scope(None).resources)
        for record in await self._records():
            if record["id"] in kept:
                continue
            if said := denial(policy, "Update:Delete", record["id"], record["type"]):
                return f"Resource {record['id']}: {said}"
        return ""

    # -- rollback triggers

    def _watch(self, call: Call) -> None:
        stack = self._stack(call)
        minutes = (stack["op"].get("monitor") or stack["monitor"]).get("minutes") or 0
        stack["op"].setdefault("watch_until_s", call.tx.time_s + 60 * minutes)
        state.put_stack(call.tx, self.rows, stack)

    async def _monitored(self, alarms: list[str]) -> str:
        """Return when the monitoring time is over, or with the alarm that went off."""
        while True:
            if said := await self._alarm(alarms):
                return said
            stack = await self.tx(self._stack)
            until_s = stack["op"]["watch_until_s"]
            now_s = await self.tx(lambda c: c.tx.time_s)
            if now_s >= until_s or stack["op"].get("cancel"):
                return ""
            await self.call.world.sleep(min(MONITOR_EVERY_S, until_s - now_s))

    async def _alarm(self, alarms: list[str]) -> str:
        names = [arn.split(":alarm:")[-1] for arn in alarms]
        request = {"AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
        try:
            answer = await self.acting.request("cloudwatch", "DescribeAlarms", request)
        except Fault as fault:
            return f"Rollback triggers cannot be looked at: {fault.message}"
        found = [*(answer.get("MetricAlarms") or ()), *(answer.get("CompositeAlarms") or ())]
        known = {alarm["AlarmArn"]: alarm["StateValue"] for alarm in found}
        for arn in alarms:
            if arn not in known:
                return f"Rollback trigger {arn} was not found"
            if known[arn] == "ALARM":
                return f"Rollback trigger {arn} breached: alarm is in ALARM state"
        return ""

    async def _forward_step(self, name: str) -> bool:
        stack = await self.tx(self._stack)
        if (alarms := alarms_of(stack)) and (said := await self._alarm(alarms)):
            await self.tx(lambda c: self._cancel(c, said))
        record = await self.tx(lambda c: self._begin(c, name))
        if record is None:
            return True
        if record["step"]["state"] == "failed":
            await self._undo(name)
            return False
        stack, verb = await self.tx(self._stack), record["step"]["verb"]
        new = self._spec(stack, record, record["private"]["properties"])

        async def apply(handler: Resource, looked: Looked) -> Made:
            given = await self._given(handler, new, looked)
            if verb == "import":
                made = await self._take_in(handler, record["import_id"], given)
            elif verb != "update":
                await self._clear(stack, record, looked)
                made = await handler.create(self.acting, given)
            else:
                private = record["private"]
                last = private["last"] if "last" in private else private["before"]["properties"]
                was = replace(new, properties=last)
                old = await self._given(handler, was, looked)
                made = await handler.update(self.acting, record["physical_id"], old, given)
            await self._settled(handler, made.physical_id, given)
            return made

        made, reason, left = await self._do(record["type"], apply)
        await self.tx(lambda c: self._end(c, name, made, reason, left))
        if made is None:
            await self._undo(name)
        return made is not None

    async def _clear(self, stack: Stack, record: Record, looked: Looked) -> None:
        """Delete what a creation that failed before has left: as on AWS, before it is tried again."""
        debris = record["private"].get("debris")
        if debris is None:
            return
        handler = self._handler(debris["type"])
        spec = self._spec(stack, {**debris, "id": record["id"]}, debris["properties"])
        spec = await self._given(handler, spec, looked)
        await handler.delete(self.acting, debris["physical_id"], spec)
        await self._settled(handler, debris["physical_id"], spec, gone=True)

    async def _undo(self, name: str) -> None:
        """Where a failure stays, the resource whose update failed goes back at once to what it was: as on AWS.

        It stays UPDATE_FAILED; if it cannot go back, the next operation updates it whatever its properties.
        """
        record = await self.tx(lambda c: self._to_undo(c, name))
        if record is None:
            return
        stack, last = await self.tx(self._stack), record["private"]["last"]

        async def apply(handler: Resource, looked: Looked) -> Made:
            return await self._taken_back(handler, looked, stack, record, last)

        made, _, _ = await self._do(record["type"], apply)
        await self.tx(lambda c: self._end_undo(c, name, made))

    def _to_undo(self, call: Call, name: str) -> Record | None:
        self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        return record if record is not None and record["step"].get("undo") == "started" else None

    def _end_undo(self, call: Call, name: str, made: Made | None) -> None:
        self._stack(call)
        record = state.record_of(call.tx, self.rows, self.uuid, name)
        assert record is not None
        record["step"]["undo"] = "failed" if made is None else "done"
        if made is not None:
            take(record, made)
            record["private"]["properties"] = record["private"]["last"]
        state.put_record(call.tx, self.rows, self.uuid, record)

    def _cancel(self, call: Call, why: str) -> None:
        stack = self._stack(call)
        stack["op"].update(cancel=True, cancel_reason=why)
        state.put_stack(call.tx, self.rows, stack)

    async def _take_in(self, handler: Resource, physical_id: str, spec: Spec) -> Made:
        if await handler.read(self.acting, physical_id, spec) is None:
            raise Fault("NotFound", f"Resource {physical_id} of type {spec.type} does not exist")
        return await handler.adopt(self.acting, physical_id, spec)

    def _begin(self, call: Call, name: str) -> Record | None:
        """The record with its step begun, or failed at once; None if there is nothing to do."""
        tx, stack = call.tx, self._stack(call)
        record = state.record_of(tx, self.rows, self.uuid, name)
        if record is not None and record["step"]["op"] == self.op_id:
            return None if record["step"]["state"] == "done" else record
        again = record is not None and record["step"]["op"] in operations_of(stack)
        unmade = record is not None and again and is_unmade(record)
        fresh = record is None or record.get("physical_id") is None or unmade
        taken = (stack["op"].get("adopt") or {}).get(name)
        verb = "import" if taken is not None else "create" if fresh else "update"
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
        now = None
        if record is not None and not fresh:
            now = {key: record.get(key) for key in SNAPSHOT}
            now["properties"] = record["private"]["properties"]
            now["secret_attributes"] = record["private"].get("attributes") or {}
            if not reason:
                try:
                    verb, reason = self._verb(call, record, properties, around)
                except Fault as fault:
                    reason = fault.message
                if verb in ("", "keep") and record["step"].get("undo") == "failed":
                    verb = "update"
                if verb == "" and again and record["step"]["state"] == "failed":
                    verb = "keep"
                if verb == "":
                    return None
                if verb == "replace" and stays(stack):
                    verb, reason = "update", NO_REPLACEMENT
            if not reason and verb in ("update", "replace") and record["type"] != STACK:
                action = "Update:Replace" if verb == "replace" else "Update:Modify"
                reason = denial(policy_now(stack), action, name, record["type"])
        before = record["private"].get("before") if again and not unmade and record else now
        kept = now if now and verb != "replace" else None
        begun: Record = {
            "id": name,
            "type": resource["Type"],
            "physical_id": kept["physical_id"] if kept else None,
            "attributes": kept["attributes"] if kept else {},
            "token": str(kept["token"])
            if kept
            else base64.b32encode(call.world.token(20)).decode(),
            "step": {
                "op": self.op_id,
                "verb": verb,
                "state": "started",
                "whole": together(whole(record), verb) if again and record else verb,
            },
            "private": {
                "properties": properties,
                "before": before,
                "last": now["properties"] if now else None,
                "attributes": kept["secret_attributes"] if kept else {},
            },
            **(around or surroundings(resource, set())),
            "indexed": record.get("indexed") if record is not None else None,
        }
        if taken is not None:
            begun["import_id"] = taken
        if record is not None and "stated" in record["private"]:
            begun["private"]["stated"] = record["private"]["stated"]
        if again and record:
            begun["private"].update({key: record["private"][key] for key in olds(record)})
        if unmade and record and record.get("physical_id"):
            begun["private"]["debris"] = {
                **{key: record[key] for key in ("type", "physical_id", "token")},
                "properties": record["private"]["properties"],
            }
        if reason:
            begun["step"]["state"] = "failed"
            if now is not None:
                begun["private"]["properties"] = now["properties"]
            if "debris" in begun["private"]:
                _be_debris(begun)
            if again and record and record["step"].get("undo") == "failed":
                begun["step"]["undo"] = "failed"
            self._say(call, stack, begun, _word(verb, "FAILED"), reason=reason)
        elif verb == "keep":
            begun["step"]["state"] = "done"
            begun["status"], begun["updated_s"] = "UPDATE_COMPLETE", tx.time_s
        else:
            why = ""
            if verb == "replace":
                why = "Requested update requires the creation of a new physical resource; hence creating one."
            if verb == "import":
                why = "Resource import started."
            self._say(call, stack, begun, _word(verb, "IN_PROGRESS"), reason=why)
        state.put_record(tx, self.rows, self.uuid, begun)
        return None if verb == "keep" and not reason else begun

    def _interrupted(self, call: Call, stack: Stack) -> str:
        op, above = stack["op"], stack
        for _ in range(NESTED_DEPTH_MAX + 1):
            if (above.get("op") or {}).get("cancel"):
                if why := above["op"].get("cancel_reason"):
                    return str(why)
                what = "creation" if op["kind"] == "create" else "update"
                return f"Resource {what} cancelled"
            parent = above.get("parent_id")
            if not parent:
                break
            found = state.stack_of(call.tx, self.rows, parent.rsplit("/", 1)[-1])
            if found is None:
                break
            above = found
        if op.get("deadline_s") and call.tx.time_s > op["deadline_s"]:
            return "Stack creation time exceeded the specified timeout"
        return ""

    def _verb(
        self, call: Call, record: Record, properties: dict[str, Any], around: dict[str, Any]
    ) -> tuple[str, str]:
        """What has to be done to a resource that is there: "" for nothing; and why it cannot be."""
        old = record["private"]["properties"]
        differing = [key for key in {*old, *properties} if old.get(key) != properties.get(key)]
        if not differing and record["type"] == STACK:
            return "update", ""
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
            if record["physical_id"] is None and "debris" in record["private"]:
                _be_debris(record)
            if verb == "update" and stays(stack):
                record["step"]["undo"] = "started"
            self._say(call, stack, record, _word(verb, "FAILED"), reason=reason)
        else:
            record["step"]["state"] = "done"
            record["private"].pop("debris", None)
            if verb == "update" and made.physical_id != record["physical_id"]:
                self._replaced(record)  # the handler made another: the old one goes
            before = record["private"].get("before")
            if verb == "replace" and before and made.physical_id == before["physical_id"]:
                can_go_back = self._handler(record["type"]).can("update")
                record["step"]["verb"] = record["step"]["whole"] = (
                    "update" if can_go_back else "keep"
                )  # it is the old one still
            take(record, made)
            self._say(call, stack, record, _word(verb, "COMPLETE"))
        state.put_record(call.tx, self.rows, self.uuid, record)

    @staticmethod
    def _replaced(record: Record) -> None:
        if record["step"]["whole"] == "update":
            record["step"]["verb"] = record["step"]["whole"] = "replace"
            return
        keys = ("type", "physical_id", "token", "needs", "deletion_policy", "replace_policy")
        record["private"][f"old-{record['physical_id']}"] = {
            **{key: record.get(key) for key in keys},
            "properties": record["private"]["last"],
        }

    def _complete(self, call: Call) -> str | None:
        """Everything is as the template wants it: outputs, exports; the template is the stack's own now.

        Answers why not, if an output cannot be.
        """
        stack = self._stack(call)
        op = stack["op"]
        if op.get("cancel"):
            return self._interrupted(call, stack)
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
        private = stack["private"]
        if op.get("held"):  # the stack around this one may still go back
            stack["undo"] = {
                key: stack.get(key) for key in ("template", "exports", "outputs", *_TAKEN)
            }
            private["undo"] = {key: private.get(key) for key in ("parameters", "looked_up")}
        elif stack.get("template") and stack["template"] != op["template"]:
            state.drop_template(call.tx, self.rows, self.uuid, stack["template"])
        stack["outputs"] = outputs
        if not op.get("held"):
            state.keep_imports(call.tx, self.rows, stack, set(op["imports"]))
        stack["template"] = op["template"]
        private["parameters"] = private["op_parameters"]
        private["looked_up"] = private.get("op_looked_up") or {}
        for key in _TAKEN:
            if key in op:
                stack[key] = op[key]
        stack.pop("failed_s", None)
        if op["kind"] == "create":
            self._enter(call, stack, "CREATE_COMPLETE", "")
        elif op["kind"] == "import":
            self._enter(call, stack, "IMPORT_COMPLETE", "")
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
            verb = _VERBS.get(record["step"]["verb"], "create")
            verbs.setdefault(verb, []).append(name)
        said = [reason] if reason else []
        said += [
            f"The following resource(s) failed to {verb}: [{', '.join(names)}]."
            for verb, names in sorted(verbs.items())
        ]
        text = " ".join(said)
        stack["cause"] = text
        if stays(stack):
            op["halted"] = True
            phase = "rollback_cleanup" if op.get("from_create") else "rollback"
            self._enter(call, stack, "UPDATE_FAILED", phase, text)
        elif op["kind"] == "update":
            self._enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS", "rollback", text)
        elif op["kind"] == "import":
            self._enter(call, stack, "IMPORT_ROLLBACK_IN_PROGRESS", "rollback_cleanup", text)
        elif op.get("then") == "delete":
            self._enter(call, stack, "DELETE_IN_PROGRESS", "delete", "User Initiated")
        elif op["on_failure"] == "DELETE":
            self._enter(
                call, stack, "DELETE_IN_PROGRESS", "delete", f"{text} Delete requested by user."
            )
        elif op["on_failure"] == "DO_NOTHING":
            op["halted"] = True
            self._enter(call, stack, "CREATE_FAILED", "rollback_cleanup", text)
        else:
            text = f"{text} Rollback requested by user."
            self._enter(call, stack, "ROLLBACK_IN_PROGRESS", "rollback_cleanup", text)


_TAKEN = ("description", "capabilities", "tags", "secret", "change_set_id", "notify", "monitor")
"""What becomes the stack's when the operation has gone well."""
_VERBS = {"update": "update", "keep": "update", "import": "import"}


def _word(verb: str, ending: str) -> str:
    word = {"create": "CREATE", "import": "IMPORT"}.get(verb, "UPDATE")
    return f"{word}_{ending}"


def stays(stack: Stack) -> bool:
    """Whether a failure of the update leaves the stack as it is then.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
    """
    op = stack["op"]
    return bool(op["kind"] == "update" and op.get("on_failure") == "DO_NOTHING")


def is_unmade(record: Record) -> bool:
    """Whether a creation of it failed; it may have left something behind."""
    step = record["step"]
    return bool(
        step["state"] == "failed" and step["verb"] == "create" and whole(record) == "create"
    )


def _be_debris(record: Record) -> None:
    """The record is of what an earlier creation has left: nothing came of clearing it, or of what should come instead."""
    debris = record["private"].pop("debris")
    record.update({key: debris[key] for key in ("type", "physical_id", "token")})
    record["private"]["properties"] = debris["properties"]


def alarms_of(stack: Stack) -> list[str]:
    monitor = (stack.get("op") or {}).get("monitor") or stack.get("monitor") or {}
    return list(monitor.get("triggers") or ())


def policy_now(stack: Stack) -> str:
    """The policy of the operation, else the stack's own."""
    return str(stack["op"].get("policy") or stack.get("policy") or "")
