"""One step of an execution: a pure function of the machine, what is remembered, and what has happened.

    outcome = step(machine, read, Begin('{"n": 1}'), around)
    outcome.changes      # what to remember: key -> bytes, or None for what to forget
    outcome.history      # what happened, in order, with ids
    outcome.commands     # what to do now: Run, Alarm, Drop, Continue, Over

Whoever calls keeps all three in one transaction and comes back with what became of the commands. Time, chance and the
context object come with ``around``; nothing else is looked at. A step makes at most ``MOVES_MAX`` moves: where more could
be made it ends with Continue.

The order and the previous ids of events are as AWS records them: a line of control goes on from its own newest event, an
iteration that takes a finished one's place from that one's, and whoever fails takes its state's siblings with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import orjson

from stratolite.workflow import paths
from stratolite.workflow.definition import (
    NULL,
    Catcher,
    Compute,
    LateQueryTrouble,
    Machine,
    State,
    read_path,
)
from stratolite.workflow.failures import (
    DATA_LIMIT,
    HEARTBEAT,
    QUERY,
    RUNTIME,
    TIMEOUT,
    Failed,
    QueryTrouble,
    Trouble,
    is_named,
)
from stratolite.workflow.memory import ITEMS_PAGE, Doc, Key, Line, Memory, Read
from stratolite.workflow.surroundings import Chance, View

DATA_BYTES_MAX = 262_144
EVENTS_MAX = 25_000
MOVES_MAX = 48
ITERATIONS_MAX = 40
"""Of one Map state at once."""


# -- what has happened


class Begin(NamedTuple):
    """The execution starts."""

    input: str


class Went(NamedTuple):
    """There are moves left from the step before."""


class Fetched(NamedTuple):
    """Somebody has taken a task that waited to be fetched."""

    line: int
    wait: str
    who: str | None


class Submitted(NamedTuple):
    """A task's request was answered; its end is yet to come."""

    line: int
    wait: str
    output: str


class Succeeded(NamedTuple):
    line: int
    wait: str
    output: str


class Broke(NamedTuple):
    """A task failed. ``is_start``: its request could not even be made; ``is_submit``: it was refused."""

    line: int
    wait: str
    error: str | None
    cause: str | None


class Beat(NamedTuple):
    """A task is still alive."""

    line: int
    wait: str


class Rang(NamedTuple):
    """An Alarm's time has come."""

    line: int
    wait: str
    kind: str


class Stop(NamedTuple):
    error: str | None
    cause: str | None


class TimeUp(NamedTuple):
    """The machine's TimeoutSeconds are over."""


Event = Begin | Went | Fetched | Submitted | Succeeded | Broke | Beat | Rang | Stop | TimeUp


# -- what to do


class Run(NamedTuple):
    """Carry out a task. ``is_held``: somebody will fetch it."""

    line: int
    wait: str
    resource: str
    parameters: str
    credentials: str
    is_held: bool


class Alarm(NamedTuple):
    """``kind``: wait, retry, timeout or heartbeat; a new heartbeat takes the old one's place."""

    line: int
    wait: str
    kind: str
    due_s: float


class Drop(NamedTuple):
    """Whatever was to be done or to ring for the line is void."""

    line: int


class Continue(NamedTuple):
    pass


class Over(NamedTuple):
    """``status``: succeeded, failed, aborted or timed_out."""

    status: str
    output: str | None
    error: str | None
    cause: str | None


Command = Run | Alarm | Drop | Continue | Over


class Happened(NamedTuple):
    """An event of the history. ``kind`` is like task_scheduled; ``type`` the state's type, "" for the execution's own."""

    id: int
    previous: int
    kind: str
    type: str
    details: dict[str, Any]


class Outcome(NamedTuple):
    changes: dict[Key, bytes | None]
    history: list[Happened]
    commands: list[Command]


