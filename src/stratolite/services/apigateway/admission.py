"""API keys of requests, quotas and rates: whether a request is let in now.

Rates are token buckets in this process's memory, best effort as AWS's are; quotas are counted in the store. Both go
by the cloud clock.
Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from stratolite.clock import World
from stratolite.service import Call
from stratolite.services.apigateway import state
from stratolite.services.apigateway.refusals import Refusal

_BUCKETS_COUNT_MAX = 8192


class Buckets:
    """Token buckets by whom they are for; the longest unused is dropped first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()

    def take(self, key: tuple[str, ...], throttle: dict[str, Any]) -> bool:
        """Whether there is a token; ``rateLimit`` come back each second, up to ``burstLimit``."""
        rate = float(throttle.get("rateLimit") or 0)
        burst = float(throttle.get("burstLimit") or 0)
        now_s = self._world.cloud()
        tokens, seen_s = self._kept.get(key, (burst, now_s))
        tokens = min(burst, tokens + max(0.0, now_s - seen_s) * rate)
        has = tokens >= 1
        self._kept[key] = (tokens - 1 if has else tokens, now_s)
        self._kept.move_to_end(key)
        while len(self._kept) > _BUCKETS_COUNT_MAX:
            self._kept.popitem(last=False)
        return has


class Admitted(NamedTuple):
    """An API key and the plan that lets it in."""

    key: dict[str, Any]
    plan: dict[str, Any]
    throttles: tuple[tuple[str, dict[str, Any]], ...]
    """(what they are for, rateLimit and burstLimit): of the method, then of the plan."""


def find(call: Call, api: str, stage: str, method: str, value: str | None) -> Admitted:
    """Who has the API key ``value``, in a transaction. Raises Refusal.

    ``method`` is ``/pets/GET``, as the throttle settings of a plan name it.
    """
    keys = call.keys("apigateway")
    key = state.key_of(call.tx, keys, value) if value else None
    if key is None or not key["enabled"]:
        raise Refusal("INVALID_API_KEY")
    for plan_id in state.plans_of(call.tx, keys, key["id"]):
        plan = state.read(call.tx, keys, "plan", plan_id)
        for served in plan["apiStages"] if plan is not None else ():
            if (served["apiId"], served["stage"]) == (api, stage):
                assert plan is not None
                own = (served.get("throttle") or {}).get(method)
                both = ((method, own), ("", plan.get("throttle")))
                return Admitted(key, plan, tuple((n, t) for n, t in both if t))
    raise Refusal("INVALID_API_KEY")


def check_throttles(buckets: Buckets, admitted: Admitted) -> None:
    """Raises Refusal."""
    for name, throttle in admitted.throttles:
        if not buckets.take((admitted.plan["id"], admitted.key["id"], name), throttle):
            raise Refusal("THROTTLED")


def count(call: Call, admitted: Admitted) -> None:
    """One request against the plan's quota, in a transaction. Raises Refusal."""
    quota, keys = admitted.plan["quota"], call.keys("apigateway")
    plan, key = admitted.plan["id"], admitted.key["id"]
    today = datetime.fromtimestamp(call.tx.time_s, UTC).date()
    first = period_start(today, quota["period"])
    used = state.used_between(call.tx, keys, plan, key, str(first), str(today))
    if sum(used.values()) + int(quota.get("offset") or 0) >= int(quota["limit"]):
        raise Refusal("QUOTA_EXCEEDED")
    state.use(call.tx, keys, plan, key, str(today))


def period_start(today: date, period: str) -> date:
    """Weeks begin on Sunday, as AWS counts them."""
    if period == "DAY":
        return today
    if period == "WEEK":
        return today - timedelta(days=(today.weekday() + 1) % 7)
    return today.replace(day=1)


def check_rate(
    buckets: Buckets, api: str, stage: dict[str, Any], resource: str, method: str
) -> None:
    """The stage's own throttling, of the method before that of all methods. Raises Refusal."""
    settings = stage.get("methodSettings") or {}
    own = f"{resource.strip('/') or '/'}/{method}"
    for name in (own, "*/*"):
        found = settings.get(name)
        if found is None:
            continue
        throttle = {
            "rateLimit": found["throttlingRateLimit"],
            "burstLimit": found["throttlingBurstLimit"],
        }
        key = (api, stage["stageName"], name, "" if name == own else f"{resource}/{method}")
        if not buckets.take(key, throttle):
            raise Refusal("THROTTLED")
        return
