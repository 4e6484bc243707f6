"""CloudFormation's AWS::CloudWatch::Alarm, CompositeAlarm and Dashboard.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_CloudWatch.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Response, Spec

_NUMBERS = {
    "DatapointsToAlarm": int,
    "EvaluationPeriods": int,
    "Period": int,
    "Threshold": float,
}


async def _ask(call: Call, operation: str, **request: Any) -> Response:
    return await call.request("cloudwatch", operation, request)


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
    operation: str
    create_only = frozenset({"AlarmName"})

    service = "cloudwatch"

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        kind = "CompositeAlarm" if self.operation == "PutCompositeAlarm" else "MetricAlarm"
        answer = await self.ask(call, "DescribeAlarms", AlarmNames=[physical_id], AlarmTypes=[kind])
        found = answer.get(f"{kind}s") or []
        if not found:
            return None
        arn = self._made(call, physical_id).attributes["Arn"]
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=arn)
        return {**found[0], "Tags": tags.get("Tags") or []}

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("AlarmName") or spec.generated_name(255)
        wanted = {**_wanted(spec), "AlarmName": name, "StackToken": spec.token}
        await _ask(call, self.operation, **wanted)
        return self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await _ask(call, self.operation, **{**_wanted(new), "AlarmName": physical_id})
        arn = self._made(call, physical_id).attributes["Arn"]
        tags = _wanted(new)["Tags"]
        names = [tag["Key"] for tag in tags]
        if gone := [t["Key"] for t in _wanted(old)["Tags"] if t["Key"] not in names]:
            await _ask(call, "UntagResource", ResourceARN=arn, TagKeys=gone)
        if tags:
            await _ask(call, "TagResource", ResourceARN=arn, Tags=tags)
        return self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await _ask(call, "DeleteAlarms", AlarmNames=[physical_id])

    def _made(self, call: Call, name: str) -> Made:
        return Made(name, {"Arn": f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm:{name}"})


class AlarmType(_AlarmType):
    type = "AWS::CloudWatch::Alarm"
    operation = "PutMetricAlarm"


class CompositeAlarmType(_AlarmType):
    type = "AWS::CloudWatch::CompositeAlarm"
    operation = "PutCompositeAlarm"


class DashboardType(Resource):
    type = "AWS::CloudWatch::Dashboard"
    create_only = frozenset({"DashboardName"})

    service = "cloudwatch"
    gone = frozenset({"ResourceNotFound", "DashboardNotFoundError"})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetDashboard", DashboardName=physical_id)
        if found is None:
            return None
        return {"DashboardName": physical_id, "DashboardBody": found["DashboardBody"]}

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("DashboardName") or spec.generated_name(255)
        return await self._put(call, name, spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._put(call, physical_id, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await _ask(call, "DeleteDashboards", DashboardNames=[physical_id])
        except Fault as fault:
            if fault.code != "ResourceNotFound":
                raise

    async def _put(self, call: Call, name: str, spec: Spec) -> Made:
        body = spec.properties["DashboardBody"]
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        await _ask(call, "PutDashboard", DashboardName=name, DashboardBody=text)
        return Made(name)


RESOURCES: tuple[Resource, ...] = (AlarmType(), CompositeAlarmType(), DashboardType())
