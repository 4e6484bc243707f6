"""The engine's step: what happens in which order, what is tried again, what is caught, what is forgotten.

Orders and previous ids of events are those AWS recorded (localstack/localstack, tests/aws/services/stepfunctions, *.snapshot.json).
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workflows import Execution, TaskFails, machine, one, passing

TASK = "arn:task"


def task(**more):
    return {"Type": "Task", "Resource": TASK, "End": True, **more}


def fails(*args):
    def run(parameters):
        raise TaskFails(*args)

    return {TASK: run}


def test_a_chain_of_states_hands_on_what_it_has():
    done = Execution(
        machine(
            A={"Type": "Pass", "Result": {"n": 1}, "ResultPath": "$.a", "Next": "B"},
            B={"Type": "Pass", "Parameters": {"m.$": "$.a.n", "k": "fixed"}, "ResultPath": "$.b.c", "Next": "C"},
            C={"Type": "Succeed", "OutputPath": "$.b"},
        ),
        {"in": True},
    ).run()  # fmt: skip
    assert done.output == {"c": {"m": 1, "k": "fixed"}}
    assert done.kinds == [
        "1<0 execution_started", "2<0 Pass.state_entered", "3<2 Pass.state_exited", "4<3 Pass.state_entered", "5<4 Pass.state_exited",
        "6<5 Succeed.state_entered", "7<6 Succeed.state_exited", "8<7 execution_succeeded",
    ]  # fmt: skip


def test_text_that_is_not_touched_stays_as_it_was_written():
    """AWS shows "[[1, 2], [3]]" with its blanks as long as nothing looked into it."""
    done = Execution(machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Wait", "Seconds": 0, "End": True}), [[1, 2], [3]]).run()  # fmt: skip
    assert done.over.output == "[[1, 2], [3]]"


def test_iterations_one_after_another_go_on_from_the_one_before():
    done = Execution(one({"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": one(passing()), "End": True}), [7, 8]).run()  # fmt: skip
    assert done.output == [7, 8]
    assert done.kinds == [
        "1<0 execution_started", "2<0 Map.state_entered", "3<2 Map.state_started", "4<3 Map.iteration_started",
        "5<4 Pass.state_entered", "6<5 Pass.state_exited", "7<6 Map.iteration_succeeded", "8<6 Map.iteration_started",
        "9<8 Pass.state_entered", "10<9 Pass.state_exited", "11<10 Map.iteration_succeeded", "12<11 Map.state_succeeded",
        "13<11 Map.state_exited", "14<13 execution_succeeded",
    ]  # fmt: skip


def test_iterations_at_once_all_go_on_from_the_start_of_their_state():
    done = Execution(one({"Type": "Map", "ItemProcessor": one(task()), "End": True}), [1, 2], tasks={TASK: lambda n: n * n}).run()  # fmt: skip
    assert done.output == [1, 4]
    assert done.kinds[2:12] == [
        "3<2 Map.state_started", "4<3 Map.iteration_started", "5<3 Map.iteration_started", "6<4 Task.state_entered",
        "7<6 Task.task_scheduled", "8<5 Task.state_entered", "9<8 Task.task_scheduled", "10<7 Task.task_started",
        "11<9 Task.task_started", "12<10 Task.task_succeeded",
    ]  # fmt: skip


def test_no_more_than_forty_iterations_run_at_once():
    done = Execution(one({"Type": "Map", "ItemProcessor": one(task()), "End": True}), list(range(100)), tasks={TASK: lambda n: n}).run()  # fmt: skip
    assert done.output == list(range(100))
    running, most = 0, 0
    for event in done.history:
        running += {"iteration_started": 1, "iteration_succeeded": -1}.get(event.kind, 0)
        most = max(most, running)
    assert most == 40


def test_a_failing_iteration_is_the_end_of_the_others_and_of_its_state():
    wait = {"Type": "Wait", "Seconds": 60, "Next": "Z"}
    branch = machine(C={"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "F"}], "Default": "W"}, F={"Type": "Fail", "Error": "E", "Cause": "c"}, W=wait, Z=passing())  # fmt: skip
    caught = {"Type": "Map", "ItemProcessor": branch, "Next": "B", "Catch": [{"ErrorEquals": ["E"], "Next": "B", "ResultPath": "$"}]}  # fmt: skip
    done = Execution(machine(A=caught, B=passing()), [0, 1]).run()
    assert done.output == {"Error": "E", "Cause": "c"}
    assert done.kinds[-8:] == [
        "12<11 Map.iteration_failed", "13<11 Wait.state_aborted", "14<11 Map.iteration_aborted", "15<11 Map.state_failed",
        "16<15 Map.state_exited", "17<16 Pass.state_entered", "18<17 Pass.state_exited", "19<18 execution_succeeded",
    ]  # fmt: skip
    assert done.time_s == 1_000_000.0


def test_branches_give_a_list_in_their_order():
    done = Execution(one({"Type": "Parallel", "Branches": [one(task()), one(passing(Result=2))], "ResultSelector": {"both.$": "$"}, "ResultPath": "$.r", "End": True}), {"i": 1}, tasks={TASK: lambda p: p["i"]}).run()  # fmt: skip
    assert done.output == {"i": 1, "r": {"both": [1, 2]}}


def test_a_map_over_nothing_gives_nothing():
    done = Execution(one({"Type": "Map", "ItemsPath": "$.l", "ItemProcessor": one(passing()), "End": True}), {"l": []}).run()  # fmt: skip
    assert done.output == []


def test_items_are_selected_with_their_index():
    selector = {"at.$": "$$.Map.Item.Index", "what.$": "$$.Map.Item.Value", "of.$": "$.name"}
    done = Execution(one({"Type": "Map", "ItemsPath": "$.l", "ItemSelector": selector, "ItemProcessor": one(passing()), "End": True}), {"l": ["a", "b"], "name": "x"}).run()  # fmt: skip
    assert done.output == [{"at": 0, "what": "a", "of": "x"}, {"at": 1, "what": "b", "of": "x"}]


# -- failing


def test_retries_wait_longer_each_time_and_enter_the_state_once():
    retry = {
        "ErrorEquals": ["E"],
        "IntervalSeconds": 3,
        "BackoffRate": 2,
        "MaxAttempts": 3,
        "MaxDelaySeconds": 10,
    }
    done = Execution(one(task(Retry=[retry])), tasks=fails("E", "why")).run()
    assert (done.over.status, done.over.error, done.over.cause) == ("failed", "E", "why")
    assert done.time_s == 1_000_000.0 + 3 + 6 + 10
    assert [e.kind for e in done.history].count("state_entered") == 1
    assert [e.kind for e in done.history].count("task_failed") == 4
    assert done.kinds[-3:] == ["13<12 Task.task_started", "14<13 Task.task_failed", "15<14 execution_failed"]  # fmt: skip


def test_jitter_shortens_a_delay():
    retry = {
        "ErrorEquals": ["E"],
        "IntervalSeconds": 100,
        "MaxAttempts": 1,
        "JitterStrategy": "FULL",
    }
    waits = {Execution(one(task(Retry=[retry])), tasks=fails("E", ""), seed=n).run().time_s for n in range(5)}  # fmt: skip
    assert len(waits) == 5
    assert all(1_000_000.0 <= wait < 1_000_100.0 for wait in waits)


def test_each_retrier_counts_for_itself():
    errors = iter(["A", "B", "A", "A"])

    def run(parameters):
        raise TaskFails(next(errors), "")

    retry = [{"ErrorEquals": ["A"], "MaxAttempts": 2}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}]  # fmt: skip
    assert Execution(one(task(Retry=retry)), tasks={TASK: run}).run().over.error == "A"
    assert next(errors, None) is None


@pytest.mark.parametrize(
    ("error", "named", "is_caught"),
    [
        ("E", ["States.ALL"], True),
        ("E", ["States.TaskFailed"], True),
        ("States.Timeout", ["States.TaskFailed"], False),
        ("States.Timeout", ["States.Timeout"], True),
        ("E", ["F"], False),
        ("States.DataLimitExceeded", ["States.ALL"], True),
        ("States.Runtime", ["States.ALL"], False),
        ("States.Runtime", ["States.Runtime"], False),
    ],
)
def test_what_catches_what(error, named, is_caught):
    """https://states-language.net/spec.html#appendix-a; that data limits are caught and runtime errors are not, AWS recorded."""
    catch = [{"ErrorEquals": named, "Next": "B", "ResultPath": "$.e"}]
    done = Execution(machine(A={"Type": "Task", "Resource": TASK, "Next": "B", "Catch": catch}, B=passing()), {"i": 1}, tasks=fails(error, "c")).run()  # fmt: skip
    assert done.over.status == ("succeeded" if is_caught else "failed")
    if is_caught:
        assert done.output == {"i": 1, "e": {"Error": error, "Cause": "c"}}


