"""Temporary credentials: sealed session tokens that carry who they are for and when they end.

A token is base64 of the vault-sealed JSON {k: access key id, s: secret, e: end (wall clock, s), p: principal}.
So nothing is stored, looked up or cleaned up. It comes with every request, so of the principal it says what does not
follow from the rest. One without ``s`` is of an older server: its secret is derived.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

import orjson

from stratolite.clock import World
from stratolite.core.vault import Vault
from stratolite.service import Opened, Principal

_PURPOSE = "session-token"
_OPENED_COUNT_MAX = 4096


class Expired(Exception):
    """The token was good once."""


def issue(vault: Vault, world: World, key_id: str, end_s: float, who: Principal) -> tuple[str, str]:
    """(secret access key, session token) for the temporary access key ``key_id``."""
    secret = base64.b64encode(world.token(30)).decode()
    said = {k: v for k, v in asdict(who).items() if v}
    del said["access_key_id"]
    if who.arn == _arn(said):
        del said["arn"]
    body = orjson.dumps({"k": key_id, "s": secret, "e": end_s, "p": said})
    return secret, base64.b64encode(vault.seal(body, _PURPOSE)).decode()


class Tokens:
    """Opens session tokens; remembers what it opened, since one signs many requests."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._opened: dict[str, dict[str, Any]] = {}

    def open(self, key_id: str, token: str, now_s: float) -> tuple[str, Principal] | None:
        """(secret, principal); None for a token that is not ours or another key's. Raises Expired."""
        body = self._opened.get(token)
        if body is None:
            try:
                raw = base64.b64decode(token, validate=True)
                body = orjson.loads(self._vault.open(raw, _PURPOSE))
            except ValueError:
                return None
            if "s" not in body:
                derived = self._vault.derive(f"session-secret:{body['k']}", first=True)
                body["s"] = base64.b64encode(derived).decode()[:40]
            who = Principal(**{"access_key_id": body["k"], "arn": _arn(body["p"])} | body["p"])
            body["found"] = Opened.of(body["s"], who, {}, b"", body["e"])
            if len(self._opened) >= _OPENED_COUNT_MAX:
                self._opened.clear()
            self._opened[token] = body
        if body["k"] != key_id:
            return None
        if body["e"] <= now_s:
            raise Expired
        return body["found"]  # type: ignore[no-any-return]


def _arn(said: dict[str, Any]) -> str:
    """Of an assumed role's session; "" for others."""
    if said["kind"] != "role":
        return ""
    return f"arn:aws:sts::{said['account']}:assumed-role/{said.get('name', '')}/{said.get('session', '')}"