@dataclass(frozen=True, slots=True)
class Around:
    """What a step knows of the world."""

    time_s: float
    chance: Chance
    context: Callable[[], Mapping[str, Any]]
    """Gives the context object's Execution and StateMachine."""
    token: Callable[[int, str, str], str] = lambda line, wait, resource: f"{line}/{wait}"
    """The task token of a line's waiting for a resource, "" where it takes none."""
    is_held: Callable[[str], bool] = lambda resource: False
    """Whether the resource's tasks wait until somebody fetches them. Raises Trouble for a resource that is not there."""
    moves_max: int = MOVES_MAX
    events_max: int = EVENTS_MAX


def step(machine: Machine, read: Read, event: Event, around: Around) -> Outcome:
    """What comes of ``event``; nothing at all for one that comes too late."""
    made = _Step(machine, read, around)
    made.take(event)
    return Outcome(made.memory.finish(), made.history, made.commands)


class _TooLong(Exception):
    """The history is full."""


class _Step:
    def __init__(self, machine: Machine, read: Read, around: Around) -> None:
        self.machine, self.around = machine, around
        self.memory = Memory(read)
        self.history: list[Happened] = []
        self.commands: list[Command] = []

    def take(self, event: Event) -> None:
        if self.memory.root.is_over:
            return
        try:
            self._take(event)
            self._move()
        except _TooLong:
            cause = f"The execution reached the maximum number of history events ({self.around.events_max})."
            self._end("failed", self.memory.root.events, None, RUNTIME, cause)

    def _take(self, event: Event) -> None:
        if isinstance(event, Begin):
            self._emit(0, "execution_started", "", input=event.input)
            self._add_line(0, 0, [], event.input, 0, "")
        elif isinstance(event, Stop):
            self._end("aborted", 0, None, event.error, event.cause)
        elif isinstance(event, TimeUp):
            self._end("timed_out", 0, None, TIMEOUT, None)
        elif not isinstance(event, Went):
            line = self.memory.line(event.line)
            if line is not None and line.wait == event.wait and line.wait:
                self._resume(line, event)

    # -- lines

    def _add_line(
        self, parent: int, index: int, place: list[tuple[str, int]], input_: str, last: int, item: str
    ) -> Line:  # fmt: skip
        root = self.memory.root
        root.lines += 1
        start = self.machine.at(tuple(place)).start
        line = Line(root.lines, parent, index, place, start, input_, last, item=item)
        self.memory.add(line)
        root.ready.append((line.id, "enter"))
        return line

    def _move(self) -> None:
        root = self.memory.root
        for _ in range(self.around.moves_max):
            if not root.ready or root.is_over:
                return
            id_, verb = root.ready.pop(0)
            line = self.memory.line(id_)
            if line is None:
                continue
            state = self._state(line)
            if verb == "enter":
                line.before, line.retries = line.last, [0] * len(state.retry)
                line.entered = self._say(line, "state_entered", name=state.name, input=line.input)
                line.entered_s = self.around.time_s
                self._guard(line, state, self._work)
            elif verb == "work":
                self._guard(line, state, self._work)
            elif verb == "begin":
                self._guard(line, state, self._begin_task)
        if root.ready and not root.is_over:
            self.commands.append(Continue())

    def _state(self, line: Line) -> State:
        return self.machine.at(tuple(line.place)).states[line.state]

    def _guard(self, line: Line, state: State, work: Callable[[Line, State], None]) -> None:
        """What goes wrong in the state becomes its failure."""
        try:
            work(line, state)
        except QueryTrouble as trouble:
            cause = self._placed(line, trouble.message)
            was_late = isinstance(trouble, LateQueryTrouble) or line.last != line.entered
            details = {"error": QUERY, "cause": cause, "state": state.name}
            if trouble.location is not None:
                details["location"] = trouble.location
            previous = line.last if was_late else line.before
            line.last = self._emit(previous, "evaluation_failed", "", **details)
            self._fail(line, state, QUERY, cause)
        except Trouble as trouble:
            was_started = line.last != line.entered
            cause = self._placed(line, trouble.message)
            self._fail(line, state, trouble.error, cause, was_started=was_started)
        except Failed as failed:
            self._fail(line, state, failed.error, failed.cause)
        except RecursionError:
            self._fail(line, state, RUNTIME, self._placed(line, "The data is nested too deep."))

    def _placed(self, line: Line, message: str) -> str:
        return f"An error occurred while executing the state '{line.state}' (entered at the event id #{line.entered}). {message}"

    # -- events

    def _emit(self, previous: int, kind: str, type_: str, **details: Any) -> int:
        root = self.memory.root
        if root.events >= self.around.events_max - 1 and kind not in _LAST:
            raise _TooLong
        root.events += 1
        self.history.append(Happened(root.events, previous, kind, type_, details))
        return root.events

    def _say(self, line: Line, kind: str, **details: Any) -> int:
        """An event of the line's state, which is then its newest."""
        line.last = self._emit(line.last, kind, self._state(line).type, **details)
        return line.last

    # -- what a state sees

    def _view(self, line: Line, data: Any, **extra: Any) -> View:
        variables: dict[str, Any] = {}
        item = ""
        at: Line | None = line
        while at is not None:
            if at.variables != "{}":
                variables = {**orjson.loads(at.variables), **variables}
            item = item or at.item
            at = self.memory.line(at.parent) if at.parent else None
        entered, tries = iso_ms(line.entered_s), sum(line.retries)
        state = self._state(line)
        token = ""
        if line.wait and line.doing == "task":
            token = self.around.token(line.id, line.wait, state.resource)

        def context() -> dict[str, Any]:
            made = dict(self.around.context())
            made["State"] = {"Name": line.state, "EnteredTime": entered}
            if state.type in ("Task", "Parallel", "Map"):
                made["State"]["RetryCount"] = tries
            if item:
                made["Map"] = {"Item": orjson.loads(item)}
            if token:
                made["Task"] = {"Token": token}
            return made

        return View(data, context, variables, self.around.chance, self.around.time_s, extra)

    def _effective(self, line: Line, state: State) -> tuple[Doc, View]:
        """The input behind InputPath, and what expressions see."""
        raw = Doc.of(line.input)
        view = self._view(line, raw.value)
        if state.input_path is None:
            return raw, view
        data = Doc({}) if state.input_path is NULL else Doc(read_path(state.input_path, view))
        return data, view.of(data.value)

    # -- entering a state

    def _work(self, line: Line, state: State) -> None:
        line.doing, line.wait, line.is_submitted = "", "", False
        _WORK[state.type](self, line, state)

    def _pass(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        if state.has_queries:
            self._leave(line, state, data, view)
            return
        result = data
        if state.parameters is not None:
            result = Doc(state.parameters(view))
        if "Result" in state.raw:
            result = Doc(state.raw["Result"])
        self._leave(line, state, self._merged(line, state, result), view.of(result.value))

    def _succeed(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        self._leave(line, state, data, view)

    def _fail_state(self, line: Line, state: State) -> None:
        _, view = self._effective(line, state)
        texts = []
        for compute in (state.error, state.cause):
            value = None if compute is None else compute(view)
            texts.append(value if value is None or isinstance(value, str) else orjson.dumps(value).decode())  # fmt: skip
        self._lose(line, *texts)

    def _wait(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        assert state.wait is not None
        due_s = state.wait(view)
        if due_s <= self.around.time_s:
            self._leave(line, state, data, view)
            return
        self._await(line, "wait")
        self.commands.append(Alarm(line.id, line.wait, "wait", due_s))

    def _choice(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        for rule in state.rules:
            if rule.test(view):
                self._leave(line, state, data, view, next_=rule.next, assign=rule.assign, output=rule.output)  # fmt: skip
                return
        if state.default is None:
            raise Trouble("Failed to transition out of the state. The state does not point to a next state.", "States.NoChoiceMatched")  # fmt: skip
        self._leave(line, state, data, view, next_=state.default, assign=state.assign)

    def _await(self, line: Line, doing: str) -> None:
        line.doing, line.wait = doing, self.around.chance.uuid()

    # -- tasks

    def _task(self, line: Line, state: State) -> None:
        self._await(line, "task")
        data, view = self._effective(line, state)
        if state.parameters is not None:
            data = Doc(state.parameters(view))
        timeout_s = None if state.timeout is None else state.timeout(view)
        heartbeat_s = None if state.heartbeat is None else state.heartbeat(view)
        credentials = "" if state.credentials is None else Doc(state.credentials(view)).text
        self._check_size(state.name, data)
        is_held = self.around.is_held(state.resource)
        line.heartbeat_s = heartbeat_s or 0.0
        self._say(
            line,
            "task_scheduled",
            resource=state.resource,
            parameters=data.text,
            timeout_s=timeout_s,
            heartbeat_s=heartbeat_s,
            credentials=credentials,
        )
        run = Run(line.id, line.wait, state.resource, data.text, credentials, is_held)
        self.commands.append(run)
        if timeout_s is not None:
            due_s = self.around.time_s + timeout_s
            self.commands.append(Alarm(line.id, line.wait, "timeout", due_s))
        if not is_held:
            self.memory.root.ready.append((line.id, "begin"))

    def _begin_task(self, line: Line, state: State) -> None:
        self._say(line, "task_started", resource=state.resource)
        self._listen(line)

    def _listen(self, line: Line) -> None:
        if line.heartbeat_s:
            due_s = self.around.time_s + line.heartbeat_s
            self.commands.append(Alarm(line.id, line.wait, "heartbeat", due_s))

    def _resume(self, line: Line, event: Event) -> None:
        state = self._state(line)
        begins = (line.id, "begin")
        if begins in self.memory.root.ready:  # the task was quicker than the next step
            self.memory.root.ready.remove(begins)
            self._begin_task(line, state)
        if isinstance(event, Beat):
            self._listen(line)
        elif isinstance(event, Fetched):
            self._say(line, "task_started", resource=state.resource, who=event.who)
            self._listen(line)
        elif isinstance(event, Submitted):
            line.is_submitted = True
            self._say(line, "task_submitted", resource=state.resource, output=event.output)
        elif isinstance(event, Succeeded):
            self._stop_waiting(line)
            self._say(line, "task_succeeded", resource=state.resource, output=event.output)
            result = Doc.of(event.output)
            self._guard(line, state, lambda line, state: self._finish(line, state, result))
        elif isinstance(event, Broke):
            self._stop_waiting(line)
            self._say(line, "task_failed", resource=state.resource, error=event.error, cause=event.cause)  # fmt: skip
            self._fail(line, state, event.error, event.cause)
        elif isinstance(event, Rang):
            self._ring(line, state, event)

    def _ring(self, line: Line, state: State, event: Rang) -> None:
        if event.kind in ("timeout", "heartbeat"):
            self._stop_waiting(line)
            self._say(line, "task_timed_out", resource=state.resource, error=TIMEOUT)
            matched = HEARTBEAT if event.kind == "heartbeat" else TIMEOUT
            self._fail(line, state, TIMEOUT, None, matched)
            return
        line.doing = line.wait = ""
        if event.kind == "retry":
            self.memory.root.ready.append((line.id, "work"))
        else:
            self._guard(line, state, self._waited)

    def _waited(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        self._leave(line, state, data, view)

    def _stop_waiting(self, line: Line) -> None:
        line.doing = line.wait = ""
        self.commands.append(Drop(line.id))

    # -- branches and iterations

    def _parallel(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        if state.parameters is not None:
            data = Doc(state.parameters(view))
        self._check_size(state.name, data)
        self._say(line, "state_started")
        line.doing, line.total, line.started = "children", len(state.branches), len(state.branches)
        for index in range(line.total):
            place = [*line.place, (line.state, index)]
            child = self._add_line(line.id, index, place, data.text, line.last, "")
            line.children.append(child.id)

    def _map(self, line: Line, state: State) -> None:
        data, view = self._effective(line, state)
        items = data.value if state.items is None else state.items(view)
        if not isinstance(items, list):
            if state.has_queries:
                raise QueryTrouble(f"Map state input must be an array but was: {orjson.dumps(items).decode()}", None)  # fmt: skip
            path = state.raw.get("ItemsPath", "$")
            raise Trouble(f'Reference path "{path}" must point to array.')
        limit = 0 if state.max_concurrency is None else state.max_concurrency(view)
        self._say(line, "state_started", length=len(items))
        if not items:
            self._join(line, state, line.last)
            return
        line.doing, line.total, line.started = "children", len(items), 0
        line.limit = min(limit or ITERATIONS_MAX, ITERATIONS_MAX)
        for page in range(-(-line.total // ITEMS_PAGE)):
            some = items[page * ITEMS_PAGE : (page + 1) * ITEMS_PAGE]
            self.memory.put(("items", line.id, page), orjson.dumps(some).decode())
        previous = line.last
        for _ in range(min(line.limit, line.total)):
            self._iterate(line, state, previous)

    def _iterate(self, line: Line, state: State, previous: int) -> None:
        """The next iteration of a Map state."""
        index = line.started
        line.started += 1
        page = self.memory.get(("items", line.id, index // ITEMS_PAGE))
        assert page is not None
        value = orjson.loads(page)[index % ITEMS_PAGE]
        item = Doc({"Index": index, "Value": value}).text
        input_ = Doc(value)
        if state.item_selector is not None:
            data, view = self._effective(line, state)
            mapped = {"Map": {"Item": {"Index": index, "Value": value}}}
            inner = View(
                data.value,
                lambda: {**view.context, **mapped},
                view.variables,
                view.chance,
                view.time_s,
            )
            input_ = Doc(state.item_selector(inner))
        started = self._emit(previous, "iteration_started", "Map", index=index, name=state.name)
        place = [*line.place, (line.state, 0)]
        child = self._add_line(line.id, index, place, input_.text, started, item)
        line.children.append(child.id)

    def _child_won(self, child: Line, output: Doc) -> None:
        line = self.memory.line(child.parent)
        assert line is not None
        state = self._state(line)
        self.memory.drop(child)
        line.children.remove(child.id)
        last = child.last
        if state.type == "Map":
            last = self._emit(child.last, "iteration_succeeded", "Map", index=child.index, name=state.name)  # fmt: skip
        self.memory.put(("result", line.id, child.index), output.text)
        line.size += len(output.text)
        if line.started < line.total:
            self._guard(line, state, lambda line, state: self._iterate(line, state, child.last))
        elif not line.children:
            self._guard(line, state, lambda line, state: self._join(line, state, last))

    def _join(self, line: Line, state: State, last: int) -> None:
        line.last = last
        if line.size > DATA_BYTES_MAX:
            self.memory.forget(line)
            raise Failed(DATA_LIMIT, _too_large(state.name))
        texts = [self.memory.get(("result", line.id, index)) or "null" for index in range(line.total)]  # fmt: skip
        self.memory.forget(line)
        line.doing = ""
        self._emit(last, "state_succeeded", state.type)
        self._finish(line, state, Doc.of(f"[{','.join(texts)}]"))

    def _child_lost(self, child: Line, error: str | None, cause: str | None) -> None:
        """A branch that fails is the end of its siblings, and the failure of their state."""
        line = self.memory.line(child.parent)
        assert line is not None
        state = self._state(line)
        self.memory.drop(child)
        line.children.remove(child.id)
        if state.type == "Map":
            self._emit(child.last, "iteration_failed", "Map", index=child.index, name=state.name)
        self._abort(line, child.last)
        line.last = child.last
        self._fail(line, state, error, cause)

    def _abort(self, line: Line, previous: int) -> None:
        """All that runs below the line's state."""
        type_ = self._state(line).type
        for id_ in line.children:
            child = self.memory.line(id_)
            if child is None:
                continue
            self._abort(child, previous)
            inner = self._state(child).type
            if child.entered and inner in ("Task", "Wait", "Parallel", "Map"):
                self._emit(previous, "state_aborted", inner)
            if type_ == "Map":
                self._emit(previous, "iteration_aborted", "Map", index=child.index, name=line.state)
            self.commands.append(Drop(id_))
            self.memory.drop(child)
        line.doing = ""
        self.memory.forget(line)

    # -- leaving a state

    def _finish(self, line: Line, state: State, result: Doc) -> None:
        """A Task, Parallel or Map state has its result."""
        raw = Doc.of(line.input)
        if state.has_queries:
            view = self._view(line, raw.value, result=result.value)
            self._leave(line, state, result, view)
            return
        view = self._view(line, result.value)
        if state.result_selector is not None:
            result = Doc(state.result_selector(view))
            view = view.of(result.value)
        self._leave(line, state, self._merged(line, state, result), view)

    def _merged(self, line: Line, state: State, result: Doc) -> Doc:
        """The state's input with its result where ResultPath says."""
        return _placed_at(state.result_path, Doc.of(line.input), result)

    def _leave(
        self,
        line: Line,
        state: State,
        data: Doc,
        view: View,
        *,
        next_: str | None = None,
        assign: dict[str, Compute] | None = None,
        output: Compute | None = None,
    ) -> None:
        """On to the next state. ``data`` is the output before OutputPath or Output; ``view`` what Assign sees."""
        output = output or state.output
        if output is not None:
            data = Doc(output(view))
        elif state.output_path is NULL:
            data = Doc({})
        elif state.output_path is not None:
            data = Doc(read_path(state.output_path, view.of(data.value)))
        assigned = self._assigned(line, state.assign if assign is None else assign, view)
        self._exit(line, state, data, assigned, next_ or state.next)

    def _exit(
        self, line: Line, state: State, data: Doc, assigned: dict[str, str], next_: str | None
    ) -> None:
        self._check_size(state.name, data)
        if assigned:
            own = orjson.loads(line.variables) | {n: orjson.loads(t) for n, t in assigned.items()}
            line.variables = orjson.dumps(own).decode()
        details: dict[str, Any] = {"name": state.name, "output": data.text}
        if assigned:
            details["assigned"] = assigned
        self._say(line, "state_exited", **details)
        line.entered = 0
        if next_ is not None:
            line.state, line.input = next_, data.text
            self.memory.root.ready.append((line.id, "enter"))
        elif line.parent:
            self._child_won(line, data)
        else:
            self._end("succeeded", line.last, data.text, None, None)

    def _assigned(self, line: Line, assign: dict[str, Compute], view: View) -> dict[str, str]:
        made = {name: Doc(compute(view)).text for name, compute in assign.items()}
        size = sum(map(len, made.values()))
        if size and size + len(line.variables) > VARIABLES_BYTES_MAX:
            raise Failed(DATA_LIMIT, "The size of the variables exceeds the maximum number of bytes service limit.")  # fmt: skip
        return made

    def _check_size(self, name: str, data: Doc) -> None:
        if len(data.text) > DATA_BYTES_MAX // 4 and len(data.text.encode()) > DATA_BYTES_MAX:
            raise Failed(DATA_LIMIT, _too_large(name))

    # -- failing

    def _fail(
        self,
        line: Line,
        state: State,
        error: str | None,
        cause: str | None,
        matched: str = "",
        *,
        was_started: bool = True,
    ) -> None:
        """Try again, or go where Catch says, or take the line down."""
        if line.total:  # what could not be joined or gone on with ends with its state
            self._abort(line, line.last)
        for at, retrier in enumerate(state.retry):
            if is_named(matched or error, retrier.errors):
                if line.retries[at] >= retrier.attempts_max:
                    break
                delay_s = retrier.interval_s * retrier.rate ** min(line.retries[at], 1000)
                delay_s = min(delay_s, retrier.delay_s_max or _DELAY_S_MAX)
                if retrier.has_jitter:
                    delay_s *= self.around.chance.number()
                line.retries = [n + (i == at) for i, n in enumerate(line.retries)]
                self._await(line, "retry")
                due_s = self.around.time_s + delay_s
                self.commands.append(Alarm(line.id, line.wait, "retry", due_s))
                return
        if was_started and state.type in ("Parallel", "Map"):
            self._say(line, "state_failed")
        for catcher in state.catch:
            if is_named(matched or error, catcher.errors):
                caught = partial(self._caught, catcher=catcher, error=error, cause=cause)
                self._guard(line, _untried(state), caught)
                return
        self._lose(line, error, cause)

    def _caught(
        self, line: Line, _: State, catcher: Catcher, error: str | None, cause: str | None
    ) -> None:
        state = self._state(line)
        raw = Doc.of(line.input)
        said = {"Error": error, "Cause": "" if error == TIMEOUT and cause is None else cause}
        if state.has_queries:
            view = self._view(line, raw.value, errorOutput=said)
            data = Doc(said) if catcher.output is None else Doc(catcher.output(view))
        else:
            view = self._view(line, said)
            data = _placed_at(catcher.result_path, raw, Doc(said))
        self._exit(line, state, data, self._assigned(line, catcher.assign, view), catcher.next)

    def _lose(self, line: Line, error: str | None, cause: str | None) -> None:
        if line.parent:
            self._child_lost(line, error, cause)
        else:
            self._end("failed", line.last, None, error, cause)

    def _end(
        self, status: str, previous: int, output: str | None, error: str | None, cause: str | None
    ) -> None:
        details = {"output": output} if status == "succeeded" else {"error": error, "cause": cause}
        self._emit(previous, f"execution_{status}", "", **details)
        root = self.memory.root
        root.is_over, root.ready = True, []
        top = self.memory.line(1)
        if top is not None:
            self._drop_all(top)
        self.commands.append(Over(status, output, error, cause))

    def _drop_all(self, line: Line) -> None:
        for id_ in line.children:
            child = self.memory.line(id_)
            if child is not None:
                self._drop_all(child)
        self.commands.append(Drop(line.id))
        self.memory.drop(line)


VARIABLES_BYTES_MAX = 512_000
"""Of one scope; what is remembered of a line must fit a value of the store."""
_DELAY_S_MAX = 31_622_400.0
_LAST = ("execution_failed", "execution_aborted", "execution_timed_out", "execution_succeeded")
_WORK: dict[str, Callable[[_Step, Line, State], None]] = {
    "Choice": _Step._choice,
    "Fail": _Step._fail_state,
    "Map": _Step._map,
    "Parallel": _Step._parallel,
    "Pass": _Step._pass,
    "Succeed": _Step._succeed,
    "Task": _Step._task,
    "Wait": _Step._wait,
}


def iso_ms(time_s: float) -> str:
    """``2006-02-03T16:45:09.123Z``"""
    whole, part = divmod(int(time_s * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:03d}Z"


def _too_large(name: str) -> str:
    return f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service limit."


def _untried(state: State) -> State:
    """For what goes wrong while a failure is being caught: that is final."""
    return State(state.name, "Pass", state.place, state.has_queries, state.raw)


def _placed_at(path: Any, raw: Doc, result: Doc) -> Doc:
    if path is None:
        return result
    if path is NULL:
        return raw
    try:
        return Doc(path.write(raw.value, result.value))
    except paths.Missing as missing:
        raise Failed(
            "States.ResultPathMatchFailure",
            f"Unable to apply ReferencePath {path.text} to input {raw.text}",
        ) from missing
