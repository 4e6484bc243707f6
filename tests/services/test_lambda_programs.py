"""Functions in Node and in runtimes that people bring: Lambda's Runtime API in the sandbox, errors as Lambda tells them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lambdas import create

from stratolite.runtime import programs

needs_node = pytest.mark.skipif(not programs.node(), reason="needs Node")


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name.replace("__", "."), (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o755 << 16
            archive.writestr(info, text)
    return out.getvalue()


def invoke(client: Any, event: Any = None, **more: Any) -> tuple[Any, str | None, str]:
    answer = client("lambda").invoke(
        FunctionName="fn", LogType="Tail", Payload=json.dumps(event).encode(), **more
    )
    raw = answer["Payload"].read()
    return (
        json.loads(raw),
        answer.get("FunctionError"),
        base64.b64decode(answer["LogResult"]).decode(),
    )


# -- Node


def node(client: Any, code: str, *, name: str = "index__js", **more: Any) -> None:
    more = {"Handler": "index.handler", "Runtime": "nodejs20.x", "Timeout": 10, **more}
    create(client, "fn", Code={"ZipFile": zipped(**{name: code})}, **more)


@needs_node
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("index__js", "exports.handler = async (event) => ({ got: event })"),
        ("index__js", "exports.handler = (event, context, callback) => callback(null, { got: event })"),
        ("index__js", "exports.handler = (event, context) => context.succeed({ got: event })"),
        ("index__mjs", "import os from 'node:os'; export const handler = async (event) => ({ got: event })"),
        ("index__cjs", "module.exports.handler = async (event) => ({ got: event })"),
    ],
)  # fmt: skip
def test_a_handler_in_javascript_answers(client, name, code):
    node(client, code, name=name)
    for n in range(3):
        assert invoke(client, {"n": n})[:2] == ({"got": {"n": n}}, None)


@needs_node
def test_what_javascript_prints_is_its_log_with_time_id_and_level(client):
    node(
        client,
        "exports.handler = async () => { console.log('a', { b: 1 }); console.error('two\\nlines') }",
    )
    payload, error, tail = invoke(client, {})
    assert (payload, error) == (None, None)
    id_ = re.search(r"START RequestId: (\S+) Version: \$LATEST\n", tail)[1]
    assert re.search(rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z\t{id_}\tINFO\ta {{ b: 1 }}\n", tail)
    assert re.search(rf"Z\t{id_}\tERROR\ttwo\nlines\n", tail)
    assert re.search(rf"REPORT RequestId: {id_}\tDuration: .*Init Duration: ", tail)


@needs_node
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("exports.handler = async () => { throw new TypeError('no') }", {"errorType": "TypeError", "errorMessage": "no"}),
        ("exports.handler = (e, c, callback) => callback('text')", {"errorType": "string", "errorMessage": "text", "trace": []}),
        ("exports.handler = async () => { process.exit(3) }", {"errorType": "Runtime.ExitError"}),
        ("exports.handler = async () => { setTimeout(() => { throw new RangeError('late') }); await new Promise(() => {}) }", {"errorType": "RangeError"}),
        ("exports.handler = async () => { Promise.reject(new Error('x')); await new Promise((r) => setTimeout(r, 1000)) }", {"errorType": "Runtime.UnhandledPromiseRejection", "errorMessage": "Error: x"}),
        ("exports.handler = async () => { const a = {}; a.a = a; return a }", {"errorType": "Runtime.MarshalError", "errorMessage": "Unable to stringify response body"}),
        ("exports.other = 1", {"errorType": "Runtime.HandlerNotFound", "errorMessage": "index.handler is undefined or not exported"}),
        ("exports.handler = async () => {", {"errorType": "Runtime.UserCodeSyntaxError"}),
        ("require('nothing-like-it'); exports.handler = 1", {"errorType": "Runtime.ImportModuleError"}),
        ("throw new Error('at start')", {"errorType": "Error", "errorMessage": "at start"}),
        ("exports.handler = async () => 'x'.repeat(6 * 1024 * 1024 + 200)", {"errorType": "Function.ResponseSizeTooLarge"}),
        ("exports.handler = async () => { while (true); }", {"errorType": "Sandbox.Timedout"}),
    ],
)  # fmt: skip
def test_javascripts_bad_ends_are_told_as_lambda_tells_them(client, code, expected):
    node(client, code, Timeout=2)
    payload, error, tail = invoke(client, {})
    assert error == "Unhandled"
    assert {key: payload.get(key) for key in expected} == expected
    assert "REPORT RequestId: " in tail


@needs_node
def test_javascript_without_memory_ends_alone(client):
    node(
        client,
        "const held = []; exports.handler = async () => { for (;;) held.push(new Array(1e6).fill(held.length)) }",
    )
    payload, error, _ = invoke(client, {})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert re.search(r"signal: (killed|aborted)$", payload["errorMessage"])


@needs_node
def test_javascript_is_contained_like_python(client, platform):
    """Its own user, its own root, nobody else's files; the context is Lambda's."""
    code = """
    const fs = require('fs'), os = require('os')
    const can = (act) => { try { act(); return 'done' } catch (error) { return error.code } }
    exports.handler = async (event, context) => [
      process.getuid() >= 61184 || 'user', can(() => fs.readFileSync(event.secret)), can(() => fs.writeFileSync('/var/task/x', '')),
      can(() => fs.writeFileSync('/tmp/x', 'x')), Object.keys(os.networkInterfaces()), context.functionName,
      context.getRemainingTimeInMillis() > 1000, context.awsRequestId.length, process.env._HANDLER, fs.readdirSync('/opt'),
    ]"""
    node(client, code)
    secret = f"{platform.folder}/secret"
    with open(secret, "w") as file:
        file.write("s")
    said, error, _ = invoke(client, {"secret": secret})
    assert error is None, said
    if os.geteuid() == 0:
        assert said == [
            True,
            "ENOENT",
            "EROFS",
            "done",
            ["lo"],
            "fn",
            True,
            36,
            "index.handler",
            [],
        ]


@needs_node
def test_a_streaming_handler_of_javascript_says_status_and_headers(client, platform):
    code = """
    exports.handler = awslambda.streamifyResponse(async (event, out) => {
      out = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { 'content-type': 'text/plain', 'x-a': 'b' } })
      out.write('Hello, '); out.write('world!'); out.end()
    })"""
    node(client, code)
    from services.test_lambda_urls import ask, public

    url = public(client, "fn", InvokeMode="RESPONSE_STREAM")
    status, headers, body = ask(platform, url)
    assert (status, headers["content-type"], headers["x-a"], body) == (
        201,
        "text/plain",
        "b",
        b"Hello, world!",
    )


# -- runtimes that people bring

BOOTSTRAP = f"""#!{os.path.realpath(sys.executable)} -I
import http.client, json, os, sys
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def call(method, path, body=None, headers={{}}):
    api.request(method, "/2018-06-01/runtime/" + path, body, headers)
    answer = api.getresponse()
    return answer.status, answer.headers, answer.read()

