"""Labels of versions, and tags of parameters."""

from __future__ import annotations

import re

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.ssm import names, state, worker
from stratolite.services.ssm.parameters import find, merged
from stratolite.services.ssm.searching import Searching

_LABEL = re.compile(r"(?!aws|ssm|\d)[a-zA-Z0-9_.-]{1,100}\Z", re.IGNORECASE)
_LABELS_MAX = 10


class Labels(Searching):
    def label_parameter_version(self, call: Call, request: Request) -> Response:
        name, record = find(call, request["Name"])
        number = _number(call, name, record, request)
        good = [label for label in request["Labels"] if _LABEL.match(label)]
        moved = record["labels"] | dict.fromkeys(good, number)
        if sum(held == number for held in moved.values()) > _LABELS_MAX:
            raise Fault("ParameterVersionLabelLimitExceeded", f"An error occurred (ParameterVersionLabelLimitExceeded): A parameter version can have a maximum of {_LABELS_MAX} labels.")  # fmt: skip
        record["labels"] = moved
        state.put(call.tx, call.keys("ssm"), name, record)
        if good:
            worker.tell(call, name, record, "LabelParameterVersion")
        bad = [label for label in request["Labels"] if label not in good]
        return {"InvalidLabels": bad, "ParameterVersion": number}

    def unlabel_parameter_version(self, call: Call, request: Request) -> Response:
        name, record = find(call, request["Name"])
        number = _number(call, name, record, request)
        gone = [label for label in request["Labels"] if record["labels"].get(label) == number]
        record["labels"] = {k: v for k, v in record["labels"].items() if k not in gone}
        state.put(call.tx, call.keys("ssm"), name, record)
        bad = [label for label in request["Labels"] if label not in gone]
        return {"RemovedLabels": gone, "InvalidLabels": bad}

    def add_tags_to_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] = merged(record["tags"], request["Tags"])
        state.put(call.tx, call.keys("ssm"), name, record)
        return {}

    def remove_tags_from_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["TagKeys"]}
        state.put(call.tx, call.keys("ssm"), name, record)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        _, record = _tagged(call, request)
        return {"TagList": [{"Key": k, "Value": v} for k, v in record["tags"].items()]}


def _number(call: Call, name: str, record: state.Record, request: Request) -> int:
    number = request.get("ParameterVersion") or record["version"]
    if state.get_version(call.tx, call.keys("ssm"), name, number) is None:
        raise Fault("ParameterVersionNotFound", f"Systems Manager could not find version {number} of {name}. Verify the version and try again.")  # fmt: skip
    return int(number)


def _tagged(call: Call, request: Request) -> tuple[str, state.Record]:
    if request["ResourceType"] != "Parameter":
        raise names.not_offered(f"ResourceType {request['ResourceType']}")
    try:
        return find(call, request["ResourceId"])
    except Fault as fault:
        raise Fault("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID and try again.") from fault  # fmt: skip
