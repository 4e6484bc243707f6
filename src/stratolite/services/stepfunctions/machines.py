"""State machines, their versions and aliases: create, update, describe, list, delete, validate, tag."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Response
from stratolite.services.stepfunctions import names, running, state, tasks
from stratolite.services.stepfunctions.state import Record
from stratolite.services.stepfunctions.worker import SERVICE
from stratolite.workflow import Problem, compile_definition

_PAGE = 100
_TAGS_MAX = 50
_VERSIONS_MAX = 1000
_ALIASES_MAX = 100
_ROUTES_MAX = 2
_LOGGING = {"level": "OFF", "includeExecutionData": False}
_NOT_TRUSTED = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the provided role."


def not_there(arn: str) -> Fault:
    return Fault("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def find(call: Call, arn: str) -> tuple[names.Machine, Record]:
    """The machine an ARN names, whatever its qualifier. Raises Fault."""
    ref = names.machine(arn)
    names.there(call, ref.region, ref.account, arn)
    record = state.get(call.tx, call.keys("stepfunctions"), "machine", ref.name)
    if record is None:
        raise not_there(arn)
    return ref, record


class Revision:
    """What an execution runs: a machine as it is, a version, or what an alias leads to."""

    def __init__(self, ref: names.Machine, kind: str, record: Record) -> None:
        self.ref, self.kind, self.record = ref, kind, record
        self.version_arn = self.alias_arn = ""


def resolve(call: Call, arn: str) -> Revision:
    """What StartExecution starts for an ARN. Raises Fault."""
    ref, record = find(call, arn)
    if record["status"] == "DELETING":
        raise Fault("StateMachineDeleting", f"State Machine is being deleted: '{ref.arn}'")
    if not ref.qualifier:
        return Revision(ref, record["type"], record)
    keys = call.keys("stepfunctions")
    alias_arn, number = "", ref.qualifier
    if not number.isdigit():
        alias = state.get(call.tx, keys, "alias", ref.name, ref.qualifier)
        if alias is None:
            raise not_there(arn)
        alias_arn, number = arn, _routed(call, alias)
    version = state.get(call.tx, keys, "version", ref.name, int(number))
    if version is None:
        raise not_there(arn)
    found = Revision(ref, record["type"], version)
    found.version_arn, found.alias_arn = f"{ref.arn}:{number}", alias_arn
    return found


def _routed(call: Call, alias: Record) -> str:
    """One of an alias's versions, by weight."""
    chance = int.from_bytes(call.world.token(4), "big") / 2**32 * 100
    for route in alias["routes"]:
        if chance < route["weight"]:
            break
        chance -= route["weight"]
    return str(route["stateMachineVersionArn"].rpartition(":")[2])


