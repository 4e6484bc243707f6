"""Seals what is secret before it is stored or handed out: AES-256-GCM under the cloud's data keys.

A sealed value, format 2:

    "\\x02Seal\\x02" | key id (4) | length of purpose (2) | length of ciphertext (4) | purpose | nonce (12) | ciphertext and tag

Integers are big-endian; what stands before the nonce is authenticated with it, so a value sealed for one purpose cannot be
opened for another. Store it as it is, or in base64 or hexadecimal digits: a change of keys finds it there by its first
six bytes and puts one of the same length in its place (``Resealing``).
Format 1 (``\\x01 | nonce (12) | ciphertext and tag``, the purpose authenticated alone) is still opened, with the key that
used to lie in ``keys/master`` of the data folder.

Data keys are random and lie in the store, each sealed with the root seal (``seals``), which lies elsewhere:

    ("", "", "vault", "ring")  -> JSON {cloud: id, current: key id, keys: {key id: base64}, first: key id of format 1 or ""}
    where base64 holds nonce (12) | AES-256-GCM of the key under the root seal, "data-key:<cloud>:<key id>" authenticated

An old data key stays in the ring, sealed with the newest root seal: nothing that was sealed can be lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import orjson

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.keys import Keyspace
from stratolite.core.seals import Locked, Seals
from stratolite.core.tx import Tx
from stratolite.limits import RESEAL_BYTES_MAX, RESEAL_ROWS_MAX

_MAGIC = b"\x02Seal\x02"
_HEAD_BYTES = len(_MAGIC) + 4 + 2 + 4
_NONCE_BYTES = 12
_MAGIC_64 = base64.b64encode(_MAGIC)
_MAGIC_16 = _MAGIC.hex().encode()
_RING = Keyspace("", "", "vault").key("ring")
HANDED_OUT = frozenset({"session-token", "authorization-message"})
"""Purposes of values that callers carry: one that a caller stored is the caller's data, and never changed."""


class FirstKey(NamedTuple):
    """Where format 1 kept its key."""

    get: Callable[[], bytes | None]
    delete: Callable[[], None]


class Ring(NamedTuple):
    cloud: str
    current: bytes
    keys: dict[bytes, bytes]
    first: bytes
    """Id of the key that format 1 was sealed with, b"" if there was none."""


def key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"stratolite data key\x00" + key).digest()[:4]


class Vault:
    def __init__(
        self, ring: Ring, world: World, reload: Callable[[], Ring | None] | None = None
    ) -> None:
        """``reload``: asked once for a key that is not in the ring, which another server may have made."""
        self.ring, self._world, self._reload = ring, world, reload
        self._ciphers: dict[bytes, Any] = {}
        self.openers: dict[str, Any] = {}
        """By purpose, what a ``state`` file parses its sealed rows with, kept here because ``Tx.parsed`` goes by identity."""

    @property
    def cloud(self) -> str:
        """The id that names this cloud's root seal."""
        return self.ring.cloud

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Also the same plain text is sealed differently each time. ``purpose`` is not secret."""
        return self._seal(plain, purpose.encode())

    def _seal(self, plain: bytes, purpose: bytes) -> bytes:
        current = self.ring.current
        head = b"".join(
            (
                _MAGIC,
                current,
                len(purpose).to_bytes(2, "big"),
                (len(plain) + 16).to_bytes(4, "big"),
                purpose,
            )
        )
        nonce = self._world.token(_NONCE_BYTES)
        return head + nonce + bytes(self._cipher(current).encrypt(nonce, plain, head))

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises ValueError for anything this vault did not seal for ``purpose``."""
        if sealed[:1] == b"\x01":
            return self._open_first(sealed, purpose)
        found = _parts(sealed)
        if found is None or found.end != len(sealed):
            raise ValueError("not a sealed value")
        if found.purpose != purpose.encode():
            raise ValueError("sealed for another purpose")
        return self._open(found)

    def _open(self, found: _Parts) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher(found.key).decrypt(found.nonce, found.ciphertext, found.head))
        except InvalidTag as error:
            raise ValueError("changed since it was sealed") from error

    def _open_first(self, sealed: bytes, purpose: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        if not self.ring.first or len(sealed) < 29:
            raise ValueError("not a sealed value")
        try:
            cipher = self._cipher(self.ring.first)
            return bytes(cipher.decrypt(sealed[1:13], sealed[13:], purpose.encode()))
        except InvalidTag as error:
            raise ValueError("sealed for another purpose or by another key") from error

    def derive(self, purpose: str, *, first: bool = False) -> bytes:
        """32 bytes that only this cloud can compute for ``purpose``, until its keys are changed.

        ``first``: as they were derived when format 1 was written.
        """
        ring = self.ring
        key = ring.keys[ring.first if first and ring.first else ring.current]
        return hmac.digest(key, b"derive\x00" + purpose.encode(), "sha256")

    def _cipher(self, key: bytes) -> Any:
        """Raises ValueError for a key that is nobody's."""
        found = self._ciphers.get(key)
        if found is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            if key not in self.ring.keys and self._reload and (fresh := self._reload()):
                self.ring = fresh
            if key not in self.ring.keys:
                raise ValueError("sealed by another key")
            found = self._ciphers[key] = AESGCM(self.ring.keys[key])
        return found

    # -- a change of keys

    def resealed(self, value: bytes) -> bytes:
        """``value`` with everything in it that an older key sealed sealed with the current one, in place."""
        for look in (self._raw, self._base64, self._digits):
            value = look(value)
        return value

    def _raw(self, value: bytes) -> bytes:
        at = value.find(_MAGIC)
        while at >= 0:
            fresh = self._fresh(value[at:])
            if fresh is not None:
                value = value[:at] + fresh + value[at + len(fresh) :]
            at = value.find(_MAGIC, at + 1)
        return value

    def _base64(self, value: bytes) -> bytes:
        def change(match: re.Match[bytes]) -> bytes:
            text = match[0]
            plain = text.translate(_URLSAFE).rstrip(b"=")
            sealed = base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + b"==")
            fresh = self._fresh(sealed)
            if fresh is None or len(fresh) != len(sealed):
                return text
            coded = base64.b64encode(fresh)
            if b"-" in text or b"_" in text:
                coded = coded.translate(_TO_URLSAFE)
            return coded if len(coded) == len(text) else coded.rstrip(b"=")

        return _BASE64.sub(change, value) if _MAGIC_64 in value else value

    def _digits(self, value: bytes) -> bytes:
        def change(match: re.Match[bytes]) -> bytes:
            sealed = bytes.fromhex(match[0][: len(match[0]) & ~1].decode())
            fresh = self._fresh(sealed)
            return match[0] if fresh is None else fresh.hex().encode() + match[0][2 * len(fresh) :]

        return _DIGITS.sub(change, value) if _MAGIC_16 in value else value

    def _fresh(self, data: bytes) -> bytes | None:
        """What to put in the place of a sealed value that ``data`` begins with; None to leave it."""
        found = _parts(data)
        if found is None or found.key == self.ring.current:
            return None
        if found.purpose.decode("utf-8", "replace") in HANDED_OUT:
            return None
        try:
            return self._seal(self._open(found), found.purpose)
        except ValueError:
            return None  # it looks like one of ours, and is not


