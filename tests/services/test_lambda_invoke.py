"""Invoke through boto3: answers, errors, logs, credentials, events that are tried again."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from lambdas import create, role, zipped

from stratolite.clock import World
from stratolite.services.lambda_ import payloads
from stratolite.services.lambda_.output import Stream


def invoke(client: Any, name: str = "fn", **more: Any) -> tuple[Any, str | None, str]:
    """(payload, FunctionError, tail of the log)."""
    answer = client("lambda").invoke(FunctionName=name, LogType="Tail", **more)
    raw = answer["Payload"].read()
    tail = base64.b64decode(answer["LogResult"]).decode()
    return json.loads(raw), answer.get("FunctionError"), tail


def logged(client: Any, platform: Any, name: str = "fn") -> list[str]:
    async def flush() -> None:
        await platform.cloud.service("lambda").output.flush()

    platform.run(flush())
    found = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")
    return [event["message"] for event in found["events"]]


def test_the_tail_is_the_invocations_log(client):
    """Recorded in test_lambda.snapshot.json, test_invocation_with_logs."""
    create(client, "fn", "def handler(e, c):\n  print(e)\n  return e")
    payload, error, tail = invoke(client, Payload=b'{"a": [1, "\xc3\xa9"]}')
    assert (payload, error) == ({"a": [1, "é"]}, None)
    id_ = re.match(r"START RequestId: (\S+) ", tail)[1]
    assert re.fullmatch(
        f"START RequestId: {id_} Version: \\$LATEST\n"
        r"\{'a': \[1, 'é'\]\}\n"
        f"END RequestId: {id_}\n"
        rf"REPORT RequestId: {id_}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
        r"\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t" + "\n",
        tail,
    )
    assert "Init Duration" not in invoke(client)[2], "only the first one loads the code"


def test_a_long_tail_is_cut_at_the_front(client):
    """LogResult: the last 4 KB of the execution log."""
    create(client, "fn", "def handler(e, c):\n  for n in range(2000): print('line', n)")
    tail = invoke(client)[2]
    assert len(tail) == 4096
    assert "line 1999\nEND RequestId: " in tail
    assert tail.endswith("\t\n")


def test_output_reaches_the_logs_in_order(client, platform):
    create(
        client,
        "fn",
        "import logging\ndef handler(e, c):\n  print('printed'); logging.getLogger().error('two\\nlines')",
    )
    invoke(client)
    messages = logged(client, platform)
    assert messages[0].startswith("INIT_START Runtime Version: python:3.12")
    assert messages[1].startswith("START RequestId: ")
    assert messages[2] == "printed\n"
    assert re.fullmatch(r"\[ERROR\]\t\S+Z\t\S+\ttwo\nlines\n", messages[3])
    assert messages[4].startswith("END RequestId: ")
    assert messages[5].startswith("REPORT RequestId: ")
    (stream,) = client("logs").describe_log_streams(logGroupName="/aws/lambda/fn")["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])


def test_a_function_that_never_stops_printing_does_not_fill_the_disk(client, platform):
    """Ten seconds of it were twelve gigabytes of log, store and snapshots once."""
    stream = Stream("000000000000", "us-east-1", "/aws/lambda/loud", "s", "arn")
    other = stream._replace(name="quiet")
    now_ms = int(platform.world.wall() * 1000)
    chunk = [(now_ms, "x" * 9800)] * 100  # a million bytes with their overhead

    async def print_on() -> None:
        output = platform.cloud.service("lambda").output
        for _ in range(30):
            output.write(stream, chunk)
        output.write(other, [(now_ms, "still heard")])
        await output.flush()

    platform.run(print_on())
    logs = client("logs")
    assert _stored(logs, "quiet") == ["still heard"]
    *kept, note = _stored(logs, "s")
    assert 1000 <= len(kept) <= 1200  # two seconds' worth, and what came back meanwhile
    assert "lines were dropped" in note


def _stored(logs: Any, stream: str) -> list[str]:
    found: list[str] = []
    ask = {"logGroupName": "/aws/lambda/loud", "logStreamName": stream, "startFromHead": True}
    while True:
        page = logs.get_log_events(**ask)
        if not page["events"]:
            return found
        found += [event["message"] for event in page["events"]]
        ask["nextToken"] = page["nextForwardToken"]


def test_output_survives_a_clean_stop(client, platform):
    create(client, "fn", "def handler(e, c): print('kept')")
    invoke(client)
    platform.reopen()
    assert "kept\n" in logged(client, platform)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import time\ndef handler(e, c): time.sleep(60)",
            {
                "errorType": "Sandbox.Timedout",
                "errorMessage": "RequestId: ID Error: Task timed out after 1.00 seconds",
            },
        ),
        (
            "import sys\ndef handler(e, c): sys.exit(0)",
            {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: ID Error: Runtime exited without providing a reason",
            },
        ),
        (
            "import os\ndef handler(e, c): os._exit(1)",
            {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: ID Error: Runtime exited with error: exit status 1",
            },
        ),
        (
            "def handler(e, c): return len(bytearray(10**9))",
            {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: ID Error: Runtime exited with error: signal: killed",
            },
        ),
        (
            "import nothing_like_it",
            {
                "errorType": "Runtime.ImportModuleError",
                "errorMessage": "Unable to import module 'index': No module named 'nothing_like_it'",
                "requestId": "",
                "stackTrace": [],
            },
        ),
        (
            "def handler(e, c): return {1, 2}",
            {
                "errorType": "Runtime.MarshalError",
                "errorMessage": "Unable to marshal response: Object of type set is not JSON serializable",
                "requestId": "ID",
                "stackTrace": [],
            },
        ),
        (
            "def handler(e, c): return 'x' * (6 * 1024 * 1024 + 200)",
            {
                "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            },
        ),
    ],
)
def test_every_bad_end_is_unhandled_and_says_why(client, code, expected):
    """Recorded in test_lambda.snapshot.json, TestLambdaErrors and test_lambda_invoke_with_timeout."""
    create(client, "fn", code, Timeout=1)
    payload, error, tail = invoke(client)
    id_ = re.search(r"START RequestId: (\S+) ", tail)[1]
    assert error == "Unhandled"
    assert payload == json.loads(json.dumps(expected).replace("ID", id_))
    assert "REPORT RequestId: " in tail


def test_a_timeout_is_logged_as_lambda_logs_it(client):
    create(client, "fn", "import time\ndef handler(e, c): time.sleep(60)", Timeout=1)
    tail = invoke(client)[2]
    assert re.search(r"\n\d{4}-\d\d-\d\dT[\d:.]+Z \S+ Task timed out after 1.00 seconds\n", tail)
    assert tail.endswith("\tStatus: timeout\n")


def test_the_next_call_after_an_update_runs_the_new_code_and_settings(client):
    create(client, "fn", "import os\ndef handler(e, c): return os.environ.get('STAGE')")
    assert invoke(client)[0] is None
    lam = client("lambda")
    lam.update_function_configuration(FunctionName="fn", Environment={"Variables": {"STAGE": "b"}})
    assert invoke(client)[0] == "b"
    lam.update_function_code(FunctionName="fn", ZipFile=zipped("def handler(e, c): return 'new'"))
    assert invoke(client)[0] == "new"


def test_the_environment_is_lambdas(client, platform):
    """Names as in test_lambda_common.snapshot.json, test_introspection_invoke."""
    create(client, "fn", "import os\ndef handler(e, c): return dict(os.environ)", MemorySize=256)
    env = invoke(client)[0]
    assert env["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == "us-east-1"
    assert env["_HANDLER"] == "index.handler"
    assert env["TZ"] == ":UTC"
    assert env["AWS_ENDPOINT_URL"] == platform.cloud.endpoint
    assert env["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert env["AWS_SESSION_TOKEN"]


def test_the_credentials_are_the_roles(client):
    """What the role may not do, the function may not do; its keys work as anyone's would."""
    create(
        client,
        "fn",
        "import os\ndef handler(e, c): return dict(os.environ)",
        Role=role(client, "mine"),
    )
    env = invoke(client)[0]
    keys = {
        "key": env["AWS_ACCESS_KEY_ID"],
        "secret": env["AWS_SECRET_ACCESS_KEY"],
        "token": env["AWS_SESSION_TOKEN"],
    }
    who = client("sts", **keys).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/mine/fn"
    with pytest.raises(ClientError, match="AccessDenied"):
        client("lambda", **keys).list_functions()


