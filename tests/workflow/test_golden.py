"""An execution remembered by an earlier edition goes on in this one: the stored form and the history so far must still be understood.

Run as a program it writes the file anew, for a new format beside the old one: ``python tests/workflow/test_golden.py FILE``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from workflows import Execution, machine, one, passing

from stratolite.workflow import Rang, Succeeded

GOLDEN = Path(__file__).parents[1] / "golden"
TASK = "arn:task"
DEFINITION = {
    "StartAt": "V",
    "States": {
        "V": {"Type": "Pass", "Assign": {"unit": "kg"}, "Next": "M"},
        "M": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 2,
            "ItemProcessor": machine(
                T={"Type": "Task", "Resource": TASK, "Retry": [{"ErrorEquals": ["E"]}], "Next": "W"},
                W={"Type": "Wait", "Seconds": 60, "Next": "P"},
                P=passing(Parameters={"n.$": "$", "unit.$": "$unit", "at.$": "$$.Map.Item.Index"}),
            ),
            "ResultPath": "$.done",
            "Next": "E",
        },
        "E": {"Type": "Parallel", "Branches": [one(passing()), one(passing(Result=2))], "End": True},
    },
}  # fmt: skip


def begun() -> Execution:
    """One iteration waits, another has its task under way, one has yet to begin."""
    made = Execution(DEFINITION, {"items": [5, 6, 7]}, tasks={TASK: lambda n: n * 10})
    while len(made.history) < 14:
        made._next(made._todo.pop(0))
    return made


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("workflow-*.json")), ids=lambda path: path.stem)
def test_an_execution_begun_long_ago_goes_on(path: Path) -> None:
    kept = json.loads(path.read_text())
    made = Execution(kept["definition"], tasks={TASK: lambda n: n * 10})
    made.memory = {tuple(key): bytes.fromhex(value) for key, value in kept["memory"]}
    made._todo = [Rang(*event) if kind == "rang" else Succeeded(*event) for kind, event in kept["events"]]  # fmt: skip
    made.run()
    done = [{"n": n, "unit": "kg", "at": at} for at, n in enumerate((50, 60, 70))]
    assert made.output == [{"items": [5, 6, 7], "done": done}, 2]
    first = kept["history"] + 1
    assert [event.id for event in made.history] == list(range(first, first + len(made.history)))
    assert set(made.memory) == {("root",)}


def test_what_is_remembered_is_written_as_it_was() -> None:
    """A change of the stored form is a new golden file, not an accident."""
    newest = json.loads(max(GOLDEN.glob("workflow-*.json")).read_text())
    assert dumped(begun()) == newest


def dumped(made: Execution) -> dict[str, object]:
    events = [["succeeded", [what.line, what.wait, "60"]] for what in made._todo]
    events += [["rang", [alarm.line, alarm.wait, alarm.kind]] for _, _, alarm in sorted(made._alarms)]  # fmt: skip
    memory = [[list(key), value.hex()] for key, value in sorted(made.memory.items(), key=repr)]
    return {"definition": DEFINITION, "history": len(made.history), "events": events, "memory": memory}  # fmt: skip


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(dumped(begun()), indent=1) + "\n")
