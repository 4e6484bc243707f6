"""Event buses: create, describe, who else may put events on one, tags of buses and rules."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.events import names, state
from stratolite.services.events.names import invalid
from stratolite.services.events.state import DEFAULT

_BUSES_MAX = 100
_PAGE = 100
_TAGS_MAX = 50
_POLICY_BYTES_MAX = 10_240


class Buses(Service):
    def create_event_bus(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("events")
        if request.get("EventSourceName"):
            raise names.not_offered("EventSourceName (partner event sources)")
        if "/" in name:
            raise invalid("Event bus name must not contain '/'.")
        for member in ("KmsKeyIdentifier", "LogConfig"):
            if request.get(member):
                raise names.not_offered(member)
        token = request.get("StackToken")  # a stack's step finds what it made before a crash
        if (known := state.bus(call.tx, keys, name)) is not None:
            if not token or known.get("token") != token:
                raise names.there_already(f"Event bus {name} already exists.")
        elif state.count(call.tx, keys, "bus", limit=_BUSES_MAX) >= _BUSES_MAX:
            raise names.limit_reached()
        record = state.new_bus(call.tx.time_s)
        record["description"] = request.get("Description", "")
        record["dead_letter"] = request.get("DeadLetterConfig") or None
        record["tags"] = merged({}, request.get("Tags"))
        record["token"] = token
        state.put(call.tx, keys, "bus", name, record=record)
        answer = {"EventBusArn": names.arn(call, "event-bus", name)}
        return answer | _present(record, "Description", "DeadLetterConfig")

    def describe_event_bus(self, call: Call, request: Request) -> Response:
        name = names.own_bus(call, request.get("Name"))
        return _described(call, name, find(call, name))

    def list_event_buses(self, call: Call, request: Request) -> Response:
        keys, prefix = call.keys("events"), request.get("NamePrefix", "")
        after, limit = names.after(request), request.get("Limit") or _PAGE
        found: dict[str, state.Record] = {}
        if DEFAULT.startswith(prefix) and after < DEFAULT:
            found[DEFAULT] = state.bus(call.tx, keys, DEFAULT)  # type: ignore[assignment]  # always there
        for name, record in state.rows(call.tx, keys, "bus", prefix=prefix, after=after):
            found[name] = record
            if len(found) > limit + 1:
                break
        ordered = sorted(found)
        described = [_described(call, name, found[name]) for name in ordered[:limit]]
        answer: Response = {"EventBuses": described}
        if len(ordered) > limit:
            answer["NextToken"] = names.token(ordered[limit - 1])
        return answer

    def update_event_bus(self, call: Call, request: Request) -> Response:
        name = names.own_bus(call, request.get("Name"))
        for member in ("KmsKeyIdentifier", "LogConfig"):
            if request.get(member):
                raise names.not_offered(member)
        record = find(call, name)
        if "Description" in request:
            record["description"] = request["Description"]
        if "DeadLetterConfig" in request:
            record["dead_letter"] = request["DeadLetterConfig"] or None
        _keep(call, name, record)
        answer = {"Arn": names.arn(call, "event-bus", name), "Name": name}
        return answer | _present(record, "Description", "DeadLetterConfig")

    def delete_event_bus(self, call: Call, request: Request) -> Response:
        name, keys = names.own_bus(call, request["Name"]), call.keys("events")
        if name == DEFAULT:
            raise invalid("Cannot delete event bus default.")
        if state.bus(call.tx, keys, name) is None:
            return {}
        if any(True for _ in state.rows(call.tx, keys, "rule", name)):
            raise invalid("Event bus can't be deleted since it has rules.")
        state.delete(call.tx, keys, "bus", name)
        state.changed(call.tx, keys, name)
        return {}

    # -- who else

    def put_permission(self, call: Call, request: Request) -> Response:
        name = names.own_bus(call, request.get("EventBusName"))
        record = find(call, name)
        if (text := request.get("Policy")) is not None:
            clash = [m for m in ("Action", "Principal", "StatementId", "Condition") if request.get(m)]  # fmt: skip
            if clash:
                raise invalid(f"Policy must not be given together with {clash[0]}.")
            record["policy"] = _policy(text)
            if principals.unknown(call, text):
                raise invalid("Parameter Policy is not valid. Reason: Invalid principal.")
        else:
            record["policy"] = _with_statement(call, name, record["policy"], request)
        _keep(call, name, record)
        return {}

    def remove_permission(self, call: Call, request: Request) -> Response:
        name = names.own_bus(call, request.get("EventBusName"))
        record = find(call, name)
        if request.get("RemoveAllPermissions"):
            record["policy"] = None
        else:
            if not request.get("StatementId"):
                raise invalid("Parameter StatementId is not valid. Reason: must be provided.")
            policy = orjson.loads(record["policy"]) if record["policy"] else {"Statement": []}
            kept = [s for s in _statements(policy) if s.get("Sid") != request["StatementId"]]
            if len(kept) == len(_statements(policy)):
                raise names.missing("Statement with the provided id does not exist.")
            record["policy"] = _text({**policy, "Statement": kept}) if kept else None
        _keep(call, name, record)
        return {}

    # -- tags, of buses and rules

    def tag_resource(self, call: Call, request: Request) -> Response:
        path, record = _tagged(call, request["ResourceARN"])
        record["tags"] = merged(record["tags"], request["Tags"])
        state.put(call.tx, call.keys("events"), *path, record=record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        path, record = _tagged(call, request["ResourceARN"])
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["TagKeys"]}
        state.put(call.tx, call.keys("events"), *path, record=record)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        _, record = _tagged(call, request["ResourceARN"])
        return {"Tags": [{"Key": k, "Value": v} for k, v in record["tags"].items()]}


def find(call: Call, name: str) -> state.Record:
    """Raises Fault if there is no such bus."""
    record = state.bus(call.tx, call.keys("events"), name)
    if record is None:
        raise names.no_bus(name)
    return record


def merged(tags: dict[str, str], more: list[dict[str, str]] | None) -> dict[str, str]:
    """Raises Fault for too many and for keys of AWS's own."""
    if any(t["Key"].lower().startswith("aws:") for t in more or ()):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    made = tags | {t["Key"]: t["Value"] for t in more or ()}
    if len(made) > _TAGS_MAX:
        raise names.limit_reached("The number of tags exceeds the limit of 50.")
    return made


