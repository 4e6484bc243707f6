"""HTTP answers, and the one way a request is refused."""

import base64
import json


class Refused(Exception):
    """What the caller sees: a status and a sentence."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def answer(status, body=None):
    if body is None:
        return {"statusCode": status}
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, default=int),
    }


def routed(routes):
    """A handler that picks a function by the route key and turns ``Refused`` into an answer."""

    def handler(event, context):
        try:
            return routes[event["routeKey"]](event)
        except Refused as refused:
            return answer(refused.status, {"message": refused.message})

    return handler


def body_of(event, required):
    """The JSON object in the request, with its required texts present and trimmed."""
    raw = event.get("body") or ""
    if event.get("isBase64Encoded"):
        raw = base64.b64decode(raw)
    try:
        body = json.loads(raw)
    except ValueError:
        raise Refused(400, "The request body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request body is not a JSON object.")
    for field in required:
        value = body.get(field)
        if not isinstance(value, str) or not value.strip():
            raise Refused(400, f"{field} is missing.")
        body[field] = value.strip()
    return body
