"""Random passwords, as GetRandomPassword and GenerateSecretString make them."""

from __future__ import annotations

import string
from typing import Any

from stratolite.clock import World
from stratolite.services.secretsmanager.faults import bad_parameter

_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
LENGTH_MAX = 4096


def generate(world: World, request: dict[str, Any]) -> str:
    """Raises Fault if nothing is left to choose from, or the length has no room for every kind."""
    length = int(request.get("PasswordLength") or 32)
    excluded = set(request.get("ExcludeCharacters") or "")
    kinds = []
    for member, characters in (
        ("ExcludeLowercase", string.ascii_lowercase),
        ("ExcludeUppercase", string.ascii_uppercase),
        ("ExcludeNumbers", string.digits),
        ("ExcludePunctuation", _PUNCTUATION),
    ):
        if not request.get(member):
            kinds.append("".join(c for c in characters if c not in excluded))
    if request.get("IncludeSpace"):
        kinds.append("" if " " in excluded else " ")
    pool = "".join(kinds)
    if not pool:
        raise bad_parameter("You must include at least one character in the password.")
    each = request.get("RequireEachIncludedType", True)
    wanted = [k for k in kinds if k] if each else []
    if not 1 <= length <= LENGTH_MAX or length < len(wanted):
        raise bad_parameter("PasswordLength is too short for every included type of character, or longer than 4096.")  # fmt: skip
    chosen = [_choose(world, kind) for kind in wanted]
    chosen += [_choose(world, pool) for _ in range(length - len(chosen))]
    for index in range(len(chosen) - 1, 0, -1):
        other = _below(world, index + 1)
        chosen[index], chosen[other] = chosen[other], chosen[index]
    return "".join(chosen)


def _choose(world: World, characters: str) -> str:
    return characters[_below(world, len(characters))]


def _below(world: World, count: int) -> int:
    """Unbiased: what lies beyond the last whole multiple is thrown again."""
    limit = 65_536 // count * count
    while True:
        number = int.from_bytes(world.token(2), "big")
        if number < limit:
            return number % count