def test_the_sdk_is_there_and_the_functions_own_modules_come_first(client):
    create(
        client,
        "fn",
        "import boto3, sys\ndef handler(e, c): return [boto3.__name__, sys.path[0], 'boto3' in sys.modules]",
    )
    assert invoke(client)[0][::2] == ["boto3", True]


SOURCE = " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: "
VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt", f"Invalid UTF-8 start byte 0x87\n{SOURCE}3]"),
        (
            b"\x99\xeb,j\x07\xa1zYh",
            f"Unexpected character ((CTRL-CHAR, code 153)): expected a valid value {VALUES}\n{SOURCE}1]",
        ),
        (b"foo", f"Unrecognized token 'foo': was expecting {VALUES}\n{SOURCE}4]"),
        (
            b"{'a': 1}",
            f"Unexpected character (''' (code 39)): was expecting double-quote to start field name\n{SOURCE}2]",
        ),
    ],
)
def test_bad_json_is_refused_in_awss_words(client, payload, words):
    """What the second version of AWS's command line sends when --cli-binary-format is forgotten comes first: recorded in
    test_lambda.snapshot.json, test_lambda_invoke_payload_encoding_error.
    """
    create(client, "fn")
    with pytest.raises(ClientError) as caught:
        client("lambda").invoke(FunctionName="fn", Payload=payload)
    assert caught.value.response["Error"] == {
        "Code": "InvalidRequestContentException",
        "Message": f"Could not parse request body into json: Could not parse payload into json: {words}",
    }
    assert caught.value.response["Type"] == "User"


