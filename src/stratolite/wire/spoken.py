"""Calls of an AWS API that come as HTTP from no client: what API Gateway's AWS integrations ask of a service.

    asked = read(request, "sqs")                       # the service is named as an endpoint is; what is asked, the request says
    answer = asked.answer(response, request_id)        # or asked.refusal(fault, request_id)

``action`` makes a request of an operation's name, as the URIs that end in ``:action/NAME`` have it.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.wire import overlays
from stratolite.wire.codec import Codec, codec
from stratolite.wire.model import load
from stratolite.wire.resolve import resolve

FORM = "application/x-www-form-urlencoded"


class Asked(NamedTuple):
    service: str
    operation: str
    request: dict[str, Any]
    spoken: Codec

    def answer(self, response: dict[str, Any], request_id: str) -> HttpResponse:
        return self.spoken.encode(response, request_id)

    def refusal(self, fault: Fault, request_id: str) -> HttpResponse:
        return self.spoken.encode_fault(fault, request_id)


def read(request: HttpRequest, name: str) -> Asked:
    """Raises Fault for what the service called ``name`` (``states``, ``sqs``) does not know."""
    target = resolve(request, name)
    spoken = codec(*target)
    return Asked(target.service, target.operation, spoken.decode(request), spoken)


def action(name: str, operation: str, request: HttpRequest) -> HttpRequest:
    """``request`` as one for ``operation``: a form with its query in it where the service takes forms, else by X-Amz-Target.

    A body that is no form has no place in a form, and goes.
    """
    service = overlays.SIGNING_NAMES.get(name, (name,))[0]
    model = load(service)
    headers = dict(request.headers)
    if "query" not in model.protocols:
        headers["x-amz-target"] = f"{model.target_prefix}.{operation}"
        headers["content-type"] = (
            f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.0')}"
        )
        return HttpRequest("POST", "/", "", headers, request.body)
    assert isinstance(request.body, bytes)
    given = request.body if headers.get("content-type", "").startswith(FORM) else b""
    named = urlencode({"Action": operation, "Version": model.metadata["apiVersion"]})
    parts = [named, request.query, given.decode(errors="replace")]
    headers["content-type"] = FORM
    body = "&".join(part for part in parts if part)
    return HttpRequest("POST", request.path, "", headers, body.encode())
