"""How a state goes wrong: what its Retry and Catch look at."""

from __future__ import annotations

TIMEOUT = "States.Timeout"
TASK_FAILED = "States.TaskFailed"
RUNTIME = "States.Runtime"
DATA_LIMIT = "States.DataLimitExceeded"
QUERY = "States.QueryEvaluationError"
INTRINSIC = "States.IntrinsicFailure"
HEARTBEAT = "States.HeartbeatTimeout"


class Failed(Exception):
    """A state fails with ``error`` and ``cause``, either of which may be absent."""

    def __init__(self, error: str | None, cause: str | None = None) -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


class Trouble(Exception):
    """The definition met an input it cannot work on; ``message`` goes into the cause, behind which state it was.

    ``error`` is States.Runtime, which nothing catches, or a name that may be caught.
    """

    def __init__(self, message: str, error: str = RUNTIME) -> None:
        super().__init__(message)
        self.message, self.error = message, error


class QueryTrouble(Trouble):
    """A JSONata expression that could not be evaluated, at ``location`` (``Output/total``) of its state."""

    def __init__(self, message: str, location: str | None) -> None:
        super().__init__(message, QUERY)
        self.location = location


def is_named(error: str | None, names: list[str]) -> bool:
    """Whether an ErrorEquals list means this error.

    States.ALL leaves out what is terminal, States.TaskFailed what is a timeout; States.Timeout means a missed heartbeat, too.
    https://states-language.net/spec.html#appendix-a
    """
    for name in names:
        if name == error:
            return error != RUNTIME
        if name == "States.ALL" and error != RUNTIME:
            return True
        if name == TASK_FAILED and error not in (TIMEOUT, HEARTBEAT, RUNTIME, DATA_LIMIT):
            return True
        if name == TIMEOUT and error == HEARTBEAT:
            return True
    return False
