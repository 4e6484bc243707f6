"""The command line without a server: usage, packaging, and failing in one line."""

from __future__ import annotations

import fcntl
import io
import json
import os
import socket
import zipfile

import click
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from stratolite.cli import clock, deploy, main, outbox, screen, stack
from stratolite.cli.layout import laid_out
from stratolite.cli.package import load, load_with_lines, package
from stratolite.cli.stack import local_url
from stratolite.services.cloudformation.places import line_of


def run(capsys, *words):
    """(exit code, stdout, stderr)."""
    try:
        main(list(words))
        code = 0
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)


def test_help_names_every_command_and_imports_none(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in (
        "up",
        "deploy",
        "delete",
        "env",
        "status",
        "logs",
        "invoke",
        "outbox",
        "completion",
    ):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    "command", ["up", "deploy", "delete", "env", "status", "logs", "invoke", "outbox", "completion"]
)
def test_every_command_explains_itself(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"Usage: stratolite {command}")


@pytest.mark.parametrize(
    "words", [("fly",), ("deploy",), ("up", "--port", "many"), ("logs", "f", "--since", "long")]
)
def test_wrong_usage_exits_with_2_and_one_line(capsys, words):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert err.startswith("stratolite: ")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("status",), ("invoke", "f"), ("delete", "s"), ("logs", "f"), ("outbox",)]
)
def test_no_server_is_one_line_that_says_what_to_do(capsys, words):
    code, _, err = run(capsys, *words, "--endpoint", "http://127.0.0.1:9")
    assert code == 1
    assert "nothing answers at http://127.0.0.1:9" in err
    assert "stratolite up" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("how", ["stdin", "file", "word"])
def test_a_payload_that_is_not_text_is_sent_as_it_is(capsys, monkeypatch, tmp_path, how):
    """It was a traceback; whether it is JSON, the cloud says."""
    (tmp_path / "event").write_bytes(b"\xff\xfe")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    payload = {"stdin": "-", "file": f"@{tmp_path}/event", "word": "\udcff\udcfe"}[how]
    sent = {}

    class Function:
        def invoke(self, **request):
            sent.update(request)
            return {"StatusCode": 200, "Payload": io.BytesIO(b"1")}

    monkeypatch.setattr("stratolite.cli.target.client", lambda *_: Function())
    assert run(capsys, "invoke", "f", payload) == (0, "1\n", "")
    assert sent["Payload"] == b"\xff\xfe"


def test_a_long_url_is_not_broken_in_a_narrow_terminal(capsys, monkeypatch):
    """In 80 columns a function's URL was two lines: copied, it was half of it."""
    monkeypatch.setattr("stratolite.cli.screen.is_terminal", lambda **_: True)
    monkeypatch.setenv("COLUMNS", "40")
    url = "http://127.0.0.1:4566/_aws/lambda-url/" + "x" * 60 + "/"
    screen.table(("output", "value"), [("CalendarUrl", url)])
    assert url in capsys.readouterr().out