@given(
    st.one_of(
        st.binary(max_size=40),
        st.text(alphabet="{}[]:,\"'\\ truefalsn-1.e\u0001é", max_size=40).map(str.encode),
    )
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_that_are_not_json_get_some_words(raw):
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        assert payloads.complaint(raw, "otherwise")


def test_deep_and_long_payloads_do_not_hold_the_loop(client):
    create(client, "fn")
    for payload in (b"[" * 5000, b'"' + b"x" * 3_000_000, b'{"a":' * 4000):
        with pytest.raises(ClientError, match="InvalidRequestContentException"):
            client("lambda").invoke(FunctionName="fn", Payload=payload)


def test_a_function_that_is_not_there_is_not_found_by_its_version(client):
    """Recorded in test_lambda.snapshot.json, test_invoke_exceptions."""
    with pytest.raises(ClientError) as caught:
        client("lambda").invoke(FunctionName="doesnotexist")
    assert caught.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": "Function not found: arn:aws:lambda:us-east-1:000000000000:function:doesnotexist:$LATEST",
    }


def test_an_init_that_fails_is_reported_before_the_start(client):
    create(client, "fn", "import nothing_like_it")
    tail = invoke(client)[2]
    assert re.search(
        r"^INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n"
        r"START RequestId: ",
        tail,
        re.MULTILINE,
    )
    assert tail.endswith("\tStatus: error\tError Type: Runtime.ImportModuleError\n")


