"""What IAM keeps: the only functions that read or write its keys. Each takes ``tx`` first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.policy import Document
from stratolite.service import Principal

Record = dict[str, Any]


def keyspace(account: str) -> Keyspace:
    return Keyspace(account, "", "iam")


_GLOBAL = Keyspace("", "", "iam")


def get(tx: Tx, account: str, kind: str, name: str) -> Record | None:
    """A role, user or policy by name. Frozen: copy before changing."""
    return tx.parsed(keyspace(account).key(kind, name), orjson.loads)


_UNKNOWN = object()
SURE_COUNT_MAX = 4096


class Memo:
    """What was worked out from an account's IAM state, void as soon as anything in it changes."""

    __slots__ = ("opened", "organization", "rules", "sure")

    def __init__(self, _: bytes) -> None:
        self.rules: dict[tuple[Any, ...], Any] = {}
        """(kind, name, unique id, session policy, stamp of the organization) -> ``authorize``'s rules of that principal."""
        self.organization: Any = _UNKNOWN
        """The account's membership, None if it has none."""
        self.opened: dict[str, Any] = {}
        """Access key id -> (secret, principal)."""
        self.sure: dict[int, tuple[Principal, set[tuple[str, ...]]]] = {}
        """By the identity of a principal that signs many calls: see ``sure``."""


def memo(tx: Tx, account: str) -> Memo | None:
    """Kept as long as the account's stamp stays the same; None before the first change of all.

    Every function here that changes who may do what writes a new stamp in the same transaction, and
    a stamp is never given out twice in a process: a transaction that changed something and was undone
    leaves nothing that fits the stamp that stays.
    """
    return tx.parsed(stamp_key(account), Memo)


@lru_cache(maxsize=1000)
def stamp_key(account: str) -> bytes:
    return keyspace(account).key("stamp")


def sure(tx: Tx, who: Principal) -> set[tuple[str, ...]] | None:
    """(action, resource), and (service, operation, region, name) as ``Service.alone`` has it, that ``who`` may, whatever the context is, as long as no policy but its own has a say.

    To be added to. None where service control policies have a say too, or nothing was ever changed.
    """
    kept = tx.parsed(stamp_key(who.account), Memo)
    if kept is None:
        return None
    found = kept.sure.get(id(who))
    if found is not None and found[0] is who:
        return found[1]
    if is_member(tx, who.account):
        return None
    if len(kept.sure) >= SURE_COUNT_MAX:
        kept.sure.clear()
    made: set[tuple[str, ...]] = set()
    kept.sure[id(who)] = (who, made)
    return made


def _changed(tx: Tx, account: str) -> None:
    tx.put(keyspace(account).key("stamp"), tx.stamp().to_bytes(8, "big"))


def put(tx: Tx, account: str, kind: str, name: str, record: Record) -> None:
    _changed(tx, account)
    key = keyspace(account).key(kind, name)
    if kind in _COUNTED and tx.get(key) is None:
        _count(tx, account, kind, 1)
        if kind in _CASELESS:
            _fold(tx, account, kind, name)
    tx.put(key, orjson.dumps(record))


def delete(tx: Tx, account: str, kind: str, name: str) -> None:
    _changed(tx, account)
    key = keyspace(account).key(kind, name)
    if kind in _COUNTED and tx.get(key) is not None:
        _count(tx, account, kind, -1)
        tx.delete(keyspace(account).key("folded", kind, name.lower(), name))
    tx.delete(key)


_COUNTED = frozenset(
    {
        "user",
        "group",
        "role",
        "policy",
        "instance-profile",
        "mfa",
        "oidc",
        "saml",
        "server-certificate",
    }
)


_CASELESS = frozenset({"user", "group", "role", "policy", "instance-profile"})
"""Whose names are not distinguished by case: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html"""


def spelled(tx: Tx, account: str, kind: str, name: str) -> str | None:
    """The name of what is there as it was given when that was made, whatever the case it is asked for in."""
    space = keyspace(account)
    if tx.get(space.key(kind, name)) is not None:
        return name
    for key, _ in tx.scan(space.span("folded", kind, name.lower()), limit=1):
        return str(space.parts(key)[3])
    return None


def _fold(tx: Tx, account: str, kind: str, name: str) -> None:
    """Note the name in lower case, the first time those an older server did not note, too."""
    space = keyspace(account)
    if tx.get(space.key("folded-all", kind)) is None:
        for key, _ in list(tx.scan(space.span(kind))):
            old = str(space.parts(key)[1])
            tx.put(space.key("folded", kind, old.lower(), old), b"")
        tx.put(space.key("folded-all", kind), b"")
    tx.put(space.key("folded", kind, name.lower(), name), b"")


