"""The examples as a user meets them: deployed by the command, used in a real browser and with the aws command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from live.browser import PROGRAM, Browser
from live.server_process import SRC, ServerProcess

ROOT = Path(__file__).parents[2]
PICTURES = os.environ.get("STRATOLITE_PICTURES")
pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = ServerProcess(str(tmp_path_factory.mktemp("live") / "data"))
    yield made
    if made.process.poll() is None:
        assert made.stop() == 0


def environment(server):
    return os.environ | {
        "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": SRC, "AWS_PAGER": "",
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }  # fmt: skip


def stratolite(server, *words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "stratolite", *words],
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


def aws(server, *words):
    program = Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [str(program), *words], env=environment(server), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@pytest.fixture(scope="module")
def bookmarks(server):
    """Deployed, and the page copied with the aws command, as the example's README says."""
    out = json.loads(
        stratolite(server, "deploy", str(ROOT / "examples/bookmarks/template.yaml"), "--json")
    )["outputs"]
    aws(
        server,
        "s3",
        "cp",
        str(ROOT / "examples/bookmarks/site"),
        f"s3://{out['SiteBucket']}/",
        "--recursive",
    )
    config = Path(server.folder).with_name("config.js")
    config.write_text(f'window.API = "{out["ApiUrl"]}";\n')
    aws(server, "s3", "cp", str(config), f"s3://{out['SiteBucket']}/config.js")
    return out


@pytest.fixture(scope="module")
def zerocal(server):
    return json.loads(
        stratolite(server, "deploy", str(ROOT / "examples/zerocal/template.yaml"), "--json")
    )["outputs"]


@pytest.fixture
def browser():
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine")
    made = Browser()
    yield made
    made.close()


def test_bookmarks_in_a_browser(server, bookmarks, browser):
    """A person signs up, adds bookmarks, looks into a folder, removes one, and finds all of it after a restart of both."""
    browser.go(bookmarks["SiteUrl"])
    browser.until("document.getElementById('join').checkVisibility()")
    browser.fill("#join", name="Ann", email="ann@example.org")
    browser.until(
        "document.getElementById('app').checkVisibility() && !document.getElementById('join').checkVisibility()"
    )
    for number, (title, folder) in enumerate(
        (("SQLite", "databases"), ("LMDB", "databases"), ("Python", "languages")), 1
    ):
        browser.fill("#add", url=f"https://example.org/{title}", title=title, folder=folder)
        browser.until(f"document.querySelectorAll('#list li').length === {number}")
    browser.run(
        "[...document.querySelectorAll('#tabs button')].find(b => b.textContent === 'databases').click()"
    )
    browser.until("document.querySelectorAll('#list li').length === 2")
    if PICTURES:
        browser.picture(f"{PICTURES}/bookmarks.png")
    browser.run("document.querySelector('#list li button').click()")
    browser.until("document.querySelectorAll('#list li').length === 1")
    server.kill()
    server.start()
    browser.go(bookmarks["SiteUrl"])
    browser.until("document.querySelectorAll('#list li').length === 2")
    titles = browser.run(
        "[...document.querySelectorAll('#list a')].map(a => a.textContent).sort().join()"
    )
    assert titles == "Python,SQLite"
    assert browser.run("document.getElementById('who').textContent") == "Ann"
    assert not [p for p in browser.problems if "favicon" not in p]


def test_zerocal_in_a_browser(server, zerocal, browser):
    """Without a query it shows a form; a date it cannot read comes back with the reason."""
    browser.go(zerocal["CalendarUrl"])
    assert browser.run("document.querySelectorAll('form input').length") == 7
    browser.fill("form", start="someday", title="Dinner")
    browser.until("document.querySelector('[role=alert]') !== null")
    assert "is not a date" in browser.run("document.querySelector('[role=alert]').textContent")
    assert browser.run("document.querySelector('[name=title]').value") == "Dinner"
    if PICTURES:
        browser.picture(f"{PICTURES}/zerocal.png")


def test_the_command_line_tells_what_is_there(server, bookmarks):
    status = json.loads(stratolite(server, "status", "--json"))
    assert [s["StackStatus"] for s in status["stacks"] if s["StackName"] == "bookmarks"] == [
        "CREATE_COMPLETE"
    ]
    names = [f["FunctionName"] for f in server.client("lambda").list_functions()["Functions"]]
    name = next(n for n in names if n.startswith("bookmarks-Customers-"))
    event = {"routeKey": "GET /customers/{customerId}", "pathParameters": {"customerId": "nobody"}}
    assert json.loads(stratolite(server, "invoke", name, json.dumps(event)))["statusCode"] == 404
    lines = stratolite(server, "logs", name).splitlines()
    assert any("START RequestId" in line for line in lines)
    assert stratolite(server, "invoke", "nobody", code=1).startswith(
        "stratolite: ResourceNotFoundException"
    )
    assert "there is no stack" in stratolite(server, "delete", "nobody", code=1)


def test_deploying_again_changes_only_what_changed(server, zerocal, tmp_path):
    template = ROOT / "examples/zerocal/template.yaml"
    assert (
        json.loads(stratolite(server, "deploy", str(template), "--json"))["status"]
        == "CREATE_COMPLETE"
    )
    changed = tmp_path / "zerocal" / "template.yaml"
    changed.parent.mkdir()
    text = (
        template.read_text()
        .replace("Timeout: 5", "Timeout: 6")
        .replace("CodeUri: src/", f"CodeUri: {template.parent / 'src'}")
    )
    changed.write_text(text)
    out = json.loads(stratolite(server, "deploy", str(changed), "--json"))
    assert (out["status"], out["outputs"]) == ("UPDATE_COMPLETE", zerocal)
    name = aws(
        server,
        "cloudformation",
        "describe-stack-resource",
        "--stack-name",
        "zerocal",
        "--logical-resource-id",
        "Calendar",
    )
    function = name["StackResourceDetail"]["PhysicalResourceId"]
    assert (
        aws(server, "lambda", "get-function-configuration", "--function-name", function)["Timeout"]
        == 6
    )


def test_a_template_that_cannot_work_is_refused_in_one_line(server, tmp_path):
    """Nothing is made for a type that is not offered."""
    bad = tmp_path / "bad" / "template.yaml"
    bad.parent.mkdir()
    bad.write_text(
        "Resources:\n  A:\n    Type: AWS::EC2::Instance\n  B:\n    Type: AWS::S3::Bucket\n"
    )
    said = stratolite(server, "deploy", str(bad), code=1)
    assert "AWS::EC2::Instance" in said
    assert len(said.strip().splitlines()) == 1
    assert not [
        b for b in server.client("s3").list_buckets()["Buckets"] if b["Name"].startswith("bad")
    ]


def test_a_deleted_stack_leaves_nothing(server, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    (folder / "template.yaml").write_text(
        "Resources:\n  T:\n    Type: AWS::Logs::LogGroup\n    Properties: {LogGroupName: gone}\n"
    )
    stratolite(server, "deploy", str(folder / "template.yaml"))
    assert server.client("logs").describe_log_groups(logGroupNamePrefix="gone")["logGroups"]
    assert "DELETE_COMPLETE" in stratolite(server, "delete", "gone")
    assert not server.client("logs").describe_log_groups(logGroupNamePrefix="gone")["logGroups"]
