"""A web page of somebody else, in a real browser on the developer's own machine, against a cloud whose default keys everybody knows.

The page's server signs with ``test``/``test`` beforehand, so that the page need not: each request would be carried out if it
came from a program. In the browser none may change anything or tell its answer, whether the page is on another origin or on a
name that was pointed at this machine after it was loaded (DNS rebinding).
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.auth import S3SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from live import browser
from live.browser import Browser
from live.server_process import ServerProcess

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(400),
    pytest.mark.skipif(browser.PROGRAM is None, reason="needs Chromium"),
]
KEYS = Credentials("test", "test")
SECRET = "what only the owner reads"


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>free pictures</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(str(tmp_path_factory.mktemp("page") / "data"))
    s3 = running.client("s3")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=SECRET.encode(), ContentType="text/plain")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def hostile() -> Iterator[int]:
    """The port of the page's own server."""
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    yield pages.server_port
    pages.shutdown()
    pages.server_close()


@pytest.fixture(scope="module")
def chromium(server: ServerProcess) -> Iterator[Browser]:
    """``evil.example`` leads to this machine, as after a rebinding."""
    opened = Browser("--host-resolver-rules=MAP *.example 127.0.0.1")
    yield opened
    opened.close()


def presigned(host: str, path: str, service: str = "s3", method: str = "GET") -> str:
    """A URL that carries its signature."""
    from botocore.auth import S3SigV4QueryAuth

    made = AWSRequest(method, f"http://{host}{path}")
    signer = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
    signer(KEYS, service, "us-east-1").add_auth(made)
    return made.url


def signed(host: str, path: str, method: str, body: bytes = b"") -> dict[str, str]:
    """Headers that carry the signature of a request to S3."""
    made = AWSRequest(method, f"http://{host}{path}", data=body, headers={"Host": host})
    made.context["payload_signing_enabled"] = True
    S3SigV4Auth(KEYS, "s3", "us-east-1").add_auth(made)
    return {name: value for name, value in made.headers.items() if name.lower() != "host"}


def fetched(chromium: Browser, url: str, **options: Any) -> str:
    """What a script of the page learns: the status and text, or that it learns nothing."""
    script = f"""
        fetch({json.dumps(url)}, {json.dumps(options)})
            .then(async answer => answer.type + " " + answer.status + " " + await answer.text())
            .catch(error => "error " + error.name)
    """
    return str(chromium.run(script))


def untouched(server: ServerProcess) -> None:
    s3 = server.client("s3")
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == SECRET.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["k"]
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["photos"]
    assert server.client("sqs").list_queues().get("QueueUrls", []) == []


