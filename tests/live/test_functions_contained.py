"""What a function reaches from inside a running server: the platform, as its role, and nothing else.

Each attack is one a function makes; each fails without its guard.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lambdas import create, role
from live.server_process import ServerProcess

from stratolite.core.seals import Seals

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

CODE = """
import boto3, json, os, socket
from botocore.config import Config
from botocore.exceptions import ClientError

def reach(host, port):
    with socket.socket() as s:
        s.settimeout(1)
        try:
            s.connect((host, port))
        except OSError as error:
            return type(error).__name__
    return "reached"

def handler(event, context):
    what = event["do"]
    if what == "whoami":
        return boto3.client("sts").get_caller_identity()["Arn"]
    if what == "bucket":
        s3 = boto3.client("s3")
        s3.put_object(Bucket=event["bucket"], Key="k", Body=b"x" * event["size"])
        return len(s3.get_object(Bucket=event["bucket"], Key="k")["Body"].read())
    if what == "keys":
        try:
            return boto3.client("sts", aws_access_key_id=event["id"], aws_secret_access_key=event["secret"],
                                aws_session_token=None).get_caller_identity()["Arn"]
        except ClientError as error:
            return error.response["Error"]["Code"]
    if what == "tables":
        try:
            return boto3.client("dynamodb", aws_access_key_id="test", aws_secret_access_key="test",
                                aws_session_token=None).list_tables()["TableNames"]
        except ClientError as error:
            return error.response["Error"]["Code"]
    if what == "reach":
        return [reach(host, port) for host, port in event["places"]]
    if what == "send":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.sendto(b"x", tuple(event["place"]))
            except OSError as error:
                return type(error).__name__
        return "sent"
    if what == "abstract":
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(chr(0) + event["name"])
            except OSError as error:
                return type(error).__name__
        return "reached"
    if what == "interfaces":
        return sorted(line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:])
    if what == "hold":
        held = []
        for _ in range(900):
            s = socket.create_connection(("127.0.0.1", event["port"]), 2)
            held.append(s)
        return len(held)
"""
MARK = "what-only-the-servers-environment-says"
ROOT_KEY = ("AKIAROOTROOTROOT1234", "a-secret-of-root-for-this-test")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    before = os.environ.get("STRATOLITE_ROOT_KEY")
    os.environ["STRATOLITE_ROOT_KEY"] = ":".join(ROOT_KEY)
    os.environ["STRATOLITE_TEST_MARK"] = MARK
    try:
        running = ServerProcess(str(tmp_path_factory.mktemp("contained") / "data"))
    finally:
        del os.environ["STRATOLITE_ROOT_KEY"], os.environ["STRATOLITE_TEST_MARK"]
        if before is not None:
            os.environ["STRATOLITE_ROOT_KEY"] = before
    arn = role(running.client, "inside")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    running.client("iam").put_role_policy(
        RoleName="inside", PolicyName="all", PolicyDocument=json.dumps(policy)
    )
    create(running.client, "attack", CODE, Role=arn, Timeout=20, MemorySize=256)
    running.client("s3").create_bucket(Bucket="inside")
    yield running
    assert running.stop() == 0


def ask(server: ServerProcess, **event: Any) -> Any:
    answer = server.client("lambda").invoke(FunctionName="attack", Payload=json.dumps(event))
    said = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def test_boto3_in_a_function_reaches_the_platform_as_its_role(server):
    """Nothing is configured: the SDK takes AWS_ENDPOINT_URL and the role's keys from the environment."""
    arn = ask(server, do="whoami")
    assert arn == "arn:aws:sts::000000000000:assumed-role/inside/attack"
    assert ask(server, do="bucket", bucket="inside", size=3_000_000) == 3_000_000


@needs_root
@pytest.mark.parametrize(
    ("key_id", "secret"), [("test", "test"), ("111111111111", "test"), ROOT_KEY]
)
def test_keys_of_root_are_refused_from_a_function(server, key_id, secret):
    """Anybody knows the default keys; whoever reads root's real key somewhere must not be root from in there."""
    assert ask(server, do="keys", id=key_id, secret=secret) == "InvalidClientTokenId"


