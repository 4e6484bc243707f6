"""Mobile push: platform applications and their endpoints. What is for a device is kept for `stratolite outbox`, and sent to no platform.

Credentials of platforms are needed by nobody here and not kept. An endpoint is disabled by whoever says so; no platform
ever disables one.

Source  https://docs.aws.amazon.com/sns/latest/dg/sns-mobile-application-as-subscriber.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.sns import state
from stratolite.services.sns.finding import invalid
from stratolite.services.sns.state import Record, keys_of

PLATFORMS = (
    "ADM", "APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", "BAIDU", "FCM", "GCM", "MACOS", "MACOS_SANDBOX", "MPNS", "WNS",
)  # fmt: skip
_KEPT = (
    "EventEndpointCreated", "EventEndpointDeleted", "EventEndpointUpdated", "EventDeliveryFailure", "AppleCertificateExpirationDate",
    "ApplePlatformTeamID", "ApplePlatformBundleID",
)  # fmt: skip
_SECRET = ("PlatformCredential", "PlatformPrincipal")
_OF_TWO = ("ADM", "BAIDU", "MPNS", "WNS")  # a client's id and its secret
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_LOGGED = ("SuccessFeedbackRoleArn", "FailureFeedbackRoleArn", "SuccessFeedbackSampleRate")
_OF_ENDPOINT = ("CustomUserData", "Enabled", "Token")
_USER_DATA_BYTES_MAX = 2_048
_PAGE = 100


class Place(NamedTuple):
    """What an ARN names: an application (id "") or an endpoint of it."""

    region: str
    account: str
    platform: str
    name: str
    id: str

    @property
    def arn(self) -> str:
        kind = f"endpoint/{self.platform}/{self.name}/{self.id}" if self.id else f"app/{self.platform}/{self.name}"  # fmt: skip
        return f"arn:aws:sns:{self.region}:{self.account}:{kind}"


def place_of(arn: str | None, parameter: str) -> Place:
    """Raises Fault for what is no ARN of an application or endpoint."""
    parts = (arn or "").split(":", 5)
    rest = parts[-1].split("/")
    if arn is not None and len(arn.split(":")) < 6:
        raise invalid(
            f"{parameter} Reason: An ARN must have at least 6 elements, not {len(arn.split(':'))}"
        )
    if len(parts) == 6 and parts[2] == "sns":
        if rest[0] == "app" and len(rest) == 3:
            return Place(parts[3], parts[4], rest[1], rest[2], "")
        if rest[0] == "endpoint" and len(rest) == 4:
            return Place(parts[3], parts[4], *rest[1:])
    raise invalid(f"{parameter} Reason: {arn or 'no value'} is not the ARN of one")


def endpoint(call: Call, arn: str) -> Record | None:
    """{token, enabled, data} of an endpoint, None if it is not there. Raises Fault for what is no ARN of one."""
    place = place_of(arn, "TargetArn")
    return state.push(call.tx, keys_of(place.account, place.region), *place[2:])


class Push(Service):
    def create_platform_application(self, call: Call, request: Request) -> Response:
        platform, name = request["Platform"], request["Name"]
        if platform not in PLATFORMS:
            raise invalid(f"Platform Reason: {platform} is not supported")
        _check_name(name)
        given = request.get("Attributes") or {}
        if not given:
            raise _no_attributes()
        if platform in _OF_TWO and ("PlatformCredential" in given) != (
            "PlatformPrincipal" in given
        ):
            there, missing = _SECRET if "PlatformCredential" in given else _SECRET[::-1]
            raise invalid(f"Attributes Reason: {there} attribute provided without {missing}")
        if not given.get("PlatformCredential"):
            raise invalid("Attributes Reason: Invalid value for attribute: PlatformCredential: cannot be empty")  # fmt: skip
        place = Place(call.region, call.account, platform, name, "")
        keys = keys_of(call.account, call.region)
        record = state.push(call.tx, keys, *place[2:]) or {"attributes": {"Enabled": "true"}}
        _put_application(call, place, record, given)
        return {"PlatformApplicationArn": place.arn}

    def get_platform_application_attributes(self, call: Call, request: Request) -> Response:
        return {"Attributes": _application(call, request)[1]["attributes"]}

    def set_platform_application_attributes(self, call: Call, request: Request) -> Response:
        place_of(request.get("PlatformApplicationArn"), "PlatformApplicationArn")
        if not request.get("Attributes"):
            raise _no_attributes()
        place, record = _application(call, request)
        _put_application(call, place, record, request["Attributes"])
        return {}

    def list_platform_applications(self, call: Call, request: Request) -> Response:
        found: list[Response] = []
        keys, token = keys_of(call.account, call.region), request.get("NextToken") or ""
        for name, record in state.pushes(call.tx, keys, "", token):
            if len(found) == _PAGE:
                return {"PlatformApplications": found, "NextToken": token}
            platform, _, plain = name.partition("/")
            arn = Place(call.region, call.account, platform, plain, "").arn
            found.append({"PlatformApplicationArn": arn, "Attributes": record["attributes"]})
            token = name
        return {"PlatformApplications": found}

    def delete_platform_application(self, call: Call, request: Request) -> Response:
        place = place_of(request.get("PlatformApplicationArn"), "PlatformApplicationArn")
        state.drop_push(call.tx, keys_of(place.account, place.region), *place[2:])
        return {}

    def create_platform_endpoint(self, call: Call, request: Request) -> Response:
        """The same token again is the same endpoint, if it is to have the same attributes."""
        place, _ = _application(call, request)
        keys, token = keys_of(place.account, place.region), request["Token"]
        given = dict(request.get("Attributes") or {})
        if request.get("CustomUserData"):
            given.setdefault("CustomUserData", request["CustomUserData"])
        record = _changed({"token": token, "enabled": True, "data": ""}, {**given, "Token": token})
        known = state.pushed_to(call.tx, keys, place.platform, place.name, token)
        if known is not None:
            arn = place._replace(id=known).arn
            if state.push(call.tx, keys, place.platform, place.name, known) != record:
                raise invalid(f"Token Reason: Endpoint {arn} already exists with the same Token, but different attributes.")  # fmt: skip
            return {"EndpointArn": arn}
        made = place._replace(id=call.world.uuid())
        state.put_push(call.tx, keys, *made[2:], record=record)
        return {"EndpointArn": made.arn}

    def get_endpoint_attributes(self, call: Call, request: Request) -> Response:
        return {"Attributes": _shown(_endpoint(call, request)[1])}

    def set_endpoint_attributes(self, call: Call, request: Request) -> Response:
        place_of(request.get("EndpointArn"), "EndpointArn")
        if not request.get("Attributes"):
            raise _no_attributes()
        place, record = _endpoint(call, request)
        keys = keys_of(place.account, place.region)
        state.put_push(call.tx, keys, *place[2:], record=_changed(record, request["Attributes"]))
        return {}

    def delete_endpoint(self, call: Call, request: Request) -> Response:
        place = place_of(request.get("EndpointArn"), "EndpointArn")
        if place.id:
            state.drop_push(call.tx, keys_of(place.account, place.region), *place[2:])
        return {}

    def list_endpoints_by_platform_application(self, call: Call, request: Request) -> Response:
        place, _ = _application(call, request)
        found: list[Response] = []
        keys, token = keys_of(place.account, place.region), request.get("NextToken") or ""
        for name, record in state.pushes(call.tx, keys, f"{place.platform}/{place.name}", token):
            if len(found) == _PAGE:
                return {"Endpoints": found, "NextToken": token}
            found.append({"EndpointArn": place._replace(id=name).arn, "Attributes": _shown(record)})
            token = name
        return {"Endpoints": found}


def _check_name(name: str) -> None:
    if not name:
        raise invalid(f"{name} Reason: cannot be empty")
    if len(name) > 256:
        raise invalid(f"{name} Reason: must be at most 256 characters long")
    if not _NAME.fullmatch(name):
        raise invalid(
            f"{name} Reason: must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'"
        )


def _no_attributes() -> Fault:
    return Fault(
        "ValidationError",
        "1 validation error detected: Value null at 'attributes' failed to satisfy constraint: Member must not"
        " be null",
    )


def _application(call: Call, request: Request) -> tuple[Place, Record]:
    place = place_of(request.get("PlatformApplicationArn"), "PlatformApplicationArn")
    record = state.push(call.tx, keys_of(place.account, place.region), *place[2:])
    if place.id or record is None:
        raise Fault("NotFound", "PlatformApplication does not exist", status=404)
    return place, record


def _endpoint(call: Call, request: Request) -> tuple[Place, Record]:
    place = place_of(request.get("EndpointArn"), "EndpointArn")
    record = state.push(call.tx, keys_of(place.account, place.region), *place[2:])
    if not place.id or record is None:
        raise Fault("NotFound", "Endpoint does not exist", status=404)
    return place, record


def _put_application(call: Call, place: Place, record: Record, given: dict[str, str]) -> None:
    for name in given:
        if name in _LOGGED:
            raise invalid(f"Attributes Reason: {name} (delivery status logging) is not offered by Stratolite")  # fmt: skip
        if name not in _KEPT and name not in _SECRET:
            raise invalid(f"Attributes Reason: {name} is not a valid attribute")
    kept = {name: value for name, value in given.items() if name in _KEPT}
    record = {**record, "attributes": {**record["attributes"], **kept}}
    state.put_push(call.tx, keys_of(place.account, place.region), *place[2:], record=record)


def _changed(record: Record, given: dict[str, str]) -> Record:
    for name in given:
        if name not in _OF_ENDPOINT:
            raise invalid(f"Attributes Reason: Invalid attribute name: {name}")
    data = str(given.get("CustomUserData", record["data"]))
    if len(data.encode()) > _USER_DATA_BYTES_MAX:
        raise invalid(
            "Attributes Reason: Invalid value for attribute: CustomUserData: must be at most"
            f" {_USER_DATA_BYTES_MAX} bytes long in UTF-8 encoding"
        )
    enabled = record["enabled"]
    if "Enabled" in given:
        if given["Enabled"].lower() not in ("true", "false"):
            raise invalid("Attributes Reason: Invalid value for attribute: Enabled: must be true or false")  # fmt: skip
        enabled = given["Enabled"].lower() == "true"
    return {"token": given.get("Token", record["token"]), "enabled": enabled, "data": data}


def _shown(record: Record) -> dict[str, str]:
    shown = {"Enabled": str(record["enabled"]).lower(), "Token": record["token"]}
    return shown | ({"CustomUserData": record["data"]} if record["data"] else {})
