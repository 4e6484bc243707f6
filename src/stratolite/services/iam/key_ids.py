"""Access key ids that say whose they are: AKIA or ASIA and 16 characters of base 32, the account among them.

The first 48 of the 80 bits: 1, the account (40), 7 random; the rest is random. So any 20-character id of AWS's form
names an account, as on AWS: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
"""

from __future__ import annotations

import base64
import re

from stratolite.clock import World

_FORM = re.compile(r"A[A-Z0-9]{3}[A-Z2-7]{16}\Z")


def new(world: World, prefix: str, account: str) -> str:
    random = int.from_bytes(world.token(5), "big")
    bits = 1 << 79 | int(account) << 39 | random >> 1
    return prefix + base64.b32encode(bits.to_bytes(10, "big")).decode()


def account_of(key_id: str) -> str | None:
    """None for an id of another form."""
    if not _FORM.match(key_id):
        return None
    bits = int.from_bytes(base64.b32decode(key_id[4:]), "big")
    return f"{bits >> 39 & (1 << 40) - 1:012}"[-12:]
