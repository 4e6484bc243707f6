"""The filters of a mapping with a KMSKeyArn, kept sealed under it.

Who makes or changes the mapping must be let by the key (kms:GenerateDataKey, kms:Decrypt), who reads it, and Lambda itself, which
filters by it (kms:Decrypt, as lambda.amazonaws.com for the mapping's ARN). Lists leave the filters out.
Source  https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filter-criteria-encryption
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.data_keys import open_text, seal_text
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.lambda_ import names
from stratolite.services.lambda_.mapping_state import Record

_VIA = "lambda"
_PRINCIPAL = "lambda.amazonaws.com"


def sealed(call: Call, record: Record) -> Record:
    """The record as it is kept: with a key, its filters are in ``sealed`` and not in its configuration. Raises Fault."""
    config = record["config"]
    key = config.get("KMSKeyArn")
    plain = {name: value for name, value in record.items() if name != "sealed"}
    if not key or "FilterCriteria" not in config:
        return plain
    text = orjson.dumps(config["FilterCriteria"]).decode()
    try:
        made = seal_text(call, key, text, _context(config), _VIA)
        open_text(call, made, _context(config), _VIA)
    except Fault as fault:
        raise names.invalid(f"The KMS key {key} cannot be used: {fault.message}") from fault
    rest = {name: value for name, value in config.items() if name != "FilterCriteria"}
    return {**plain, "config": rest, "sealed": made}


def opened(call: Call, record: Record) -> dict[str, Any]:
    """Its configuration with the filters. Raises Fault, KMS's own."""
    config: dict[str, Any] = record["config"]
    if "sealed" not in record:
        return config
    text = open_text(call, record["sealed"], _context(config), _VIA)
    return {**config, "FilterCriteria": orjson.loads(text)}


def opened_by_lambda(call: Call, record: Record) -> dict[str, Any]:
    """The same for whoever filters by it. Raises Fault."""
    if "sealed" not in record:
        return opened(call, record)
    return opened(call.as_service(_PRINCIPAL, record["config"]["EventSourceMappingArn"]), record)


def _context(config: dict[str, Any]) -> dict[str, str]:
    return {"aws:lambda:EventSourceMappingArn": config["EventSourceMappingArn"]}
