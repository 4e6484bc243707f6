"""OAuth connections get their token: asked for when a connection is made or changed, and again when a destination refuses it.

    AUTHORIZING -> AUTHORIZED, or after ``_TRIES_MAX`` answers without a token DEAUTHORIZED with a StateReason

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-target-connection.html
         https://www.rfc-editor.org/rfc/rfc6749#section-4.4
         answers recorded from AWS in localstack/localstack, tests/aws/services/events/test_api_destinations_and_connection.snapshot.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from stratolite.core import Tx
from stratolite.egress import Failed
from stratolite.service import Call, Job, Settle
from stratolite.services.events import connections, jobs, state

if TYPE_CHECKING:
    from stratolite.service import Cloud

_BYTES_MAX = 64 << 10
_S_MAX = 10.0
_TRIES_MAX, _PAUSE_S = 3, 1.0


class Authorize:
    queue, ordered, concurrency = jobs.AUTHORIZE, False, 8

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call, name = self._cloud.call(said["account"], said["region"]), said["connection"]
        record = await call.transact(lambda c: _current(c, said))
        if record is None:
            return None
        parameters = connections.unsealed(call, record)["OAuthParameters"]
        try:
            token, reason = await ask(call, parameters), ""
        except Failed as failed:
            token, reason = "", str(failed)

        def settle(tx: Tx) -> None:
            call.tx = tx
            now = _current(call, said)
            if now is None:
                return
            if token:
                connections.authorized(call, now, token)
            elif said["tries"] + 1 < _TRIES_MAX:
                again = orjson.dumps({**said, "tries": said["tries"] + 1})
                self._cloud.work.put(tx, jobs.AUTHORIZE, again, due_s=tx.time_s + _PAUSE_S)
                return
            else:
                now |= {"state": "DEAUTHORIZED", "reason": reason}
            state.put(tx, call.keys("events"), "connection", name, record=now)

        return settle


def _current(call: Call, said: dict[str, Any]) -> state.Record | None:
    """The connection, if it still waits to be authorized with what it had."""
    found = state.get(call.tx, call.keys("events"), "connection", said["connection"])
    if found is None or found.get("state") != "AUTHORIZING" or found["modified_s"] != said["modified_s"]:  # fmt: skip
        return None
    return found


async def refresh(call: Call, name: str, record: state.Record) -> state.Record:
    """The connection with a new token. Raises Failed."""
    token = await ask(call, connections.unsealed(call, record)["OAuthParameters"])

    def keep(inner: Call) -> None:
        now = state.get(inner.tx, inner.keys("events"), "connection", name)
        if now is not None and now["sealed"] == record["sealed"]:
            connections.authorized(inner, now, token)
            state.put(inner.tx, inner.keys("events"), "connection", name, record=now)

    await call.transact(keep)
    connections.authorized(call, record, token)
    return record


async def ask(call: Call, oauth: dict[str, Any]) -> str:
    """A client-credentials token. Raises Failed if the server cannot be reached or gives none."""
    client, proof = oauth["ClientParameters"], connections.Proof([], {}, {})
    connections.add(proof, oauth.get("OAuthHttpParameters") or {})
    form = {"grant_type": "client_credentials", "client_id": client["ClientID"], "client_secret": client["ClientSecret"]}  # fmt: skip
    url = oauth["AuthorizationEndpoint"]
    if proof.query:
        url += ("&" if "?" in url else "?") + urlencode(proof.query)
    answer = await call.cloud.egress.request(
        oauth["HttpMethod"].upper(),
        url,
        [("content-type", "application/x-www-form-urlencoded"), *proof.headers],
        urlencode(form | proof.body).encode(),
        timeout_s=_S_MAX,
        answer_bytes_max=_BYTES_MAX,
    )
    try:
        token = orjson.loads(answer.body)["access_token"] if answer.status == 200 else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        place = url.partition("?")[0]
        raise Failed("protocol", f"{place} gave no token: HTTP status {answer.status}")
    return token
