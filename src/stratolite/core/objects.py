"""The log as one object a batch: several writers, create-only PUT decides who has a position.

Names, under the place's prefix (positions in 20 digits):

    log/<position>        a frame (``frames``), kind STRATLOG; body: position (8, little-endian) | payload (an entry)
    floor/<position>      the word "floor"; entries below the highest such position may be gone
    manifests/, runs/     see ``snapshots``

Two dangers of such a log, and what is done here:

A PUT whose answer was lost is sent again and finds its own object: "exists" is compared with the bytes we
sent. They hold the writer's random id, so equal bytes are ours and anything else is another batch, be it an
older one of our own that arrived late.

A writer that was silent (stopped, suspended) may create a number that others have created, folded into a
snapshot and deleted meanwhile. Whoever deletes publishes the floor first and waits ``grace_s``; whoever has
not been in contact with the log's end for as long reads the floor before it believes what it saw.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from stratolite.clock import World
from stratolite.core import frames
from stratolite.core.disk import Disk
from stratolite.core.log import Damaged, Trimmed
from stratolite.errors import Unavailable

GRACE_S = 60.0
_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.1
_AHEAD = 16  # objects fetched at once while replaying from far away
_POSITION_SIZE_BYTES = 8


class Objects(Protocol):
    """A place for immutable objects. Everything may raise Unavailable: then the outcome is not known."""

    far: bool
    """Whether a call takes long enough that several at once are worth their threads."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Create, durably; False if the name is taken."""
        ...

    def get(self, name: str) -> bytes | None:
        """The bytes, None if there is no such object. What was once returned is durable."""
        ...

    def names(self, prefix: str, after: str = "") -> list[str]:
        """Full names that start with ``prefix`` (which ends with "/") and sort after ``after``, sorted."""
        ...

    def delete(self, name: str) -> None:
        """Gone, or was not there."""
        ...


class FolderObjects:
    """A folder as the place: link(2) is the put-if-absent, everything is synced.

    An object is written to ``.tmp/``, synced, linked under its name, and the folder synced.
    """

    far = False

    def __init__(self, folder: str, world: World | None = None, disk: Disk | None = None) -> None:
        self._folder, self._world, self._disk = folder, world or World(), disk or Disk()
        self._durable: set[str] = set()  # names listed before a sync of their folder
        try:
            self._disk.make_folder(f"{folder}/.tmp")
        except OSError as error:
            raise Unavailable(f"folder={folder} cannot be opened: {error}") from error

    def put_new(self, name: str, data: bytes) -> bool:
        path = f"{self._folder}/{name}"
        fresh = f"{self._folder}/.tmp/{self._world.token(12).hex()}"
        try:
            self._disk.make_folder(os.path.dirname(path))
            try:
                self._disk.write_new(fresh, data)
                self._disk.link(fresh, path)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(OSError):
                    self._disk.unlink(fresh)
            self._disk.sync_folder(os.path.dirname(path))
        except OSError as error:
            raise Unavailable(f"object={name} cannot be written: {error}") from error
        return True

    def get(self, name: str) -> bytes | None:
        path = f"{self._folder}/{name}"
        try:
            data = self._disk.read_file(path)
            if data is not None and name not in self._durable:
                # Never build on a name that a crash may still take back.
                self._disk.sync_folder(os.path.dirname(path))
        except OSError as error:
            raise Unavailable(f"object={name} cannot be read: {error}") from error
        return data

    def names(self, prefix: str, after: str = "") -> list[str]:
        folder = f"{self._folder}/{prefix}".rstrip("/")
        try:
            found = self._disk.names(folder)
            if found:
                self._disk.sync_folder(folder)
        except OSError as error:
            raise Unavailable(f"objects={prefix} cannot be listed: {error}") from error
        named = [prefix + name for name in found]
        self._durable = {name for name in named if name > after}
        return [name for name in named if name > after]

    def delete(self, name: str) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(f"{self._folder}/{name}")
        except OSError as error:
            raise Unavailable(f"object={name} cannot be deleted: {error}") from error


