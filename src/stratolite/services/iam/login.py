"""Passwords: login profiles, ChangePassword, and the account's password policy.

A profile is {UserName, CreateDate, PasswordResetRequired, Salt, Hash, Changed, Former}: scrypt of the password under the user's
salt, and of those before it as far back as the policy looks. Nothing here is logged in to with a password; it is what
ChangePassword asks for.
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateLoginProfile.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_account-policy.html
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, prepared
from stratolite.services.iam import holders, state

_KIND = "login-profile"
_POLICY = "password-policy"
_FORMER_COUNT_MAX = 24
_SYMBOLS = "!@#$%^&*()_+-=[]{}|'"
_DEFAULTS = {
    "MinimumPasswordLength": 6,
    "RequireSymbols": False,
    "RequireNumbers": False,
    "RequireUppercaseCharacters": False,
    "RequireLowercaseCharacters": False,
    "AllowUsersToChangePassword": False,
    "ExpirePasswords": False,
}
_OPTIONAL = ("MaxPasswordAge", "PasswordReusePrevention", "HardExpiry")


async def _hashed(_: Any, call: Call, request: Request) -> Request:
    """Hash what was given, off the loop, under the user's salt: a new one where there is none yet."""
    user = request.get("UserName") or call.principal.name

    def salt_of(inner: Call) -> str | None:
        found = state.get(inner.tx, inner.account, _KIND, user)
        return found["Salt"] if found else None

    salt = await call.transact(salt_of) or call.world.token(16).hex()
    hashes = {}
    for field in ("Password", "NewPassword", "OldPassword"):
        if request.get(field) is not None:
            hashes[field] = await asyncio.get_running_loop().run_in_executor(
                None, _scrypt, request[field], salt
            )
    return {**request, "Salt": salt, "Hashes": hashes}


def _scrypt(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=1 << 14, r=8, p=1).hex()


class Passwords:
    """Mixed into ``Iam``."""

    @prepared(_hashed)
    def create_login_profile(self, call: Call, request: Request) -> Response:
        user = request.get("UserName") or call.principal.name
        holders.load(call, "user", user)
        if state.get(call.tx, call.account, _KIND, user):
            raise Fault("EntityAlreadyExists", f"Login Profile for user {user} already exists.")
        if "Password" not in request:
            raise Fault("ValidationError", "Must specify password")
        _check(call, user, request["Password"])
        record: dict[str, Any] = {
            "UserName": user,
            "CreateDate": int(call.tx.time_s),
            "PasswordResetRequired": bool(request.get("PasswordResetRequired")),
            "Salt": request["Salt"],
            "Hash": request["Hashes"]["Password"],
            "Changed": int(call.tx.time_s),
            "Former": [],
        }
        state.put(call.tx, call.account, _KIND, user, record)
        return {"LoginProfile": _shown(record)}

    def get_login_profile(self, call: Call, request: Request) -> Response:
        return {"LoginProfile": _shown(_load(call, _user(call, request)))}

    @prepared(_hashed)
    def update_login_profile(self, call: Call, request: Request) -> Response:
        record = _load(call, request["UserName"])
        if "Password" in request:
            _check(call, request["UserName"], request["Password"])
            record |= _changed(call, record, request, "Password")
        if "PasswordResetRequired" in request:
            record["PasswordResetRequired"] = request["PasswordResetRequired"]
        state.put(call.tx, call.account, _KIND, request["UserName"], record)
        return {}

    def delete_login_profile(self, call: Call, request: Request) -> Response:
        user = _user(call, request)
        _load(call, user)
        state.delete(call.tx, call.account, _KIND, user)
        return {}

    @prepared(_hashed)
    def change_password(self, call: Call, request: Request) -> Response:
        who = call.principal
        if who.kind != "user":
            raise Fault("InvalidUserType", "Only IAM Users can change their own password")
        record = _load(call, who.name)
        if not hmac.compare_digest(record["Hash"], request["Hashes"]["OldPassword"]):
            raise Fault("AccessDenied", "The old password was incorrect.", status=403)
        _check(call, who.name, request["NewPassword"])
        record |= _changed(call, record, request, "NewPassword")
        state.put(call.tx, call.account, _KIND, who.name, record | {"PasswordResetRequired": False})
        return {}

    # -- the account's policy

    def get_account_password_policy(self, call: Call, request: Request) -> Response:
        found = state.get(call.tx, call.account, _POLICY, "")
        if found is None:
            raise Fault(
                "NoSuchEntity",
                f"The Password Policy with domain name {call.account} cannot be found.",
            )
        return {"PasswordPolicy": found}

    def update_account_password_policy(self, call: Call, request: Request) -> Response:
        """What is not given falls back to its default, as on AWS."""
        record: dict[str, Any] = {k: request.get(k, v) for k, v in _DEFAULTS.items()}
        record |= {k: request[k] for k in _OPTIONAL if request.get(k)}
        record["ExpirePasswords"] = bool(request.get("MaxPasswordAge"))
        state.put(call.tx, call.account, _POLICY, "", record)
        return {}

    def delete_account_password_policy(self, call: Call, request: Request) -> Response:
        if state.get(call.tx, call.account, _POLICY, "") is None:
            raise Fault(
                "NoSuchEntity", "The account policy with name PasswordPolicy cannot be found."
            )
        state.delete(call.tx, call.account, _POLICY, "")
        return {}


