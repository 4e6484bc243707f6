"""Parameters: put, get by name, version or label, history, delete."""

from __future__ import annotations

from typing import Any

from stratolite import allowed_pattern
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.ssm import names, policies, state, worker
from stratolite.services.ssm.names import arn, invalid, not_found

_STANDARD_MAX, _ADVANCED_MAX = 4096, 8192
_VERSIONS_MAX = 100
_TAGS_MAX = 50
_HISTORY_PAGE = 50
_AWS_KEY = "alias/aws/ssm"
_TOO_LARGE = (
    "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to"
    " use the advanced-parameter tier. For more information, see"
    " https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
)  # fmt: skip


class Parameters(Service):
    def put_parameter(self, call: Call, request: Request) -> Response:
        keys, name = call.keys("ssm"), request["Name"]
        name, selector = names.plain(call, name)
        if selector:
            raise invalid(f"Parameter name: {request['Name']} must not contain a version or label.")
        names.check(name)
        _refuse(request)
        known = state.get(call.tx, keys, name)
        if known is not None and not request.get("Overwrite"):
            raise Fault("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")  # fmt: skip
        if request.get("Overwrite") and request.get("Tags"):
            raise invalid(
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To"
                " update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource."
            )
        record = _changed(call, name, known, request)
        if known is not None:
            _forget_oldest(call, name, record)
        policies.start(call, name, record["policies"], (known or {}).get("policies") or [])
        state.put(call.tx, keys, name, record)
        state.put_version(call.tx, keys, name, record)
        worker.tell(call, name, record, "Update" if known else "Create")
        return {"Version": record["version"], "Tier": record["tier"]}

    def get_parameter(self, call: Call, request: Request) -> Response:
        found = self._look(call, request["Name"], decrypt=bool(request.get("WithDecryption")))
        if found is None:
            raise not_found()
        return {"Parameter": found}

    def get_parameters(self, call: Call, request: Request) -> Response:
        found: list[Response] = []
        bad: list[str] = []
        for given in request["Names"]:
            try:
                one = self._look(call, given, decrypt=bool(request.get("WithDecryption")))
            except Fault as fault:
                if fault.code != "ParameterVersionNotFound":
                    raise
                one = None
            if one is None:
                bad.append(given)
            else:
                found.append(one)
        return {"Parameters": found, "InvalidParameters": bad}

    def get_parameter_history(self, call: Call, request: Request) -> Response:
        name, record = find(call, request["Name"])
        limit = request.get("MaxResults") or _HISTORY_PAGE
        token = request.get("NextToken") or "0"
        if not is_number(token):
            raise Fault("InvalidNextToken", "The specified token is not valid.")
        found: list[Response] = []
        for version in state.versions(call.tx, call.keys("ssm"), name, int(token)):
            if len(found) == limit:
                return {"Parameters": found, "NextToken": str(found[-1]["Version"])}
            labels = [label for label, n in record["labels"].items() if n == version["version"]]
            value = _shown(call, name, version, decrypt=bool(request.get("WithDecryption")))
            said = policies.shown(record.get("policies") or []) if version["version"] == record["version"] else []  # fmt: skip
            found.append(_metadata(name, version) | {"Value": value, "Labels": sorted(labels), "Policies": said})  # fmt: skip
        return {"Parameters": found}

    def delete_parameter(self, call: Call, request: Request) -> Response:
        delete(call, *find(call, request["Name"]))
        return {}

    def delete_parameters(self, call: Call, request: Request) -> Response:
        gone: list[str] = []
        bad: list[str] = []
        for given in request["Names"]:
            try:
                name, record = find(call, given)
            except Fault:
                bad.append(given)
                continue
            delete(call, name, record)
            gone.append(given)
        return {"DeletedParameters": gone, "InvalidParameters": bad}

    def _look(self, call: Call, given: str, *, decrypt: bool) -> Response | None:
        name, selector = names.plain(call, given)
        keys = call.keys("ssm")
        for candidate in names.candidates(name) if given.startswith("arn:") else (name,):
            record = state.get(call.tx, keys, candidate)
            if record is not None:
                break
        else:
            return None
        version: state.Record | None = record
        if selector:
            number = int(selector) if is_number(selector) else record["labels"].get(selector)
            if number != record["version"]:
                version = None
                if number is not None:
                    version = state.get_version(call.tx, keys, candidate, number)
            if version is None:
                what = "version" if is_number(selector) else "label"
                raise Fault("ParameterVersionNotFound", f"Systems Manager could not find {what} {selector} of {candidate}. Verify the {what} and try again.")  # fmt: skip
        assert version is not None
        answer = shown(call, candidate, version, decrypt=decrypt)
        return answer | ({"Selector": f":{selector}"} if selector else {})


