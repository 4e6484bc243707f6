"""Random histories of a stack, the last operation cut off at a random boundary, against a model.

After every operation what is outside is either what the new template wants or exactly what was there before,
as the model says; every reference leads to the thing that is there now.
"""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

from stratolite.errors import Fault

NAMES = "ABCDE"


@st.composite
def wanted(draw: Any) -> dict[str, Any]:
    """Resources that refer only to earlier ones; now and then one whose creation fails."""
    resources: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)):
        earlier = sorted(resources)
        more: dict[str, Any] = {"Name": draw(st.sampled_from("xy"))}
        if earlier and draw(st.booleans()):
            more["Text"] = {"Ref": draw(st.sampled_from(earlier))}
        if earlier and draw(st.booleans()):
            more["DependsOn"] = [draw(st.sampled_from(earlier))]
        if draw(st.integers(0, 7)) == 0:
            more["Refuse"] = "create"
        resources[name] = thing(draw(st.integers(1, 2)), **more)
    return resources


def shape(resources: dict[str, Any]) -> list[tuple[str, Any, bytes]]:
    found = ((n, r["Properties"]) for n, r in resources.items())
    return sorted((n, p["Name"], str(p["Size"]).encode()) for n, p in found)


def fails(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a thing that refuses has to be made."""
    for name, resource in new.items():
        if "Refuse" in resource["Properties"]:
            before = old.get(name)
            if before is None or before["Properties"]["Name"] != resource["Properties"]["Name"]:
                return True
    return False


def check(outside: Outside, resources: dict[str, Any]) -> None:
    assert outside.shape() == shape(resources)
    ids = {t["logical_id"]: i for i, t in outside.things.items()}
    for there in outside.things.values():
        properties = resources[there["logical_id"]]["Properties"]
        if "Text" in properties:
            assert there["Text"] == ids[properties["Text"]["Ref"]]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(wanted(), min_size=1, max_size=4), cut_at=st.integers(0, 60))
def test_any_history_ends_where_the_model_says(history: list[dict[str, Any]], cut_at: int) -> None:
    outside = Outside()
    now: dict[str, Any] = {}

    async def act(h: Any, new: dict[str, Any]) -> None:
        operation = "UpdateStack" if now else "CreateStack"
        await h("cloudformation", operation, StackName="s", TemplateBody=template(new))

    async def play(h: Any) -> None:
        nonlocal now
        for new in history[:-1]:
            try:
                await act(h, new)
            except Fault as fault:
                assert fault.message == "No updates are to be performed."
                continue
            status = (await settled(h, "s"))["StackStatus"]
            if fails(now, new):
                assert "ROLLBACK_COMPLETE" in status
            else:
                assert status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
                now = new
            check(outside, now)
            if not now:
                await h("cloudformation", "DeleteStack", StackName="s")
                gone = (await h("cloudformation", "ListStacks"))["StackSummaries"][0]["StackId"]
                assert (await settled(h, gone))["StackStatus"] == "DELETE_COMPLETE"

    async def last(h: Any) -> None:
        try:
            await act(h, history[-1])
            await settled(h, "s")
        except Fault as fault:
            assert fault.message == "No updates are to be performed."

    async def end(h: Any) -> None:
        try:
            status = (await settled(h, "s"))["StackStatus"]
        except Fault:  # cut off before it was acknowledged
            assert not outside.things
            return
        went_through = status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        if went_through and (await h("cloudformation", "GetTemplate", StackName="s"))[
            "TemplateBody"
        ] == template(history[-1]):
            assert not fails(now, history[-1])
            check(outside, history[-1])
        else:
            check(outside, now)

    with tempfile.TemporaryDirectory() as folder:
        in_cloud(f"{folder}/c", outside, play)
        outside.passed, outside.cut_at = 0, cut_at
        in_cloud(f"{folder}/c", outside, last, until_cut=True)
        outside.passed, outside.cut_at = 0, -1
        in_cloud(f"{folder}/c", outside, end)
