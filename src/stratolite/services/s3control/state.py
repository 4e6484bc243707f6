"""Where jobs, access points and access grants lie in the store; the only file that knows their keys.

Under the account and region, service "s3control":

    ("job", id)                       -> JSON Job
    ("active", -priority, id)         -> ""     jobs that wait for their turn, the next one first
    ("token", client request token)   -> JSON id
    ("result", id, number)            -> JSON rows [[bucket, key, version, status, code, http, message], ...]
    ("manifest", id, number)          -> JSON [[key, version id or ""], ...]     of a generated manifest
    ("point", name)                   -> JSON {name, bucket, created_s, alias, policy, tags?, open?, owner? (the bucket's, if another's)}
    ("grants",)                       -> JSON {created_s, tags, token, policy?, policy_s?}     the instance of S3 Access Grants
    ("location", id)                  -> JSON {id, scope, role, created_s, tags, token}
    ("grant", id)                     -> JSON {id, created_s, location, prefix, grantee, who, permission, scope, tags, token}
    ("granted", who, scope, id)       -> ""     grants by grantee, ACCOUNT:user/NAME or ACCOUNT:role/NAME
    ("at", location, id)              -> ""     grants by location

Job: the request's Operation, Report, Manifest, Description, Priority, RoleArn, ConfirmationRequired and Tags, and
{id, status, created_s, ended_s, reason, failures, total, succeeded, failed, active_s, place, results, generated? {ObjectArn,
ETag}, token?, suspended_s?}, ManifestGenerator in place of a Manifest; ``place`` is
where the next slice of the manifest begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx

Record = dict[str, Any]
WAITING = ("Ready", "Active", "Paused")
_DROP_COUNT_MAX = 100
_LOOK_COUNT_MAX = 10_000
"""Waiting jobs looked at for the one that was active."""


def space(account: str, region: str) -> Keyspace:
    return Keyspace(account, region, "s3control")


def job(tx: Tx, rows: Keyspace, job_id: str) -> Record | None:
    """A copy of one's own."""
    raw = tx.get(rows["job"].key(job_id))
    return None if raw is None else orjson.loads(raw)


def put_job(tx: Tx, rows: Keyspace, record: Record) -> None:
    old = job(tx, rows, record["id"])
    if old is not None:
        tx.delete(rows["active"].key(-old["Priority"], old["id"]))
    if record["status"] in WAITING:
        tx.put(rows["active"].key(-record["Priority"], record["id"]), b"")
    tx.put(rows["job"].key(record["id"]), orjson.dumps(record))


def delete_job(tx: Tx, rows: Keyspace, record: Record) -> None:
    """One that is over."""
    tx.delete(rows["job"].key(record["id"]))
    if token := record.get("token"):
        tx.delete(rows["token"].key(token))


def next_job(tx: Tx, rows: Keyspace) -> Record | None:
    """The one whose turn it is."""
    for key, _ in tx.scan(rows["active"].span(), limit=1):
        _, job_id = rows["active"].parts(key)
        return job(tx, rows, str(job_id))
    return None


def active_job(tx: Tx, rows: Keyspace) -> Record | None:
    """The one that has begun and is not done; there is at most one."""
    for key, _ in tx.scan(rows["active"].span(), limit=_LOOK_COUNT_MAX):
        _, job_id = rows["active"].parts(key)
        record = job(tx, rows, str(job_id))
        if record is not None and record["status"] == "Active":
            return record
    return None


def jobs(tx: Tx, rows: Keyspace, before: str) -> Iterator[Record]:
    """Newest first, from the one before ``before``."""
    low, high = rows["job"].span()
    if before:
        high = rows["job"].key(before)
    for _, raw in tx.scan((low, high), reverse=True):
        yield orjson.loads(raw)


def job_of_token(tx: Tx, rows: Keyspace, token: str) -> str | None:
    raw = tx.get(rows["token"].key(token))
    return None if raw is None else orjson.loads(raw)


def put_token(tx: Tx, rows: Keyspace, token: str, job_id: str) -> None:
    tx.put(rows["token"].key(token), orjson.dumps(job_id))


def put_results(tx: Tx, rows: Keyspace, job_id: str, number: int, listed: list[list[str]]) -> None:
    tx.put(rows["result"].key(job_id, number), orjson.dumps(listed))


def results(
    tx: Tx, rows: Keyspace, job_id: str, after: int, most: int
) -> list[tuple[int, list[list[str]]]]:
    space_of = rows["result"][job_id]
    found = []
    for key, raw in tx.scan((space_of.key(after + 1), space_of.span()[1]), limit=most):
        (number,) = space_of.parts(key)
        assert isinstance(number, int)
        found.append((number, orjson.loads(raw)))
    return found


def drop_results(tx: Tx, rows: Keyspace, job_id: str, through: int) -> None:
    space_of = rows["result"][job_id]
    for key in [k for k, _ in tx.scan((space_of.key(0), space_of.key(through + 1)))]:
        tx.delete(key)


