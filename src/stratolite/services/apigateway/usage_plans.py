"""Usage plans: which stages API keys let their callers into, how often, and how much they have used.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-create-usage-plans.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway import state
from stratolite.services.apigateway.admission import period_start
from stratolite.services.apigateway.api_keys import paged
from stratolite.services.apigateway.parts import (
    SERVICE,
    bad,
    find,
    given,
    load,
    made_before,
    missing,
    new_id,
    page,
    remove,
    room,
    shown,
    store,
)
from stratolite.services.apigateway.patches import number, rate, unescape

PLANS_COUNT_MAX = 300
_PERIODS = ("DAY", "WEEK", "MONTH")
_USAGE_DAYS_MAX = 90
_NO_STAGE = "Invalid API Stage specified"


class UsagePlans:
    def create_usage_plan(self, call: Call, request: Request) -> Response:
        if again := made_before(call, "plan", request):
            return shown(again)
        room(call, "plan", most=PLANS_COUNT_MAX, what="usage plans")
        record: dict[str, Any] = {
            "id": new_id(call),
            "name": request["name"],
            "apiStages": [],
        } | given(request, "description", "throttle", "tags")
        if not record["name"]:
            raise bad("Usage Plan name cannot be blank")
        if request.get("StackToken"):
            record["stackToken"] = request["StackToken"]
        if request.get("quota"):
            record["quota"] = {"offset": 0, **request["quota"]}
        for stage in request.get("apiStages") or ():
            _add_stage(call, record, f"{stage.get('apiId')}:{stage.get('stage')}", stage)
        _check(record)
        store(call, "plan", record["id"], record=record)
        return shown(record)

    def get_usage_plan(self, call: Call, request: Request) -> Response:
        return {"tags": {}, **shown(load(call, "plan", request["usagePlanId"]))}

    def get_usage_plans(self, call: Call, request: Request) -> Response:
        if key := request.get("keyId"):
            load(call, "key", key)
            plans = state.plans_of(call.tx, call.keys(SERVICE), key)
            found, position = paged([load(call, "plan", plan) for plan in plans], request)
            return {"items": [shown(plan) for plan in found]} | position
        return page(call, "plan", (), request, shown)

    def update_usage_plan(self, call: Call, request: Request) -> Response:
        record = load(call, "plan", request["usagePlanId"])
        for operation in request.get("patchOperations") or ():
            _patch(call, record, operation)
        _check(record)
        store(call, "plan", record["id"], record=record)
        return {"tags": {}, **shown(record)}

    def delete_usage_plan(self, call: Call, request: Request) -> Response:
        plan = load(call, "plan", request["usagePlanId"])
        if plan["apiStages"]:
            stages = ", ".join(f"{s['apiId']}:{s['stage']}" for s in plan["apiStages"])
            raise bad(
                f"Cannot delete usage plan because it is associated with API stages: {stages}"
            )
        keys = call.keys(SERVICE)
        for key in state.keys_of(call.tx, keys, plan["id"]):
            state.detach(call.tx, keys, plan["id"], key)
        remove(call, "plan", plan["id"])
        return {}

    # -- keys of plans

    def create_usage_plan_key(self, call: Call, request: Request) -> Response:
        plan = load(call, "plan", request["usagePlanId"])
        if request["keyType"] != "API_KEY":
            raise bad("Usage plan only supports keys of type API_KEY")
        key = load(call, "key", request["keyId"])
        keys = call.keys(SERVICE)
        if state.is_attached(call.tx, keys, plan["id"], key["id"]):
            raise Fault(
                "ConflictException",
                "Usage Plan Key already exists for this Usage Plan",
            )
        for other in state.plans_of(call.tx, keys, key["id"]):
            _check_overlap(key, plan, load(call, "plan", other))
        state.attach(call.tx, keys, plan["id"], key["id"])
        return _key(call, key)

    def get_usage_plan_key(self, call: Call, request: Request) -> Response:
        plan = load(call, "plan", request["usagePlanId"])
        return _key(call, self._attached(call, plan["id"], request["keyId"]))

    def get_usage_plan_keys(self, call: Call, request: Request) -> Response:
        """Of a plan that is not there: none, as AWS answers."""
        keys = call.keys(SERVICE)
        records = [load(call, "key", k) for k in state.keys_of(call.tx, keys, request["usagePlanId"])]  # fmt: skip
        start = request.get("nameQuery")
        found = [r for r in records if start is None or r.get("name", "").startswith(start)]
        found.sort(key=lambda key: (-key["createdDate"], key["id"]))
        some, position = paged(found, request)
        return {"items": [_key(call, key) for key in some]} | position

    def delete_usage_plan_key(self, call: Call, request: Request) -> Response:
        plan = load(call, "plan", request["usagePlanId"])
        key = self._attached(call, plan["id"], request["keyId"])
        state.detach(call.tx, call.keys(SERVICE), plan["id"], key["id"])
        return {}

    def _attached(self, call: Call, plan: str, key: str) -> dict[str, Any]:
        if not state.is_attached(call.tx, call.keys(SERVICE), plan, key):
            raise missing("Invalid API Key identifier specified")
        return load(call, "key", key)

    # -- usage

    def get_usage(self, call: Call, request: Request) -> Response:
        """Each day's [used, left] by key; only plans with a quota count."""
        plan = load(call, "plan", request["usagePlanId"])
        first, last = _day(request["startDate"]), _day(request["endDate"])
        if first > last or (last - first).days >= _USAGE_DAYS_MAX:
            raise bad("Invalid date range: it must have 1 to 90 days")
        keys = call.keys(SERVICE)
        wanted = request.get("keyId")
        listed = [wanted] if wanted else state.keys_of(call.tx, keys, plan["id"])
        some, position = paged(listed, request)
        items = {key: _usage(call, plan, key, first, last) for key in some}
        answer: Response = {
            "usagePlanId": plan["id"],
            "startDate": str(first),
            "endDate": str(last),
            "items": items,
        }
        return answer | position