def _keep(call: Call, name: str, record: state.Record) -> None:
    record["modified_s"] = call.tx.time_s
    record["created_s"] = (
        record["created_s"] or call.tx.time_s
    )  # the default bus, which was there before
    state.put(call.tx, call.keys("events"), "bus", name, record=record)


def _described(call: Call, name: str, record: state.Record) -> Response:
    answer: Response = {"Name": name, "Arn": names.arn(call, "event-bus", name)}
    if record["policy"]:
        answer["Policy"] = record["policy"]
    if record["created_s"]:
        answer |= {"CreationTime": record["created_s"], "LastModifiedTime": record["modified_s"]}
    return answer | _present(record, "Description", "DeadLetterConfig")


_FIELDS = {"Description": "description", "DeadLetterConfig": "dead_letter"}


def _present(record: state.Record, *members: str) -> Response:
    return {m: record[_FIELDS[m]] for m in members if record[_FIELDS[m]]}


def _tagged(call: Call, arn: str) -> tuple[tuple[str, ...], state.Record]:
    """Where the record of a bus or rule lies. Raises Fault."""
    keys = call.keys("events")
    kind, _, rest = arn.split(":", 5)[5].partition("/") if arn.count(":") >= 5 else ("", "", "")
    if kind == "event-bus":
        return ("bus", rest), find(call, rest)
    if kind == "rule":
        bus_name, slash, rule = rest.rpartition("/")
        bus_name = bus_name if slash else DEFAULT
        record = state.get(call.tx, keys, "rule", bus_name, rule)
        if record is None:
            raise names.no_rule(bus_name, rule)
        return ("rule", bus_name, rule), record
    raise invalid(f"Parameter ResourceARN is not valid. Reason: {arn} is not a bus or rule.")


def _policy(text: str) -> str:
    if len(text.encode()) > _POLICY_BYTES_MAX:
        raise Fault(
            "PolicyLengthExceededException", "The policy exceeds the maximum length of 10240."
        )
    try:
        Document.parse(text, has_principal=True)
    except Malformed as error:
        raise invalid(f"Parameter Policy is not valid. Reason: {error}") from error
    return text


def _with_statement(call: Call, name: str, policy: str | None, request: Request) -> str:
    """One more statement in the old way: a principal (an account or *), an action, an id."""
    for member in ("Action", "Principal", "StatementId"):
        if not request.get(member):
            raise invalid(f"Parameter {member} is not valid. Reason: {member} must be provided.")
    if request["Action"] != "events:PutEvents":
        raise invalid("Provided value in parameter 'action' is not supported.")
    principal: Any = request["Principal"]
    if principal != "*":
        if not (principal.isdigit() and len(principal) == 12):
            raise invalid(f"Provided value in parameter 'principal' is not valid: {principal}")
        principal = {"AWS": f"arn:aws:iam::{principal}:root"}
    statement: dict[str, Any] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": principal,
        "Action": "events:PutEvents",
        "Resource": names.arn(call, "event-bus", name),
    }
    if condition := request.get("Condition"):
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    whole = orjson.loads(policy) if policy else {"Version": "2012-10-17", "Statement": []}
    kept = [s for s in _statements(whole) if s.get("Sid") != request["StatementId"]]
    return _policy(_text({**whole, "Statement": [*kept, statement]}))


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    found = policy.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _text(policy: dict[str, Any]) -> str:
    return orjson.dumps(policy).decode()
