"""The operations that change a resource: each a request, a durable job, and a ProgressEvent that says how far it is.

A request works in two transactions around its handler, as a stack's step does: one that stores what shall be done
(``CreateResource`` itself), one that stores how it ended. After a crash the job comes back and asks the handler again
under the same token. One request at a time works on a resource.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import asdict
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault, Unavailable
from stratolite.service import (
    Call,
    Cloud,
    Job,
    Made,
    Principal,
    Request,
    Resource,
    Response,
    Service,
    Settle,
)
from stratolite.services.cloudcontrol import state
from stratolite.services.cloudcontrol.failures import code_of, missing, told
from stratolite.services.cloudcontrol.models import (
    Properties,
    acting,
    conform,
    identifier_of,
    named,
    patched,
    read,
    read_object,
    refuse_version,
    spec_of,
    type_of,
)
from stratolite.services.cloudcontrol.reading import found_now
from stratolite.services.cloudcontrol.state import Row
from stratolite.services.cloudformation.quotas import STABILISE_S_FIRST, STABILISE_S_MAX
from stratolite.services.cloudformation.schema import Schema

QUEUE = "cloudcontrol.request"
EXPIRE_QUEUE = "cloudcontrol.expire"
KEPT_S = 7 * 86_400.0
CLIENT_TOKEN_KEPT_S = 36 * 3_600.0
REQUESTS_AT_ONCE_MAX = 64
_PAGE = 100
_LOOKED_AT_COUNT_MAX = 1_000  # requests behind one page of a filtered list
_MESSAGE_LENGTH_MAX = 1_024  # of StatusMessage, by the AWS model
_ENDED = frozenset({"SUCCESS", "FAILED", "CANCEL_COMPLETE"})
_log = logging.getLogger("stratolite.cloudcontrol")


class Requests(Service):
    async def create_resource(self, call: Call, request: Request) -> Response:
        refuse_version(request)
        if (known := await call.transact(lambda c: _known(c, "CREATE", request))) is not None:
            return known
        handler, schema = type_of(call, request["TypeName"], "CREATE")
        given = read_object(request["DesiredState"], "DesiredState")
        desired = await asyncio.to_thread(conform, handler, schema, given)
        names = {name: desired[name] for name in schema.identifiers if name in desired}
        identifier = ""
        if len(names) == len(schema.identifiers):
            identifier = identifier_of(schema, Made(""), names)
        sealed = {"desired": desired, "before": None}
        return await call.transact(lambda c: _begin(c, "CREATE", request, identifier, sealed))

    async def update_resource(self, call: Call, request: Request) -> Response:
        refuse_version(request)
        if (known := await call.transact(lambda c: _known(c, "UPDATE", request))) is not None:
            return known
        handler, schema = type_of(call, request["TypeName"], "UPDATE")
        before = await found_now(call, handler, schema, request)
        wanted = await asyncio.to_thread(patched, handler, schema, before, request["PatchDocument"])
        desired = await asyncio.to_thread(conform, handler, schema, wanted)
        sealed = {"desired": desired, "before": before}
        return await call.transact(
            lambda c: _begin(c, "UPDATE", request, request["Identifier"], sealed)
        )

    async def delete_resource(self, call: Call, request: Request) -> Response:
        refuse_version(request)
        if (known := await call.transact(lambda c: _known(c, "DELETE", request))) is not None:
            return known
        _, schema = type_of(call, request["TypeName"], "DELETE")
        identifier = request["Identifier"]
        named(schema, identifier)
        sealed = {"desired": None, "before": None}
        return await call.transact(lambda c: _begin(c, "DELETE", request, identifier, sealed))

    def get_resource_request_status(self, call: Call, request: Request) -> Response:
        return {"ProgressEvent": _event(_found(call, request["RequestToken"]), whole=True)}

    def list_resource_requests(self, call: Call, request: Request) -> Response:
        """Newest first. A page of a filtered list may be short, and go on."""
        wanted = request.get("ResourceRequestStatusFilter") or {}
        operations = set(wanted.get("Operations") or ())
        statuses = set(wanted.get("OperationStatuses") or ())
        limit = min(int(request.get("MaxResults") or _PAGE), _PAGE)
        text = request.get("NextToken") or "0"
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Fault("ValidationException", "NextToken is not valid")
        rows, found, place = state.rows_of(call), [], 0
        looked_at = 0
        for place, row in state.newest(call.tx, rows, int(text), _LOOKED_AT_COUNT_MAX):  # noqa: B007 - the last counts
            looked_at += 1
            if operations and row["operation"] not in operations:
                continue
            if statuses and row["status"] not in statuses:
                continue
            found.append(_event(row))
            if len(found) == limit:
                break
        answer: Response = {"ResourceRequestStatusSummaries": found}
        if (len(found) == limit or looked_at == _LOOKED_AT_COUNT_MAX) and any(
            True for _ in state.newest(call.tx, rows, place, 1)
        ):
            answer["NextToken"] = str(place)
        return answer

    def cancel_resource_request(self, call: Call, request: Request) -> Response:
        """https://docs.aws.amazon.com/cloudcontrolapi/latest/APIReference/API_CancelResourceRequest.html"""
        row = _found(call, request["RequestToken"])
        if row["status"] not in ("PENDING", "IN_PROGRESS", "CANCEL_IN_PROGRESS"):
            text = f"Request with token {row['token']} is {row['status']} and cannot be canceled"
            raise Fault("ConcurrentModificationException", text)
        row["status"], row["at_s"] = "CANCEL_IN_PROGRESS", call.tx.time_s
        state.put_request(call.tx, state.rows_of(call), row)
        return {"ProgressEvent": _event(row)}


