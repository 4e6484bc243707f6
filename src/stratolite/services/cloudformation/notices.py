"""Tells others what happens to stacks: NotificationARNs by SNS, and the default bus of the stack's account and region.

A topic gets one message for every event, as whoever the operation works as; the bus one event for each, from CloudFormation.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-add-tags.html
        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/events-detail-reference.html
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Cloud, Job, Principal, Settle, SettleAll, root
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.state import BUS_QUEUE, NOTIFY_QUEUE

_log = logging.getLogger("stratolite.cloudformation")


class NotifyWorker:
    """The queue of notices, in order for each stack."""

    queue = NOTIFY_QUEUE
    ordered = True
    concurrency = 8

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        topics, principal, role, event = orjson.loads(job.payload)
        _, _, _, region, account, _ = event["StackId"].split(":", 5)
        who = Principal(**principal) if principal else root(account)
        if role:
            who = role_principal(role)
        call = self._cloud.call(account, region, "notice", who)
        message = text_of_event(event, account, who.arn)
        for topic in topics:
            request = {
                "TopicArn": topic,
                "Subject": "AWS CloudFormation Notification",
                "Message": message,
            }
            try:
                await call.request("sns", "Publish", request)
            except Fault as fault:  # as on AWS, a topic that is gone or closed stops no stack
                _log.info("a notice of stack=%s was not taken: %s", event["StackId"], fault.message)
        return None


class BusWorker:
    """The queue of status changes; what is ready together goes in one PutEvents."""

    queue = BUS_QUEUE
    ordered = False
    concurrency = 2
    together = 10  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        settle = await self.handle_all([job])
        return None if settle is None else lambda tx: settle(tx, [job])

    async def handle_all(self, jobs: list[Job]) -> SettleAll | None:
        return self._put if "events" in self._cloud.services else None

    def _put(self, tx: Tx, jobs: list[Job]) -> None:
        places: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for job in jobs:
            event = orjson.loads(job.payload)
            _, _, _, region, account, _ = event["StackId"].split(":", 5)
            places.setdefault((account, region), []).append(event)
        for (account, region), events in places.items():
            call = self._cloud.call(account, region, "status")
            acting = call.as_service("cloudformation.amazonaws.com", events[0]["StackId"])
            acting.tx = tx
            acting.invoke("events", "PutEvents", {"Entries": [entry_of(e) for e in events]})


def entry_of(event: dict[str, Any]) -> dict[str, Any]:
    """A line of a stack's story as an entry of PutEvents."""
    is_stack = event["PhysicalResourceId"] == event["StackId"]
    status = {
        "status": event["ResourceStatus"],
        "status-reason": event.get("ResourceStatusReason", ""),
    }
    detail = {"stack-id": event["StackId"], "status-details": status}
    if not is_stack:
        detail |= {
            "logical-resource-id": event["LogicalResourceId"],
            "physical-resource-id": event["PhysicalResourceId"],
            "resource-type": event["ResourceType"],
        }
    detail["client-request-token"] = event.get("ClientRequestToken", "")
    return {
        "Source": "aws.cloudformation",
        "DetailType": f"CloudFormation {'Stack' if is_stack else 'Resource'} Status Change",
        "Time": event["Timestamp"],
        "Resources": [event["StackId"]],
        "Detail": orjson.dumps(detail).decode(),
    }


def text_of_event(event: dict[str, Any], account: str, principal: str) -> str:
    at = datetime.fromtimestamp(event["Timestamp"], UTC)
    members = {
        "StackId": event["StackId"],
        "Timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "EventId": event["EventId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Namespace": account,
        "PhysicalResourceId": event["PhysicalResourceId"],
        "PrincipalId": principal,
        "ResourceProperties": "null",
        "ResourceStatus": event["ResourceStatus"],
        "ResourceStatusReason": event.get("ResourceStatusReason", ""),
        "ResourceType": event["ResourceType"],
        "StackName": event["StackName"],
        "ClientRequestToken": event.get("ClientRequestToken", "null"),
    }
    return "".join(f"{name}='{value}'\n" for name, value in members.items())
