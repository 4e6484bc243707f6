"""An engine for workflows written in the Amazon States Language, which knows no service: compiled once, then one pure step after another.

    machine, problems = compile_definition(text)
    outcome = step(machine, read, Begin("{}"), around)      # (what is remembered, what happened) -> (changes, history, commands)

Whoever drives it keeps ``outcome.changes`` and ``outcome.history`` and carries out ``outcome.commands``: runs a task, sets an
alarm; and steps again with what became of it. An execution is what is remembered, nothing else: it can be dropped and taken
up by another process between any two steps.

Files   ``definition`` checks and compiles; ``step`` the step; ``memory`` what is remembered, its layout; ``failures`` what
        Retry and Catch match; ``paths`` JSONPath; ``templates`` and ``intrinsics`` payload templates and States.* functions;
        ``choices`` comparisons; ``queries`` JSONata; ``surroundings`` what expressions see

Left out, refused by name: Map states of the mode DISTRIBUTED.

Sources  https://states-language.net/spec.html
         https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from stratolite.workflow.definition import Machine as Machine
from stratolite.workflow.definition import Problem as Problem
from stratolite.workflow.definition import State as State
from stratolite.workflow.definition import compile_definition as compile_definition
from stratolite.workflow.definition import json_trouble as json_trouble
from stratolite.workflow.failures import Trouble as Trouble
from stratolite.workflow.memory import waits as waits
from stratolite.workflow.step import Alarm as Alarm
from stratolite.workflow.step import Around as Around
from stratolite.workflow.step import Beat as Beat
from stratolite.workflow.step import Begin as Begin
from stratolite.workflow.step import Broke as Broke
from stratolite.workflow.step import Command as Command
from stratolite.workflow.step import Continue as Continue
from stratolite.workflow.step import Drop as Drop
from stratolite.workflow.step import Event as Event
from stratolite.workflow.step import Fetched as Fetched
from stratolite.workflow.step import Happened as Happened
from stratolite.workflow.step import Outcome as Outcome
from stratolite.workflow.step import Over as Over
from stratolite.workflow.step import Rang as Rang
from stratolite.workflow.step import Run as Run
from stratolite.workflow.step import Stop as Stop
from stratolite.workflow.step import Submitted as Submitted
from stratolite.workflow.step import Succeeded as Succeeded
from stratolite.workflow.step import TimeUp as TimeUp
from stratolite.workflow.step import Went as Went
from stratolite.workflow.step import iso_ms as iso_ms
from stratolite.workflow.step import step as step
from stratolite.workflow.surroundings import Chance as Chance