def count(tx: Tx, account: str, kind: str) -> int:
    """How many there are; counted once where an older server kept no number."""
    raw = tx.get(keyspace(account).key("count", kind))
    if raw is not None:
        return int(raw)
    return sum(1 for _ in tx.scan(keyspace(account).span(kind)))


def _count(tx: Tx, account: str, kind: str, more: int) -> None:
    tx.put(keyspace(account).key("count", kind), b"%d" % (count(tx, account, kind) + more))


# -- what a user has several of, under an id each: signing certificates, SSH keys


def get_part(tx: Tx, account: str, kind: str, name: str, identity: str) -> Record | None:
    return tx.parsed(keyspace(account).key(kind, name, identity), orjson.loads)


def put_part(tx: Tx, account: str, kind: str, name: str, identity: str, record: Record) -> None:
    tx.put(keyspace(account).key(kind, name, identity), orjson.dumps(record))


def delete_part(tx: Tx, account: str, kind: str, name: str, identity: str) -> None:
    tx.delete(keyspace(account).key(kind, name, identity))


def parts_of(tx: Tx, account: str, kind: str, name: str) -> list[Record]:
    return [orjson.loads(raw) for _, raw in tx.scan(keyspace(account).span(kind, name))]


# -- the account: its alias, parts of its credential report, jobs


def alias_owner(tx: Tx, alias: str) -> str | None:
    raw = tx.get(_GLOBAL.key("alias", alias))
    return None if raw is None else raw.decode()


def alias_of(tx: Tx, account: str) -> str | None:
    raw = tx.get(keyspace(account).key("alias"))
    return None if raw is None else raw.decode()


def set_alias(tx: Tx, account: str, alias: str | None) -> None:
    """An account has one; the former is free again."""
    if (former := alias_of(tx, account)) is not None:
        tx.delete(_GLOBAL.key("alias", former))
        tx.delete(keyspace(account).key("alias"))
    if alias is not None:
        tx.put(_GLOBAL.key("alias", alias), account.encode())
        tx.put(keyspace(account).key("alias"), alias.encode())


REPORT_PART_BYTES = 200_000


def put_report_part(tx: Tx, account: str, number: int, text: str) -> None:
    tx.put(keyspace(account).key("report-part", number), text.encode())


def report_part(tx: Tx, account: str, number: int) -> str:
    return (tx.get(keyspace(account).key("report-part", number)) or b"").decode()


_JOBS_COUNT_MAX = 100


def put_job(tx: Tx, account: str, job: str, record: Record) -> None:
    """The newest are kept, and the oldest dropped for them."""
    space = keyspace(account)
    tx.put(space.key("last-accessed-job", job), orjson.dumps(record))
    tx.put(space.key("last-accessed-order", tx.stamp()), job.encode())
    order = list(tx.scan(space.span("last-accessed-order"), limit=_JOBS_COUNT_MAX + 1))
    if len(order) > _JOBS_COUNT_MAX:
        key, old = order[0]
        tx.delete(key)
        tx.delete(space.key("last-accessed-job", old.decode()))


def mfa_in_use(tx: Tx, account: str) -> int:
    return sum(1 for _ in tx.scan(keyspace(account).span("user-mfa")))


def versions_in_use(tx: Tx, account: str) -> int:
    """How many managed policies are attached to something: each with one version."""
    space = keyspace(account)
    return len({space.parts(key)[1] for key, _ in tx.scan(space.span("policy-user"))})


def policy_bytes(tx: Tx, account: str, kind: str, name: str, but: str) -> int:
    """Of all inline policies of a holder, white space left out, but for the one called ``but``."""
    return sum(
        packed_size(text) for policy, text in inline(tx, account, kind, name) if policy != but
    )


def packed_size(text: str) -> int:
    """How AWS measures a policy: without white space."""
    return len("".join(text.split()))


def boundary_count(tx: Tx, account: str, arn: str) -> int:
    return sum(1 for _ in tx.scan(keyspace(account).span("boundary-user", arn)))


def set_boundary(
    tx: Tx, account: str, kind: str, name: str, old: str | None, new: str | None
) -> None:
    """Which users and roles a policy limits; the record itself says it, too."""
    space = keyspace(account)
    if old:
        tx.delete(space.key("boundary-user", old, kind, name))
    if new:
        tx.put(space.key("boundary-user", new, kind, name), b"")


def has_any(tx: Tx, account: str, kind: str, name: str) -> bool:
    """Whether there is anything under ``kind`` of that name."""
    found = tx.scan(keyspace(account).span(kind, name), limit=1)
    return next(iter(found), None) is not None or get(tx, account, kind, name) is not None


