"""The service CloudWatch: its operations put together, and IAM's view of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.cloudwatch import state, worker
from stratolite.services.cloudwatch.alarms import Alarms
from stratolite.services.cloudwatch.dashboards import Dashboards, dashboard_arn
from stratolite.services.cloudwatch.metrics import Metrics
from stratolite.services.cloudwatch.reading import Reading

_OF_METRICS = frozenset(
    {
        "GetMetricData",
        "GetMetricStatistics",
        "ListMetrics",
        "PutMetricData",
        "DescribeAlarmsForMetric",
    }
)
_PLATFORM = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},'
    '"Action":"cloudwatch:PutMetricData","Resource":"*"}]}'
)


class Cloudwatch(Metrics, Reading, Alarms, Dashboards):
    name: ClassVar[str] = "cloudwatch"

    tag_types: ClassVar[tuple[str, ...]] = ("cloudwatch:alarm",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        keys = state.keys_of(call.account, call.region)
        where = f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm"
        for record in state.alarms(call.tx, keys, "", after):
            yield Tagged(record["name"], f"{where}:{record['name']}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"cloudwatch:{operation}"
        if operation in _OF_METRICS:
            return ((action, "*"),)
        if name := request.get("DashboardName"):
            return ((action, dashboard_arn(call, name)),)
        if names := request.get("DashboardNames"):
            return tuple((action, dashboard_arn(call, name)) for name in names)
        return self.alarm_access(call, operation, request)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """The platform's own services report what they do."""
        return _PLATFORM if call.principal.kind == "service" else None

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str]:
        """There are no policies but IAM's."""
        return ()

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html"""
        found = {}
        if namespace := request.get("Namespace"):
            found["cloudwatch:namespace"] = [str(namespace)]
        actions = [
            action
            for member in ("OKActions", "AlarmActions", "InsufficientDataActions")
            for action in request.get(member) or ()
        ]
        if actions:
            found["cloudwatch:alarmactions"] = actions
        return found

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.cloudwatch.resources import RESOURCES

        return RESOURCES
