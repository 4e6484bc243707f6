"""The root seal: the one key that lies outside the data, and opens the keys that the data is sealed with.

It is 32 random bytes, written as 64 hexadecimal digits, found in this order:

    STRATOLITE_ROOT_SEAL            the seal itself
    STRATOLITE_ROOT_SEAL_COMMAND    a command that prints it (a password manager, a KMS client); no shell
    <folder>/<cloud id>             a file of mode 0600; <folder> is STRATOLITE_KEYS, else
                                    $XDG_CONFIG_HOME/stratolite/keys, else ~/.config/stratolite/keys

Each may hold several, apart by white space or commas: the first is the one to seal with, the others still open
what was sealed with them. That is the state between the two halves of a change of seal (``stratolite rekey``).
A file is made for a new cloud when neither variable is set. Whoever copies a data folder to another machine, or
serves a bucket from a second one, brings the file along.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping

from stratolite.clock import World
from stratolite.core.disk import Disk
from stratolite.limits import ROOT_SEAL_COMMAND_S_MAX

_KEY_BYTES = 32


class Locked(OSError):
    """The root seal is not here, or may not be used as it lies; the text says what to do about it."""


class Seals:
    """Finds, makes and replaces root seals. ``data`` is the folder that must not hold them."""

    def __init__(self, data: str, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._data, self._disk = data, Disk()
        config = self._environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        self.folder = self._environ.get("STRATOLITE_KEYS") or f"{config}/stratolite/keys"

    @property
    def is_given(self) -> bool:
        """Whether the seal comes from the environment: then no file is read, made or replaced."""
        return bool(
            self._environ.get("STRATOLITE_ROOT_SEAL")
            or self._environ.get("STRATOLITE_ROOT_SEAL_COMMAND")
        )

    def path(self, cloud: str) -> str:
        return f"{self.folder}/{cloud}"

    def find(self, cloud: str) -> list[bytes]:
        """The seals there are, the one to seal with first; [] if none. Raises Locked."""
        if text := self._environ.get("STRATOLITE_ROOT_SEAL"):
            return _parsed(text, "STRATOLITE_ROOT_SEAL")
        if command := self._environ.get("STRATOLITE_ROOT_SEAL_COMMAND"):
            return _parsed(_output(command), "what STRATOLITE_ROOT_SEAL_COMMAND prints")
        path = self.path(cloud)
        try:
            raw = self._disk.read_file(path)
            if raw is None:
                return []
            if os.stat(path).st_mode & 0o077:
                raise Locked(f"the root seal {path} can be read by others: chmod 600 it")
        except OSError as error:
            if isinstance(error, Locked):
                raise
            raise Locked(f"the root seal {path} cannot be read: {error}") from error
        return _parsed(raw.decode("ascii", "replace"), path)

    def make(self, cloud: str, world: World) -> bytes:
        """A seal for a new cloud, durable before it is used. Raises Locked."""
        if found := self.find(cloud):
            return found[0]
        seal = world.token(_KEY_BYTES)
        self.replace(cloud, [seal])
        return seal

    def replace(self, cloud: str, seals: list[bytes], suffix: str = "") -> None:
        """Only these are in the cloud's file from now on. Raises Locked."""
        if os.path.realpath(self.folder).startswith(os.path.realpath(self._data) + os.sep):
            raise Locked(
                f"STRATOLITE_KEYS={self.folder} lies in the data folder, which it is to protect"
            )
        text = "".join(f"{seal.hex()}\n" for seal in seals)
        try:
            self._disk.make_folder(self.folder)
            self._disk.replace_file(self.path(cloud) + suffix, text.encode())
        except OSError as error:
            raise Locked(
                f"the root seal cannot be written to {self.path(cloud)}: {error}; name another folder with STRATOLITE_KEYS,"
                " or give the seal with STRATOLITE_ROOT_SEAL (64 hexadecimal digits)"
            ) from error

    def forget(self, cloud: str) -> None:
        """A cloud that came to nothing."""
        with contextlib.suppress(OSError):
            self._disk.unlink(self.path(cloud))


def _parsed(text: str, place: str) -> list[bytes]:
    seals = []
    for word in text.replace(",", " ").split():
        try:
            seal = bytes.fromhex(word)
        except ValueError:
            seal = b""
        if len(seal) != _KEY_BYTES:
            raise Locked(f"{place} does not hold root seals of 64 hexadecimal digits each")
        seals.append(seal)
    return seals


def _output(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, no shell
            shlex.split(command),
            capture_output=True,
            text=True,
            timeout=ROOT_SEAL_COMMAND_S_MAX,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Locked(f"STRATOLITE_ROOT_SEAL_COMMAND cannot be run: {error}") from error
    if done.returncode:
        raise Locked(
            f"STRATOLITE_ROOT_SEAL_COMMAND ended with exit code {done.returncode}: {done.stderr.strip()[:200]}"
        )
    return done.stdout