def _user(call: Call, request: Request) -> str:
    user: str = request.get("UserName") or call.principal.name
    holders.load(call, "user", user)
    return user


def _load(call: Call, user: str) -> dict[str, Any]:
    holders.load(call, "user", user)
    found = state.get(call.tx, call.account, _KIND, user)
    if found is None:
        raise Fault("NoSuchEntity", f"Login Profile for User {user} cannot be found.")
    return dict(found)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return {k: record[k] for k in ("UserName", "CreateDate", "PasswordResetRequired")}


def _changed(call: Call, record: dict[str, Any], request: Request, field: str) -> dict[str, Any]:
    """The new hash in its place. Raises Fault for a password that was used before, or under a salt that is gone."""
    if request["Salt"] != record["Salt"]:
        raise Fault("EntityTemporarilyUnmodifiable", "The login profile was changed just now.")
    made = request["Hashes"][field]
    former = [record["Hash"], *record["Former"]]
    policy = state.get(call.tx, call.account, _POLICY, "") or {}
    if made in former[: policy.get("PasswordReusePrevention", 0)]:
        raise Fault(
            "PasswordPolicyViolation",
            "Password has been used before. Choose a password that you have not used before.",
        )
    return {"Hash": made, "Former": former[:_FORMER_COUNT_MAX], "Changed": int(call.tx.time_s)}


def _check(call: Call, user: str, password: str) -> None:
    """Raises Fault for a password against the policy: the account's, or AWS's own where there is none."""
    policy = state.get(call.tx, call.account, _POLICY, "")
    kinds = {
        "RequireUppercaseCharacters": ("uppercase letter", any(c.isupper() for c in password)),
        "RequireLowercaseCharacters": ("lowercase letter", any(c.islower() for c in password)),
        "RequireNumbers": ("number", any(c.isdigit() for c in password)),
        "RequireSymbols": ("symbol", any(c in _SYMBOLS for c in password)),
    }
    least = 8 if policy is None else policy["MinimumPasswordLength"]
    if len(password) < least:
        raise _violation(f"Password should have a minimum length of {least}")
    if policy is None:
        if sum(has for _, has in kinds.values()) < 3 or password.lower() == user.lower():
            raise _violation("Password does not conform to the account password policy.")
        return
    for field, (called, has) in kinds.items():
        if policy[field] and not has:
            raise _violation(f"Password should have at least one {called}")


def _violation(said: str) -> Fault:
    return Fault("PasswordPolicyViolation", said)