def test_what_goes_wrong_in_a_state_says_where():
    done = Execution(one(passing(Parameters={"v.$": "$.no"})), {"a": 1}).run()
    assert done.over.error == "States.Runtime"
    assert done.over.cause == (
        "An error occurred while executing the state 'A' (entered at the event id #2). The JSONPath '$.no' specified for the"
        " field 'v.$' could not be found in the input '{\"a\":1}'"
    )


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (passing(InputPath="$.no"), "Invalid path '$.no' : No results for path: $['no']"),
        (passing(OutputPath="$.no.such"), "Invalid path '$.no.such' : Missing property in path $['no']"),
        ({"Type": "Wait", "SecondsPath": "$.a", "End": True}, "The SecondsPath parameter references a negative value: $.a == -1"),
        ({"Type": "Wait", "SecondsPath": "$.f", "End": True}, "The SecondsPath parameter cannot be parsed as a long value: $.f == 1.5"),
        ({"Type": "Wait", "SecondsPath": "$.b", "End": True}, "The SecondsPath parameter does not reference an input value: $.b"),
    ],
)  # fmt: skip
def test_runtime_errors_are_said_in_awss_words(state, cause):
    done = Execution(one(state), {"a": -1, "f": 1.5}).run()
    assert done.over.cause == f"An error occurred while executing the state 'A' (entered at the event id #2). {cause}"  # fmt: skip


