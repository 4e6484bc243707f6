"""Where keys, aliases and grants lie in the store; the only file that knows their keys.

Under the account and region, service "kms":

    ("key", id)                     -> JSON Record
    ("alias", name)                 -> JSON {key, created_s, updated_s}     name with its "alias/"
    ("named", id, name)             -> ""                                   the aliases of a key
    ("grant", id, grant)            -> JSON, the API's GrantListEntry with Token, RetiringPrincipal ...
    ("token", grant token)          -> JSON [id, grant]
    ("held", id, principal, grant)  -> ""                                   by grantee
    ("retire", principal, id, grant) -> ""                                  by retiring principal

Record: {id, arn, created_s, description, usage, spec, manager, enabled, deletion_s, policy, tags, materials: [Material],
rotation: {on, days, next_s}}; Material: {sealed (base64, by the vault for "kms KEYID"), at_s, kind}.

Of a key with imported material: origin ("EXTERNAL"), pending (a Material to be rotated to, or None), and in each
Material digest (SHA-256 of id and material, hex), valid_to_s (None: it stays), about; sealed is "" where the material is
to be imported again. Of a multi-region key: multi {primary, replicas: regions}, and window_days once the primary waits
for its replicas to be gone. Each region has its own record; what all share is written to all at once (``put_shared``).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.service import Call

Record = dict[str, Any]


class Place(NamedTuple):
    account: str
    region: str

    @property
    def rows(self) -> Keyspace:
        return Keyspace(self.account, self.region, "kms")

    def arn(self, rest: str) -> str:
        return f"arn:aws:kms:{self.region}:{self.account}:{rest}"


class Key(NamedTuple):
    place: Place
    record: Record

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def arn(self) -> str:
        return self.place.arn(f"key/{self.id}")


def here(call: Call) -> Place:
    return Place(call.account, call.region)


def key(tx: Tx, place: Place, key_id: str) -> Key | None:
    """Treat the record as frozen; ``put_key`` a new one."""
    record = tx.parsed(place.rows["key"].key(key_id), orjson.loads)
    return None if record is None else Key(place, record)


def put_key(tx: Tx, place: Place, record: Record) -> Key:
    tx.put(place.rows["key"].key(record["id"]), orjson.dumps(record))
    return Key(place, record)


def relatives(tx: Tx, found: Key) -> list[Key]:
    """The same multi-region key in its other regions, the primary first."""
    multi = found.record.get("multi")
    if multi is None:
        return []
    regions = [multi["primary"], *multi["replicas"]]
    places = [Place(found.place.account, r) for r in regions if r != found.place.region]
    return [one for one in (key(tx, place, found.id) for place in places) if one is not None]


def put_shared(tx: Tx, found: Key, **changes: Any) -> Key:
    """Changes what a multi-region key has in common in all its regions. Gives the key of ``found``'s."""
    for one in relatives(tx, found):
        put_key(tx, one.place, {**one.record, **changes})
    return put_key(tx, found.place, {**found.record, **changes})


def keys(tx: Tx, place: Place, after: str, most: int) -> list[str]:
    rows = place.rows["key"]
    start = rows.key(after) + b"\x00" if after else rows.span()[0]
    return [str(rows.parts(row)[0]) for row, _ in tx.scan((start, rows.span()[1]), limit=most)]


def delete_key(tx: Tx, found: Key, most: int) -> bool:
    """Its row, aliases and grants, at most ``most`` of the latter; whether that was all."""
    rows = found.place.rows
    names = list(aliases_of(tx, found, "", most))
    for name in names:
        delete_alias(tx, found.place, name, found.id)
    held = [orjson.loads(raw) for _, raw in tx.scan(rows["grant"].span(found.id), limit=most)]
    for one in held:
        delete_grant(tx, found, one)
    if len(names) == most or len(held) == most:
        return False
    tx.delete(rows["key"].key(found.id))
    if multi := found.record.get("multi"):
        left = [r for r in multi["replicas"] if r != found.place.region]
        for one in relatives(tx, found):
            put_key(tx, one.place, {**one.record, "multi": {**multi, "replicas": left}})
    return True


# -- material


def seal(call: Call, key_id: str, material: bytes, at_s: float, kind: str = "") -> dict[str, Any]:
    sealed = call.cloud.vault.seal(material, f"kms {key_id}")
    return {"sealed": base64.b64encode(sealed).decode(), "at_s": at_s, "kind": kind}


def material(call: Call, found: Key, number: int = -1) -> bytes:
    """Of a number, the newest without; it must be there (``lookup.check_state``). Raises IndexError."""
    sealed = base64.b64decode(found.record["materials"][number]["sealed"])
    return call.cloud.vault.open(sealed, f"kms {found.id}")  # type: ignore[no-any-return]


# -- aliases


