"""From an access key id to its secret and its owner: IAM's keys, and STS's sealed session tokens."""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.gateway.auth import Credentials
from stratolite.service import Cloud, Principal


def credentials_of(cloud: Cloud) -> Credentials:
    """What ``App`` asks for every signed request. Imports IAM and STS on the first key that is not a default one."""
    find: Credentials | None = None

    def credentials(key_id: str, token: str | None) -> tuple[str, Principal] | None:
        nonlocal find
        if not key_id.startswith("A"):  # AKIA..., ASIA...: no key of ours looks otherwise
            return None
        if find is None:
            find = _open(cloud)
        return find(key_id, token)

    return credentials


def _open(cloud: Cloud) -> Credentials:
    from stratolite.services.iam.credentials import AccessKeys
    from stratolite.services.sts.tokens import Expired, Tokens

    keys, tokens = AccessKeys(cloud.db, cloud.vault), Tokens(cloud.vault)

    def find(key_id: str, token: str | None) -> tuple[str, Principal] | None:
        if token is None:
            return keys.open(key_id)
        try:
            return tokens.open(key_id, token, cloud.world.wall())
        except Expired as expired:
            raise Fault("ExpiredToken", "The provided token has expired.", status=400) from expired

    return find
