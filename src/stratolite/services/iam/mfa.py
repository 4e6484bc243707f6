"""Virtual MFA devices: time-based one-time passwords (RFC 6238: SHA-1, six digits, 30 seconds).

A device is {SerialNumber, Sealed seed, UserName or absent, EnableDate, LastStep, Drift, Tags}. A code is good once:
``LastStep`` is the newest time step a code was taken for. Not made: the QR code picture.
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_EnableMFADevice.html
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, inside, names, state

_KIND = "mfa"
_STEP_S = 30
_DEVICES_PER_USER_MAX = 8
_STEPS_EITHER_WAY = 1
_RESYNC_STEPS = 20
_CODE = re.compile(r"\d{6}\Z", re.ASCII)


class MfaDevices:
    """Mixed into ``Iam``."""

    def create_virtual_mfa_device(self, call: Call, request: Request) -> Response:
        name = request["VirtualMFADeviceName"]
        names.check_name("virtualMFADeviceName", name, 226)
        path = names.check_path(request.get("Path", "/"))
        serial = names.arn(call.account, "mfa", path, name)
        if state.get(call.tx, call.account, _KIND, serial):
            raise Fault("EntityAlreadyExists", "MFA device already exists.")
        seed = base64.b32encode(call.world.token(40))
        sealed = call.cloud.vault.seal(seed, f"mfa:{serial}")
        record = {
            "SerialNumber": serial,
            "Sealed": base64.b64encode(sealed).decode(),
            "Tags": holders.new_tags(request),
        }
        state.put(call.tx, call.account, _KIND, serial, record)
        made = {"SerialNumber": serial, "Base32StringSeed": seed}
        return {"VirtualMFADevice": made | ({"Tags": record["Tags"]} if record["Tags"] else {})}

    def get_mfa_device(self, call: Call, request: Request) -> Response:
        record = _load(call, request["SerialNumber"])
        user = request.get("UserName") or record.get("UserName")
        if user is None or record.get("UserName") != user:
            raise names.missing(_KIND, request["SerialNumber"])
        fields = ("UserName", "SerialNumber", "EnableDate")
        return {k: record[k] for k in fields}

    def tag_mfa_device(self, call: Call, request: Request) -> Response:
        _load(call, request["SerialNumber"])
        return holders.tag(call, _KIND, request["SerialNumber"], request["Tags"])

    def untag_mfa_device(self, call: Call, request: Request) -> Response:
        _load(call, request["SerialNumber"])
        return holders.untag(call, _KIND, request["SerialNumber"], request["TagKeys"])

    def list_mfa_device_tags(self, call: Call, request: Request) -> Response:
        _load(call, request["SerialNumber"])
        return holders.tags_of(call, _KIND, request["SerialNumber"], request)

    def enable_mfa_device(self, call: Call, request: Request) -> Response:
        user, record = _user(call, request), _load(call, request["SerialNumber"])
        if record.get("UserName"):
            raise Fault("EntityAlreadyExists", "MFA Device is already in use.")
        if len(state.mfa_of(call.tx, call.account, user)) >= _DEVICES_PER_USER_MAX:
            quota = f"Cannot exceed quota for MFADevicesPerUser: {_DEVICES_PER_USER_MAX}"
            raise Fault("LimitExceeded", quota)
        record |= _two_in_a_row(call, record, request, _STEPS_EITHER_WAY)
        record |= {"UserName": user, "EnableDate": int(call.tx.time_s)}
        state.put_mfa(call.tx, call.account, record, user)
        return {}

    def resync_mfa_device(self, call: Call, request: Request) -> Response:
        record = _enabled(call, _user(call, request), request["SerialNumber"])
        record |= _two_in_a_row(call, record, request, _RESYNC_STEPS)
        state.put(call.tx, call.account, _KIND, record["SerialNumber"], record)
        return {}

    def deactivate_mfa_device(self, call: Call, request: Request) -> Response:
        user = _user(call, request)
        record = _enabled(call, user, request["SerialNumber"])
        for field in ("UserName", "EnableDate", "LastStep", "Drift"):
            record.pop(field, None)
        state.forget_mfa(call.tx, call.account, record, user)
        return {}

    def delete_virtual_mfa_device(self, call: Call, request: Request) -> Response:
        record = _load(call, request["SerialNumber"])
        if record.get("UserName"):
            raise Fault("DeleteConflict", "MFA VirtualDevice in use. Must deactivate first.")
        state.delete(call.tx, call.account, _KIND, record["SerialNumber"])
        return {}

    def list_mfa_devices(self, call: Call, request: Request) -> Response:
        user = _user(call, request)
        page = holders.paged(state.mfa_of(call.tx, call.account, user), request)
        found = [_enabled(call, user, serial) for serial in page.pop("Items")]
        fields = ("UserName", "SerialNumber", "EnableDate")
        return {"MFADevices": [{k: d[k] for k in fields} for d in found]} | page

    def list_virtual_mfa_devices(self, call: Call, request: Request) -> Response:
        wanted, limit = request.get("AssignmentStatus", "Any"), request.get("MaxItems", 100)
        found, after = state.page(call.tx, call.account, _KIND, request.get("Marker", ""), limit)
        shown = []
        for device in found:
            user = device.get("UserName")
            if wanted == "Any" or (wanted == "Assigned") is bool(user):
                one: dict[str, Any] = {"SerialNumber": device["SerialNumber"]}
                if user:
                    one["EnableDate"] = device["EnableDate"]
                    one["User"] = holders.shown(holders.load(call, "user", user), "Tags")
                shown.append(one)
        return {"VirtualMFADevices": shown, "IsTruncated": after is not None} | (
            {"Marker": after} if after else {}
        )

    def check_mfa_code(self, call: Call, asked: Request) -> Response:
        """For STS alone, no wire carries it: SerialNumber, TokenCode, UserName; ``Spend``: it is then used up.

        Answers Valid. Raises nothing for a device that is not there: it is not valid.
        """
        inside.check(call, "CheckMfaCode")
        record = state.get(call.tx, call.account, _KIND, asked["SerialNumber"])
        if record is None or record.get("UserName") != asked["UserName"]:
            return {"Valid": False}
        now = int(call.world.wall()) // _STEP_S + record["Drift"]
        code = asked["TokenCode"]
        for step in range(now - _STEPS_EITHER_WAY, now + _STEPS_EITHER_WAY + 1):
            if step > record["LastStep"] and hmac.compare_digest(_at(call, record, step), code):
                if asked.get("Spend"):
                    serial = asked["SerialNumber"]
                    state.put(
                        call.tx, call.account, _KIND, serial, dict(record) | {"LastStep": step}
                    )
                return {"Valid": True}
        return {"Valid": False}


def _user(call: Call, request: Request) -> str:
    name: str = (
        request.get("UserName") or (call.principal.kind == "user" and call.principal.name) or ""
    )
    if not name:
        raise Fault(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    holders.load(call, "user", name)
    return name


def _load(call: Call, serial: str) -> dict[str, Any]:
    found = state.get(call.tx, call.account, _KIND, serial)
    if found is None:
        raise names.missing(_KIND, serial)
    return dict(found)


def _enabled(call: Call, user: str, serial: str) -> dict[str, Any]:
    record = _load(call, serial)
    if record.get("UserName") != user:
        raise Fault(
            "NoSuchEntity",
            f"MFA Device with serial number {serial} does not exist for user {user}.",
        )
    return record


def _two_in_a_row(
    call: Call, record: dict[str, Any], request: Request, reach: int
) -> dict[str, int]:
    """The step of the second code and how far the device's clock is from ours. Raises Fault."""
    first, second = request["AuthenticationCode1"], request["AuthenticationCode2"]
    if not _CODE.match(first) or not _CODE.match(second):
        raise Fault("ValidationError", "The authentication code must be six digits.")
    now = int(call.world.wall()) // _STEP_S
    for step in range(now - reach - 1, now + reach + 1):
        if _at(call, record, step) == first and _at(call, record, step + 1) == second:
            drift = step + 1 - now
            return {"LastStep": step + 1, "Drift": 0 if abs(drift) <= _STEPS_EITHER_WAY else drift}
    raise Fault(
        "InvalidAuthenticationCode", "Authentication code for device is not valid.", status=403
    )


def _at(call: Call, record: dict[str, Any], step: int) -> str:
    sealed = base64.b64decode(record["Sealed"])
    seed = call.cloud.vault.open(sealed, f"mfa:{record['SerialNumber']}")
    return code_at(seed, step)


def code_at(seed: bytes, step: int) -> str:
    """RFC 4226 over a time step; ``seed`` in base 32."""
    digest = hmac.digest(base64.b32decode(seed), step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"
