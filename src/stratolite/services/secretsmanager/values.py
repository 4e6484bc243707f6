"""Versions of a secret: what they hold, and the stages that point at them."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.secretsmanager import faults, replicas, state
from stratolite.services.secretsmanager.faults import arn_of, bad_parameter, bad_request, not_found

CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
_VERSIONS_MAX = 100
_STAGES_MAX = 20
_DAY_S = 86_400
_BATCH_MAX = 20


class Values(Service):
    def get_secret_value(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_alive(call, request["SecretId"])
        return _value(where, name, record, request.get("VersionId"), request.get("VersionStage"))

    def batch_get_secret_value(self, call: Call, request: Request) -> Response:
        ids, filters = request.get("SecretIdList"), request.get("Filters")
        if bool(ids) == bool(filters):
            raise bad_parameter(
                "Either 'SecretIdList' or 'Filters' must be provided, but not both."
            )
        answer: Response = {}
        if filters:
            page = {"Filters": filters, "MaxResults": min(request.get("MaxResults") or _BATCH_MAX, _BATCH_MAX)}  # fmt: skip
            if token := request.get("NextToken"):
                page["NextToken"] = token
            listed = self.list_secrets(call, page)
            ids = [secret["ARN"] for secret in listed["SecretList"]]
            answer |= {"NextToken": listed["NextToken"]} if "NextToken" in listed else {}
        found: list[Response] = []
        errors: list[Response] = []
        for secret_id in ids or ():
            try:
                found.append(call.invoke("secretsmanager", "GetSecretValue", {"SecretId": secret_id}))  # fmt: skip
            except Fault as fault:
                errors.append({"SecretId": secret_id, "ErrorCode": fault.code, "Message": fault.message})  # fmt: skip
        return answer | {"SecretValues": found, "Errors": errors}

    def list_secrets(self, call: Call, request: Request) -> Response:
        raise NotImplementedError

    def put_secret_value(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        if request.get("RotationToken"):
            raise faults.not_offered("RotationToken")
        value = given(request)
        if value is None:
            raise bad_request("You must provide either SecretString or SecretBinary.")
        stages = request.get("VersionStages") or [CURRENT]
        version = request.get("ClientRequestToken") or call.world.uuid()
        add_version(where, name, record, version, value, stages)
        replicas.keep(where, name, record)
        return {
            "ARN": arn_of(where, name, record),
            "Name": name,
            "VersionId": version,
            "VersionStages": _stages_of(record, version),
        }

    def update_secret_version_stage(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        stage, to, off = request["VersionStage"], request.get("MoveToVersionId"), request.get("RemoveFromVersionId")  # fmt: skip
        if not to and not off:
            raise bad_parameter("You must provide MoveToVersionId or RemoveFromVersionId.")
        for version in (to, off):
            if version and version not in record["versions"]:
                raise not_found(f"the specified secret value for VersionId: {version}")
        holder = record["stages"].get(stage)
        if off and holder != off:
            raise bad_parameter(
                f"You can't remove the staging label {stage} from the version {off} because it isn't attached to that version."
            )
        if to and holder and holder not in (to, off):
            raise bad_parameter(
                f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {holder},"
                " so you must explicitly reference that version in RemoveFromVersionId."
            )
        if not to and stage == CURRENT:
            raise bad_parameter(f"You can't remove the staging label {CURRENT}. You can only move it to a different version.")  # fmt: skip
        if to:
            move(record, stage, to)
        else:
            del record["stages"][stage]
        record["changed_s"] = call.tx.time_s
        replicas.keep(where, name, record)
        return {"ARN": arn_of(where, name, record), "Name": name}

    def list_secret_version_ids(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find(call, request["SecretId"])
        found = []
        for version, about in record["versions"].items():
            stages = _stages_of(record, version)
            if not stages and not request.get("IncludeDeprecated"):
                continue
            one: Response = {"VersionId": version, "CreatedDate": about["created_s"]}
            one |= {"VersionStages": stages} if stages else {}
            one |= {"LastAccessedDate": about["accessed_s"]} if about["accessed_s"] else {}
            found.append(one)
        limit = request.get("MaxResults") or _VERSIONS_MAX
        begin = _position(request.get("NextToken"), len(found))
        answer: Response = {"ARN": arn_of(where, name, record), "Name": name}
        answer["Versions"] = found[begin : begin + limit]
        return answer | ({"NextToken": str(begin + limit)} if begin + limit < len(found) else {})


def given(request: Request) -> dict[str, Any] | None:
    """The value in a request, in the form it is stored. Raises Fault for two of them."""
    text, binary = request.get("SecretString"), request.get("SecretBinary")
    if text is not None and binary is not None:
        raise bad_parameter("You can't specify both a binary secret value and a string secret value in the same secret.")  # fmt: skip
    if text is not None:
        return {"SecretString": text}
    return {"SecretBinary": binary.hex()} if binary is not None else None


def add_version(
    call: Call, name: str, record: state.Record, version: str, value: state.Record, stages: list[str]
) -> None:  # fmt: skip
    """Into ``record``, which the caller keeps. The same version again is fine if it holds the same.

    Raises Fault ResourceExistsException if it does not.
    """
    context = {"arn": arn_of(call, name, record), "kms": record["kms"]}
    if version in record["versions"]:
        if state.get_value(call, name, version, context) != value:
            raise Fault(
                "ResourceExistsException",
                f"You can't use ClientRequestToken {version} because that value is already in use for a version of secret {context['arn']}.",
            )
    else:
        _make_room(call, name, record)
        state.put_value(call, name, version, value, context)
        record["versions"][version] = {"created_s": call.tx.time_s, "accessed_s": 0}
        replicas.put_value(call, name, record, version, value)
    if len(set(record["stages"]) | set(stages)) > _STAGES_MAX:
        raise Fault("LimitExceededException", "The number of staging labels exceeds the limit of 20.")  # fmt: skip
    for stage in stages:
        move(record, stage, version)
    record["changed_s"] = call.tx.time_s


def move(record: state.Record, stage: str, version: str) -> None:
    """What was current is previous then."""
    before = record["stages"].get(stage)
    record["stages"][stage] = version
    if stage == CURRENT and before and before != version:
        record["stages"][PREVIOUS] = before
    if stage == CURRENT and record["stages"].get(PREVIOUS) == version:
        del record["stages"][PREVIOUS]


def _make_room(call: Call, name: str, record: state.Record) -> None:
    """The oldest version without a stage goes when there are too many."""
    if len(record["versions"]) < _VERSIONS_MAX:
        return
    held = set(record["stages"].values())
    loose = next((v for v in record["versions"] if v not in held), None)
    if loose is None:
        raise Fault("LimitExceededException", "The number of versions exceeds the limit of 100.")
    del record["versions"][loose]
    state.drop_value(call.tx, call.keys("secretsmanager"), name, loose)
    replicas.drop_value(call, name, record, loose)


def _value(
    call: Call, name: str, record: state.Record, version: str | None, stage: str | None
) -> Response:
    if version is None:
        wanted = stage or CURRENT
        version = record["stages"].get(wanted)
        if version not in record["versions"]:  # also pending, and without a value so far
            raise not_found(f"the specified secret value for staging label: {wanted}")
    elif version not in record["versions"]:
        raise not_found(f"the specified secret value for VersionId: {version}")
    elif stage is not None and record["stages"].get(stage) != version:
        raise bad_request("You provided a VersionStage that is not associated to the provided VersionId.")  # fmt: skip
    assert version is not None
    context = {"arn": arn_of(call, name, record), "kms": record["kms"]}
    value = state.get_value(call, name, version, context)
    about = record["versions"][version]
    day_s = int(call.tx.time_s) // _DAY_S * _DAY_S
    if about["accessed_s"] != day_s or record["accessed_s"] != day_s:
        about["accessed_s"] = record["accessed_s"] = day_s
        state.put(call.tx, call.keys("secretsmanager"), name, record)
    answer: Response = {
        "ARN": context["arn"],
        "Name": name,
        "VersionId": version,
        "VersionStages": _stages_of(record, version),
        "CreatedDate": about["created_s"],
    }
    if "SecretBinary" in value:
        return answer | {"SecretBinary": bytes.fromhex(value["SecretBinary"])}
    return {**answer, **value}


def _stages_of(record: state.Record, version: str) -> list[str]:
    return [stage for stage, holder in record["stages"].items() if holder == version]


def stages_of_versions(record: state.Record) -> dict[str, list[str]]:
    """DescribeSecret's VersionIdsToStages: versions that have a stage."""
    found: dict[str, list[str]] = {}
    for stage, version in record["stages"].items():
        found.setdefault(version, []).append(stage)
    return found


def _position(token: str | None, count: int) -> int:
    if token is None:
        return 0
    if not is_number(token) or int(token) > count:
        raise Fault("InvalidNextTokenException", "Invalid NextToken.")
    return int(token)
