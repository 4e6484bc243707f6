"""Requests that only ask whether they would do (``DryRun``): all is checked, nothing read or written, and the answer is an error.

One a second and stream, counted in memory and apart from what shards take. A transaction that runs again is the same request.
Source  https://docs.aws.amazon.com/streams/latest/dev/kds-dryrun-validation.html
"""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call, Request, Service
from stratolite.services.kinesis.names import Ref

_STREAMS_MAX = 10_000


class DryRuns(Service):
    _dry: dict[Ref, tuple[int, str]]
    """Stream -> (second, request) of its last dry run."""

    def end_if_dry(self, call: Call, request: Request, ref: Ref) -> None:
        """Raises Fault if the request, which has passed every check, was no more than a question."""
        if not request.get("DryRun"):
            return
        second = int(call.world.cloud())
        if len(self._dry) > _STREAMS_MAX:
            self._dry = {known: last for known, last in self._dry.items() if last[0] == second}
        last = self._dry.get(ref)
        if last is not None and last[0] == second and last[1] != call.request_id:
            raise Fault(
                "ThrottlingException",
                f"Rate exceeded for dry runs on stream {ref.name} under account {ref.account}.",
            )
        self._dry[ref] = second, call.request_id
        raise Fault(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun parameter was specified.",
        )