if os.environ["_HANDLER"] == "broken":
    call("POST", "init/error", json.dumps({{"errorType": "Own.Broken", "errorMessage": "cannot"}}))
    sys.exit(1)
while True:
    status, headers, event = call("GET", "invocation/next")
    id_ = headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(event)
    print("event", event, flush=True)
    if event == "error":
        body = json.dumps({{"errorType": "Own.Error", "errorMessage": "no"}})
        call("POST", f"invocation/{{id_}}/error", body, {{"Lambda-Runtime-Function-Error-Type": "Own.Error"}})
    elif event == "bare":
        call("POST", f"invocation/{{id_}}/error", "not json")
    elif event == "exit":
        sys.exit(7)
    elif event == "abort":
        os.abort()
    elif event == "other":
        said = [call("POST", "invocation/someone-elses/response", "1")[0], call("GET", "nothing")[0]]
        call("POST", f"invocation/{{id_}}/response", json.dumps(said))
    elif event == "chunks":
        call("POST", f"invocation/{{id_}}/response", iter([b'"a', b'b', b'c"']))
    elif event == "large":
        said = call("POST", f"invocation/{{id_}}/response", b'"' + b"x" * 9_000_000 + b'"')[0]
        print("large", said, flush=True)
    else:
        about = [headers["Lambda-Runtime-Invoked-Function-Arn"], int(headers["Lambda-Runtime-Deadline-Ms"]) > 0, event]
        call("POST", f"invocation/{{id_}}/response", json.dumps(about))
"""


def brought(client: Any, bootstrap: str = BOOTSTRAP, **more: Any) -> None:
    more = {"Handler": "any", "Runtime": "provided.al2023", "Timeout": 10, **more}
    create(client, "fn", Code={"ZipFile": zipped(bootstrap=bootstrap)}, **more)


def test_a_bootstrap_is_served_the_runtime_api(client):
    brought(client)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:fn"
    for n in range(3):
        assert invoke(client, n)[:2] == ([arn, True, n], None)
    assert invoke(client, "other")[0] == [400, 404]
    assert invoke(client, "chunks")[0] == "abc"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("error", {"errorType": "Own.Error", "errorMessage": "no"}),
        ("bare", {"errorType": "Runtime.Unknown", "errorMessage": "not json"}),
        ("exit", {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: ID Error: Runtime exited with error: exit status 7"}),
        ("abort", {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: ID Error: Runtime exited with error: signal: aborted"}),
        ("large", {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}),
    ],
)  # fmt: skip
def test_a_bootstraps_bad_ends(client, event, payload):
    brought(client)
    said, error, tail = invoke(client, event)
    id_ = re.search(r"START RequestId: (\S+) ", tail)[1]
    assert error == "Unhandled"
    assert said == json.loads(json.dumps(payload).replace("ID", id_))
    assert invoke(client, 1)[1] is None, "the next one is served again"


@pytest.mark.parametrize(
    ("bootstrap", "handler", "kind", "words"),
    [
        (BOOTSTRAP, "broken", "Own.Broken", "cannot"),
        ("\x7fELF nonsense", "any", "Runtime.InvalidEntrypoint", "Error: fork/exec /var/task/bootstrap: exec format error"),
        ("#!/not/there\n", "any", "Runtime.InvalidEntrypoint", "Error: fork/exec /var/task/bootstrap: no such file or directory"),
    ],
)  # fmt: skip
def test_a_bootstrap_that_does_not_start(client, bootstrap, handler, kind, words):
    brought(client, bootstrap, Handler=handler)
    said, error, tail = invoke(client, 1)
    assert error == "Unhandled"
    assert said["errorType"] == kind
    if os.geteuid() == 0:
        assert said["errorMessage"] == words
    assert f"\tPhase: init\tStatus: error\tError Type: {kind}\n" in tail


def test_code_without_a_bootstrap_says_so(client):
    create(
        client, "fn", Code={"ZipFile": zipped(readme="x")}, Runtime="provided.al2023", Handler="x"
    )
    said = invoke(client, 1)[0]
    assert said["errorType"] == "Runtime.InvalidEntrypoint"
    assert (
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
        in said["errorMessage"]
    )


def test_node_that_is_not_there_is_refused_by_name(client, monkeypatch):
    monkeypatch.setattr(programs, "node", lambda: "")
    with pytest.raises(
        ClientError, match="The runtime nodejs20.x needs Node, which is not on the server's machine"
    ):
        create(client, "fn", Runtime="nodejs20.x")