def _usage(call: Call, plan: dict[str, Any], key: str, first: date, last: date) -> list[list[int]]:
    quota = plan.get("quota")
    if not quota:
        return []
    keys = call.keys(SERVICE)
    begin = period_start(first, quota["period"])
    used = state.used_between(call.tx, keys, plan["id"], key, str(begin), str(last))
    days: list[list[int]] = []
    day = first
    while day <= min(last, datetime.fromtimestamp(call.tx.time_s, UTC).date()):
        start = str(period_start(day, quota["period"]))
        so_far = sum(count for when, count in used.items() if start <= when <= str(day))
        left = int(quota["limit"]) - int(quota.get("offset") or 0) - so_far
        days.append([used.get(str(day), 0), max(0, left)])
        day += timedelta(days=1)
    return days


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise bad(f"Invalid date: {text}. Usage dates must be in the format yyyy-MM-dd") from None


def _key(call: Call, key: dict[str, Any]) -> Response:
    made = {"id": key["id"], "type": "API_KEY", "value": state.value_of(call.tx, key)}
    return made | given(key, "name")


def _check(record: dict[str, Any]) -> None:
    quota = record.get("quota")
    if quota is not None:
        if quota.get("period") not in _PERIODS:
            raise bad("Usage Plan quota period must be one of DAY, WEEK, MONTH")
        if int(quota.get("limit") or 0) <= 0:
            raise bad("Usage Plan quota limit must be greater than 0")
        if int(quota.get("offset") or 0) < 0 or int(quota.get("offset") or 0) > quota["limit"]:
            raise bad("Usage Plan quota offset must be between 0 and the limit")
    for throttle in (record.get("throttle") or {},):
        if float(throttle.get("rateLimit") or 0) < 0 or int(throttle.get("burstLimit") or 0) < 0:
            raise bad("Usage Plan throttle limits must not be negative")


def _check_overlap(key: dict[str, Any], plan: dict[str, Any], other: dict[str, Any]) -> None:
    ours = {(s["apiId"], s["stage"]) for s in plan["apiStages"]}
    for stage in other["apiStages"]:
        if (stage["apiId"], stage["stage"]) in ours:
            raise Fault(
                "ConflictException",
                f"API Key {key['id']} cannot be added to usage plan {plan['id']}. It is already associated with API"
                f" Stage {{api: {stage['apiId']}, stage: {stage['stage']}}} by usage plan {other['id']}",
            )


