"""CloudFormation's AWS::CloudWatch::Alarm, CompositeAlarm and Dashboard.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_CloudWatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.service import Call, Made, Resource, Spec, tag_list
from stratolite.services.cloudwatch import alarms, evaluation, reading

_NUMBERS = {
    "ActionsSuppressorExtensionPeriod": int,
    "ActionsSuppressorWaitPeriod": int,
    "DatapointsToAlarm": int,
    "EvaluationPeriods": int,
    "Period": int,
    "Threshold": float,
}


def _wanted(spec: Spec) -> dict[str, Any]:
    """The properties in the shape of the API: templates may write numbers and truth as text."""
    wanted = dict(spec.properties)
    for name, kind in _NUMBERS.items():
        if name in wanted:
            wanted[name] = kind(wanted[name])
    if "ActionsEnabled" in wanted:
        wanted["ActionsEnabled"] = str(wanted["ActionsEnabled"]).lower() == "true"
    for query in wanted.get("Metrics") or ():
        if "ReturnData" in query:
            query["ReturnData"] = str(query["ReturnData"]).lower() == "true"
        if "MetricStat" in query:
            query["MetricStat"]["Period"] = int(query["MetricStat"]["Period"])
        if "Period" in query:
            query["Period"] = int(query["Period"])
    wanted["Tags"] = [{"Key": t["Key"], "Value": str(t["Value"])} for t in wanted.get("Tags") or ()]
    return wanted


class _AlarmType(Resource):
    service = "cloudwatch"
    operation: str
    member: str
    """Of DescribeAlarms' answer."""
    create_only = frozenset({"AlarmName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("AlarmName") or spec.generated_name(255)
        wanted = {**_wanted(spec), "AlarmName": name, "StackToken": spec.token}
        await self.ask(call, self.operation, **wanted)
        return self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self.ask(call, self.operation, **{**_wanted(new), "AlarmName": physical_id})
        arn = self._made(call, physical_id).attributes["Arn"]
        tags = _wanted(new)["Tags"]
        names = [tag["Key"] for tag in tags]
        if gone := [t["Key"] for t in _wanted(old)["Tags"] if t["Key"] not in names]:
            await self.ask(call, "UntagResource", ResourceARN=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", ResourceARN=arn, Tags=tags)
        return self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask(call, "DeleteAlarms", AlarmNames=[physical_id])

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask(
            call, "DescribeAlarms", AlarmNames=[physical_id], AlarmTypes=[self.member[:-1]]
        )
        if not found[self.member]:
            return None
        one = found[self.member][0]
        made = {n: v for n, v in one.items() if not n.startswith(("State", "AlarmConfig"))}
        threshold = made.get("Threshold")
        if isinstance(threshold, float) and threshold.is_integer():
            made["Threshold"] = int(threshold)  # as templates write it
        arn = made.pop("AlarmArn")
        tags = (await self.ask(call, "ListTagsForResource", ResourceARN=arn))["Tags"]
        return made | ({"Tags": tags} if tags else {})

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return self._made(call, physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(
            call, "DescribeAlarms", AlarmTypes=[self.member[:-1]], NextToken=token or None
        )
        return [one["AlarmName"] for one in page[self.member]], page.get("NextToken", "")

    def _made(self, call: Call, name: str) -> Made:
        return Made(name, {"Arn": f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm:{name}"})


class AlarmType(_AlarmType):
    type = "AWS::CloudWatch::Alarm"
    operation, member = "PutMetricAlarm", "MetricAlarms"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        **dict.fromkeys((*alarms.NOT_OFFERED, "Metrics.*.AccountId"), frozenset({""})),
        "ComparisonOperator": frozenset(evaluation.COMPARISONS),
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "Statistic": reading.check_statistic,
        "ExtendedStatistic": reading.check_statistic,
        "Period": reading.check_period,
        "Metrics.*.MetricStat.Stat": reading.check_statistic,
        "Metrics.*.MetricStat.Period": reading.check_period,
        **{f"{member}.*": alarms.check_action for member in alarms.ACTIONS},
    }


class CompositeAlarmType(_AlarmType):
    type = "AWS::CloudWatch::CompositeAlarm"
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        alarms.NOT_OFFERED, frozenset({""})
    )
    operation, member = "PutCompositeAlarm", "CompositeAlarms"


class DashboardType(Resource):
    service = "cloudwatch"
    gone = frozenset({"ResourceNotFound"})
    type = "AWS::CloudWatch::Dashboard"
    create_only = frozenset({"DashboardName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("DashboardName") or spec.generated_name(255)
        return await self._put(call, name, spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        made = await self._put(call, physical_id, new)
        arn, tags = self._arn(call, physical_id), new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "UntagResource", ResourceARN=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", ResourceARN=arn, Tags=tag_list(tags))
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteDashboards", DashboardNames=[physical_id])

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetDashboard", DashboardName=physical_id)
        if found is None:
            return None
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=found["DashboardArn"])
        return {
            "DashboardName": physical_id,
            "DashboardBody": found["DashboardBody"],
            "Tags": tags["Tags"],
        }

    def _arn(self, call: Call, name: str) -> str:
        return f"arn:aws:cloudwatch::{call.account}:dashboard/{name}"

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListDashboards", NextToken=token or None)
        names = [one["DashboardName"] for one in page["DashboardEntries"]]
        return names, page.get("NextToken", "")

    async def _put(self, call: Call, name: str, spec: Spec) -> Made:
        body = spec.properties["DashboardBody"]
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        tags = tag_list(spec.tags()) or None
        await self.ask(call, "PutDashboard", DashboardName=name, DashboardBody=text, Tags=tags)
        return Made(name)


RESOURCES: tuple[Resource, ...] = (AlarmType(), CompositeAlarmType(), DashboardType())