def test_a_task_that_takes_too_long_has_timed_out():
    asked = []
    done = Execution(one(task(TimeoutSeconds=5)), tasks={})
    done._next = lambda what: asked.append(what) if hasattr(what, "resource") else done._step(what)
    done.run()
    assert (done.over.error, done.time_s) == ("States.Timeout", 1_000_005.0)
    assert done.kinds[-2:] == ["5<4 Task.task_timed_out", "6<5 execution_failed"]


def test_a_history_that_is_full_ends_the_execution():
    loop = machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Choice", "Choices": [{"Variable": "$", "IsNull": True, "Next": "C"}], "Default": "A"}, C={"Type": "Succeed"})  # fmt: skip
    done = Execution(loop, events_max=100).run()
    assert done.over.error == "States.Runtime"
    assert "maximum number of history events (100)" in done.over.cause
    assert (len(done.history), done.history[-1].kind) == (100, "execution_failed")


def test_data_beyond_the_limit_fails_the_state():
    done = Execution(one(passing(Parameters={"a.$": "$", "b.$": "$"})), "x" * 200_000).run()
    assert done.over.error == "States.DataLimitExceeded"
    assert done.over.cause == "The state/task 'A' returned a result with a size exceeding the maximum number of bytes service limit."  # fmt: skip


def test_an_iteration_that_cannot_begin_takes_the_running_ones_with_it():
    """Found by thinking, not by luck: its siblings' tasks came back to a state that had been left."""
    selector = {"v.$": "States.ArrayGetItem($.l, $$.Map.Item.Value)"}
    wait = one({"Type": "Wait", "Seconds": 60, "End": True})
    state = {"Type": "Map", "ItemsPath": "$.i", "ItemSelector": selector, "ItemProcessor": wait, "Next": "B", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]}  # fmt: skip
    done = Execution(machine(A=state, B=passing(Result="caught")), {"l": [7], "i": [0, 5]}).run()
    assert done.output == "caught"
    assert done.time_s == 1_000_000.0
    assert set(done.memory) == {("root",)}


def test_data_that_is_nested_too_deep_fails_its_state():
    deep = "[" * 1000 + "]" * 1000
    done = Execution(one(passing(Parameters={"v.$": "States.Format('{}', States.StringToJson($))"})), deep).run()  # fmt: skip
    assert done.over.status == "failed"


# -- variables