class Machines:
    cloud: Cloud

    def create_state_machine(self, call: Call, request: Request) -> Response:
        name, keys = names.check(request["name"]), call.keys("stepfunctions")
        kind, arn = request.get("type", "STANDARD"), names.machine_arn(call, request["name"])
        if request.get("versionDescription") and not request.get("publish"):
            raise Fault("ValidationException", "Version description can only be set when publish is true")  # fmt: skip
        _refuse(request)
        _check_definition(self.cloud, request["definition"], kind)
        known = state.get(call.tx, keys, "machine", name)
        logging, tracing = _settings(request, {})
        wanted = {
            "definition": state.keep_definition(call.tx, keys, name, request["definition"]),
            "role": request["roleArn"],
            "type": kind,
            "logging": logging,
            "tracing": tracing,
        }
        if known is not None:
            if known["status"] == "DELETING":
                raise Fault("StateMachineDeleting", f"State Machine is being deleted: '{arn}'")
            token = request.get(
                "StackToken"
            )  # not AWS's: a stack's step finds what it made before a crash
            is_same = all(known[member] == value for member, value in wanted.items())
            if not is_same if token is None else known["token"] != token:
                raise Fault("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")
            return _made(call, name, known, publish=request)
        _check_role(call, request["roleArn"], arn)
        record = {
            **wanted,
            "status": "ACTIVE",
            "created_s": call.tx.time_s,
            "revision": "",
            "versions": 0,
            "tags": with_tags({}, request.get("tags")),
            "token": request.get("StackToken"),
        }
        state.put(call.tx, keys, record, "machine", name)
        return _made(call, name, record, publish=request)

    def update_state_machine(self, call: Call, request: Request) -> Response:
        arn = request["stateMachineArn"]
        members = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")  # fmt: skip
        if not any(request.get(member) is not None for member in members):
            raise Fault("MissingRequiredParameter", "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified")  # fmt: skip
        if request.get("versionDescription") and not request.get("publish"):
            raise Fault("ValidationException", "Version description can only be set when publish is true")  # fmt: skip
        ref, record = find(call, arn)
        keys = call.keys("stepfunctions")
        if ref.qualifier:
            raise not_there(arn)
        if record["status"] == "DELETING":
            raise Fault("StateMachineDeleting", f"State Machine is being deleted: '{arn}'")
        _refuse(request)
        if (definition := request.get("definition")) is not None:
            _check_definition(self.cloud, definition, record["type"])
            record["definition"] = state.keep_definition(call.tx, keys, ref.name, definition)
        if (role := request.get("roleArn")) is not None:
            if role != record["role"]:
                _check_role(call, role, ref.arn)
            record["role"] = role
        record["logging"], record["tracing"] = _settings(request, record)
        record["revision"], record["updated_s"] = call.world.uuid(), call.tx.time_s
        state.put(call.tx, keys, record, "machine", ref.name)
        answer = {"updateDate": call.tx.time_s, "revisionId": record["revision"]}
        if request.get("publish"):
            number = _publish(call, ref.name, record, request.get("versionDescription", ""))
            answer["stateMachineVersionArn"] = f"{ref.arn}:{number}"
        return answer

    def describe_state_machine(self, call: Call, request: Request) -> Response:
        arn = request["stateMachineArn"]
        ref, record = find(call, arn)
        shown, extra = record, {}
        keys = call.keys("stepfunctions")
        if ref.qualifier:
            version = None
            if ref.qualifier.isdigit():
                version = state.get(call.tx, keys, "version", ref.name, int(ref.qualifier))
            if version is None:
                raise not_there(arn)
            shown = version
            if version["description"]:
                extra["description"] = version["description"]
        answer = {
            "stateMachineArn": arn,
            "name": ref.name,
            "status": record["status"],
            "type": record["type"],
            "creationDate": shown["created_s"],
            **_described(call, ref.name, shown),
            **extra,
        }
        if shown["revision"]:
            answer["revisionId"] = shown["revision"]
        return answer

    def describe_state_machine_for_execution(self, call: Call, request: Request) -> Response:
        region, account, place = names.execution(request["executionArn"])
        names.there(call, region, account, request["executionArn"])
        record = state.execution(call.tx, call.keys("stepfunctions"), place)
        if record is None:
            raise Fault("ExecutionDoesNotExist", f"Execution Does Not Exist: '{request['executionArn']}'")  # fmt: skip
        answer = {
            "stateMachineArn": record["machine_arn"],
            "name": place.machine,
            "updateDate": record["revised_s"],
            **_described(call, place.machine, record),
        }
        if record["revision"]:
            answer["revisionId"] = record["revision"]
        return answer

    def list_state_machines(self, call: Call, request: Request) -> Response:
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), str)  # fmt: skip
        found: list[Response] = []
        keys = call.keys("stepfunctions")
        for name, record in state.rows(call.tx, keys, "machine", after=after or ""):
            if len(found) == limit:
                token = names.page_token(found[-1]["name"])
                return {"stateMachines": found, "nextToken": token}
            found.append(
                {
                    "stateMachineArn": names.machine_arn(call, name),
                    "name": name,
                    "type": record["type"],
                    "creationDate": record["created_s"],
                }
            )
        return {"stateMachines": found}

    def delete_state_machine(self, call: Call, request: Request) -> Response:
        ref = names.machine(request["stateMachineArn"])
        names.there(call, ref.region, ref.account, request["stateMachineArn"])
        keys = call.keys("stepfunctions")
        record = state.get(call.tx, keys, "machine", ref.name)
        if record is not None and record["status"] != "DELETING":
            record["status"] = "DELETING"
            state.put(call.tx, keys, record, "machine", ref.name)
            said = {"account": call.account, "region": call.region, "machine": ref.name}
            call.cloud.work.put(call.tx, running.DROP, orjson.dumps(said))
        return {}

    def validate_state_machine_definition(self, call: Call, request: Request) -> Response:
        kind, limit = request.get("type", "STANDARD"), request.get("maxResults") or _PAGE
        found = check_definition(self.cloud, request["definition"], kind)
        shown = []
        for problem in found[:limit]:
            one = {"severity": "ERROR", "code": problem.code, "message": problem.message}
            shown.append({**one, "location": problem.place} if problem.place else one)
        return {
            "result": "FAIL" if found else "OK",
            "diagnostics": shown,
            "truncated": len(found) > limit,
        }

    # -- versions

    def publish_state_machine_version(self, call: Call, request: Request) -> Response:
        ref, record = find(call, request["stateMachineArn"])
        if ref.qualifier:
            raise not_there(request["stateMachineArn"])
        wanted = request.get("revisionId")
        if wanted and wanted != (record["revision"] or "INITIAL"):
            raise Fault(
                "ConflictException",
                f"Failed to publish the State Machine version for revision {wanted}. The current State Machine revision is "
                f"{record['revision'] or 'INITIAL'}.",
                status=409,
            )
        number = _publish(call, ref.name, record, request.get("description", ""))
        version = state.get(call.tx, call.keys("stepfunctions"), "version", ref.name, number)
        assert version is not None
        return {
            "creationDate": version["created_s"],
            "stateMachineVersionArn": f"{ref.arn}:{number}",
        }

    def list_state_machine_versions(self, call: Call, request: Request) -> Response:
        ref, _ = find(call, request["stateMachineArn"])
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), int)  # fmt: skip
        found: list[Response] = []
        last = 0
        keys = call.keys("stepfunctions")
        for number, record in state.rows(call.tx, keys, "version", ref.name, after="" if after is None else after, reverse=True):  # fmt: skip
            if len(found) == limit:
                return {"stateMachineVersions": found, "nextToken": names.page_token(last)}
            last = number
            found.append({"stateMachineVersionArn": f"{ref.arn}:{number}", "creationDate": record["created_s"]})  # fmt: skip
        return {"stateMachineVersions": found}

    def delete_state_machine_version(self, call: Call, request: Request) -> Response:
        arn = request["stateMachineVersionArn"]
        ref = names.machine(arn)
        names.there(call, ref.region, ref.account, arn)
        if not ref.qualifier.isdigit():
            raise Fault("InvalidArn", f"Invalid Arn: '{arn}'")
        keys = call.keys("stepfunctions")
        for alias, record in state.rows(call.tx, keys, "alias", ref.name):
            if any(route["stateMachineVersionArn"] == arn for route in record["routes"]):
                raise Fault("ConflictException", f"Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: [{alias}]", status=409)  # fmt: skip
        state.delete(call.tx, keys, "version", ref.name, int(ref.qualifier))
        return {}

    # -- aliases

    def create_state_machine_alias(self, call: Call, request: Request) -> Response:
        ref, routes = _routes(call, request["routingConfiguration"])
        name, keys = names.check(request["name"]), call.keys("stepfunctions")
        if name.isdigit():
            raise Fault("ValidationException", f"Alias name must not be a number: {name}")
        arn = f"{ref.arn}:{name}"
        known = state.get(call.tx, keys, "alias", ref.name, name)
        description = request.get("description", "")
        if known is not None:
            if known["routes"] != routes or known["description"] != description:
                raise Fault("ConflictException", "Failed to create alias because an alias with the same name and a different routing configuration already exists.", status=409)  # fmt: skip
            return {"stateMachineAliasArn": arn, "creationDate": known["created_s"]}
        if sum(1 for _ in state.rows(call.tx, keys, "alias", ref.name)) >= _ALIASES_MAX:
            raise Fault("ServiceQuotaExceededException", "The number of aliases of a state machine is at its limit.", status=402)  # fmt: skip
        record = {"routes": routes, "description": description, "created_s": call.tx.time_s, "updated_s": call.tx.time_s}  # fmt: skip
        state.put(call.tx, keys, record, "alias", ref.name, name)
        return {"stateMachineAliasArn": arn, "creationDate": call.tx.time_s}

    def update_state_machine_alias(self, call: Call, request: Request) -> Response:
        if request.get("description") is None and request.get("routingConfiguration") is None:
            raise Fault("ValidationException", "Either the description or the RoutingConfiguration must be specified")  # fmt: skip
        ref, record = _alias(call, request["stateMachineAliasArn"])
        if request.get("routingConfiguration") is not None:
            other, record["routes"] = _routes(call, request["routingConfiguration"])
            if other.name != ref.name:
                raise Fault("ValidationException", "The versions of an alias must be of its own state machine")  # fmt: skip
        if request.get("description") is not None:
            record["description"] = request["description"]
        record["updated_s"] = call.tx.time_s
        state.put(call.tx, call.keys("stepfunctions"), record, "alias", ref.name, ref.qualifier)
        return {"updateDate": record["updated_s"]}

    def describe_state_machine_alias(self, call: Call, request: Request) -> Response:
        ref, record = _alias(call, request["stateMachineAliasArn"])
        answer = {
            "stateMachineAliasArn": request["stateMachineAliasArn"],
            "name": ref.qualifier,
            "routingConfiguration": record["routes"],
            "creationDate": record["created_s"],
            "updateDate": record["updated_s"],
        }
        return answer | ({"description": record["description"]} if record["description"] else {})

    def list_state_machine_aliases(self, call: Call, request: Request) -> Response:
        ref, _ = find(call, request["stateMachineArn"])
        limit, after = request.get("maxResults") or _PAGE, names.paged(request.get("nextToken"), str)  # fmt: skip
        found: list[Response] = []
        last = ""
        keys = call.keys("stepfunctions")
        for name, record in state.rows(call.tx, keys, "alias", ref.name, after=after or ""):
            if ref.qualifier and not any(
                route["stateMachineVersionArn"] == f"{ref.arn}:{ref.qualifier}" for route in record["routes"]
            ):  # fmt: skip
                continue
            if len(found) == limit:
                return {"stateMachineAliases": found, "nextToken": names.page_token(last)}
            last = name
            found.append({"stateMachineAliasArn": f"{ref.arn}:{name}", "creationDate": record["created_s"]})  # fmt: skip
        return {"stateMachineAliases": found}

    def delete_state_machine_alias(self, call: Call, request: Request) -> Response:
        arn = request["stateMachineAliasArn"]
        ref = names.machine(arn)
        names.there(call, ref.region, ref.account, arn)
        state.delete(call.tx, call.keys("stepfunctions"), "alias", ref.name, ref.qualifier)
        return {}

    # -- tags, of machines and activities

    def tag_resource(self, call: Call, request: Request) -> Response:
        key, record = _tagged(call, request["resourceArn"])
        record["tags"] = with_tags(record["tags"], request["tags"])
        state.put(call.tx, call.keys("stepfunctions"), record, *key)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        key, record = _tagged(call, request["resourceArn"])
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["tagKeys"]}
        state.put(call.tx, call.keys("stepfunctions"), record, *key)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        _, record = _tagged(call, request["resourceArn"])
        return {"tags": [{"key": key, "value": value} for key, value in record["tags"].items()]}