_BASE64 = re.compile(re.escape(_MAGIC_64) + rb"[A-Za-z0-9+/_-]*={0,2}")
_DIGITS = re.compile(re.escape(_MAGIC_16) + rb"[0-9a-f]*")
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")


class _Parts(NamedTuple):
    key: bytes
    purpose: bytes
    head: bytes
    nonce: bytes
    ciphertext: bytes
    end: int


def _parts(data: bytes) -> _Parts | None:
    if len(data) < _HEAD_BYTES or not data.startswith(_MAGIC):
        return None
    at = len(_MAGIC)
    key = data[at : at + 4]
    purpose_bytes = int.from_bytes(data[at + 4 : at + 6], "big")
    size_bytes = int.from_bytes(data[at + 6 : at + 10], "big")
    nonce_at = _HEAD_BYTES + purpose_bytes
    end = nonce_at + _NONCE_BYTES + size_bytes
    if size_bytes < 16 or len(data) < end:
        return None
    return _Parts(
        key,
        data[_HEAD_BYTES:nonce_at],
        data[:nonce_at],
        data[nonce_at : nonce_at + _NONCE_BYTES],
        data[nonce_at + _NONCE_BYTES : end],
        end,
    )


# -- the ring in the store


def _wrap(seal: bytes, key: bytes, said: str, world: World) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = world.token(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(seal).encrypt(nonce, key, said.encode())).decode()


