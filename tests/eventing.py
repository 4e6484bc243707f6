"""What the tests of services that deliver events share: queues that take them, time that passes, waiting without sleeping."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from stratolite.core.work import _keys
from stratolite.egress import Egress

ACCOUNT = "000000000000"


def queue(client: Any, name: str = "q", services: tuple[str, ...] = ("events.amazonaws.com",), **attributes: str) -> tuple[str, str]:  # fmt: skip
    """(URL, ARN) of a queue that lets ``services`` send to it."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]  # fmt: skip
    if services:
        statement = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sqs:SendMessage", "Resource": arn}  # fmt: skip
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [statement]})})  # fmt: skip
    return url, arn


def received(client: Any, url: str, count: int = 1, *, wait_s: int = 20, raw: bool = False) -> list[Any]:  # fmt: skip
    """The bodies of ``count`` messages, each waited for and deleted; fewer only when the wait ends."""
    sqs, found = client("sqs"), []
    while len(found) < count:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=min(10, count - len(found)), WaitTimeSeconds=wait_s,
            MessageAttributeNames=["All"], AttributeNames=["All"],
        )  # fmt: skip
        if not answer.get("Messages"):
            return found
        for message in answer["Messages"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message if raw else json.loads(message["Body"]))
    return found


def nothing_came(client: Any, url: str) -> bool:
    return client("sqs").receive_message(QueueUrl=url).get("Messages", []) == []


def advance(platform: Any, seconds: float) -> None:
    """The cloud clock, as ``stratolite clock advance`` moves it."""
    cloud = platform.cloud

    async def move() -> None:
        offset_s = await cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds))
        cloud.world.set_cloud_offset(offset_s)

    platform.run(move())


def role(client: Any, name: str, service: str, *allow: str) -> str:
    """A role that ``service`` may assume and that may do ``allow`` on everything."""
    iam = client("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}  # fmt: skip
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if allow:
        policy = {"Statement": [{"Effect": "Allow", "Action": list(allow), "Resource": "*"}]}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return arn


def user_client(client: Any, service: str, statements: list[dict[str, Any]], name: str = "ann") -> Any:  # fmt: skip
    """A client of a new IAM user that may do what ``statements`` say."""
    iam = client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return client(service, key=key["AccessKeyId"], secret=key["SecretAccessKey"])


@contextmanager
def web_site(platform: Any) -> Iterator[Any]:
    """A web server on this machine that says what it was sent (``got``) and answers what it is told to; egress lets it be reached.

    ``answers``: (status, body, more headers); /token gives a token, or what ``token_status`` says.
    """
    got: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            got.append((self.path, dict(self.headers), body))
            site: Any = self.server
            if self.path.startswith("/token"):
                site.tokens += 1
                status, answer, *more = site.token_status, b'{"access_token": "tok%d"}' % site.tokens  # fmt: skip
            else:
                status, answer, *more = site.answers.pop(0)
            self.send_response(status)
            for name, value in more[0].items() if more else ():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.got, server.tokens, server.token_status = [(200, b"")] * 10, got, 0, 200
    platform.cloud.egress = Egress([f"127.0.0.1:{server.server_port}"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def rest_api(client: Any, site: Any, kind: str = "NONE") -> str:
    """The id of an API whose stage ``prod`` has POST /orders/{id}, which is ``site``'s /behind/{id}."""
    api = client("apigateway")
    made: str = api.create_rest_api(name="a")["id"]
    parent = api.get_resources(restApiId=made)["items"][0]["id"]
    for part in ("orders", "{id}"):
        parent = api.create_resource(restApiId=made, parentId=parent, pathPart=part)["id"]
    place = {"restApiId": made, "resourceId": parent, "httpMethod": "POST"}
    api.put_method(**place, authorizationType=kind, requestParameters={"method.request.path.id": True})  # fmt: skip
    uri = f"http://127.0.0.1:{site.server_port}/behind/{{id}}"
    taken = {"integration.request.path.id": "method.request.path.id"}
    api.put_integration(**place, type="HTTP_PROXY", integrationHttpMethod="POST", uri=uri, requestParameters=taken)  # fmt: skip
    api.create_deployment(restApiId=made, stageName="prod")
    return made


def come_to_rest(platform: Any, *queues: str) -> None:
    """Wait until the workers of these queues, in this order, have nothing to do now."""
    cloud = platform.cloud

    def is_busy(tx: Any, keys: Any) -> bool:
        for space in (keys.ready, keys.claim):
            for _ in tx.scan(space.span(), limit=1):
                return True
        due = (keys.later.parts(key)[0] for key, _ in tx.scan(keys.later.span(), limit=1))
        return any(due_ms / 1000 <= tx.time_s for due_ms in due)

    async def rest() -> None:
        for name in queues:
            keys = _keys(name)
            for _ in range(20_000):
                if not await cloud.db.transact(lambda tx, keys=keys: is_busy(tx, keys)):
                    break
                await asyncio.sleep(0.005)
            else:
                raise AssertionError(f"{name} does not come to rest")

    platform.run(rest())


__all__ = [
    "ACCOUNT",
    "advance",
    "come_to_rest",
    "nothing_came",
    "queue",
    "received",
    "rest_api",
    "role",
    "user_client",
    "web_site",
]