def test_variables_are_seen_further_down_and_not_further_up():
    inner = one(passing(Assign={"x": "inner"}, Parameters={"saw.$": "$x"}))
    done = Execution(
        machine(
            A={"Type": "Pass", "Assign": {"x": 42, "y.$": "$.in"}, "Next": "B"},
            B={"Type": "Parallel", "Branches": [inner], "ResultPath": "$.r", "Next": "C"},
            C=passing(Parameters={"x.$": "$x", "y.$": "$y", "r.$": "$.r"}),
        ),
        {"in": "i"},
    ).run()  # fmt: skip
    assert done.output == {"x": 42, "y": "i", "r": [{"saw": 42}]}
    assert done.history[2].details["assigned"] == {"x": "42", "y": '"i"'}


# -- whatever the machine

_values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=5)  # fmt: skip


def _scopes(depth, *, fails=True):
    """Random machines that end: states point forward only."""
    kinds = ["Pass", "Wait", "Task"] + ["Fail"] * fails + ["Parallel", "Map"] * bool(depth)

    @st.composite
    def scope(draw):
        names = [f"S{n}" for n in range(draw(st.integers(1, 3)))]
        states = {}
        for at, name in enumerate(names):
            kind = draw(st.sampled_from(kinds))
            flow = {"Next": names[at + 1]} if at + 1 < len(names) else {"End": True}
            if kind == "Fail":
                kind = "Fail" if at + 1 == len(names) else "Pass"
            state = {"Type": kind} if kind == "Fail" else {"Type": kind, **flow}
            if kind == "Fail":
                state["Error"] = draw(st.sampled_from(["E", "F"]))
            if kind == "Pass" and draw(st.booleans()):
                state["Result"] = draw(_values)
            if kind == "Wait":
                state["Seconds"] = draw(st.integers(0, 3))
            if kind == "Task":
                state["Resource"] = TASK
            if kind == "Parallel":
                state["Branches"] = draw(
                    st.lists(_scopes(depth - 1, fails=fails), min_size=1, max_size=3)
                )
            if kind == "Map":
                state |= {"ItemProcessor": draw(_scopes(depth - 1, fails=fails)), "ItemSelector": {"v.$": "$$.Map.Item.Value"}, "ItemsPath": "$$.StateMachine.Items", "MaxConcurrency": draw(st.integers(0, 3))}  # fmt: skip
            if kind in ("Task", "Parallel", "Map") and draw(st.booleans()):
                state["Retry"] = [{"ErrorEquals": ["E"], "MaxAttempts": 1}]
            if kind in ("Task", "Parallel", "Map") and draw(st.booleans()) and "Next" in flow:
                state["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": flow["Next"]}]
            states[name] = state
        return {"StartAt": names[0], "States": states}

    return scope()


def _ran(definition, seed, moves_max):
    calls = []

    def run(parameters):
        calls.append(parameters)
        if (len(calls) * 7 + seed) % 5 == 0:
            raise TaskFails("E", None)
        return len(calls)

    return Execution(definition, {"a": 1}, tasks={TASK: run}, moves_max=moves_max, seed=seed)


@settings(max_examples=30, deadline=None)
@given(_scopes(2), st.integers(0, 4))
def test_however_the_machine_is_made_its_history_is_whole_and_its_memory_is_emptied(definition, seed):  # fmt: skip
    done = _ran(definition, seed, 48).run()
    assert [e.id for e in done.history] == list(range(1, len(done.history) + 1))
    assert all(e.previous < e.id for e in done.history)
    assert done.history[-1].kind == f"execution_{done.over.status}"
    assert set(done.memory) == {("root",)}
    entered = sum(e.kind == "state_entered" for e in done.history)
    left = sum(e.kind in ("state_exited", "state_aborted") for e in done.history)
    assert left <= entered


@settings(max_examples=30, deadline=None)
@given(_scopes(1, fails=False), st.integers(0, 4))
def test_however_little_one_step_may_do_the_same_comes_of_it(definition, seed):
    """What is left for the next step is all in the memory: a machine in steps of one move ends as one in steps of many.

    Where nothing fails: which of two failures comes first may hang on when tasks come back.
    """
    many, few = _ran(definition, seed, 1000), _ran(definition, seed, 1)
    for made in (many, few):
        made.tasks = {TASK: lambda parameters: 1}
        made.run()
    assert sorted(e.kind for e in few.history) == sorted(e.kind for e in many.history)
    assert few.over == many.over