def page(
    tx: Tx, account: str, kind: str, after: str, limit: int
) -> tuple[list[Record], str | None]:
    """Records with a name above ``after``, and the name to go on from if there are more: in alphabetical order."""
    space = keyspace(account)
    if tx.get(space.key("folded-all", kind)) is None:
        start, stop = space.span(kind)
        if after:
            start = space.key(kind, after) + b"\x00"
        rows = list(tx.scan((start, stop), limit=limit + 1))
        found = [orjson.loads(v) for _, v in rows[:limit]]
        at = 1
    else:
        start, stop = space.span("folded", kind)
        if after:
            start = space.span("folded", kind, after.lower())[1]
        rows = list(tx.scan((start, stop), limit=limit + 1))
        named = (get(tx, account, kind, str(space.parts(k)[3])) for k, _ in rows[:limit])
        found = [dict(record) for record in named if record is not None]
        at = 3
    if len(rows) <= limit:
        return found, None
    return found, str(space.parts(rows[limit - 1][0])[at])


# -- inline policies: document text under the holder's name


def inline(tx: Tx, account: str, kind: str, name: str) -> Iterator[tuple[str, str]]:
    """(policy name, document text) of a role's or user's inline policies."""
    space = keyspace(account)
    for key, value in tx.scan(space.span(f"{kind}-inline", name)):
        yield str(space.parts(key)[2]), value.decode()


def get_inline(tx: Tx, account: str, kind: str, name: str, policy: str) -> str | None:
    raw = tx.get(keyspace(account).key(f"{kind}-inline", name, policy))
    return None if raw is None else raw.decode()


def put_inline(tx: Tx, account: str, kind: str, name: str, policy: str, text: str) -> None:
    _changed(tx, account)
    tx.put(keyspace(account).key(f"{kind}-inline", name, policy), text.encode())


def delete_inline(tx: Tx, account: str, kind: str, name: str, policy: str) -> None:
    _changed(tx, account)
    tx.delete(keyspace(account).key(f"{kind}-inline", name, policy))


# -- attached managed policies: an edge each way


def attached(tx: Tx, account: str, kind: str, name: str) -> list[str]:
    """ARNs of the managed policies attached to a role or user."""
    space = keyspace(account)
    return [str(space.parts(k)[2]) for k, _ in tx.scan(space.span(f"{kind}-attached", name))]


def attach(tx: Tx, account: str, kind: str, name: str, arn: str) -> None:
    _changed(tx, account)
    tx.put(keyspace(account).key(f"{kind}-attached", name, arn), b"")
    tx.put(keyspace(account).key("policy-user", arn, kind, name), b"")


def detach(tx: Tx, account: str, kind: str, name: str, arn: str) -> None:
    _changed(tx, account)
    tx.delete(keyspace(account).key(f"{kind}-attached", name, arn))
    tx.delete(keyspace(account).key("policy-user", arn, kind, name))


def attached_to(tx: Tx, account: str, arn: str) -> list[tuple[str, str]]:
    """(kind, name) of everything the managed policy is attached to."""
    space = keyspace(account)
    parts = (space.parts(k) for k, _ in tx.scan(space.span("policy-user", arn)))
    return [(str(p[2]), str(p[3])) for p in parts]


# -- membership of groups: an edge each way


def groups_of(tx: Tx, account: str, user: str) -> list[str]:
    space = keyspace(account)
    return [str(space.parts(k)[2]) for k, _ in tx.scan(space.span("user-group", user))]


def members_of(tx: Tx, account: str, group: str) -> list[str]:
    space = keyspace(account)
    return [str(space.parts(k)[2]) for k, _ in tx.scan(space.span("group-user", group))]


def join(tx: Tx, account: str, group: str, user: str) -> None:
    _changed(tx, account)
    tx.put(keyspace(account).key("user-group", user, group), b"")
    tx.put(keyspace(account).key("group-user", group, user), b"")


def leave(tx: Tx, account: str, group: str, user: str) -> None:
    _changed(tx, account)
    tx.delete(keyspace(account).key("user-group", user, group))
    tx.delete(keyspace(account).key("group-user", group, user))


# -- instance profiles: which role each holds, and an edge back


def profiles_of(tx: Tx, account: str, role: str) -> list[str]:
    space = keyspace(account)
    return [str(space.parts(k)[2]) for k, _ in tx.scan(space.span("role-profile", role))]


