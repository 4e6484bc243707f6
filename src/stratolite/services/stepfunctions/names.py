"""Names and ARNs of Step Functions, and what is wrong with them in AWS's words."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.stepfunctions.state import Place

_BAD = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff\U0010ffff]")  # fmt: skip
_ARN = re.compile(r"arn:aws[\w-]*:states:([a-z0-9-]+):(\d{12}):(stateMachine|execution|express|activity|mapRun):(.+)\Z", re.DOTALL)  # fmt: skip


class Machine(NamedTuple):
    """A machine's ARN taken apart. ``qualifier``: a version's number or an alias, "" for neither."""

    region: str
    account: str
    name: str
    qualifier: str

    @property
    def arn(self) -> str:
        """Without the qualifier."""
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{self.name}"


class Token(NamedTuple):
    """Whom a task token speaks for."""

    account: str
    region: str
    place: Place
    line: int
    wait: str


def check(name: str) -> str:
    """Raises Fault InvalidName."""
    if not 0 < len(name) <= 80 or _BAD.search(name):
        raise Fault("InvalidName", f"Invalid Name: '{name}'")
    return name


def _taken(arn: str, *kinds: str) -> tuple[str, str, str]:
    found = _ARN.match(arn)
    if found is None:
        raise Fault("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")
    if found[3] not in kinds:
        raise Fault("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {found[3]}'")  # fmt: skip
    return found[1], found[2], found[4]


def machine(arn: str) -> Machine:
    """Raises Fault InvalidArn."""
    region, account, rest = _taken(arn, "stateMachine")
    name, _, qualifier = rest.partition(":")
    return Machine(region, account, name, qualifier)


def activity(arn: str) -> tuple[str, str, str]:
    """(region, account, name). Raises Fault InvalidArn."""
    return _taken(arn, "activity")


def execution(arn: str) -> tuple[str, str, Place]:
    """Of a standard execution. Raises Fault InvalidArn."""
    region, account, rest = _taken(arn, "execution")
    name, colon, last = rest.partition(":")
    if not colon:
        raise Fault("InvalidArn", f"Invalid Arn: '{arn}'")
    return region, account, Place(name, last)


def machine_arn(call: Call, name: str) -> str:
    return f"arn:aws:states:{call.region}:{call.account}:stateMachine:{name}"


def activity_arn(call: Call, name: str) -> str:
    return f"arn:aws:states:{call.region}:{call.account}:activity:{name}"


def execution_arn(call: Call, place: Place, *, is_express: bool) -> str:
    kind = "express" if is_express else "execution"
    return f"arn:aws:states:{call.region}:{call.account}:{kind}:{place.machine}:{place.name}"


def there(call: Call, region: str, account: str, arn: str) -> Call:
    """The call where the thing is. Raises Fault for another account's or region's."""
    if account != call.account or region != call.region:
        raise Fault("InvalidArn", f"Invalid Arn: '{arn}'")
    return call


# -- tokens


def token(call: Call, place: Place, line: int, wait: str) -> str:
    said = orjson.dumps([call.account, call.region, place.machine, place.name, line, wait])
    return base64.urlsafe_b64encode(said).decode()


def token_of(text: str) -> Token:
    """Raises Fault InvalidToken."""
    try:
        said = orjson.loads(base64.urlsafe_b64decode(text.encode()))
        account, region, machine_, name, line, wait = said
        if not all(isinstance(t, str) for t in (account, region, machine_, name, wait)):
            raise ValueError(text)
        return Token(account, region, Place(machine_, name), int(line), wait)
    except (ValueError, TypeError, binascii.Error) as error:
        raise Fault("InvalidToken", "Invalid Token: 'Invalid token'") from error


def page_token(*said: str | int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(said)).decode()


def paged(text: str | None, kind: type[str | int]) -> str | int | None:
    """What a page token of ours says. Raises Fault InvalidToken."""
    if not text:
        return None
    try:
        (said,) = orjson.loads(base64.urlsafe_b64decode(text.encode()))
        if not isinstance(said, kind) or isinstance(said, bool):
            raise ValueError(text)  # noqa: TRY004 - one kind of wrong
    except (ValueError, TypeError, binascii.Error) as error:
        raise Fault("InvalidToken", "Invalid Token: 'Invalid token'") from error
    return said