def test_a_wrapper_that_is_not_there_ends_the_runtime(client):
    """Recorded in test_lambda.snapshot.json, test_lambda_runtime_wrapper_not_found."""
    create(client, "fn", Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/idontexist.sh"}})
    payload, error, _ = invoke(client)
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith(" Error: Runtime exited with error: exit status 127")


def test_an_answer_comes_as_a_stream_of_events(client):
    """As for every handler that does not stream itself: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html"""
    create(
        client,
        "fn",
        "def handler(e, c):\n  print('hi')\n  return 'x' * e['n'] if e['n'] else 1 / 0",
    )
    lam = client("lambda")

    def ask(n: int) -> list[dict[str, Any]]:
        answer = lam.invoke_with_response_stream(
            FunctionName="fn", Payload=json.dumps({"n": n}).encode(), LogType="Tail"
        )
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        return list(answer["EventStream"])

    *chunks, last = ask(150_000)
    assert b"".join(c["PayloadChunk"]["Payload"] for c in chunks) == b'"' + b"x" * 150_000 + b'"'
    assert len(chunks) > 1
    assert set(last["InvokeComplete"]) == {"LogResult"}
    *_, last = ask(0)
    assert last["InvokeComplete"]["ErrorCode"] == "Unhandled"
    assert json.loads(last["InvokeComplete"]["ErrorDetails"])["errorType"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("payload", "code", "status"),
    [
        (b"{", "InvalidRequestContentException", 400),
        (b'"' + b"x" * (6 << 20) + b'"', "RequestTooLargeException", 413),
    ],
)
def test_payloads_that_cannot_be_taken(client, payload, code, status):
    create(client, "fn")
    with pytest.raises(ClientError) as caught:
        client("lambda").invoke(FunctionName="fn", Payload=payload)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_dry_run_asks_and_does_not_run(client, platform):
    create(client, "fn")
    assert client("lambda").invoke(FunctionName="fn", InvocationType="DryRun")["StatusCode"] == 204
    assert not platform.cloud.runtime._members
    with pytest.raises(ClientError, match="Function not found"):
        client("lambda").invoke(FunctionName="no", InvocationType="DryRun")


# -- events

COUNTS = """
import boto3, json
def handler(event, context):
    print("attempt", context.aws_request_id)
    if event.get("fail"): raise ValueError("no")
    return len(event.get("pad", ""))
"""


def attempts(client: Any, platform: Any) -> list[str]:
    return [m for m in logged(client, platform) if m.startswith("attempt")]


def wait(client: Any, platform: Any, count: int) -> list[str]:
    """The lines of that many attempts, once there are so many."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if client("logs").describe_log_groups()["logGroups"]:
            found = attempts(client, platform)
            if len(found) >= count:
                return found
        time.sleep(0.01)
    raise AssertionError(f"fewer than {count} attempts")


@pytest.mark.parametrize("pad", [0, 500_000])
def test_an_event_is_run_later_once(client, platform, pad):
    """A small event lies in the job, a large one in a blob that goes with it."""
    create(client, "fn", COUNTS)
    answer = client("lambda").invoke(
        FunctionName="fn", InvocationType="Event", Payload=json.dumps({"pad": "x" * pad}).encode()
    )
    assert answer["StatusCode"] == 202
    assert wait(client, platform, 1) == [f"attempt {answer['ResponseMetadata']['RequestId']}\n"]


class TestRetries:
    @pytest.fixture
    def world(self) -> World:
        return World()

    def test_a_failed_event_is_tried_twice_more_across_restarts(self, client, platform, world):
        """After one and two minutes on the cloud clock, under the same request id; then no more."""
        create(client, "fn", COUNTS)
        client("lambda").invoke(
            FunctionName="fn", InvocationType="Event", Payload=b'{"fail": true}'
        )
        for done in (1, 2, 3):
            assert len(set(wait(client, platform, done))) == 1
            world.cloud_offset_s += 130
            platform.reopen()
        client("lambda").invoke(FunctionName="fn", InvocationType="Event")
        assert len(wait(client, platform, 4)) == 4