class BucketObjects:
    """S3-compatible, GCS or Azure storage, or memory, through ``obstore``."""

    far = True

    def __init__(self, store: Any) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotFoundError

        self._obstore, self._store = obstore, store
        self._exists, self._missing = AlreadyExistsError, (NotFoundError, FileNotFoundError)

    def put_new(self, name: str, data: bytes) -> bool:
        try:
            self._obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except self._exists:
            return False
        except Exception as error:
            raise Unavailable(f"PUT object={name}: {_brief(error)}") from error
        return True

    def get(self, name: str) -> bytes | None:
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except self._missing:
            return None
        except Exception as error:
            raise Unavailable(f"GET object={name}: {_brief(error)}") from error

    def names(self, prefix: str, after: str = "") -> list[str]:
        try:
            pages = self._obstore.list(self._store, prefix=prefix, offset=after or None)
            return sorted(
                found["path"] for page in pages for found in page if found["path"] > after
            )
        except Exception as error:
            raise Unavailable(f"LIST objects={prefix}: {_brief(error)}") from error

    def delete(self, name: str) -> None:
        try:
            self._obstore.delete(self._store, name)
        except self._missing:
            return
        except Exception as error:
            raise Unavailable(f"DELETE object={name}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"


def open_objects(url: str, world: World | None = None) -> Objects:
    """The place a URL names. Raises ValueError for one we cannot read.

    ``s3://bucket/prefix``  ``gs://bucket/prefix``  ``az://container/prefix``  ``file:///folder``  ``memory://``
    Credentials and endpoints come from the environment as each vendor's tools have them (AWS_ENDPOINT_URL, ...);
    ``?endpoint=http://host:port&region=...`` overrides them; Google's at another endpoint is asked without a login, as its
    emulators are. A store without create-only PUT is no place for a log.
    """
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if unknown := set(options) - {"endpoint", "region"}:
        raise ValueError(f"url={url} has unknown options={sorted(unknown)}")
    prefix = parts.path.strip("/")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValueError(f"url={url} must be file:///absolute/folder")
        return FolderObjects(unquote(parts.path), world)
    if parts.scheme not in _STORES or (parts.scheme != "memory" and not parts.netloc):
        raise ValueError(f"url={url}: use s3://, gs://, az:// with a bucket, or file:///folder")
    return BucketObjects(_STORES[parts.scheme](parts.netloc, prefix or None, options))


def _client_options(options: dict[str, str]) -> dict[str, Any]:
    plain = options.get("endpoint", os.environ.get("AWS_ENDPOINT_URL", "")).startswith("http://")
    return {"timeout": "15s", "connect_timeout": "5s", "allow_http": plain}


def _retry() -> Any:
    from datetime import timedelta

    return {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def _s3(bucket: str, prefix: str | None, options: dict[str, str]) -> Any:
    from obstore.store import S3Store

    given: dict[str, Any] = {}
    if "endpoint" in options:
        given |= {"endpoint": options["endpoint"], "virtual_hosted_style_request": False}
    if "region" in options:
        given["region"] = options["region"]
    return S3Store(
        bucket,
        prefix=prefix,
        client_options=_client_options(options),
        retry_config=_retry(),
        **given,
    )


def _gcs(bucket: str, prefix: str | None, options: dict[str, str]) -> Any:
    from obstore.store import GCSStore

    given: dict[str, Any] = {}
    if "endpoint" in options:
        login = {"client_email": "", "private_key": "", "private_key_id": ""}
        given["service_account_key"] = json.dumps(
            {"gcs_base_url": options["endpoint"], "disable_oauth": True, **login}
        )
    return GCSStore(
        bucket,
        prefix=prefix,
        client_options=_client_options(options),
        retry_config=_retry(),
        **given,
    )


def _azure(container: str, prefix: str | None, options: dict[str, str]) -> Any:
    from obstore.store import AzureStore

    given = {"endpoint": options["endpoint"]} if "endpoint" in options else {}
    return AzureStore(
        container,
        prefix=prefix,
        client_options=_client_options(options),
        retry_config=_retry(),
        **given,
    )


def _memory(_bucket: str, _prefix: str | None, _options: dict[str, str]) -> Any:
    from obstore.store import MemoryStore

    return MemoryStore()


_STORES: dict[str, Callable[[str, str | None, dict[str, str]], Any]] = {
    "s3": _s3,
    "gs": _gcs,
    "az": _azure,
    "memory": _memory,
}


def _log_name(position: int) -> str:
    return f"log/{position:020d}"


class ObjectLog:
    shared = True

    def __init__(self, objects: Objects, world: World, grace_s: float = GRACE_S) -> None:
        """Raises Unavailable if the place cannot be reached."""
        self._objects, self._world, self._grace_s = objects, world, grace_s
        self._contact = self._now()
        self._first = self._floor()
        self._failed = False
        self._published: tuple[int, float] | None = None  # our newest floor, and when it was up

    @property
    def first(self) -> int:
        return self._first

    def _now(self) -> tuple[float, float]:
        return self._world.mono(), self._world.wall()

    def _floor(self) -> int:
        names = self._objects.names("floor/")
        return max((int(name[6:]) for name in names), default=1)

    def append(self, position: int, payload: bytes) -> bool:
        if self._failed:
            raise Unavailable("the log failed before; open it again")
        name = _log_name(position)
        data = frames.frame(frames.LOG, position.to_bytes(_POSITION_SIZE_BYTES, "little") + payload)
        pause_s, why = _FIRST_PAUSE_S, ""
        try:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    self._world.pause(pause_s)
                    pause_s *= 2
                began = self._now()
                try:
                    ours = self._objects.put_new(name, data)
                    if not ours:
                        found = self._objects.get(name)
                        if found is None:
                            why = "exists but cannot be read"
                            continue
                        ours = found == data
                except Unavailable as error:
                    why = str(error)
                    continue
                self._confirm(position, began)
                return ours
        except BaseException:
            self._failed = True
            raise
        self._failed = True
        raise Unavailable(f"position={position} is not known to be durable: {why}")

    def _confirm(self, position: int, began: tuple[float, float]) -> None:
        """What was just seen at ``position`` is the log's, not something below the floor.

        Raises Trimmed if it is not, Unavailable if that cannot be learnt.
        """
        mono_s, wall_s = self._now()
        # Neither clock alone sees a machine that slept: mono stands still, wall may be set back.
        silent_s = max(mono_s - self._contact[0], wall_s - self._contact[1])
        if silent_s > self._grace_s or silent_s < 0:
            self._first = max(self._first, self._floor())
        if position < self._first:
            raise Trimmed(f"position={position} first={self._first} silent_s={silent_s:.0f}")
        self._contact = began

    def read(self, position: int) -> bytes | None:
        if position < self._first:
            raise Trimmed(f"position={position} first={self._first}")
        began = self._now()
        data = self._objects.get(_log_name(position))
        self._confirm(position, began)
        return None if data is None else self._payload(position, data)

    def _payload(self, position: int, data: bytes) -> bytes:
        name = _log_name(position)
        body = frames.unframe(frames.LOG, data, name)
        if int.from_bytes(body[:_POSITION_SIZE_BYTES], "little") != position:
            raise Damaged(f"object={name} holds another position")
        return bytes(body[_POSITION_SIZE_BYTES:])

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        if start < self._first:
            raise Trimmed(f"position={start} first={self._first}")
        while names := self._objects.names("log/", _log_name(start - 1)):
            # A listing made while others append may lack a name and have a later one; only GET tells.
            whole = [name for at, name in enumerate(names, start) if name == _log_name(at)]
            for name, data in zip(whole, self._fetch(whole), strict=True):
                if data is None:
                    self._confirm_hole(start)
                yield start, self._payload(int(name[4:]), data)
                start += 1
            if len(whole) < len(names):
                data = self._objects.get(_log_name(start))
                if data is None:
                    self._confirm_hole(start)
                yield start, self._payload(start, data)
                start += 1

    def _confirm_hole(self, position: int) -> NoReturn:
        self._first = max(self._first, self._floor())
        if position < self._first:
            raise Trimmed(f"position={position} first={self._first}")
        raise Damaged(f"object={_log_name(position)} is missing, later ones exist")

    def _fetch(self, names: list[str]) -> Iterator[bytes | None]:
        if not self._objects.far:
            yield from map(self._objects.get, names)
            return
        with ThreadPoolExecutor(_AHEAD) as pool:
            for at in range(0, len(names), _AHEAD):
                yield from pool.map(self._objects.get, names[at : at + _AHEAD])

    def trim(self, floor: int) -> None:
        """Publish ``floor``; delete what lies below a floor published at least twice the grace ago."""
        now_s = self._world.mono()
        if self._published and now_s - self._published[1] >= 2 * self._grace_s:
            for prefix in ("log/", "floor/"):
                for name in self._objects.names(prefix):
                    if int(name[len(prefix) :]) >= self._published[0]:
                        break
                    self._objects.delete(name)
            self._published = None
        if self._published is None and floor > self._floor():
            self._objects.put_new(f"floor/{floor:020d}", b"floor")
            self._published = floor, self._world.mono()
            self._first = max(self._first, floor)

    def close(self) -> None:
        self._failed = True