def set_profile_role(tx: Tx, account: str, profile: Record, role: str | None) -> None:
    name = profile["InstanceProfileName"]
    if before := profile.get("Role"):
        tx.delete(keyspace(account).key("role-profile", before, name))
    if role:
        tx.put(keyspace(account).key("role-profile", role, name), b"")
    put(tx, account, "instance-profile", name, profile | {"Role": role})


# -- MFA devices: which user has which


def mfa_of(tx: Tx, account: str, user: str) -> list[str]:
    """Serial numbers of the devices that are enabled for a user."""
    space = keyspace(account)
    return [str(space.parts(k)[2]) for k, _ in tx.scan(space.span("user-mfa", user))]


def put_mfa(tx: Tx, account: str, device: Record, user: str) -> None:
    tx.put(keyspace(account).key("user-mfa", user, device["SerialNumber"]), b"")
    put(tx, account, "mfa", device["SerialNumber"], device)


def forget_mfa(tx: Tx, account: str, device: Record, user: str) -> None:
    tx.delete(keyspace(account).key("user-mfa", user, device["SerialNumber"]))
    put(tx, account, "mfa", device["SerialNumber"], device)


# -- access keys: found by their id alone, since a signature names nothing else


def get_key(tx: Tx, access_key_id: str) -> Record | None:
    return tx.parsed(_GLOBAL.key("key", access_key_id), orjson.loads)


def put_key(tx: Tx, record: Record) -> None:
    """``record`` has AccessKeyId, Account, UserName, Status, CreateDate and Sealed (base64)."""
    _changed(tx, record["Account"])
    tx.put(_GLOBAL.key("key", record["AccessKeyId"]), orjson.dumps(record))
    space = keyspace(record["Account"])
    tx.put(space.key("user-key", record["UserName"], record["AccessKeyId"]), b"")
    if not record["UserName"]:
        tx.put(_GLOBAL.key("root-key", record["AccessKeyId"]), b"")


def has_root_keys(tx: Tx) -> bool:
    """Whether the root of any account has an access key."""
    return next(iter(tx.scan(_GLOBAL.span("root-key"), limit=1)), None) is not None


def delete_key(tx: Tx, account: str, user: str, access_key_id: str) -> None:
    _changed(tx, account)
    tx.delete(_GLOBAL.key("key", access_key_id))
    tx.delete(keyspace(account).key("user-key", user, access_key_id))
    tx.delete(keyspace(account).key("used", "key", access_key_id))
    if not user:
        tx.delete(_GLOBAL.key("root-key", access_key_id))


def keys_of(tx: Tx, account: str, user: str) -> list[Record]:
    space = keyspace(account)
    ids = [str(space.parts(k)[2]) for k, _ in tx.scan(space.span("user-key", user))]
    return [key for key in (get_key(tx, i) for i in ids) if key is not None]


# -- when what was last used: written a while later and all at once, see ``usage``


def used(tx: Tx, account: str, kind: str, name: str) -> Record | None:
    """{LastUsedDate, ServiceName, Region} of a "key", {LastUsedDate, Region} of a "role", if it ever was."""
    return tx.parsed(keyspace(account).key("used", kind, name), orjson.loads)


def put_used(tx: Tx, account: str, kind: str, name: str, record: Record) -> None:
    tx.put(keyspace(account).key("used", kind, name), orjson.dumps(record))


def accessed(tx: Tx, account: str, kind: str, name: str) -> dict[str, Record]:
    """Service -> {LastAuthenticated, Region} of a user or role."""
    space = keyspace(account)
    rows = tx.scan(space.span("accessed", kind, name))
    return {str(space.parts(key)[3]): orjson.loads(raw) for key, raw in rows}


def accessed_at(tx: Tx, account: str, kind: str, name: str, service: str) -> Record | None:
    return tx.parsed(keyspace(account).key("accessed", kind, name, service), orjson.loads)


def put_accessed(tx: Tx, account: str, kind: str, name: str, service: str, record: Record) -> None:
    tx.put(keyspace(account).key("accessed", kind, name, service), orjson.dumps(record))


def move_use(tx: Tx, account: str, kind: str, old: str, new: str) -> None:
    """Of a user that gets another name."""
    for service, record in accessed(tx, account, kind, old).items():
        put_accessed(tx, account, kind, new, service, record)
    forget_use(tx, account, kind, old)


def forget_use(tx: Tx, account: str, kind: str, name: str) -> None:
    """Of a user or role that is deleted."""
    space = keyspace(account)
    for key, _ in list(tx.scan(space.span("accessed", kind, name))):
        tx.delete(key)
    tx.delete(space.key("used", kind, name))


# -- documents ready to be evaluated


