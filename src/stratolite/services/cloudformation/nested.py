"""AWS::CloudFormation::Stack: a stack inside a stack, carried out by the job of the outermost one.

The inner stack's operation has no job of its own: its parent's step runs it, and runs it on after a crash. An update of
the inner stack that has gone well is *held* before its cleanup, as on AWS: when the parent has gone well too, its cleanup
lets it go on; when not, the inner stack goes back to the template, parameters and outputs kept in its ``undo``.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stack.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.cloudformation import change_tree, stacks, state
from stratolite.services.cloudformation.engine import Operation
from stratolite.services.cloudformation.examination import Before
from stratolite.services.cloudformation.finding import Plain, stack_arn
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.proposal import (
    Nest,
    Proposal,
    Shown,
    before_of,
    given_to,
    prepare,
)
from stratolite.services.cloudformation.state import Stack
from stratolite.services.cloudformation.template_source import read_url


def _uuid(stack_id: str) -> str:
    return stack_id.rsplit("/", 1)[-1]


class Nested(Resource):
    type = "AWS::CloudFormation::Stack"
    unread = frozenset({"TimeoutInMinutes"})
    """It is about the creation alone."""
    by_identifier = False
    attributes_open = True
    time_s_max = 86_400.0

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.generated_name(128)
        shown = await call.transact(lambda c: _shown(c, spec))
        if shown is not None:
            name = shown.stack["name"]
        known = await call.transact(lambda c: _begun(c, name, spec.stack_id))
        if known is None:
            uuid = call.world.uuid() if shown is None else shown.stack["uuid"]
            before = Before(name, stack_arn(call, name, uuid))
            proposal = await self._proposal(call, spec, before, shown)
            known = await call.transact(
                lambda c: self._begin_create(c, spec, before, proposal, shown)
            )
        stack = await self._run(call, known)
        if stack["status"] == "CREATE_COMPLETE":
            return _made(stack)
        raise Plain(
            f"Embedded stack {stack['id']} was not successfully created: {stack.get('cause') or stack['reason']}",
            PhysicalResourceId=stack["id"],
        )

    @staticmethod
    async def _proposal(call: Call, spec: Spec, before: Before, shown: Shown | None) -> Proposal:
        """From the text that a change set has shown, else from where the template is."""
        wanted = spec.properties
        text = shown.text if shown is not None else await read_url(call, wanted["TemplateURL"])
        given = given_to(wanted.get("Parameters") or {})
        nest = Nest(shown=shown.inside if shown is not None else {})
        proposal = await prepare(call, text, given, spec.tags(), before, nest)
        if shown is not None:
            proposal.original = shown.original
        return proposal

    @staticmethod
    def _begin_create(
        call: Call, spec: Spec, before: Before, proposal: Proposal, shown: Shown | None
    ) -> Stack:
        known = _begun(call, before.stack_name, spec.stack_id)
        if known is not None:
            return known
        rows, parent = state.rows_of(call), _parent(call, spec)
        uuid = _uuid(before.stack_id)
        stack = state.stack_of(call.tx, rows, uuid) if shown is not None else None
        fresh = stack is None
        if stack is None:
            stack = stacks.new_stack(call, before.stack_name, uuid, "")
        stack["role_arn"] = parent["role_arn"]
        stack["parent_id"], stack["root_id"] = parent["id"], parent.get("root_id") or parent["id"]
        stack["notify"] = spec.properties.get("NotificationARNs") or []
        minutes = spec.properties.get("TimeoutInMinutes")
        stack["timeout_minutes"] = minutes
        on_failure = parent["op"].get("on_failure") or "ROLLBACK"
        stack["on_failure"] = on_failure = (
            "DO_NOTHING" if on_failure == "DO_NOTHING" else "ROLLBACK"
        )
        if fresh:
            state.add_stack(call.tx, rows, stack)
        members = {
            "tags": spec.tags(),
            "capabilities": parent["op"].get("capabilities") or [],
            "on_failure": on_failure,
            "deadline_s": call.tx.time_s + 60 * int(minutes) if minutes else None,
            "step": spec.step,
            "notify": stack["notify"],
        }
        _begin(call, stack, "create", proposal, members, shown)
        return stack

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        stack = await call.transact(lambda c: _there(c, physical_id))
        op = stack.get("op")
        if op is None and not new.step.endswith("-back") and stack.get("last_step") != new.step:
            return await self._update(call, stack, new)
        if op is not None and op.get("step") in (new.step, new.step.removesuffix("-back")):
            stack = await call.transact(lambda c: self._go_on(c, physical_id, new.step))
            stack = await self._run(call, stack)
        return self._updated(stack, new.step)

    async def _update(self, call: Call, stack: Stack, new: Spec) -> Made:
        records = await call.transact(
            lambda c: state.records(c.tx, state.rows_of(c), stack["uuid"])
        )
        shown = await call.transact(lambda c: _shown(c, new))
        proposal = await self._proposal(call, new, before_of(stack, records), shown)
        tags = new.tags()
        notify = new.properties.get("NotificationARNs") or []
        same = tags == stack["tags"] and notify == (stack.get("notify") or [])
        if shown is None and not proposal.changed and same:
            return _made(stack)
        stack = await call.transact(
            lambda c: self._begin_update(c, stack, new, proposal, tags, shown)
        )
        return self._updated(await self._run(call, stack), new.step)

    @staticmethod
    def _begin_update(
        call: Call,
        looked_at: Stack,
        new: Spec,
        proposal: Proposal,
        tags: dict[str, str],
        shown: Shown | None,
    ) -> Stack:
        stack = stacks.unchanged_since(call, looked_at)
        parent = _parent(call, new)
        stack["role_arn"] = parent["role_arn"]
        stack["last_step"] = new.step
        members = {
            "tags": tags,
            "capabilities": parent["op"].get("capabilities") or [],
            "step": new.step,
            "held": True,
            "notify": new.properties.get("NotificationARNs") or [],
        }
        _begin(call, stack, "update", proposal, members, shown)
        return stack

    @staticmethod
    def _go_on(call: Call, stack_id: str, step: str) -> Stack:
        """The operation under way goes on; one that has gone well and is held turns round for a way back."""
        rows, stack = state.rows_of(call), _there(call, stack_id)
        op = stack["op"]
        if op is not None and step.endswith("-back") and op.get("step") != step:
            op["step"] = step
            if op["phase"] == "cleanup" and op.get("held"):
                turn_round(call, stack)
        if op is not None and op.get("halted"):
            op["halted"] = False
            stacks.enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS")
        state.put_stack(call.tx, rows, stack)
        return stack

    @staticmethod
    def _updated(stack: Stack, step: str) -> Made:
        good = ["UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "CREATE_COMPLETE"]
        if step.endswith("-back"):
            good.append("UPDATE_ROLLBACK_COMPLETE")
        if stack["status"] in good:
            return _made(stack)
        raise Plain(
            f"Embedded stack {stack['id']} was not successfully updated. Currently in {stack['status']}"
            f" with reason: {stack.get('cause') or stack['reason']}"
        )

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        stack = await call.transact(lambda c: self._begin_delete(c, physical_id, spec))
        if stack is None:
            return
        stack = await self._run(call, stack)
        if stack["status"] != "DELETE_COMPLETE":
            raise Plain(stack["reason"] or f"Stack {physical_id} is {stack['status']}")

    @staticmethod
    def _begin_delete(call: Call, stack_id: str, spec: Spec) -> Stack | None:
        rows = state.rows_of(call)
        stack = state.stack_of(call.tx, rows, _uuid(stack_id))
        if stack is None or stack["status"] == "DELETE_COMPLETE":
            return None
        op = stack.get("op")
        if op is not None and op["kind"] == "delete":
            return stack
        stacks.begin_delete(call, stack, {"step": spec.step}, inside=True)
        return stack

    @staticmethod
    async def _run(call: Call, stack: Stack) -> Stack:
        """The stack once its operation has ended, or is held."""
        if stack["op"] is not None:
            await Operation(call, stack["uuid"], stack["op"]["id"]).run()
        return await call.transact(lambda c: _there(c, stack["id"], deleted=True))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        try:
            stack = await call.transact(lambda c: _there(c, physical_id))
        except Fault:
            return None
        values = stack["private"]["parameters"]
        given = spec.properties.get("Parameters") or {}
        made: dict[str, Any] = {
            "TemplateURL": spec.properties.get("TemplateURL"),
            "Tags": [{"Key": k, "Value": v} for k, v in stack["tags"].items()],
            "NotificationARNs": stack.get("notify") or [],
        }
        if given:
            made["Parameters"] = {
                key: value if values.get(key) == _given(value) else values.get(key)
                for key, value in given.items()
            }
        return made


def _given(value: Any) -> str:
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def turn_round(call: Call, stack: Stack) -> None:
    """An update that has gone well and is held goes back: what the stack was is in its ``undo``."""
    rows, undo = state.rows_of(call), stack.pop("undo")
    for key, value in undo.items():
        if key != "exports":
            stack[key] = value
    stack["private"].update(stack["private"].pop("undo"))
    exports = {row["export"]: row["value"] for row in undo["outputs"] if "export" in row}
    state.set_exports(call.tx, rows, stack, exports)
    stack["op"].update(phase="rollback", held=False)
    stacks.enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS")


def _begin(
    call: Call,
    stack: Stack,
    kind: str,
    proposal: Proposal,
    members: dict[str, Any],
    shown: Shown | None,
) -> None:
    """Start the inner operation; the change set that has shown it, if there is one, is carried out with it."""
    if shown is None:
        stacks.clear_changes(call, stack)
        stacks.begin(call, stack, kind, proposal, members, inside=True)
        return
    rows, changes = state.rows_of(call), shown.changes
    stacks.clear_changes(call, stack, keep=changes["name"])
    members |= {"change_set_id": changes["id"], "nested": changes["nested"]}
    stack["change_set_id"] = changes["id"]
    stacks.begin(call, stack, kind, proposal, members, inside=True)
    state.drop_template(call.tx, rows, stack["uuid"], changes["template"])
    changes.update(execution="EXECUTE_COMPLETE", reason="", template=stack["op"]["template"])
    state.put_changes(call.tx, rows, stack["uuid"], changes)


def _shown(call: Call, spec: Spec) -> Shown | None:
    """What the parent's operation has of the nested stack, where a change set with nested ones is carried out."""
    name, tree = spec.logical_id, (_parent(call, spec)["op"] or {}).get("nested") or {}
    if name not in tree:
        return None
    found = change_tree.shown_by(call, {"nested": {name: tree[name]}}).get(name)
    if found is None:
        raise Plain(f"The change set of nested stack {spec.logical_id} is not there any more")
    return found


def _begun(call: Call, name: str, parent_id: str) -> Stack | None:
    """The nested stack if its operation was begun before."""
    stack = state.named_stack(call.tx, state.rows_of(call), name)
    if stack is None or stack.get("parent_id") != parent_id:
        return None
    return None if stack["status"] == "REVIEW_IN_PROGRESS" else stack


def _there(call: Call, stack_id: str, *, deleted: bool = False) -> Stack:
    stack = state.stack_of(call.tx, state.rows_of(call), _uuid(stack_id))
    if stack is None or (stack["status"] == "DELETE_COMPLETE" and not deleted):
        raise Fault("NotFound", f"Stack {stack_id} does not exist")
    return stack


def _parent(call: Call, spec: Spec) -> Stack:
    parent = state.stack_of(call.tx, state.rows_of(call), _uuid(spec.stack_id))
    assert parent is not None
    return parent


def _made(stack: Stack) -> Made:
    outputs = {row["key"]: row["value"] for row in stack["outputs"]}
    return Made(stack["id"], {"Outputs": outputs})
