"""Whose a resource is: one look into an index, however many stacks there are."""

from __future__ import annotations

from typing import Any

import pytest
from meter import Meter
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

from stratolite.errors import Fault
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.quotas import DELETED_KEPT_S


async def make(h: Any, name: str, **resources: Any) -> dict[str, str]:
    """Logical id -> physical id."""
    body = template(resources or {"A": thing(), "B": thing()})
    await h("cloudformation", "CreateStack", StackName=name, TemplateBody=body)
    await settled(h, name)
    return await ids(h, name)


async def ids(h: Any, name: str) -> dict[str, str]:
    found = await h("cloudformation", "DescribeStackResources", StackName=name)
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found["StackResources"]}


async def owner(h: Any, physical_id: str) -> str:
    try:
        found = await h("cloudformation", "DescribeStackResources", PhysicalResourceId=physical_id)
    except Fault as fault:
        assert fault.message == f"Stack for {physical_id} does not exist"
        return ""
    return str(found["StackResources"][0]["StackName"])


def rows_left(h: Any) -> Any:
    """The index as it is."""

    def look(call: Any) -> list[Any]:
        rows = state.rows_of(call)
        return [rows.keys.parts(key)[1:] for key, _ in call.tx.scan(rows.keys.span("owned"))]

    return h.call().transact(look)


def test_the_owner_is_found_at_the_same_cost_among_many_stacks(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        last = await make(h, "z")
        assert await owner(h, last["A"]) == "z"
        meter = Meter(h.cloud.db, "cloudformation")
        assert await owner(h, last["A"]) == "z"
        alone = meter.taken()
        for n in range(12):
            await make(h, f"a{n}")
        meter.taken()
        assert await owner(h, last["A"]) == "z"
        assert meter.taken() == alone > 0
        assert await owner(h, "nobodys") == ""
        assert meter.taken() < alone

    in_cloud(str(tmp_path), Outside(), body)


def test_what_was_replaced_removed_or_rolled_back_is_nobodys(tmp_path: Any) -> None:
    """The index follows each way in which a stack lets go of something, and is gone with the stack."""
    folder, outside = str(tmp_path), Outside()

    async def body(h: Any) -> None:
        before = await make(h, "s", A=thing(Name="a"), B=thing(), C=thing(DeletionPolicy="Retain"))
        new = template({"A": thing(Name="b"), "C": thing(DeletionPolicy="Retain")})
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=new)
        await settled(h, "s")
        now = await ids(h, "s")
        assert now["A"] != before["A"]
        assert [await owner(h, i) for i in (before["A"], before["B"])] == ["", ""]
        assert [await owner(h, i) for i in (now["A"], now["C"])] == ["s", "s"]
        broken = template(
            {
                "A": thing(Name="c"),
                "C": thing(DeletionPolicy="Retain"),
                "D": thing(Refuse="create", DependsOn="A"),
            }
        )
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=broken)
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert await owner(h, now["A"]) == "s"
        assert len(await rows_left(h)) == 2
        stack = await settled(h, "s")
        await h("cloudformation", "DeleteStack", StackName="s")
        await settled(h, stack["StackId"])
        assert await rows_left(h) == []
        assert await owner(h, now["C"]) == ""

    in_cloud(folder, outside, body)


def test_what_could_not_be_deleted_is_forgotten_with_its_stack(tmp_path: Any) -> None:
    """A forced deletion leaves the resource; the stack is no owner any more, and in the end no row of it is left."""
    folder, outside = str(tmp_path), Outside()

    async def body(h: Any) -> str:
        made = await make(h, "s", A=thing(Refuse="delete"))
        stack = await settled(h, "s")
        await h("cloudformation", "DeleteStack", StackName="s")
        assert (await settled(h, "s"))["StackStatus"] == "DELETE_FAILED"
        assert await owner(h, made["A"]) == "s"
        force = {"DeletionMode": "FORCE_DELETE_STACK"}
        await h("cloudformation", "DeleteStack", StackName="s", **force)
        await settled(h, stack["StackId"])
        assert await owner(h, made["A"]) == ""
        assert len(await rows_left(h)) == 1
        return str(stack["StackId"])

    async def later(h: Any) -> None:
        with pytest.raises(Fault, match="does not exist"):
            while await h("cloudformation", "DescribeStacks", StackName=stack_id):
                await h.cloud.world.sleep(0.01)
        assert await rows_left(h) == []

    stack_id = in_cloud(folder, outside, body)
    in_cloud(folder, outside, later, later_s=DELETED_KEPT_S + 1)


def test_stacks_from_before_the_index_are_indexed_at_the_first_question(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        made = {n: await make(h, f"s{n:02}") for n in range(25)}

        def forget(call: Any) -> None:
            rows = state.rows_of(call)
            for key, _ in list(call.tx.scan(rows.keys.span("owned"))):
                call.tx.delete(key)
            for stack in state.live_stacks(call.tx, rows, "", 100):
                for record in state.records(call.tx, rows, stack["uuid"]):
                    record.pop("indexed")
                    key = rows.keys.key("resource", stack["uuid"], record["id"])
                    call.tx.put(key, state.pack_row(rows, record))

        await h.call().transact(forget)
        assert await owner(h, made[24]["B"]) == "s24"
        assert len(await rows_left(h)) == 50

    in_cloud(str(tmp_path), Outside(), body)