def test_env_is_what_a_shell_evaluates(capsys):
    _, out, _ = run(capsys, "env", "--endpoint", "http://localhost:4567")
    assert "export AWS_ENDPOINT_URL=http://localhost:4567" in out.splitlines()
    assert "export AWS_ENDPOINT_URL_S3_CONTROL=http://account@localhost:4567" in out.splitlines()
    _, out, _ = run(capsys, "env", "--json")
    assert json.loads(out)["AWS_ACCESS_KEY_ID"] == "test"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_calls_back(capsys, shell, monkeypatch):
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "_STRATOLITE_COMPLETE" in out
    monkeypatch.setenv("_STRATOLITE_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "stratolite de")
    monkeypatch.setenv("COMP_CWORD", "1" if shell != "fish" else "de")
    _, out, _ = run(capsys)
    assert "deploy" in out
    assert "delete" in out


def test_a_taken_port_is_said_with_the_way_out(capsys, tmp_path):
    """It was the operating system's sentence, with an error number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run(capsys, "up", "--data", str(tmp_path / "d"), "--port", str(port))
    assert code == 1
    assert err == f"stratolite: port {port} on 127.0.0.1 is already in use; pass another --port\n"


def test_a_port_that_cannot_be_is_wrong_usage(capsys, tmp_path):
    """99999 was taken modulo 65536: it listened on another port than the one asked for."""
    code, _, err = run(capsys, "up", "--data", str(tmp_path), "--port", "99999")
    assert (code, "65535" in err) == (2, True)


def test_a_data_folder_in_use_is_said_with_the_way_out(capsys, tmp_path):
    (tmp_path / "log").mkdir()
    with open(tmp_path / "log" / "LOCK", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = run(capsys, "up", "--data", str(tmp_path), "--port", "0")
    assert code == 1
    assert err == (
        f"stratolite: data folder {tmp_path} is in use by another stratolite;"
        " stop it or pass another --data\n"
    )


def test_data_that_is_a_file_is_said(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    code, _, err = run(capsys, "up", "--data", str(file), "--port", "0")
    assert (code, err) == (1, f"stratolite: cannot start: {file} is not a folder\n")
    assert file.read_text() == "precious"


def test_tls_files_that_are_none_are_named(capsys, tmp_path):
    file = tmp_path / "bad.pem"
    file.write_text("no certificate")
    words = ("--tls-cert", str(file), "--tls-key", str(file))
    code, _, err = run(capsys, "up", "--data", str(tmp_path / "d"), "--port", "0", *words)
    assert code == 1
    assert err.startswith(
        f"stratolite: {file} and {file} are not a certificate and its private key"
    )
    assert len(err.strip().splitlines()) == 1


def test_listening_beyond_this_machine_wants_a_real_key(capsys, tmp_path):
    code, _, err = run(capsys, "up", "--data", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert code == 1
    assert "STRATOLITE_ROOT_KEY" in err
    assert not os.listdir(tmp_path)


# -- packaging

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    CodeUri: code/
Resources:
  A:
    Type: AWS::Serverless::Function
    Properties: {Handler: a.b, Role: !GetAtt R.Arn, Environment: {Variables: {T: !Sub "${X}-y"}}}
  B:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: "def f(): pass"}
  C:
    Type: AWS::Lambda::Function
    Properties: {Code: code/, Role: !Ref R}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / "code" / "a.py").write_text("def b(event, context): return 1\n")
    return tmp_path


def packaged(project):
    template, seen = load(str(project / "template.yaml")), {}

    def upload(key, body):
        seen[key] = body
        return "bucket", key

    package(template, str(project), upload)
    return template, seen


def test_local_code_becomes_one_object_named_by_its_content(project):
    """Two functions with the same folder share it; inline code and short forms stay what they are."""
    template, seen = packaged(project)
    resources = template["Resources"]
    assert list(seen) == [resources["A"]["Properties"]["CodeUri"]["Key"]]
    assert resources["C"]["Properties"]["Code"] == {"S3Bucket": "bucket", "S3Key": next(iter(seen))}
    assert "CodeUri" not in resources["B"]["Properties"]
    assert resources["A"]["Properties"]["Role"] == {"Fn::GetAtt": ["R", "Arn"]}
    assert resources["A"]["Properties"]["Environment"]["Variables"]["T"] == {"Fn::Sub": "${X}-y"}
    assert zipfile.ZipFile(io.BytesIO(next(iter(seen.values())))).namelist() == ["a.py"]


def test_a_packaged_template_keeps_the_lines_of_its_file(project):
    """Else every refusal of a deploy is said to be of line 1."""
    text = (
        (project / "template.yaml").read_text()
        + """
  D:  # a comment
    Type: AWS::SQS::Queue

    Properties:
      QueueName: !Join
        - "-"
        - [a,
           !Ref B]
      Tags:
        - {Key: a, Value: 'two
            lines'}
        - Key: b
"""
    )
    (project / "template.yaml").write_text(text)
    body, root = load_with_lines(str(project / "template.yaml"))
    package(body, str(project), lambda key, _: ("bucket", key))
    written = laid_out(body, root)
    assert json.loads(written) == body
    places = [
        (), ("Resources", "C", "Properties", "Code"), ("Resources", "D"), ("Resources", "D", "Properties", "QueueName"),
        ("Resources", "D", "Properties", "QueueName", "Fn::Join", "1", "1"), ("Resources", "D", "Properties", "Tags", "1"),
    ]  # fmt: skip
    for place in places:
        assert line_of(written, place) == line_of(text, place), place


def test_the_same_files_give_the_same_object_whenever_they_were_written(project):
    """Else every deploy would update every function."""
    _, first = packaged(project)
    os.utime(project / "code" / "a.py", (1, 1))
    assert packaged(project)[1] == first
    (project / "code" / "a.py").write_text("def b(event, context): return 2\n")
    assert packaged(project)[1].keys() != first.keys()


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "Resources: [",
        "Resources: {A: {Type: AWS::Lambda::Function, Properties: {Code: none/}}}",
    ],
)
def test_what_cannot_be_packaged_is_said_by_name(project, text):
    (project / "template.yaml").write_text(text)
    with pytest.raises(click.ClickException):
        packaged(project)


def test_an_api_hostname_is_shown_as_its_local_url():
    value = "https://abc123.execute-api.us-east-1.amazonaws.com/prod"
    assert (
        local_url(value, "http://localhost:4566")
        == "http://localhost:4566/_aws/execute-api/abc123/prod"
    )


class Scripted:
    """A CloudFormation client whose describe_stacks gives, in turn, what it was told."""

    def __init__(self, *answers, events=()):
        self.answers, self.events = list(answers), list(events)
        self.meta = type("Meta", (), {"endpoint_url": "http://here"})

    def describe_stacks(self, StackName):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"Stacks": [dict(answer)]}

    def get_paginator(self, _):
        pages = [{"StackEvents": self.events}]
        return type("Pages", (), {"paginate": lambda _, StackName: pages})()


def test_a_server_that_comes_back_is_waited_for_and_that_is_said_once(capsys, monkeypatch):
    """A killed server goes on with the stack when it is back; the deploy is to see its end."""
    monkeypatch.setattr(stack, "_POLL_S_MAX", 0.0)
    away = EndpointConnectionError(endpoint_url="http://here")
    cut = ConnectionClosedError(endpoint_url="http://here")
    starting = ClientError(
        {"Error": {"Code": "503"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "DescribeStacks"
    )
    going, done = {"StackStatus": "CREATE_IN_PROGRESS"}, {"StackStatus": "CREATE_COMPLETE"}
    cloud = Scripted(going, cut, away, away, starting, going, done)
    assert stack.watch(cloud, "id", "", lambda event: None)["StackStatus"] == "CREATE_COMPLETE"
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in said] == ["back", "again"]


def test_a_server_that_stays_away_ends_the_wait_with_what_to_do(monkeypatch):
    monkeypatch.setattr(stack, "_POLL_S_MAX", 0.0)
    monkeypatch.setattr(stack, "_AWAY_S_MAX", 0.0)
    cloud = Scripted(EndpointConnectionError(endpoint_url="http://here"))
    with pytest.raises(click.ClickException, match="stratolite up"):
        stack.watch(cloud, "id", "", lambda event: None)


def test_an_operation_cut_in_the_middle_is_begun_once(capsys, monkeypatch):
    """The repeat is refused, since the first was kept: the token in the events tells it was ours."""
    monkeypatch.setattr(stack, "_POLL_S_MAX", 0.0)
    cloud, tokens = Scripted({"StackStatus": "UPDATE_IN_PROGRESS"}), []

    def update_stack(StackName, ClientRequestToken):
        tokens.append(ClientRequestToken)
        if len(tokens) == 1:
            cloud.events.append({"EventId": "2", "ClientRequestToken": ClientRequestToken})
            raise ConnectionClosedError(endpoint_url="http://here")
        refusal = {"Error": {"Code": "ValidationError", "Message": "is in UPDATE_IN_PROGRESS"}}
        raise ClientError({**refusal, "ResponseMetadata": {"HTTPStatusCode": 400}}, "UpdateStack")

    cloud.update_stack = update_stack
    stack.begin(cloud, "update_stack", "s", "1")
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    cloud.events.clear()
    with pytest.raises(ClientError, match="UPDATE_IN_PROGRESS"):
        stack.begin(cloud, "update_stack", "s", "1")


def failed(number, logical_id, physical_id, reason):
    return {
        "EventId": str(number),
        "StackId": "id",
        "ResourceStatus": "DELETE_FAILED",
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id,
        "ResourceStatusReason": reason,
    }


def test_a_failed_stacks_reason_ends_with_that_of_its_first_failed_resource():
    """With --json no event is shown: the last line is the only place the reason can be."""
    events = [  # newest first
        failed(3, "s", "id", "failed to delete: [A, B]."),
        failed(2, "B", "", "cancelled"),
        failed(1, "A", "a", "not empty"),
    ]
    told = {"StackStatus": "DELETE_FAILED", "StackStatusReason": "failed to delete: [A, B]."}
    ended = stack.watch(Scripted(told, events=events), "id", "", lambda event: None)
    assert ended["StackStatusReason"] == "failed to delete: [A, B]. A: not empty"


def test_a_refusal_of_several_lines_is_one_line(capsys, monkeypatch):
    def refuse(*_):
        message = "Properties validation failed for resource F with message:\n#: no"
        raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "X")

    monkeypatch.setattr("stratolite.cli.target.quick_client", refuse)
    code, _, err = run(capsys, "delete", "s")
    assert (code, len(err.splitlines())) == (1, 1)
    assert err.endswith("with message: #: no\n")


def test_a_stack_that_cannot_be_updated_is_refused_with_what_to_do():
    """CloudFormation's own answer names the state and leaves the way out to the reader."""
    cloud = Scripted({"StackStatus": "DELETE_FAILED", "StackId": "id"})
    with pytest.raises(click.ClickException, match="stratolite delete s"):
        deploy._run(cloud, "s", {}, {}, False, "http://here", False)


@pytest.mark.parametrize(
    ("text", "expected_s"), [("90", 90), ("1.5", 1.5), ("15m", 900), ("2h30m", 9000), ("7d", 604_800)]
)  # fmt: skip
def test_time_spans_are_written_as_people_write_them(text, expected_s):
    assert clock.seconds(text) == expected_s


@pytest.mark.parametrize("text", ["", "soon", "-5", "5x", "m", "1h-3m"])
def test_what_is_no_time_span_is_wrong_usage(text):
    with pytest.raises(click.UsageError):
        clock.seconds(text)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b]0;owned\x07\x1b[2J\x1b[31mred", r"\x1b]0;owned\x07\x1b[2J\x1b[31mred"),
        ("a\rb\x08c\x00", r"a\x0db\x08c\x00"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("user\u202etxt.exe\u2066\u200f", r"user\u202etxt.exe\u2066\u200f"),
        ("two\nlines\tand é ✓", "two\nlines\tand é ✓"),
    ],
)
def test_what_a_function_printed_does_not_steer_the_terminal(monkeypatch, said, shown):
    """Piped it is left as it was: who reads it then is a program."""
    monkeypatch.setattr(screen, "is_terminal", lambda **_: True)
    assert screen.harmless(said) == shown
    monkeypatch.setattr(screen, "is_terminal", lambda **_: False)
    assert screen.harmless(said) == said


def test_nor_does_what_mails_and_failed_resources_and_servers_say(monkeypatch, capsys):
    """An SNS message's text and a custom resource's Reason are a function's words too, and errors repeat what was sent."""
    evil = "\x1b]0;owned\x07"
    mail = {"ms": 0, "channel": "email", "to": "a@example.com", "subject": evil, "text": evil}
    monkeypatch.setattr(screen, "is_terminal", lambda **_: True)
    monkeypatch.setattr(outbox, "everything", lambda *_: [dict(mail)])
    shown = [run(capsys, "outbox"), run(capsys, "outbox", "--full"), run(capsys, "deploy", evil)]
    event = {"ResourceType": "Custom::X", "LogicalResourceId": "X", "ResourceStatus": "FAILED"}
    stack.print_event(event | {"ResourceStatusReason": evil})
    shown.append((0, *capsys.readouterr()))
    for _, out, err in shown:
        assert "owned" in out + err
        assert "\x1b]" not in out + err


@pytest.mark.parametrize("rule", ["http://x", "169.254.169.254", "f=", "a b"])
def test_a_rule_of_egress_that_is_none_stops_the_start(capsys, tmp_path, rule):
    """A typing error must not leave open, or shut, what was meant otherwise; and nothing is made before it is read."""
    code, _, err = run(capsys, "up", "--data", str(tmp_path / "data"), "--egress", rule)
    assert code == 1
    assert err.startswith(f"stratolite: cannot start: --egress {rule}: ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["doctor", "rekey"])
def test_where_no_cloud_is_nothing_is_examined_or_made(capsys, tmp_path, command):
    """A mistyped folder must not be called sound, and must not become a cloud."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("not ours")
    for data in ("typo", "other"):
        code, _, err = run(capsys, command, "--data", str(tmp_path / data))
        assert (code, err) == (1, f"stratolite: {tmp_path / data} holds no cloud\n")
    url = f"file://{tmp_path}/shared"
    code, _, err = run(capsys, command, "--data", url)
    assert (code, err) == (1, f"stratolite: {url} holds no cloud\n")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "other",
        "other/file",
    ]
