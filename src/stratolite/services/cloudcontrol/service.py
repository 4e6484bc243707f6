"""Cloud Control as a service: which operations there are, and what IAM must allow for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from stratolite.service import Access, Call, Request, Worker
from stratolite.services.cloudcontrol.reading import Reading
from stratolite.services.cloudcontrol.requests import ExpiryWorker, Requests, RequestWorker


class Cloudcontrol(Requests, Reading):
    name: ClassVar[str] = "cloudcontrol"
    prefix: ClassVar[str] = "cloudformation"
    validated: ClassVar[bool] = True

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudcontrolapi.html"""
        place = f"arn:aws:cloudformation:{call.region}:{call.account}:resource/*"
        needed = [(f"cloudformation:{operation}", place)]
        if role := request.get("RoleArn"):
            needed.append(("iam:PassRole", role))
        return needed

    def workers(self) -> Iterable[Worker]:
        return (RequestWorker(self.cloud), ExpiryWorker(self.cloud))
