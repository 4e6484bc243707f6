"""Drives the engine of workflows against a dict: tasks are functions, time passes when nothing else is left to do."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from typing import Any

from stratolite.workflow import (
    Alarm,
    Around,
    Begin,
    Broke,
    Chance,
    Continue,
    Drop,
    Event,
    Happened,
    Over,
    Rang,
    Run,
    Succeeded,
    Went,
    compile_definition,
    step,
)


class TaskFails(Exception):
    """Of a task: (error, cause)."""


class Execution:
    """One execution from its beginning to its end; ``tasks``: resource -> function of the parameters."""

    def __init__(self, definition: dict[str, Any], input_: Any = None, *, tasks: dict[str, Callable[[Any], Any]] | None = None, moves_max: int = 48, events_max: int = 25_000, seed: int = 1) -> None:  # fmt: skip
        machine, problems = compile_definition(json.dumps(definition))
        assert machine is not None, problems
        self.machine, self.tasks = machine, tasks or {}
        self.memory: dict[Any, bytes] = {}
        self.history: list[Happened] = []
        self.over: Over | None = None
        self.time_s = 1_000_000.0
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._void: dict[int, int] = {}
        self._chance = random.Random(seed)
        self._limits = {"moves_max": moves_max, "events_max": events_max}
        self._todo: list[Event | Run] = [Begin(json.dumps({} if input_ is None else input_))]
        self._count = 0

    def run(self) -> Execution:
        while self.over is None:
            if self._todo:
                self._next(self._todo.pop(0))
                continue
            assert self._alarms, "nothing is left to do, and it is not over"
            due_s, number, alarm = heapq.heappop(self._alarms)
            if number > self._void.get(alarm.line, -1):
                self.time_s = max(self.time_s, due_s)
                self._step(Rang(alarm.line, alarm.wait, alarm.kind))
        return self

    def _next(self, what: Event | Run) -> None:
        if not isinstance(what, Run):
            self._step(what)
            return
        try:
            output = self.tasks[what.resource](json.loads(what.parameters))
        except TaskFails as failed:
            self._step(Broke(what.line, what.wait, *failed.args))
            return
        self._step(Succeeded(what.line, what.wait, json.dumps(output)))

    def _step(self, event: Event) -> None:
        context = {
            "Execution": {"Id": "e"},
            "StateMachine": {"Id": "m", "Name": "m", "Items": [1, 2, 3]},
        }
        chance = Chance(lambda: f"{self._chance.getrandbits(128):032x}", self._chance.random)
        around = Around(self.time_s, chance, lambda: context, **self._limits)
        outcome = step(self.machine, self.memory.get, event, around)
        for key, value in outcome.changes.items():
            self.memory.pop(key, None)
            if value is not None:
                self.memory[key] = value
        self.history += outcome.history
        for command in outcome.commands:
            self._count += 1
            if isinstance(command, Run):
                self._todo.append(command)
            elif isinstance(command, Alarm):
                heapq.heappush(self._alarms, (command.due_s, self._count, command))
            elif isinstance(command, Drop):
                self._void[command.line] = self._count
            elif isinstance(command, Continue):
                self._todo.append(Went())
            elif isinstance(command, Over):
                self.over = command

    @property
    def output(self) -> Any:
        assert self.over is not None
        assert self.over.output is not None, self.over
        return json.loads(self.over.output)

    @property
    def kinds(self) -> list[str]:
        """id<previous kind, for every event."""
        return [f"{e.id}<{e.previous} {e.type}{'.' if e.type else ''}{e.kind}" for e in self.history]  # fmt: skip


def passing(**more: Any) -> dict[str, Any]:
    return {"Type": "Pass", "End": True, **more}


def machine(**states: dict[str, Any]) -> dict[str, Any]:
    """Starts at the first state."""
    return {"StartAt": next(iter(states)), "States": states}


def one(state: dict[str, Any]) -> dict[str, Any]:
    return machine(A=state)