def _add_stage(
    call: Call, record: dict[str, Any], text: str, more: dict[str, Any] | None = None
) -> None:
    api, colon, stage = text.partition(":")
    if not colon or not api or not stage:
        raise bad(_NO_STAGE)
    if find(call, "stage", api, stage) is None:
        raise missing(
            f"Invalid API Stage {{api: {api}, stage: {stage}}} specified for usageplan {record['id']}"
        )
    if any((s["apiId"], s["stage"]) == (api, stage) for s in record["apiStages"]):
        return
    made = {"apiId": api, "stage": stage}
    if more and more.get("throttle"):
        made["throttle"] = more["throttle"]
    record["apiStages"].append(made)


def _remove_stage(record: dict[str, Any], text: str) -> None:
    api, colon, stage = text.partition(":")
    if not colon:
        raise bad(_NO_STAGE)
    kept = [s for s in record["apiStages"] if (s["apiId"], s["stage"]) != (api, stage)]
    if len(kept) == len(record["apiStages"]):
        raise missing(
            f"Invalid API Stage {{api: {api}, stage: {stage}}} specified for usageplan {record['id']}"
        )
    record["apiStages"] = kept


def _patch(call: Call, record: dict[str, Any], operation: dict[str, Any]) -> None:
    op, path = operation["op"], operation.get("path") or ""
    value = str(operation.get("value") or "")
    parts = [unescape(part) for part in path.split("/")[1:]]
    if path in ("/name", "/description"):
        if op == "remove" and path == "/description":
            record.pop("description", None)
        else:
            record[parts[0]] = value
    elif parts[:1] == ["apiStages"] and len(parts) == 1:
        if not value:
            raise bad(_NO_STAGE)
        if op == "remove":
            _remove_stage(record, value)
        else:
            _add_stage(call, record, value)
    elif parts[:1] == ["apiStages"]:
        _patch_stage(record, parts, op, value)
    elif parts[0] in ("throttle", "quota"):
        _patch_limits(record, parts, op, value)
    else:
        raise bad(f"Invalid patch path {path}")


_LIMITS: dict[str, Callable[[str], Any]] = {
    "rateLimit": rate,
    "burstLimit": number,
    "limit": number,
    "offset": number,
    "period": str,
}


def _patch_limits(record: dict[str, Any], parts: list[str], op: str, value: str) -> None:
    """/throttle, /throttle/rateLimit, /quota/limit and so on."""
    if op == "remove":
        if len(parts) == 1:
            record.pop(parts[0], None)
        else:
            (record.get(parts[0]) or {}).pop(parts[1], None)
        return
    if len(parts) != 2 or parts[1] not in _LIMITS:
        raise bad(f"Invalid patch path /{'/'.join(parts)}")
    start: dict[str, Any] = {"offset": 0} if parts[0] == "quota" else {}
    record[parts[0]] = (record.get(parts[0]) or start) | {parts[1]: _LIMITS[parts[1]](value)}


def _patch_stage(record: dict[str, Any], parts: list[str], op: str, value: str) -> None:
    """/apiStages/API:STAGE/throttle[/~1pets~1GET or /pets/GET][/rateLimit]"""
    served = next(
        (s for s in record["apiStages"] if f"{s['apiId']}:{s['stage']}" == parts[1]), None
    )
    if served is None or parts[2:3] != ["throttle"]:
        raise bad(_NO_STAGE)
    limit = parts[-1] if parts[-1] in ("rateLimit", "burstLimit") else ""
    named = parts[3:-1] if limit else parts[3:]
    method = "/".join(named)
    if named and not method.startswith("/"):
        method = f"/{method}"  # the root's is //GET
    throttles = served.setdefault("throttle", {})
    if op == "remove":
        if not method:
            del served["throttle"]
        elif limit:
            throttles.get(method, {}).pop(limit, None)
        else:
            throttles.pop(method, None)
    elif not limit:
        raise bad(f"Invalid patch path /{'/'.join(parts)}")
    else:
        throttles.setdefault(method, {})[limit] = _LIMITS[limit](value)
    if not served.get("throttle"):
        served.pop("throttle", None)
