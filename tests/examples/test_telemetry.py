"""The telemetry example's functions, on this cloud's DynamoDB, come to what pandas computes."""

from __future__ import annotations

import base64
import importlib
import io
import json
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pandas as pd
import pytest
from botocore.awsrequest import AWSResponse
from conftest import ENDPOINT, _Raw, to_http

HERE = Path(__file__).parents[2] / "examples" / "telemetry"
BASE = 1_700_000_100
MODULES = ("table", "moment", "processor", "dispatcher", "fan_out", "part")


@pytest.fixture
def functions(client, platform, monkeypatch):
    """Its modules by name; Part is called where it would be invoked."""
    client("dynamodb").create_table(
        TableName="telemetry",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    resource = boto3.resource(
        "dynamodb", endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip

    def send(request, **_):
        status, headers, body = platform.send(to_http(request))
        return AWSResponse(request.url, status, dict(headers), _Raw(body))

    resource.meta.client.meta.events.register("before-send", send)

    class Lambda:
        def invoke(self, FunctionName, Payload):
            assert FunctionName == "part"
            answer = json.dumps(loaded["part"].handler(json.loads(Payload), None))
            return {"Payload": io.BytesIO(answer.encode())}

    monkeypatch.setattr(boto3, "resource", lambda _: resource)
    monkeypatch.setattr(boto3, "client", lambda _: Lambda())
    monkeypatch.setenv("TABLE", "telemetry")
    monkeypatch.setenv("PART", "part")
    monkeypatch.syspath_prepend(str(HERE / "src"))
    loaded = {}
    for name in MODULES:
        sys.modules.pop(name, None)
        loaded[name] = importlib.import_module(name)
    yield loaded
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def demo():
    sys.path.insert(0, str(HERE.parent))
    try:
        yield runpy.run_path(str(HERE / "demo.py"))
    finally:
        sys.path.remove(str(HERE.parent))


def batch(readings, first):
    """An event of Lambda's; sequence numbers begin at ``first``."""
    return {
        "Records": [
            {"kinesis": {"sequenceNumber": str(49 * 10**54 + first + n),
                         "data": base64.b64encode(r if isinstance(r, bytes) else json.dumps(r).encode()).decode()}}
            for n, r in enumerate(readings)
        ]
    }  # fmt: skip


def test_final_aggregates_are_what_pandas_computes(functions, demo):
    """Though batches come twice, and in other cuts, as a retried stream hands them over."""
    sent = list(demo["readings"](BASE))
    handle = functions["processor"].handler
    for at in range(0, len(sent), 100):
        assert handle(batch(sent[at : at + 100], at), None) == {"batchItemFailures": []}
        again = max(0, at - 30)
        handle(batch(sent[again : at + 50], again), None)
    due = {"time": datetime.fromtimestamp(BASE + 3600, UTC).isoformat()}
    assert functions["dispatcher"].handler(due, None) == {"windows": 5}
    assert functions["fan_out"].handler(due, None) == {"windows": 5}
    frame = pd.DataFrame(sent)
    frame["celsius"] = frame["celsius"].astype(float)
    frame["window"] = frame["at"] // 300 * 300
    wanted = frame.groupby("window").agg(
        count=("celsius", "count"), mean=("celsius", "mean"), low=("celsius", "min"), high=("celsius", "max"),
        sensors=("sensor", "nunique"),
    )  # fmt: skip
    for kind in ("final", "final-fan-out"):
        items = functions["table"]._query(functions["table"].Key("pk").eq(kind))
        rows = [
            {k: float(v) for k, v in item.items() if k not in ("pk", "expires")} for item in items
        ]
        found = pd.DataFrame(rows).rename(columns={"sk": "window"}).set_index("window")
        pd.testing.assert_frame_equal(
            found[list(wanted.columns)], wanted, check_dtype=False, check_index_type=False, atol=5e-7, rtol=0,
        )  # fmt: skip
    plain = demo["expected"](sent)  # what the demo checks its deployment against
    assert {int(w): (v[0], float(v[1])) for w, v in plain.items()} == {
        int(w): (row["count"], pytest.approx(row["mean"], abs=5e-7)) for w, row in wanted.iterrows()
    }


def test_windows_that_have_not_ended_wait(functions, demo):
    functions["processor"].handler(batch(list(demo["readings"](BASE))[:24], 0), None)
    for after, count in ((299, 0), (300, 1)):
        due = {"time": datetime.fromtimestamp(BASE + after, UTC).isoformat()}
        assert functions["dispatcher"].handler(due, None) == {"windows": count}


def test_a_reading_that_cannot_be_read_is_reported_and_those_before_it_count(functions):
    good = {"sensor": "s", "at": BASE, "celsius": "1.5"}
    said = functions["processor"].handler(batch([good, b"{no json", good], 0), None)
    assert said == {"batchItemFailures": [{"itemIdentifier": str(49 * 10**54 + 1)}]}
    (aggregate,) = functions["table"].intermediate(str(BASE)).values()
    assert aggregate["count"] == 1
