"""What EventBridge tells CloudWatch: of rules, of what becomes of their targets' invocations, and of PutEvents.

A rule of the default bus is told by RuleName alone, one of another bus by EventBusName, too.
Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratolite.services.events import state
from stratolite.services.events.jobs import Said
from stratolite.services.events.names import Bus

if TYPE_CHECKING:
    from stratolite.service import Call, Cloud

_NAMESPACE = "AWS/Events"
Dimensions = tuple[tuple[str, str], ...]


def matched(cloud: Cloud, bus: Bus, rule: str) -> None:
    """An event that a rule is for."""
    place = bus.account, bus.region, _NAMESPACE
    of_rule, of_bus = _of_rule(bus.name, rule), (("EventBusName", bus.name),)
    for dimensions in (of_rule, of_bus):
        cloud.measure(*place, dimensions, "MatchedEvents")
    for dimensions in (of_rule, of_bus, ()):
        cloud.measure(*place, dimensions, "TriggeredRules")


def put(call: Call, entries: int, failed: int) -> None:
    place = call.account, call.region, _NAMESPACE, ()
    call.cloud.measure(*place, "PutEventsApproximateCallCount")
    call.cloud.measure(*place, "PutEventsApproximateSuccessCount")
    call.cloud.measure(*place, "PutEventsEntriesCount", entries)
    if failed:
        call.cloud.measure(*place, "PutEventsFailedEntriesCount", failed)


class Attempt:
    """One try to give a target its event, or a dead-letter queue what the target did not take."""

    def __init__(self, cloud: Cloud, said: Said) -> None:
        self._cloud, self._is_burial = cloud, bool(said["dead"])
        self._is_retry = said["attempts"] > 0
        self._place = said["account"], said["region"], _NAMESPACE
        _, _, rest = said["rule"].partition(":rule/")
        bus, _, rule = rest.rpartition("/")
        self._of_rule = _of_rule(bus or state.DEFAULT, rule)

    def succeeded(self) -> None:
        self._tried()
        self._count("SuccessfulInvocationAttempts", ())
        self._count("Invocations", ())

    def failed(self) -> None:
        if not self._is_burial:
            self._tried()

    def over(self) -> None:
        """It failed, and is not tried again."""
        if self._is_burial:
            self._count("InvocationsFailedToBeSentToDlq")
            return
        self._count("FailedInvocations")
        self._count("Invocations", ())

    def buried(self) -> None:
        self._count("InvocationsSentToDlq")

    def _tried(self) -> None:
        self._count("InvocationAttempts", ())
        if self._is_retry:
            self._count("RetryInvocationAttempts", ())

    def _count(self, name: str, *more: Dimensions) -> None:
        for dimensions in (self._of_rule, *more):
            self._cloud.measure(*self._place, dimensions, name)


def _of_rule(bus: str, rule: str) -> Dimensions:
    named = ("RuleName", rule)
    return (named,) if bus == state.DEFAULT else (("EventBusName", bus), named)
