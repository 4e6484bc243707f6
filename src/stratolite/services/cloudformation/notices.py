"""Tells the topics of NotificationARNs what happens to stacks: one message for every event, as whoever the operation works as.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-add-tags.html
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Cloud, Job, Principal, Settle, root
from stratolite.services.cloudformation import bus
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.state import NOTIFY_QUEUE

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
    """Status changes that a version before ``bus`` left as work of their own."""

    queue = "cloudformation.bus"
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        event = orjson.loads(job.payload)
        _, _, _, region, account, _ = event["StackId"].split(":", 5)
        call = self._cloud.call(account, region, "status")

        def tell(tx: Tx) -> None:
            call.tx = tx
            bus.tell_of_event(call, event)

        return tell


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