def check_definition(cloud: Cloud, text: str, kind: str) -> list[Problem]:
    machine, problems = compile_definition(text)
    if machine is None:
        return problems
    return tasks.problems(cloud, machine, is_express=kind == "EXPRESS")


def _check_definition(cloud: Cloud, text: str, kind: str) -> None:
    """Raises Fault InvalidDefinition with all that is wrong."""
    if found := check_definition(cloud, text, kind):
        raise invalid_definition(found)


def invalid_definition(found: list[Problem]) -> Fault:
    said = ", ".join(f"{p.code}: {p.message}" + (f" at {p.place}" if p.place else "") for p in found)  # fmt: skip
    return Fault("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")


def _check_role(call: Call, role: str, arn: str) -> None:
    acting = call.as_service(SERVICE, arn)
    acting.depth = call.depth + 1
    try:
        acting.invoke("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "states"})
    except Fault as fault:
        raise Fault("AccessDeniedException", _NOT_TRUSTED, status=400) from fault


def _refuse(request: Request) -> None:
    kind = (request.get("encryptionConfiguration") or {}).get("type", "AWS_OWNED_KEY")
    if kind != "AWS_OWNED_KEY":
        raise Fault("InvalidEncryptionConfiguration", "Customer managed keys are not offered by Stratolite; see docs/coverage.md")  # fmt: skip
    if (request.get("loggingConfiguration") or {}).get("level", "OFF") != "OFF":
        raise Fault("InvalidLoggingConfiguration", "Logging of executions is not offered by Stratolite; see docs/coverage.md")  # fmt: skip


def _settings(request: Request, record: Record) -> tuple[Record, Record]:
    """(logging, tracing) as they are then."""
    logging, tracing = request.get("loggingConfiguration"), request.get("tracingConfiguration")
    old_logging, old_tracing = record.get("logging", _LOGGING), record.get("tracing", {"enabled": False})  # fmt: skip
    return (
        old_logging if logging is None else {**_LOGGING, **logging},
        old_tracing if tracing is None else {"enabled": bool(tracing.get("enabled"))},
    )


def _made(call: Call, name: str, record: Record, publish: Request) -> Response:
    arn = names.machine_arn(call, name)
    answer = {"stateMachineArn": arn, "creationDate": record["created_s"]}
    if publish.get("publish"):
        number = _publish(call, name, record, publish.get("versionDescription", ""))
        answer["stateMachineVersionArn"] = f"{arn}:{number}"
    return answer


def _described(call: Call, machine: str, record: Record) -> Response:
    keys = call.keys("stepfunctions")
    text = state.definition(call.tx, keys, machine, record["definition"])
    return {
        "definition": text,
        "roleArn": record["role"],
        "loggingConfiguration": record["logging"],
        "tracingConfiguration": record["tracing"],
    }


def _publish(call: Call, name: str, record: Record, description: str) -> int:
    """The number of the version of this revision, made if there is none."""
    keys = call.keys("stepfunctions")
    for number, version in state.rows(call.tx, keys, "version", name, reverse=True):
        if version["revision"] == record["revision"]:
            return int(number)
        break
    if record["versions"] >= _VERSIONS_MAX:
        raise Fault("ServiceQuotaExceededException", "The number of versions of a state machine is at its limit.", status=402)  # fmt: skip
    record["versions"] += 1
    state.put(call.tx, keys, record, "machine", name)
    copied = {m: record[m] for m in ("definition", "role", "type", "logging", "tracing", "revision")}  # fmt: skip
    version = {**copied, "created_s": call.tx.time_s, "description": description}
    state.put(call.tx, keys, version, "version", name, record["versions"])
    return int(record["versions"])


def _routes(call: Call, said: list[Any]) -> tuple[names.Machine, list[Any]]:
    """The machine and the versions an alias leads to. Raises Fault."""
    found: names.Machine | None = None
    arns = [route["stateMachineVersionArn"] for route in said]
    weights = [route["weight"] for route in said]
    received = f"Received: [{', '.join(arns)}]"
    if len(said) > _ROUTES_MAX:
        raise Fault("ValidationException", f"1 validation error detected: Value at 'routingConfiguration' failed to satisfy constraint: Member must have length less than or equal to {_ROUTES_MAX}")  # fmt: skip
    if any(not names.machine(arn).qualifier.isdigit() for arn in arns):
        raise Fault("ValidationException", f"Routing configuration must contain state machine version ARNs. {received}")  # fmt: skip
    if len(set(arns)) != len(arns):
        raise Fault("ValidationException", f"Routing configuration must contain distinct state machine version ARNs. {received}")  # fmt: skip
    if sum(weights) != 100:
        raise Fault("ValidationException", f"Sum of routing configuration weights must equal 100. Received: [{', '.join(map(str, weights))}]")  # fmt: skip
    for arn in arns:
        ref = names.machine(arn)
        names.there(call, ref.region, ref.account, arn)
        if found is not None and found.name != ref.name:
            raise Fault("ValidationException", "The versions of an alias must be of one state machine")  # fmt: skip
        keys = call.keys("stepfunctions")
        if state.get(call.tx, keys, "version", ref.name, int(ref.qualifier)) is None:
            raise Fault("ValidationException", f"The version {arn} does not exist")
        found = ref
    assert found is not None
    return found, said


def _alias(call: Call, arn: str) -> tuple[names.Machine, Record]:
    ref = names.machine(arn)
    names.there(call, ref.region, ref.account, arn)
    record = None
    if ref.qualifier and not ref.qualifier.isdigit():
        record = state.get(call.tx, call.keys("stepfunctions"), "alias", ref.name, ref.qualifier)
    if record is None:
        raise Fault("ResourceNotFound", "Request references a resource that does not exist.")  # fmt: skip
    return ref, record


def _tagged(call: Call, arn: str) -> tuple[tuple[str, str], Record]:
    """Where the thing is kept, and what it is. Raises Fault."""
    if ":activity:" in arn:
        region, account, name = names.activity(arn)
        kind, qualifier = "activity", ""
    else:
        ref = names.machine(arn)
        region, account, name, kind, qualifier = ref.region, ref.account, ref.name, "machine", ref.qualifier  # fmt: skip
    names.there(call, region, account, arn)
    record = None if qualifier else state.get(call.tx, call.keys("stepfunctions"), kind, name)
    if record is None:
        raise Fault("ResourceNotFound", f"Resource not found: '{arn}'")
    return (kind, name), record


def with_tags(old: dict[str, str], more: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags, with ``more`` of them. Raises Fault: the model lets a tag be without a key, the service does not."""
    for number, tag in enumerate(more or (), 1):
        if "key" not in tag:
            raise Fault(
                "ValidationException",
                f"1 validation error detected: Value null at 'tags.{number}.member.key' failed to satisfy constraint: Member must not be null",
            )
    made = old | {tag["key"]: tag.get("value", "") for tag in more or ()}
    if len(made) > _TAGS_MAX:
        raise Fault("TooManyTags", f"A resource can have at most {_TAGS_MAX} tags.")
    return made
