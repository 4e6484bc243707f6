"""What functions reach outside: nothing, or what ``--egress`` lists, through a proxy that judges each connection.

The places are servers of this test on loopback; only the one that a rule lists is reached.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from lambdas import create, role
from live.server_process import ServerProcess

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
]

CODE = """
import os, socket, urllib.request, urllib.error
import boto3

def fetch(url, body=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=5) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
    except OSError as error:
        return [0, str(error)]

def tunnel(place):
    host, _, port = os.environ.get("HTTPS_PROXY", "http://127.0.0.1:3128")[7:].partition(":")
    try:
        with socket.create_connection((host, int(port)), 3) as s:
            s.sendall(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n".encode())
            said = s.recv(65536).decode()
            if " 200 " not in said.splitlines()[0]:
                return said.splitlines()[0] + " | " + said.rpartition("\\r\\n\\r\\n")[2].strip()
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            heard = b""
            while more := s.recv(65536):
                heard += more
            return heard.decode().rpartition("\\r\\n\\r\\n")[2]
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    if event["do"] == "fetch":
        return fetch(event["url"], event.get("body", "").encode() or None)
    if event["do"] == "tunnel":
        return tunnel(event["place"])
    if event["do"] == "proxies":
        return {k: v for k, v in os.environ.items() if "proxy" in k.lower()}
    if event["do"] == "whoami":
        return boto3.client("sts").get_caller_identity()["Arn"]
    if event["do"] == "resolve":
        try:
            return socket.gethostbyname(event["host"])
        except OSError as error:
            return type(error).__name__
    if event["do"] == "raw":
        with socket.create_connection(("127.0.0.1", 3128), 3) as s:
            s.sendall(event["said"].encode())
            return s.recv(65536).decode().splitlines()[:1]
"""


class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = f"{self.command} {self.path} {self.headers.get('host')} ".encode() + self.rfile.read(
            size
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def places() -> Iterator[list[int]]:
    """Ports of two servers on loopback; a rule lists the first."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here) for _ in range(2)]
    for each in servers:
        threading.Thread(target=each.serve_forever, daemon=True).start()
    yield [each.server_port for each in servers]
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.fixture(scope="module")
def server(places: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = str(tmp_path_factory.mktemp("egress") / "data")
    with socket.socket() as free:  # its own port is listed, too: it must be refused all the same
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listed = (f"127.0.0.1:{places[0]}", f"localhost:{port}", "*.invalid")
    rules = [text for place in listed for text in ("--egress", f"open*={place}")]
    running = ServerProcess(folder, *rules, "--port", str(port))
    arn = role(running.client, "inside")
    for name in ("open-1", "shut"):
        create(running.client, name, CODE, Role=arn, Timeout=20)
    yield running
    assert running.stop() == 0


def ask(server: ServerProcess, name: str = "open-1", **event: Any) -> Any:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    said = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def test_a_listed_place_is_reached_by_plain_http_and_by_tunnel(server, places):
    url = f"http://127.0.0.1:{places[0]}/p?q=1"
    # Loopback without the proxy is the sandbox's own: NO_PROXY says so, hence by hand.
    assert ask(server, do="tunnel", place=f"127.0.0.1:{places[0]}").startswith("GET /")
    said = ask(server, do="raw", said=f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said == ["HTTP/1.0 200 OK"]


@pytest.mark.parametrize(
    "place",
    ["127.0.0.1:{1}", "127.0.0.2:{0}", "localhost:{1}", "[::1]:{0}", "169.254.169.254:80", "169.254.170.2:80",
     "10.0.0.1:443", "1.1.1.1:443", "example.com:443", "[::ffff:127.0.0.1]:{1}", "2130706433:{1}", "0.0.0.0:{0}",
     "[fe80::1]:80"],
)  # fmt: skip
def test_what_is_not_listed_is_refused_by_the_proxy(server, places, place):
    said = ask(server, do="tunnel", place=place.format(*places))
    assert said.startswith("HTTP/1.1 403 Forbidden | stratolite: "), said


def test_a_listed_name_without_an_address_is_a_bad_gateway(server):
    assert " 502 Bad Gateway | stratolite: a.invalid has no address" in ask(
        server, do="tunnel", place="a.invalid:443"
    )


def test_the_servers_own_port_is_no_place_to_be_root_at(server, places):
    """It is loopback and might be listed; there the default keys would be believed."""
    for name in ("127.0.0.1", "localhost", "127.0.0.2"):
        assert " 403 " in ask(server, do="tunnel", place=f"{name}:{server.port}")


def test_a_function_without_a_rule_has_no_proxy(server, places):
    assert ask(server, "shut", do="proxies") == {}
    assert (
        ask(server, "shut", do="tunnel", place=f"127.0.0.1:{places[0]}") == "ConnectionRefusedError"
    )
    assert set(ask(server, do="proxies")) == {
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }  # fmt: skip


def test_the_proxy_does_not_stand_between_a_function_and_its_cloud(server):
    assert ask(server, do="whoami").endswith("assumed-role/inside/open-1")


def test_a_function_asks_no_name_server(server):
    """Even with a proxy: names are asked for outside, and only those that a rule lists."""
    assert ask(server, do="resolve", host="listed.invalid") == "gaierror"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        ("GET https://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        ("CONNECT nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        ("CONNECT a:99999 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        ("BAD\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("\x16\x03\x01" * 20 + "\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ],
)
def test_the_proxy_answers_nonsense(server, said, status):
    assert ask(server, do="raw", said=said) == [status]
