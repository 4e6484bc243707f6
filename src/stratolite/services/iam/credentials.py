"""Who signed: from a long-lived access key id to its secret and the user it belongs to."""

from __future__ import annotations

import base64

from stratolite.core import Database, Tx
from stratolite.core.vault import Vault
from stratolite.service import Opened, Principal, root
from stratolite.services.iam import state

_UNSEALED_COUNT_MAX = 4096


class AccessKeys:
    """Looks keys up on the newest ordered state; remembers what it unsealed."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault
        self._unsealed: dict[str, str] = {}
        self._accounts: dict[str, str] = {}

    def open(self, key_id: str) -> tuple[str, Principal] | None:
        """(secret, principal), None if there is no such active key."""
        found: tuple[str, Principal] | None = self._db.peek(lambda tx: self._known(tx, key_id))
        return found

    def _known(self, tx: Tx, key_id: str) -> tuple[str, Principal] | None:
        """Once opened, a key stays open until something in its account's IAM changes."""
        account = self._accounts.get(key_id)
        if account is not None:
            kept = state.memo(tx, account)
            if kept is not None and key_id in kept.opened:
                return kept.opened[key_id]  # type: ignore[no-any-return]
        record = state.get_key(tx, key_id)
        if record is None or record["Status"] != "Active":
            return None
        account, name = record["Account"], record["UserName"]
        if name:
            user = state.get(tx, account, "user", name)
            if user is None:
                return None
            who = Principal(
                "user", account, user["Arn"], name, user_id=user["UserId"], access_key_id=key_id
            )
        else:
            who = root(account, key_id)
        secret = self._secret(key_id, record["Sealed"])
        if len(self._accounts) >= _UNSEALED_COUNT_MAX:
            self._accounts.clear()
        self._accounts[key_id] = account
        kept = state.memo(tx, account)
        if kept is None or state.stamp_key(account) not in self._db.parsed:
            return secret, who
        # the memo is void with the first change of the account's IAM, and what the database keeps of it another
        made = kept.opened[key_id] = Opened.of(
            secret, who, self._db.parsed, state.stamp_key(account)
        )
        return made

    def _secret(self, key_id: str, sealed: str) -> str:
        found = self._unsealed.get(sealed)
        if found is None:
            if len(self._unsealed) >= _UNSEALED_COUNT_MAX:
                self._unsealed.clear()
            plain = self._vault.open(base64.b64decode(sealed), f"access-key:{key_id}")
            found = self._unsealed[sealed] = plain.decode()
        return found