@needs_root
def test_a_way_learned_from_outside_is_not_open_to_a_function(server):
    """The gateway remembers what a head led to; who may use a key is asked each time."""
    for _ in range(3):
        assert server.client("dynamodb").list_tables()["TableNames"] == []
    assert ask(server, do="tables") == "UnrecognizedClientException"


@needs_root
def test_a_function_reaches_no_other_service_of_the_host(server):
    """Another server on the host's loopback and on its addresses, the metadata address, the internet."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        places = [("127.0.0.1", port), ("127.0.0.2", port), (_own_address(), port)]
        places += [("169.254.169.254", 80), ("169.254.170.2", 80), ("1.1.1.1", 53)]
        assert "reached" not in ask(server, do="reach", places=places)
        assert ask(server, do="interfaces") == ["lo"]


@needs_root
def test_a_function_reaches_the_server_at_no_other_address(server):
    """The port answers inside on 127.0.0.1 only, where the peer is known to be a sandbox."""
    places = [("127.0.0.1", server.port), ("127.0.0.2", server.port), (_own_address(), server.port)]
    first, *others = ask(server, do="reach", places=places)
    assert first == "reached"
    assert "reached" not in others


@needs_root
def test_a_function_sends_no_datagram_and_finds_no_abstract_socket(server):
    """Neither needs a listener on TCP: names could be looked up, a desktop's bus asked."""
    assert ask(server, do="send", place=["169.254.169.253", 53]) == "OSError"
    with socket.socket(socket.AF_UNIX) as bus:
        name = f"stratolite-test-{os.getpid()}"
        bus.bind(f"\0{name}")
        bus.listen()
        assert ask(server, do="abstract", name=name) == "ConnectionRefusedError"


@needs_root
def test_a_function_that_holds_connections_does_not_stop_others(server):
    """Its connections are counted apart from everybody else's, and end with it."""
    assert ask(server, do="hold", port=server.port) == 900
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert ask(server, do="whoami").endswith("/attack")


# -- the zygote


@needs_root
def test_the_zygote_is_clean(server):
    """Executed, not forked: nothing the server holds, maps, knows or was told is in it, so it is in no sandbox either."""
    ask(server, do="whoami")
    (zygote,) = [
        pid for pid in _children(server.process.pid) if b"guest/zygote.py" in _file(pid, "cmdline")
    ]
    assert _file(zygote, "environ") == b""
    data = os.path.realpath(server.folder)
    links = [os.readlink(f"/proc/{zygote}/fd/{fd}") for fd in os.listdir(f"/proc/{zygote}/fd")]
    assert not [link for link in links if link.startswith(f"{data}/")]
    kinds = sorted({link.partition("[")[0].rstrip(":") for link in links if link != "/dev/null"})
    assert set(kinds) <= {"socket", "pipe", "pid", "net", "user", f"{server.folder}.stderr"}
    maps = _file(zygote, "maps").decode()
    assert "lmdb" not in maps
    assert f"{data}/" not in maps
    keys = [path.read_bytes().strip() for path in Path(Seals(server.folder).folder).iterdir()]
    assert keys
    secrets = [MARK.encode(), *(key for key in keys if len(key) >= 16)]
    ours = _memory(server.process.pid)
    assert MARK.encode() in ours, "the search finds what is there"
    theirs = _memory(zygote)
    assert b"dies-with-server" in theirs, "the search finds what is there"
    for secret in [*secrets, ROOT_KEY[1].encode()]:  # the last one a test tells its function
        assert secret not in theirs
    sandboxes = _children(zygote)
    assert sandboxes
    for pid in sandboxes:
        inside = _memory(pid)
        assert b"AWS_SECRET_ACCESS_KEY" in inside
        for secret in secrets:
            assert secret not in inside


def _file(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _children(pid: int) -> list[int]:
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        found += map(int, _file(pid, f"task/{task}/children").split())
    return found


def _memory(pid: int) -> bytes:
    """Everything writable in a process."""
    pieces = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in _file(pid, "maps").decode().splitlines():
            span, rights, *_ = line.split()
            start, stop = (int(n, 16) for n in span.split("-"))
            if "w" not in rights:
                continue
            memory.seek(start)
            try:
                while start < stop and (piece := memory.read(min(stop - start, 1 << 20))):
                    pieces.append(piece)
                    start += len(piece)
            except OSError:
                continue
    return b"".join(pieces)


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.3"
        return str(probe.getsockname()[0])