def _unwrap(seals: list[bytes], wrapped: str, said: str) -> tuple[bytes, bytes] | None:
    """(key, the seal that opened it), None if no seal here does."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = base64.b64decode(wrapped)
    for seal in seals:
        try:
            return AESGCM(seal).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], said.encode()), seal
        except InvalidTag:
            continue
    return None


def _said(cloud: str, key: str) -> str:
    return f"data-key:{cloud}:{key}"


def _put(tx: Tx, ring: Ring, seal: bytes, world: World) -> None:
    keys = {
        key.hex(): _wrap(seal, value, _said(ring.cloud, key.hex()), world)
        for key, value in ring.keys.items()
    }
    record = {
        "cloud": ring.cloud,
        "current": ring.current.hex(),
        "keys": keys,
        "first": ring.first.hex(),
    }
    tx.put(_RING, orjson.dumps(record))


def _opened(record: dict[str, Any], seals: Seals) -> tuple[Ring, bytes]:
    """The ring and the seal it is sealed with. Raises Locked."""
    cloud = record["cloud"]
    found = seals.find(cloud)
    keys, used = {}, b""
    for key, wrapped in record["keys"].items():
        made = _unwrap(found, wrapped, _said(cloud, key))
        if made is None:
            where = "in STRATOLITE_ROOT_SEAL" if seals.is_given else f"the file {seals.path(cloud)}"
            raise Locked(
                f"the secrets of this cloud are sealed, and its root seal ({where}) "
                + ("is another one" if found else "is not there")
                + "; bring it from where this cloud was made, or name it with STRATOLITE_ROOT_SEAL"
            )
        keys[bytes.fromhex(key)], used = made
    current, first = bytes.fromhex(record["current"]), bytes.fromhex(record["first"])
    return Ring(cloud, current, keys, first), used


async def open_vault(db: Database, world: World, seals: Seals, old: FirstKey) -> Vault:
    """The vault of the cloud in ``db``; its first data key and root seal are made when there are none.

    The key of format 1 is taken into the ring, and deleted where it was. Raises Locked.
    """
    record = db.peek(_record)
    if record is None:
        record = await _made(db, world, seals)
    ring, _ = _opened(record, seals)
    master = old.get()
    if master is not None and len(master) == 32:
        first = key_id(master)

        def take(tx: Tx) -> Ring:
            known, used = _opened(_record(tx) or {}, seals)
            if first not in known.keys:
                known = known._replace(keys=known.keys | {first: master}, first=first)
                _put(tx, known, used, world)
            return known

        ring = await db.transact(take)
        old.delete()

    def reload() -> Ring | None:
        try:
            return _opened(db.peek(_record) or {}, seals)[0]
        except (Locked, KeyError):
            return None

    vault = db.vault = Vault(ring, world, reload)
    return vault


def _record(tx: Tx) -> Any:
    raw = tx.get(_RING)
    return None if raw is None else orjson.loads(raw)


async def _made(db: Database, world: World, seals: Seals) -> dict[str, Any]:
    """A first data key under a root seal. Another server may be quicker: then it is the other's."""
    cloud, key = world.token(16).hex(), world.token(32)
    is_new = not seals.is_given and not seals.find(cloud)
    seal = seals.make(cloud, world)
    fresh = Ring(cloud, key_id(key), {key_id(key): key}, b"")

    def put(tx: Tx) -> Any:
        if (there := _record(tx)) is not None:
            return there
        _put(tx, fresh, seal, world)
        made = _record(tx)
        assert made is not None
        return made

    record: dict[str, Any] = await db.transact(put)
    if record["cloud"] != cloud and is_new:
        seals.forget(cloud)
    return record


# -- a change of root seal and data key


class Rekeyed(NamedTuple):
    rows_count: int
    """Rows in which something was sealed anew."""
    path: str
    """Where the root seal is now, "" if it was given from outside."""


async def rekey(
    db: Database,
    world: World,
    seals: Seals,
    vault: Vault,
    also: Callable[[Vault, bytes, bytes], bytes] | None = None,
) -> Rekeyed:
    """A new root seal and a new data key, and every sealed value in the store sealed with them.

    Done again after a crash it goes on: the new seal is written beside the old one first, and the old one goes when
    nothing needs it. A seal from the environment is changed by giving the new one before the old one.
    ``also(vault, key, value)`` gives rows that hold format 1 sealed anew. Raises Locked.
    """
    cloud = vault.cloud
    found = seals.find(cloud)
    if len(found) == 1:
        if seals.is_given:
            raise Locked(
                "give the new root seal and then the old one (STRATOLITE_ROOT_SEAL=NEW,OLD): 64 hexadecimal digits each,"
                " as `openssl rand -hex 32` makes them"
            )
        found = [world.token(32), *found]
        seals.replace(cloud, found)
    key = world.token(32)

    def turn(tx: Tx) -> Ring:
        ring, used = _opened(_record(tx) or {}, seals)
        if used == found[0]:
            return ring  # an earlier attempt came so far
        ring = ring._replace(current=key_id(key), keys=ring.keys | {key_id(key): key})
        _put(tx, ring, found[0], world)
        return ring

    vault.ring = await db.transact(turn)
    changed = 0
    start: bytes | None = b""
    while start is not None:
        count, start = await db.transact(partial(_page, vault=vault, start=start, also=also))
        changed += count
    if seals.is_given:
        return Rekeyed(changed, "")
    seals.replace(cloud, found[1:], ".former")
    seals.replace(cloud, found[:1])
    return Rekeyed(changed, seals.path(cloud))


def _page(
    tx: Tx,
    *,
    vault: Vault,
    start: bytes,
    also: Callable[[Vault, bytes, bytes], bytes] | None,
) -> tuple[int, bytes | None]:
    """Some rows from ``start`` on: how many changed, and where to go on."""
    size_bytes = changed = 0
    fresh: list[tuple[bytes, bytes]] = []
    last: bytes | None = None
    for key, value in tx.scan((start, b"\xff"), limit=RESEAL_ROWS_MAX):
        size_bytes += len(value)
        made = vault.resealed(value)
        if also is not None:
            made = also(vault, key, made)
        if made != value:
            fresh.append((key, made))
        last = key
        if size_bytes > RESEAL_BYTES_MAX:
            break
    for key, value in fresh:
        tx.put(key, value)
        changed += 1
    return changed, None if last is None else last + b"\x00"
