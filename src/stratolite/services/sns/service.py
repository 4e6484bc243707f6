"""The service SNS: its operations put together, and the account's SMS attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Resource, Response, Tagged, Worker
from stratolite.services.sns import delivery, fanout, state
from stratolite.services.sns.doors import Doors
from stratolite.services.sns.fanout import Carrier
from stratolite.services.sns.permissions import Permissions
from stratolite.services.sns.phones import Phones
from stratolite.services.sns.publishing import Publishing
from stratolite.services.sns.push import Push
from stratolite.services.sns.replays import Replayer
from stratolite.services.sns.sealing import Sealer
from stratolite.services.sns.signing import Signer
from stratolite.services.sns.state import keys_of
from stratolite.services.sns.topics import Topics

_SMS = ("DefaultSMSType", "DefaultSenderID", "MonthlySpendLimit")
_SMS_NOT_OFFERED = (
    "DeliveryStatusIAMRole",
    "DeliveryStatusSuccessSamplingRate",
    "UsageReportS3Bucket",
)


class Sns(Topics, Doors, Publishing, Permissions, Phones, Push):
    name: ClassVar[str] = "sns"

    tag_types: ClassVar[tuple[str, ...]] = ("sns:topic",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        for topic in state.topics(call.tx, keys_of(call.account, call.region), after):
            yield Tagged(topic.record["name"], topic.arn, topic.record["tags"])

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        if cloud is not None:
            self.signer = Signer(cloud)
            self.sealer = Sealer()
            self.link_key = cloud.vault.derive("sns:unsubscribe")

    def set_sms_attributes(self, call: Call, request: Request) -> Response:
        given = request.get("attributes") or {}
        for name, value in given.items():
            if name in _SMS_NOT_OFFERED:
                raise Fault("InvalidParameter", f"{name} is not offered by Stratolite")
            if name not in _SMS:
                raise Fault("InvalidParameter", f"{name} is not a valid attribute")
            if name == "DefaultSMSType" and value not in ("Promotional", "Transactional"):
                raise Fault("InvalidParameter", f"{name} is invalid")
            if name == "DefaultSenderID" and not 1 <= len(value) <= 11:
                raise Fault("InvalidParameter", "DefaultSendID is not a valid attribute")
        keys = keys_of(call.account, call.region)
        state.put_sms_attributes(call.tx, keys, {**state.sms_attributes(call.tx, keys), **given})
        return {}

    def get_sms_attributes(self, call: Call, request: Request) -> Response:
        kept = state.sms_attributes(call.tx, keys_of(call.account, call.region))
        names = request.get("attributes")
        return {"attributes": {k: v for k, v in kept.items() if not names or k in names}}

    def workers(self) -> Iterable[Worker]:
        carrier = Carrier(self.cloud, self.signer, self.sealer, self.link_token)
        return (*fanout.workers(carrier), *delivery.workers(carrier), Replayer(carrier))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.sns.resources import RESOURCES

        return RESOURCES