def alias(tx: Tx, place: Place, name: str) -> dict[str, Any] | None:
    return tx.parsed(place.rows["alias"].key(name), orjson.loads)


def put_alias(tx: Tx, place: Place, name: str, value: dict[str, Any], old: str = "") -> None:
    if old:
        tx.delete(place.rows["named"].key(old, name))
    tx.put(place.rows["alias"].key(name), orjson.dumps(value))
    tx.put(place.rows["named"].key(value["key"], name), b"")


def delete_alias(tx: Tx, place: Place, name: str, key_id: str) -> None:
    tx.delete(place.rows["alias"].key(name))
    tx.delete(place.rows["named"].key(key_id, name))


def aliases(tx: Tx, place: Place, after: str, most: int) -> Iterator[str]:
    return _names(tx, place.rows["alias"], after, most)


def aliases_of(tx: Tx, found: Key, after: str, most: int) -> Iterator[str]:
    return _names(tx, found.place.rows["named"][found.id], after, most)


def _names(tx: Tx, rows: Keyspace, after: str, most: int) -> Iterator[str]:
    start = rows.key(after) + b"\x00" if after else rows.span()[0]
    for row, _ in list(tx.scan((start, rows.span()[1]), limit=most)):
        yield str(rows.parts(row)[0])


# -- grants


def grantee(grant: dict[str, Any]) -> str:
    return str(grant.get("GranteePrincipal") or grant["GranteeServicePrincipal"])


def retirer(grant: dict[str, Any]) -> str:
    return grant.get("RetiringPrincipal") or grant.get("RetiringServicePrincipal") or ""


def put_grant(tx: Tx, found: Key, grant: dict[str, Any]) -> None:
    rows, grant_id = found.place.rows, grant["GrantId"]
    tx.put(rows["grant"].key(found.id, grant_id), orjson.dumps(grant))
    tx.put(rows["token"].key(grant["Token"]), orjson.dumps([found.id, grant_id]))
    tx.put(rows["held"].key(found.id, grantee(grant), grant_id), b"")
    if retiring := retirer(grant):
        tx.put(rows["retire"].key(retiring, found.id, grant_id), b"")


def delete_grant(tx: Tx, found: Key, grant: dict[str, Any]) -> None:
    rows, grant_id = found.place.rows, grant["GrantId"]
    tx.delete(rows["grant"].key(found.id, grant_id))
    tx.delete(rows["token"].key(grant["Token"]))
    tx.delete(rows["held"].key(found.id, grantee(grant), grant_id))
    if retiring := retirer(grant):
        tx.delete(rows["retire"].key(retiring, found.id, grant_id))


def grant(tx: Tx, found: Key, grant_id: str) -> dict[str, Any] | None:
    return tx.parsed(found.place.rows["grant"].key(found.id, grant_id), orjson.loads)


def grant_of_token(tx: Tx, place: Place, token: str) -> tuple[str, str] | None:
    raw = tx.get(place.rows["token"].key(token))
    if raw is None:
        return None
    key_id, grant_id = orjson.loads(raw)
    return key_id, grant_id


def grants(tx: Tx, found: Key, after: str, most: int) -> list[dict[str, Any]]:
    rows = found.place.rows["grant"][found.id]
    start = rows.key(after) + b"\x00" if after else rows.span()[0]
    return [orjson.loads(raw) for _, raw in tx.scan((start, rows.span()[1]), limit=most)]


def grants_held(
    tx: Tx, found: Key, holder: str, most: int, after: str = ""
) -> list[dict[str, Any]]:
    rows = found.place.rows["held"][found.id][holder]
    low, high = rows.span()
    start = rows.key(after) + b"\x00" if after else low
    ids = [str(rows.parts(row)[0]) for row, _ in tx.scan((start, high), limit=most)]
    return [one for one in (grant(tx, found, grant_id) for grant_id in ids) if one is not None]


def grants_to_retire(
    tx: Tx, place: Place, principal: str, after: str, most: int
) -> list[tuple[str, dict[str, Any]]]:
    """(position, grant)."""
    rows = place.rows["retire"][principal]
    low, high = rows.span()
    start = rows.key(*after.split("/")) + b"\x00" if after else low
    listed = []
    for row, _ in list(tx.scan((start, high), limit=most)):
        key_id, grant_id = rows.parts(row)
        key_id, grant_id = str(key_id), str(grant_id)
        found = key(tx, place, key_id)
        one = grant(tx, found, grant_id) if found else None
        if one is not None:
            listed.append((f"{key_id}/{grant_id}", one))
    return listed


def material_id(found: Key, number: int = -1) -> str:
    """64 hex digits that name a key's material."""
    count = len(found.record["materials"])
    at = number if number >= 0 else count - 1
    return hashlib.sha256(f"{found.id} {at}".encode()).hexdigest()