def document(tx: Tx, key: bytes) -> Document | None:
    """The compiled policy stored as text under ``key``, kept while the text stays the same."""
    return tx.parsed(key, _parse_identity)


def _parse_identity(raw: bytes) -> Document:
    return Document.parse(raw.decode())


def _parse_trust(raw: bytes) -> Document:
    return Document.parse(orjson.loads(raw)["AssumeRolePolicyDocument"], has_principal=True)


def _parse_default_version(raw: bytes) -> Document:
    record = orjson.loads(raw)
    version = next(v for v in record["Versions"] if v["IsDefaultVersion"])
    return Document.parse(version["Document"])


def trust_document(tx: Tx, account: str, role: str) -> Document | None:
    return tx.parsed(keyspace(account).key("role", role), _parse_trust)


def identity_sources(tx: Tx, account: str, kind: str, name: str) -> list[tuple[str, Document]]:
    """Every compiled identity policy of a role or user: inline, then managed, then its groups', each with a name for people."""
    found: list[tuple[str, Document | None]] = []
    holders = [(kind, name)]
    if kind == "user":
        holders += [("group", group) for group in groups_of(tx, account, name)]
    space = keyspace(account)
    for of, called in holders:
        keys = [key for key, _ in tx.scan(space.span(f"{of}-inline", called))]
        found += [(f"{of} {called}: {space.parts(key)[2]!s}", document(tx, key)) for key in keys]
        found += [
            (arn, managed_document(tx, account, arn)) for arn in attached(tx, account, of, called)
        ]
    return [(called, d) for called, d in found if d is not None]


def managed_document(tx: Tx, account: str, arn: str) -> Document | None:
    """The default version of a managed policy, AWS's or the account's own."""
    from stratolite.services.iam.managed import aws_managed

    if arn.startswith("arn:aws:iam::aws:"):
        return aws_managed(arn)
    key = keyspace(account).key("policy", arn.rsplit("/", 1)[-1])
    return tx.parsed(key, _parse_default_version)


# -- organizations, as far as decisions need them; the organizations service says what they are


def organization(tx: Tx, account: str) -> Record | None:
    """{Id, Management: whether it is the management account, Path: ids from the root down to the account}."""
    kept = memo(tx, account)
    return None if kept is None else _organization(tx, account, kept)


def _organization(tx: Tx, account: str, kept: Memo) -> Record | None:
    if kept.organization is _UNKNOWN:
        kept.organization = tx.parsed(keyspace(account).key("organization"), orjson.loads)
    return kept.organization  # type: ignore[no-any-return]


def is_member(tx: Tx, account: str) -> bool:
    """Whether service control policies may limit the account: not the management account."""
    kept = tx.parsed(stamp_key(account), Memo)
    if kept is None or kept.organization is None:
        return False
    found = _organization(tx, account, kept)
    return found is not None and not found["Management"]


def service_control_stamp(tx: Tx, account: str, kept: Memo) -> bytes | None:
    """Other bytes after each change of a policy; None where there are none to ask. ``kept`` is the account's ``memo``."""
    found = _organization(tx, account, kept)
    if found is None or found["Management"]:
        return None
    return tx.get(_GLOBAL.key("organization", found["Id"])) or b""


def service_control(tx: Tx, account: str) -> list[list[tuple[str, Document]]]:
    """Level by level from the root down, the policies (name, document) that are attached there."""
    found = organization(tx, account)
    if found is None or found["Management"]:
        return []
    where = _GLOBAL["service-control"][found["Id"]]
    levels = []
    for target in found["Path"]:
        ids = tx.parsed(where.key("target", target), orjson.loads)
        if ids is None:
            return []  # the policy type is not enabled
        levels.append(
            [made for i in ids if (made := tx.parsed(where.key("policy", i), _parse_named))]
        )
    return levels


def _parse_named(raw: bytes) -> tuple[str, Document]:
    record = orjson.loads(raw)
    return record["Name"], Document.parse(record["Content"])


def put_organization(tx: Tx, account: str, record: Record | None) -> None:
    """None: the account is in none any more."""
    _changed(tx, account)
    key = keyspace(account).key("organization")
    if record is None:
        tx.delete(key)
    else:
        tx.put(key, orjson.dumps(record))


def put_service_control(tx: Tx, organization: str, kind: str, name: str, value: Any) -> None:
    """``kind`` "policy": {Name, Content}; "target": ids of the policies attached there; None deletes."""
    tx.put(_GLOBAL.key("organization", organization), tx.stamp().to_bytes(8, "big"))
    key = _GLOBAL["service-control"][organization].key(kind, name)
    if value is None:
        tx.delete(key)
    else:
        tx.put(key, orjson.dumps(value))