def _found(call: Call, token: str) -> Row:
    row = state.request_of(call.tx, state.rows_of(call), token)
    if row is None:
        raise Fault("RequestTokenNotFoundException", f"Request with token {token} was not found.")
    return row


def _digest(operation: str, request: Request) -> str:
    asked = {key: value for key, value in request.items() if key != "ClientToken"}
    text = orjson.dumps([operation, asked], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _known(call: Call, operation: str, request: Request) -> Response | None:
    """The answer of an earlier request with the same client token."""
    client, rows = request.get("ClientToken") or "", state.rows_of(call)
    known = state.client_of(call.tx, rows, client) if client else None
    if known is None or call.tx.time_s - known[2] > CLIENT_TOKEN_KEPT_S:
        return None
    if known[1] != _digest(operation, request):
        text = f"The client token {client} was used with another resource request"
        raise Fault("ClientTokenConflictException", text)
    row = state.request_of(call.tx, rows, known[0])
    return None if row is None else {"ProgressEvent": _event(row)}


def _begin(
    call: Call, operation: str, request: Request, identifier: str, sealed: dict[str, Any]
) -> Response:
    """The request and its job, in one transaction."""
    if (known := _known(call, operation, request)) is not None:
        return known
    rows, kind, token = state.rows_of(call), request["TypeName"], call.world.uuid()
    if identifier:
        if other := state.busy(call.tx, rows, kind, identifier):
            raise Fault("ConcurrentOperationException", f"Resource {identifier} is already being operated on by another operation with RequestToken {other}")  # fmt: skip
        state.set_busy(call.tx, rows, kind, identifier, token)
    row: Row = {
        "token": token,
        "type": kind,
        "operation": operation,
        "status": "IN_PROGRESS",
        "identifier": identifier,
        "held": identifier,
        "message": "",
        "error": "",
        "at_s": call.tx.time_s,
        "begun_s": call.tx.time_s,
        "client": request.get("ClientToken") or "",
        "principal": asdict(call.principal),
        "role": request.get("RoleArn") or "",
        "sealed": sealed,
    }
    state.add_request(call.tx, rows, row)
    if row["client"]:
        state.put_client(call.tx, rows, row["client"], token, _digest(operation, request))
    payload = orjson.dumps([call.account, call.region, token])
    work.put(call.tx, QUEUE, payload)
    work.put(call.tx, EXPIRE_QUEUE, payload, due_s=call.tx.time_s + KEPT_S)
    return {"ProgressEvent": _event(row)}


def _event(row: Row, *, whole: bool = False) -> Response:
    """A ProgressEvent; ``whole`` with the properties that were asked for."""
    event: Response = {
        "TypeName": row["type"],
        "RequestToken": row["token"],
        "Operation": row["operation"],
        "OperationStatus": row["status"],
        "EventTime": row["at_s"],
    }
    for member, name in (("Identifier", "identifier"), ("StatusMessage", "message"), ("ErrorCode", "error")):  # fmt: skip
        if row[name]:
            event[member] = row[name]
    if whole and row["sealed"]["desired"] is not None and row["status"] != "FAILED":
        event["ResourceModel"] = orjson.dumps(row["sealed"]["desired"]).decode()
    return event


class _Cancelled(Exception):
    """Somebody wants no more of it."""


class RequestWorker:
    """The queue of requests."""

    queue = QUEUE
    ordered = False
    concurrency = REQUESTS_AT_ONCE_MAX

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, token = orjson.loads(job.payload)
        own = self._cloud.call(account, region, token)
        row = await own.transact(
            lambda c: state.request_of(c.tx, state.rows_of(c), token),
        )
        if row is None or row["status"] in _ENDED:
            return None
        handler, schema = type_of(own, row["type"], row["operation"])
        error, message, identifier = "", "", row["identifier"]
        try:
            asker = own.scoped(account, region, Principal(**row["principal"]))
            call = await acting(asker, row["role"])
            async with asyncio.timeout(handler.time_s_max):
                identifier = await _Carrying(own, call, handler, schema, row).done()
        except _Cancelled:
            error = "cancelled"
        except Fault as fault:
            error = code_of(handler, fault, row["operation"])
            message = told(handler, fault.message, token, error)
            identifier = identifier or str(fault.members.get("PhysicalResourceId") or "")
        except TimeoutError:
            error = "NotStabilized"
            text = f"Resource is not stable after {handler.time_s_max:.0f} s"
            message = told(handler, text, token, error)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - a handler's bug fails its request, not the server
            _log.exception("a handler failed unexpectedly: request=%s", token)
            error = "InternalFailure"
            message = told(handler, "Internal Failure", token, error)
        await own.transact(lambda c: _end(c, token, identifier, error, message))
        return None


def _end(call: Call, token: str, identifier: str, error: str, message: str) -> None:
    rows = state.rows_of(call)
    row = state.request_of(call.tx, rows, token)
    if row is None or row["status"] in _ENDED:
        return
    if row["held"] and state.busy(call.tx, rows, row["type"], row["held"]) == token:
        state.set_busy(call.tx, rows, row["type"], row["held"], None)
    row["status"] = "SUCCESS" if not error else "FAILED"
    row["identifier"], row["at_s"] = identifier or row["identifier"], call.tx.time_s
    if error == "cancelled":
        row["status"] = "CANCEL_COMPLETE"
    elif error:
        row["error"], row["message"] = error, message[:_MESSAGE_LENGTH_MAX]
    state.put_request(call.tx, rows, row)


class _Carrying:
    """One request at its handler."""

    def __init__(self, own: Call, call: Call, handler: Resource, schema: Schema, row: Row) -> None:
        self._own, self._call, self._row = own, call, row
        self._handler, self._schema = handler, schema
        self._pause_s = STABILISE_S_FIRST

    async def done(self) -> str:
        """The resource's identifier. Raises Fault as the handler does."""
        await self._go_on()
        by_operation = {"CREATE": self._create, "UPDATE": self._update, "DELETE": self._delete}
        return await by_operation[self._row["operation"]]()

    async def _create(self) -> str:
        spec = spec_of(self._handler.type, self._token(), self._row["sealed"]["desired"])
        made = await self._handler.create(self._call, spec)
        identifier = identifier_of(self._schema, made, spec.properties)
        await self._own.transact(lambda c: self._note(c, identifier))
        while not await self._handler.stabilise(self._call, made.physical_id, spec):
            await self._pause()
        return identifier

    async def _update(self) -> str:
        physical_id, now = await self._there()
        old, new = dict(self._row["sealed"]["before"]), self._row["sealed"]["desired"]
        old.update({key: value for key, value in now.items() if key not in old})
        token, step = self._token(), self._row["token"]
        spec = spec_of(self._handler.type, token, new, step)
        await self._handler.update(
            self._call, physical_id, spec_of(self._handler.type, token, old, step), spec
        )
        while not await self._handler.stabilise(self._call, physical_id, spec):
            await self._pause()
        return str(self._row["identifier"])

    async def _delete(self) -> str:
        identifier = str(self._row["identifier"])
        found = await read(self._call, self._handler, self._schema, identifier)
        if found is None:
            if await self._own.transact(self._is_begun):
                return identifier  # by this request, before a crash
            raise Fault("ResourceNotFoundException", missing(self._handler, identifier))
        await self._own.transact(lambda c: self._note(c, identifier))
        physical_id, now = found
        spec = spec_of(self._handler.type, self._token(), now)
        await self._handler.delete(self._call, physical_id, spec)
        while not await self._handler.deleted(self._call, physical_id, spec):
            await self._pause()
        return identifier

    async def _there(self) -> tuple[str, Properties]:
        identifier = str(self._row["identifier"])
        found = await read(self._call, self._handler, self._schema, identifier)
        if found is None:
            raise Fault("ResourceNotFoundException", missing(self._handler, identifier))
        return found

    def _token(self) -> str:
        """As a stack gives its resources, made from the request's own."""
        return hashlib.sha256(self._row["token"].encode()).hexdigest()[:32].upper()

    def _note(self, call: Call, identifier: str) -> None:
        """Which resource it is, and that its handler is at work."""
        rows = state.rows_of(call)
        row = state.request_of(call.tx, rows, self._row["token"])
        if row is not None:
            row["identifier"], row["begun"] = identifier, True
            state.put_request(call.tx, rows, row)

    def _is_begun(self, call: Call) -> bool:
        row = state.request_of(call.tx, state.rows_of(call), self._row["token"])
        return row is not None and bool(row.get("begun"))

    async def _go_on(self) -> None:
        row = await self._own.transact(
            lambda c: state.request_of(c.tx, state.rows_of(c), self._row["token"])
        )
        if row is None or row["status"] == "CANCEL_IN_PROGRESS":
            raise _Cancelled

    async def _pause(self) -> None:
        self._pause_s = min(self._pause_s * 1.5, STABILISE_S_MAX)
        await self._own.world.sleep(self._pause_s)
        await self._go_on()


class ExpiryWorker:
    """Forgets requests after seven days."""

    queue = EXPIRE_QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, token = orjson.loads(job.payload)
        call = self._cloud.call(account, region, "expiry")

        def forget(inner: Call) -> None:
            rows = state.rows_of(inner)
            row = state.request_of(inner.tx, rows, token)
            if row is not None:
                if row["held"] and state.busy(inner.tx, rows, row["type"], row["held"]) == token:
                    state.set_busy(inner.tx, rows, row["type"], row["held"], None)
                state.drop_request(inner.tx, rows, row)

        await call.transact(forget)
        return None