def delete(call: Call, name: str, record: state.Record) -> None:
    policies.stop(call, record.get("policies") or [])
    state.delete(call.tx, call.keys("ssm"), name, record)
    worker.tell(call, name, record, "Delete")


def find(call: Call, given: str) -> tuple[str, state.Record]:
    """Raises Fault if there is no such parameter."""
    name, selector = names.plain(call, given)
    keys = call.keys("ssm")
    for candidate in names.candidates(name) if given.startswith("arn:") else (name,):
        record = None if selector else state.get(call.tx, keys, candidate)
        if record is not None:
            return candidate, record
    raise not_found()


def shown(call: Call, name: str, version: state.Record, *, decrypt: bool) -> Response:
    """A Parameter as GetParameter and its like answer it."""
    return {
        "Name": name,
        "Type": version["type"],
        "Value": _shown(call, name, version, decrypt=decrypt),
        "Version": version["version"],
        "LastModifiedDate": version["modified_s"],
        "ARN": arn(call, name),
        "DataType": version["data_type"],
    }


def described(call: Call, name: str, record: state.Record) -> Response:
    """A ParameterMetadata as DescribeParameters answers it."""
    said = policies.shown(record.get("policies") or [])
    return _metadata(name, record) | {"ARN": arn(call, name), "Policies": said}


def _metadata(name: str, version: state.Record) -> Response:
    answer: Response = {
        "Name": name,
        "Type": version["type"],
        "LastModifiedDate": version["modified_s"],
        "LastModifiedUser": version["user"],
        "Version": version["version"],
        "Tier": version["tier"],
        "DataType": version["data_type"],
    }
    if version["type"] == "SecureString":
        answer["KeyId"] = version["key"] or _AWS_KEY
    for member, field in (("Description", "description"), ("AllowedPattern", "pattern")):
        if version[field]:
            answer[member] = version[field]
    return answer


def _shown(call: Call, name: str, version: state.Record, *, decrypt: bool) -> str:
    value = version["value"]
    if version["type"] != "SecureString":
        return str(value)
    if decrypt:
        return state.opened(call, arn(call, name), value)
    return str(next(iter(value.values())))


def _refuse(request: Request) -> None:
    if request.get("DataType", "text") != "text":
        raise names.not_offered(f"DataType {request['DataType']}")


