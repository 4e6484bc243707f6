"""Function URLs and the settings of asynchronous invocations: what is configured beside a function."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

from stratolite.service import Call, Request, Response, Service
from stratolite.services.lambda_ import destinations, names, state
from stratolite.services.lambda_.names import LATEST, Ref, bad, invalid, mismatch, missing

_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
_NOTHING = "The resource you requested does not exist."
_METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"})
_PAGE_COUNT_MAX = 50
_ASYNC_SETTINGS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


class Urls(Service):
    def create_function_url_config(self, call: Call, request: Request) -> Response:
        ref = _ref(call, request)
        _check(request)
        if state.resolve(call.tx, ref) is None:
            raise missing("Function does not exist")
        if state.get_named(call.tx, ref, "url", ref.qualifier or "") is not None:
            raise names.conflict(
                f"Failed to create function url config for [functionArn = {ref.arn}]. Error message: "
                " FunctionUrlConfig exists for this Lambda function"
            )
        now = _now(call)
        record = {
            "id": base64.b32encode(call.world.token(20)).decode().lower(),
            "AuthType": request["AuthType"],
            "InvokeMode": request.get("InvokeMode", "BUFFERED"),
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if request.get("Cors"):
            record["Cors"] = request["Cors"]
        state.put_url_owner(call.tx, record["id"], ref)
        state.put_named(call.tx, ref, "url", ref.qualifier or "", record)
        answer = _answer(call, ref, record)
        del answer["LastModifiedTime"]
        return answer

    def update_function_url_config(self, call: Call, request: Request) -> Response:
        ref = _ref(call, request)
        _check(request)
        if state.resolve(call.tx, ref) is None:
            raise missing("Function does not exist")
        record = dict(_get(call, ref))
        for member in ("AuthType", "InvokeMode", "Cors"):
            if member in request:
                record[member] = request[member]
        if not record.get("Cors"):
            record.pop("Cors", None)
        record["LastModifiedTime"] = _now(call)
        state.put_named(call.tx, ref, "url", ref.qualifier or "", record)
        return _answer(call, ref, record)

    def get_function_url_config(self, call: Call, request: Request) -> Response:
        ref = _ref(call, request)
        return _answer(call, ref, _get(call, ref))

    def delete_function_url_config(self, call: Call, request: Request) -> Response:
        ref = _ref(call, request)
        record = _get(call, ref)
        state.delete_url_owner(call.tx, record["id"])
        state.delete_named(call.tx, ref, "url", ref.qualifier or "")
        return {}

    def list_function_url_configs(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])._replace(qualifier=None)
        if state.get_function(call.tx, ref) is None:
            raise missing("Function does not exist")
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        last = ""
        # The function's own comes first, under ""; a marker stands behind a name, so "" needs none.
        for qualifier, record in state.named(call.tx, ref, "url", request.get("Marker") or ""):
            if len(found) >= most:
                return {"FunctionUrlConfigs": found, "NextMarker": last}
            found.append(_answer(call, ref._replace(qualifier=qualifier or None), record))
            last = qualifier
        return {"FunctionUrlConfigs": found}

    # -- asynchronous invocations

    def put_function_event_invoke_config(self, call: Call, request: Request) -> Response:
        return self._set_async(call, request, {})

    def update_function_event_invoke_config(self, call: Call, request: Request) -> Response:
        ref = _async_ref(call, request)
        if state.resolve(call.tx, ref) is None:
            raise missing("The function doesn't exist.")
        return self._set_async(call, request, _get_async(call, ref))

    def get_function_event_invoke_config(self, call: Call, request: Request) -> Response:
        return _get_async(call, _async_ref(call, request))

    def delete_function_event_invoke_config(self, call: Call, request: Request) -> Response:
        ref = _async_ref(call, request)
        _get_async(call, ref)
        state.delete_named(call.tx, ref, "async", ref.qualifier or "")
        return {}

    def list_function_event_invoke_configs(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        if state.get_function(call.tx, ref) is None:
            raise missing("The function doesn't exist.")
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        last = ""
        for name, record in state.named(call.tx, ref, "async", request.get("Marker") or ""):
            if len(found) >= most:
                return {"FunctionEventInvokeConfigs": found, "NextMarker": last}
            found.append(record)
            last = name
        return {"FunctionEventInvokeConfigs": found}

    def _set_async(self, call: Call, request: Request, base: state.Record) -> Response:
        ref = _async_ref(call, request)
        if not base and not any(member in request for member in _ASYNC_SETTINGS):
            raise invalid("You must specify at least one of error handling or destination setting.")
        found = state.resolve(call.tx, ref)
        if found is None:
            raise missing("The function doesn't exist.")
        record = dict(base)
        for member, field, least, most in (
            ("MaximumRetryAttempts", "maximumRetryAttempts", 0, 2),
            ("MaximumEventAgeInSeconds", "maximumEventAgeInSeconds", 60, 21600),
        ):
            if member in request:
                value = request[member]
                if not least <= value <= most:
                    side = "greater than or equal to" if value < least else "less than or equal to"
                    limit = least if value < least else most
                    raise bad(field, value, f"Member must have value {side} {limit}")
                record[member] = value
        given = request.get("DestinationConfig")
        if given is not None:
            role = found[0]["config"]["Role"]
            record["DestinationConfig"] = destinations.check_destinations(call, ref, role, given)
        record.setdefault("DestinationConfig", {"OnSuccess": {}, "OnFailure": {}})
        record.update(FunctionArn=ref.arn, LastModified=int(call.tx.time_s))
        state.put_named(call.tx, ref, "async", ref.qualifier or "", record)
        return record


def check_cors(cors: dict[str, Any]) -> None:
    for method in cors.get("AllowMethods", ()):
        if method not in _METHODS:
            raise invalid(f"Invalid value for AllowMethods: {method}")
    if not 0 <= cors.get("MaxAge", 0) <= 86400:
        raise bad(
            "cors.maxAge", cors["MaxAge"], "Member must have value less than or equal to 86400"
        )


def _check(request: Request) -> None:
    auth = request.get("AuthType")
    if auth not in (None, "NONE", "AWS_IAM"):
        raise bad("authType", auth, "Member must satisfy enum value set: [AWS_IAM, NONE]")
    mode = request.get("InvokeMode", "BUFFERED")
    if mode not in ("BUFFERED", "RESPONSE_STREAM"):
        raise bad(
            "invokeMode", mode, "Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]"
        )
    check_cors(request.get("Cors") or {})


def _ref(call: Call, request: Request) -> Ref:
    given = request.get("Qualifier")
    if given is not None and not re.fullmatch(_QUALIFIER, given):
        raise mismatch("qualifier", given, _QUALIFIER)
    ref = names.function(call, request["FunctionName"], given)
    if ref.qualifier == LATEST:
        return ref._replace(qualifier=None)
    if ref.qualifier is not None and not re.fullmatch(_QUALIFIER, ref.qualifier):
        raise mismatch("qualifier", ref.qualifier, _QUALIFIER)  # a version in the function's ARN
    return ref


def _get(call: Call, ref: Ref) -> state.Record:
    record = state.get_named(call.tx, ref, "url", ref.qualifier or "")
    if record is None:
        raise missing(_NOTHING)
    return record


def _answer(call: Call, ref: Ref, record: state.Record) -> Response:
    answer = {
        **record,
        "FunctionArn": ref.arn,
        "FunctionUrl": f"{call.endpoint}/_aws/lambda-url/{record['id']}/",
    }
    del answer["id"]
    return answer


def _async_ref(call: Call, request: Request) -> Ref:
    ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
    return ref if ref.qualifier else ref._replace(qualifier=LATEST)


def _get_async(call: Call, ref: Ref) -> state.Record:
    record = state.get_named(call.tx, ref, "async", ref.qualifier or "")
    if record is None:
        raise missing(f"The function {ref.arn} doesn't have an EventInvokeConfig")
    return record


def _now(call: Call) -> str:
    now = datetime.fromtimestamp(call.tx.time_s, UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