def test_a_program_may_do_what_the_page_may_not(server):
    """Else the tests below would show nothing."""
    host = f"127.0.0.1:{server.port}"
    with urlopen(presigned(host, "/photos/k"), timeout=60) as answer:
        assert answer.read().decode() == SECRET
    put = Request(
        f"http://{host}/photos/new", b"x", signed(host, "/photos/new", "PUT", b"x"), method="PUT"
    )
    with urlopen(put, timeout=60) as answer:
        assert answer.status == 200
    server.client("s3").delete_object(Bucket="photos", Key="new")
    untouched(server)


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("page", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_on_another_origin_reads_nothing(server, hostile, chromium, page, place):
    chromium.go(f"http://{page}:{hostile}/")
    host = f"{place}:{server.port}"
    url = presigned(host, "/photos/k")
    for options in (
        {},
        {"mode": "no-cors"},
        {"credentials": "include"},
        {"mode": "no-cors", "cache": "force-cache"},
    ):
        said = fetched(chromium, url, **options)
        assert SECRET not in said
        assert said.startswith(("error", "opaque 0")), said
    said = fetched(chromium, f"http://{host}/photos/k", headers=signed(host, "/photos/k", "GET"))
    assert said.startswith("error")
    untouched(server)


def test_a_page_on_another_origin_changes_nothing(server, hostile, chromium):
    """By everything a page can send without asking first: forms, images, scripts, frames, windows, beacons; and by what it must ask for."""
    chromium.go(f"http://evil.example:{hostile}/")
    host = f"127.0.0.1:{server.port}"
    make_queue = presigned(host, "/?Action=CreateQueue&QueueName=q&Version=2012-11-05", "sqs")
    make_bucket = presigned(host, "/stolen", method="PUT")
    form = presigned(host, "/photos/new", method="POST")
    scripts = [
        f"new Promise(done => {{ const i = new Image(); i.onload = i.onerror = done; i.src = {json.dumps(make_queue)} }}).then(() => 1)",
        f"new Promise(done => {{ const s = document.createElement('script'); s.onload = s.onerror = done; s.src = {json.dumps(make_queue)}; document.body.append(s) }}).then(() => 1)",
        f"new Promise(done => {{ const f = document.createElement('iframe'); f.onload = done; f.src = {json.dumps(make_queue)}; document.body.append(f) }}).then(() => 1)",
        f"navigator.sendBeacon({json.dumps(make_queue)}, 'x') && 1",
        f"""new Promise(done => {{
            const frame = document.createElement('iframe'); frame.name = 'f'; frame.onload = done; document.body.append(frame);
            const form = document.createElement('form');
            form.method = 'post'; form.action = {json.dumps(make_queue)}; form.target = 'f'; document.body.append(form); form.submit();
        }}).then(() => 1)""",
    ]
    for script in scripts:
        chromium.run(script)
    for method, url in (
        ("PUT", make_bucket),
        ("POST", form),
        ("DELETE", presigned(host, "/photos/k", method="DELETE")),
    ):
        for mode in ("cors", "no-cors"):
            assert fetched(chromium, url, method=method, mode=mode).startswith(
                ("error", "opaque 0")
            )
    headers = signed(host, "/photos/new", "PUT", b"x")
    assert fetched(
        chromium, f"http://{host}/photos/new", method="PUT", body="x", headers=headers
    ).startswith("error")
    dynamo = {
        "method": "POST",
        "body": "{}",
        "mode": "no-cors",
        "headers": {"Content-Type": "text/plain"},
    }
    fetched(chromium, f"http://{host}/", **dynamo)
    untouched(server)


def test_a_window_opened_on_a_signed_link_does_nothing(server, hostile, chromium):
    """What a click on a link does: the browser says where it came from."""
    chromium.go(f"http://evil.example:{hostile}/")
    url = presigned(
        f"127.0.0.1:{server.port}", "/?Action=CreateQueue&QueueName=q&Version=2012-11-05", "sqs"
    )
    chromium.run(f"location.href = {json.dumps(url)}")
    chromium.until(
        f"location.host === '127.0.0.1:{server.port}' && document.readyState === 'complete'"
    )
    untouched(server)


def test_a_page_whose_name_was_pointed_here_is_refused_for_its_name(server, chromium):
    """After a rebinding the browser takes us for the page's own server: no Origin, no Sec-Fetch-Site, nothing to ask for first.

    What is left to tell it is the Host header, for which the page may even sign.
    """
    host = f"evil.example:{server.port}"
    chromium.go(f"http://{host}/_stratolite/health")
    for url in (
        presigned(host, "/photos/k"),
        presigned(f"127.0.0.1:{server.port}", "/photos/k").replace("127.0.0.1", "evil.example"),
    ):
        said = fetched(chromium, url)
        assert said.startswith("basic 403"), said
        assert SECRET not in said
    said = fetched(chromium, f"http://{host}/photos/k", headers=signed(host, "/photos/k", "GET"))
    assert said.startswith("basic 403")
    assert SECRET not in said
    said = fetched(
        chromium,
        f"http://{host}/photos/k",
        method="DELETE",
        headers=signed(host, "/photos/k", "DELETE"),
    )
    assert said.startswith("basic 403")
    said = fetched(
        chromium, presigned(host, "/?Action=CreateQueue&QueueName=q&Version=2012-11-05", "sqs")
    )
    assert said.startswith("basic 403")
    untouched(server)


def test_the_same_script_under_a_name_that_is_ours_is_answered(tmp_path, chromium):
    """So it was the name, and nothing else, for which it was refused above."""
    ours = ServerProcess(str(tmp_path / "data"), "--name", "ours.example")
    try:
        s3 = ours.client("s3")
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="k", Body=SECRET.encode())
        host = f"ours.example:{ours.port}"
        chromium.go(f"http://{host}/_stratolite/health")
        assert fetched(chromium, presigned(host, "/photos/k")) == f"basic 200 {SECRET}"
    finally:
        ours.kill()