def _changed(call: Call, name: str, known: state.Record | None, request: Request) -> state.Record:
    """The record as PutParameter asks for it. Raises Fault."""
    before = known or {}
    kind = request.get("Type") or before.get("type")
    if kind is None:
        raise invalid("A parameter type is required when you create a parameter.")
    if known and kind != known["type"]:
        raise Fault(
            "HierarchyTypeMismatchException",
            "Parameter Store doesn't support changing a parameter type in a hierarchy. For example, you can't change a parameter from a String"
            " type to a SecureString type. You must create a new, unique parameter.",
        )
    value = request["Value"]
    ruled = [dict(policy) for policy in before.get("policies") or ()]
    if "Policies" in request:
        ruled = policies.read(request["Policies"], call.tx.time_s)
    tier = _tier(request.get("Tier"), before.get("tier"), value, needed=bool(ruled))
    if ruled and tier != "Advanced":
        raise policies.need_advanced()
    key = _key(call, kind, request.get("KeyId"), before.get("key", ""))
    pattern = request.get("AllowedPattern", before.get("pattern", ""))
    _check_pattern(str(pattern), value)
    stored: Any = value
    if kind == "SecureString":
        stored = state.sealed(call, arn(call, name), key, value)
    return {
        "type": kind,
        "key": key,
        "description": request.get("Description", before.get("description", "")),
        "pattern": pattern,
        "tier": tier,
        "data_type": "text",
        "version": before.get("version", 0) + 1,
        "oldest": before.get("oldest", 1),
        "modified_s": call.tx.time_s,
        "user": call.principal.arn,
        "value": stored,
        "tags": before.get("tags") or merged({}, request.get("Tags")),
        "labels": before.get("labels", {}),
        "policies": ruled,
    }


def _tier(asked: str | None, before: str | None, value: str, *, needed: bool) -> str:
    """Intelligent-Tiering takes the advanced tier only when it must (``needed``); nothing goes back from it."""
    size = len(value.encode())
    if asked == "Intelligent-Tiering" or asked is None:
        must = asked and (needed or size > _STANDARD_MAX)
        tier = "Advanced" if must else before or "Standard"
    else:
        tier = asked
    if before == "Advanced" and tier == "Standard":
        raise invalid("This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")  # fmt: skip
    if size > (_ADVANCED_MAX if tier == "Advanced" else _STANDARD_MAX):
        raise invalid(_TOO_LARGE if tier == "Standard" else "Advanced tier parameters support a maximum parameter value of 8192 characters.")  # fmt: skip
    if not value:
        raise invalid("1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")  # fmt: skip
    return tier


def _key(call: Call, kind: str, asked: str | None, before: str) -> str:
    """ "" for the account's own key. Raises Fault for a key nobody here could use."""
    if kind != "SecureString":
        if asked:
            raise invalid("KeyId is required for SecureString type parameter only.")
        return ""
    if asked is None:
        return before
    if asked == _AWS_KEY:
        return ""
    if "kms" not in call.cloud.services:
        raise names.not_offered(f"KeyId {asked}")
    return asked


def _check_pattern(pattern: str, value: str) -> None:
    """AllowedPattern is a user's regular expression: tried by an engine that cannot run away."""
    if not pattern:
        return
    try:
        fits = allowed_pattern.matches(allowed_pattern.read(pattern), value)
    except allowed_pattern.Refused as error:
        raise Fault("InvalidAllowedPatternException", f"The request does not meet the regular expression requirement: {error}") from error  # fmt: skip
    if not fits:
        raise Fault("ParameterPatternMismatchException", f"Parameter value, cannot be validated against allowedPattern: {pattern}")  # fmt: skip


def _forget_oldest(call: Call, name: str, record: state.Record) -> None:
    if record["version"] - record["oldest"] < _VERSIONS_MAX:
        return
    oldest = record["oldest"]
    if oldest in record["labels"].values():
        raise Fault(
            "ParameterMaxVersionLimitExceeded",
            f"You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. Version {oldest}, the oldest"
            " version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try"
            " again.",
        )
    state.drop_version(call.tx, call.keys("ssm"), name, oldest)
    record["oldest"] = oldest + 1


def merged(tags: dict[str, str], more: list[dict[str, str]] | None) -> dict[str, str]:
    if any(t["Key"].lower().startswith("aws:") for t in more or ()):
        raise Fault(
            "ValidationException", "aws: prefixed tag key names are not allowed for external use."
        )
    made = tags | {t["Key"]: t["Value"] for t in more or ()}
    if len(made) > _TAGS_MAX:
        raise Fault("TooManyTagsError", "The number of tags exceeds the limit of 50.")
    return made
