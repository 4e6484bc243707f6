"""Who signed: from a long-lived access key id to its secret and the user it belongs to."""

from __future__ import annotations

import base64

from stratolite.core import Database
from stratolite.core.vault import Vault
from stratolite.service import Principal
from stratolite.services.iam import state

_UNSEALED_COUNT_MAX = 4096


class AccessKeys:
    """Looks keys up on the newest ordered state; remembers what it unsealed."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault
        self._unsealed: dict[str, str] = {}

    def open(self, key_id: str) -> tuple[str, Principal] | None:
        """(secret, principal), None if there is no such active key."""
        record = self._db.peek(lambda tx: state.get_key(tx, key_id))
        if record is None or record["Status"] != "Active":
            return None
        account, name = record["Account"], record["UserName"]
        user = self._db.peek(lambda tx: state.get(tx, account, "user", name))
        if user is None:
            return None
        who = Principal(
            "user", account, user["Arn"], name, user_id=user["UserId"], access_key_id=key_id
        )
        return self._secret(key_id, record["Sealed"]), who

    def _secret(self, key_id: str, sealed: str) -> str:
        found = self._unsealed.get(sealed)
        if found is None:
            if len(self._unsealed) >= _UNSEALED_COUNT_MAX:
                self._unsealed.clear()
            plain = self._vault.open(base64.b64decode(sealed), f"access-key:{key_id}")
            found = self._unsealed[sealed] = plain.decode()
        return found
