"""Links in messages, and what is for people: the certificate, confirming, unsubscribing, the outbox.

GET  /_aws/sns/SimpleNotificationService-ID.pem
GET  /_aws/sns/confirm?TopicArn=...&Token=...          GET /_aws/sns/unsubscribe?SubscriptionArn=...&Token=...
GET  /_aws/sns/outbox?region=...&after=MS,STAMP        signed by the account's root, as is
POST /_aws/sns/stop?region=...&number=...              a phone's owner answers STOP
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door, Service
from stratolite.services.sns import phones, state
from stratolite.services.sns.finding import invalid, subscription_of
from stratolite.services.sns.phones import PHONE
from stratolite.services.sns.signing import Signer
from stratolite.services.sns.state import keys_of
from stratolite.services.sns.subscriptions import Subscriptions, drop

_PAGE = 100
_SPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


class Doors(Subscriptions, Service):
    signer: Signer
    link_key: bytes

    def link_token(self, subscription: str) -> str:
        """Who has the link may unsubscribe; who only knows the ARN may not."""
        return blake2b(subscription.encode(), digest_size=16, key=self.link_key).hexdigest()

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        if request.method != ("POST" if door.label == "stop" else "GET"):
            return HttpResponse(405, [("Allow", "GET")])
        asked = {name: values[0] for name, values in parse_qs(request.query).items()}
        if door.label.endswith(".pem"):
            pem = await self.signer.certificate(door.label)
            if pem is None:
                return HttpResponse(404)
            return HttpResponse(200, [("Content-Type", "application/x-pem-file")], pem.encode())
        try:
            if door.label == "confirm":
                return await self._confirm(call, asked)
            if door.label == "unsubscribe":
                return await self._leave(call, asked)
        except Fault as fault:
            return _refusal(call, fault)
        if door.label == "outbox":
            return await self._outbox(call, asked)
        if door.label == "stop":
            return await self._stop(call, asked)
        return HttpResponse(404)

    async def _confirm(self, call: Call, asked: dict[str, str]) -> HttpResponse:
        answer = await call.transact(lambda inner: self.confirm_subscription(inner, asked))
        arn = escape(answer["SubscriptionArn"])
        inside = f"<SubscriptionArn>{arn}</SubscriptionArn>"
        return _xml(
            200,
            f'<ConfirmSubscriptionResponse xmlns="{_SPACE}"><ConfirmSubscriptionResult>{inside}'
            f"</ConfirmSubscriptionResult>{_metadata(call)}</ConfirmSubscriptionResponse>",
        )

    async def _leave(self, call: Call, asked: dict[str, str]) -> HttpResponse:
        arn = asked.get("SubscriptionArn", "")
        if not hmac.compare_digest(self.link_token(arn), asked.get("Token", "")):
            raise invalid("Token")

        def leave(inner: Call) -> None:
            found = subscription_of(inner, arn)
            if found is None:
                return
            if found[1].record["unsubscribe_authenticated"]:
                raise Fault(
                    "AuthorizationError",
                    "This subscription may be deleted by a signed call only",
                    status=403,
                )
            drop(inner, *found)

        await call.transact(leave)
        return _xml(
            200, f'<UnsubscribeResponse xmlns="{_SPACE}">{_metadata(call)}</UnsubscribeResponse>'
        )

    async def _stop(self, call: Call, asked: dict[str, str]) -> HttpResponse:
        if call.principal.kind != "root":
            return HttpResponse(403)
        number = asked.get("number", "")
        if not PHONE.fullmatch(number):
            return HttpResponse(400)
        keys = keys_of(call.principal.account, asked.get("region") or call.region)
        await self.cloud.db.transact(lambda tx: phones.stop(tx, keys, phones.plain(number)))
        return HttpResponse(200, [("Content-Type", "application/json")], b"{}")

    async def _outbox(self, call: Call, asked: dict[str, str]) -> HttpResponse:
        if call.principal.kind != "root":
            return HttpResponse(403)
        region = asked.get("region") or call.region
        ms, _, stamp = asked.get("after", "0,-1").partition(",")
        try:
            after = int(ms), int(stamp or -1)
        except ValueError:
            return HttpResponse(400)
        keys = keys_of(call.principal.account, region)

        def read(tx: Tx) -> list[state.Record]:
            return state.mails(tx, keys, after, _PAGE)

        body = orjson.dumps({"mails": await self.cloud.db.transact(read)})
        return HttpResponse(200, [("Content-Type", "application/json")], body)


def _metadata(call: Call) -> str:
    return f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"


def _refusal(call: Call, fault: Fault) -> HttpResponse:
    return _xml(
        fault.status or 400,
        f'<ErrorResponse xmlns="{_SPACE}"><Error><Type>Sender</Type><Code>{escape(fault.code)}</Code>'
        f"<Message>{escape(fault.message)}</Message></Error><RequestId>{call.request_id}</RequestId>"
        "</ErrorResponse>",
    )


def _xml(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, [("Content-Type", "text/xml")], text.encode())
