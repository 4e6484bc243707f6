"""Operations that one part of the platform asks of another, and nobody else: no wire carries them.

The wire knows AWS's operations alone. What runs an operation that a user named (a schedule, a state machine) must not
reach these either, whatever the user's role may do.
"""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call

_STACKS = "cloudformation.amazonaws.com"


def check(call: Call, operation: str, *, stacks: bool = False) -> None:
    """Raises Fault unless the platform itself asks, as an account's root without a key; or a stack for its owner."""
    who = call.principal
    if who.kind == "root" and not who.access_key_id:
        return
    if stacks and call.via[-1:] == (_STACKS,):
        return
    raise Fault("NotImplemented", f"iam {operation} is not an operation of AWS", status=501)
