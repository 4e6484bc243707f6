"""Settings of an account: its commitment to a minimum of throughput ("On-demand Advantage"), for which nobody here is billed.

Warm throughput is for accounts that have it. It cannot be given up within its first day; asked to, it ends when that is over.
Source  https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateAccountSettings.html
"""

from __future__ import annotations

from typing import Any

from stratolite.service import Call, Request, Response, Service
from stratolite.services.kinesis import names, quotas, state

_STATUSES = ("DISABLED", "ENABLED")


class Accounts(Service):
    def describe_account_settings(self, call: Call, request: Request) -> Response:
        return {"MinimumThroughputBillingCommitment": _shown(call)}

    def update_account_settings(self, call: Call, request: Request) -> Response:
        wanted = (request.get("MinimumThroughputBillingCommitment") or {}).get("Status")
        if wanted not in _STATUSES:
            raise names.invalid(
                "minimumThroughputBillingCommitment.status",
                wanted,
                f"Member must satisfy enum value set: [{', '.join(_STATUSES)}]",
            )
        now_s, is_on = call.tx.time_s, is_committed(call)
        kept = state.commitment(call.tx, call.keys("kinesis"))
        if wanted == "ENABLED":
            started_s = kept["started_s"] if is_on else now_s
            kept = {"started_s": started_s, "ends_s": None}
        elif is_on:
            kept["ends_s"] = max(now_s, kept["started_s"] + quotas.COMMITMENT_S_MIN)
        state.put_commitment(call.tx, call.keys("kinesis"), kept)
        return {"MinimumThroughputBillingCommitment": _shown(call)}


def is_committed(call: Call) -> bool:
    kept = state.commitment(call.tx, call.keys("kinesis"))
    if kept["started_s"] is None:
        return False
    return kept["ends_s"] is None or bool(kept["ends_s"] > call.tx.time_s)


def _shown(call: Call) -> dict[str, Any]:
    kept = state.commitment(call.tx, call.keys("kinesis"))
    started_s, ends_s = kept["started_s"], kept["ends_s"]
    if started_s is None:
        return {"Status": "DISABLED"}
    shown: dict[str, Any] = {"StartedAt": started_s}
    if not is_committed(call):
        return {**shown, "Status": "DISABLED", "EndedAt": ends_s}
    shown["EarliestAllowedEndAt"] = started_s + quotas.COMMITMENT_S_MIN
    return {
        **shown,
        "Status": "ENABLED" if ends_s is None else "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
    }
