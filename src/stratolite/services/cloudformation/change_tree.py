"""The change sets of a stack and of the stacks nested in it, made, carried out and deleted as one.

A change set's ``nested`` is {logical id: [stack uuid, change set name]} of those one level below; theirs have ``parent_id`` and
``root_id``. A nested stack that is to be made is there already, REVIEW_IN_PROGRESS and without a template.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/change-sets-for-nested-stacks.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stratolite.service import Call
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.proposal import Shown
from stratolite.services.cloudformation.state import Stack


def below(call: Call, changes: dict[str, Any]) -> Iterator[tuple[str, Stack, dict[str, Any]]]:
    """(logical id, stack, change set) one level below, of those that are still there."""
    rows = state.rows_of(call)
    for logical_id, (uuid, name) in (changes.get("nested") or {}).items():
        stack = state.stack_of(call.tx, rows, uuid)
        found = state.changes_named(call.tx, rows, uuid, name)
        if stack is not None and found is not None:
            yield logical_id, stack, found


def is_whole(call: Call, changes: dict[str, Any]) -> bool:
    """Whether none of the tree is gone: a nested stack that was changed or deleted meanwhile takes its own along."""
    found = list(below(call, changes))
    return len(found) == len(changes.get("nested") or {}) and all(
        is_whole(call, inner) for _, _, inner in found
    )


def shown_by(call: Call, changes: dict[str, Any]) -> dict[str, Shown]:
    """Logical id -> what the tree says of the nested stack."""
    rows, made = state.rows_of(call), {}
    for logical_id, stack, inner in below(call, changes):
        place = (call.tx, rows, stack["uuid"], inner["template"])
        original = state.template_text(*place, "original")
        text = original if inner["later"] else state.template_text(*place, "processed")
        made[logical_id] = Shown(stack, inner, original, text, shown_by(call, inner))
    return made


def drop_changes(call: Call, stack: Stack, changes: dict[str, Any]) -> None:
    """Forget a change set with those below it, their templates if not in use, and the stacks made for it alone."""
    rows, op = state.rows_of(call), stack.get("op")
    executed = changes["execution"] == "EXECUTE_COMPLETE"
    if not executed or op is None or op.get("halted"):
        drop_below(call, changes)
    state.drop_changes(call.tx, rows, stack["uuid"], changes)
    if changes["template"] not in (None, stack["template"]) and not executed:
        state.drop_template(call.tx, rows, stack["uuid"], changes["template"])


def drop_below(call: Call, changes: dict[str, Any]) -> None:
    """What is below a change set, or an operation that is over, except what was carried out."""
    for _, stack, inner in list(below(call, changes)):
        if inner["execution"] == "EXECUTE_COMPLETE":
            continue
        drop_changes(call, stack, inner)
        if stack["status"] == "REVIEW_IN_PROGRESS":
            state.retire(call, state.rows_of(call), stack)