def put_manifest(tx: Tx, rows: Keyspace, job_id: str, number: int, listed: list[list[str]]) -> None:
    tx.put(rows["manifest"].key(job_id, number), orjson.dumps(listed))


def manifest(tx: Tx, rows: Keyspace, job_id: str, number: int) -> tuple[list[list[str]], bool]:
    """(objects of a row, whether there is one behind it)."""
    space_of = rows["manifest"][job_id]
    found = list(tx.scan((space_of.key(number), space_of.span()[1]), limit=2))
    return (orjson.loads(found[0][1]) if found else []), len(found) == 2


def drop_manifest(tx: Tx, rows: Keyspace, job_id: str, before: int | None = None) -> bool:
    """Rows before ``before``, or all; at most ``_DROP_COUNT_MAX`` of them: whether those were all."""
    space_of = rows["manifest"][job_id]
    low, high = space_of.span()
    if before is not None:
        high = space_of.key(before)
    some = [key for key, _ in tx.scan((low, high), limit=_DROP_COUNT_MAX)]
    for key in some:
        tx.delete(key)
    return len(some) < _DROP_COUNT_MAX


# -- access points


def point(tx: Tx, rows: Keyspace, name: str) -> Record | None:
    raw = tx.get(rows["point"].key(name))
    return None if raw is None else orjson.loads(raw)


def put_point(tx: Tx, rows: Keyspace, record: Record) -> None:
    tx.put(rows["point"].key(record["name"]), orjson.dumps(record))


def delete_point(tx: Tx, rows: Keyspace, name: str) -> None:
    tx.delete(rows["point"].key(name))


def points(tx: Tx, rows: Keyspace, after: str) -> Iterator[Record]:
    low, high = rows["point"].span()
    if after:
        low = rows["point"].key(after) + b"\x00"
    for _, raw in tx.scan((low, high)):
        yield orjson.loads(raw)


# -- access grants


def instance(tx: Tx, rows: Keyspace) -> Record | None:
    raw = tx.get(rows.key("grants"))
    return None if raw is None else orjson.loads(raw)


def put_instance(tx: Tx, rows: Keyspace, record: Record | None) -> None:
    if record is None:
        tx.delete(rows.key("grants"))
    else:
        tx.put(rows.key("grants"), orjson.dumps(record))


def location(tx: Tx, rows: Keyspace, location_id: str) -> Record | None:
    raw = tx.get(rows["location"].key(location_id))
    return None if raw is None else orjson.loads(raw)


def put_location(tx: Tx, rows: Keyspace, record: Record) -> None:
    tx.put(rows["location"].key(record["id"]), orjson.dumps(record))


def delete_location(tx: Tx, rows: Keyspace, location_id: str) -> None:
    tx.delete(rows["location"].key(location_id))


def locations(tx: Tx, rows: Keyspace, after: str) -> Iterator[Record]:
    return _records(tx, rows["location"], after)


def access_grant(tx: Tx, rows: Keyspace, grant_id: str) -> Record | None:
    raw = tx.get(rows["grant"].key(grant_id))
    return None if raw is None else orjson.loads(raw)


def put_grant(tx: Tx, rows: Keyspace, record: Record) -> None:
    tx.put(rows["grant"].key(record["id"]), orjson.dumps(record))
    tx.put(rows["granted"].key(record["who"], record["scope"], record["id"]), b"")
    tx.put(rows["at"].key(record["location"], record["id"]), b"")


def delete_grant(tx: Tx, rows: Keyspace, record: Record) -> None:
    tx.delete(rows["grant"].key(record["id"]))
    tx.delete(rows["granted"].key(record["who"], record["scope"], record["id"]))
    tx.delete(rows["at"].key(record["location"], record["id"]))


def has_grants(tx: Tx, rows: Keyspace, location_id: str) -> bool:
    return next(tx.scan(rows["at"].span(location_id), limit=1), None) is not None


def access_grants(tx: Tx, rows: Keyspace, after: str) -> Iterator[Record]:
    return _records(tx, rows["grant"], after)


def grants_of(tx: Tx, rows: Keyspace, who: str, scope: str, after: str = "") -> Iterator[Record]:
    """A grantee's, by scope; from ``scope`` on, or behind ``after``, which is an id and its scope."""
    space_of = rows["granted"][who]
    low, high = space_of.span()
    if after:
        last, _, behind = after.partition(" ")
        low = space_of.key(behind, last) + b"\x00"
    elif scope:
        low = space_of.span(scope)[0]
    for key, _ in tx.scan((low, high)):
        grant_id = space_of.parts(key)[-1]
        found = access_grant(tx, rows, str(grant_id))
        assert found is not None, grant_id
        if scope and found["scope"] != scope:
            return
        yield found


def _records(tx: Tx, space_of: Keyspace, after: str) -> Iterator[Record]:
    low, high = space_of.span()
    if after:
        low = space_of.key(after) + b"\x00"
    for _, raw in tx.scan((low, high)):
        yield orjson.loads(raw)
