"""Doors: raw HTTP for services, in path form and in host form, and who is let near them."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from typing import Any

import pytest
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import to_http
from gateway.test_http1 import Fake, answers

from stratolite.gateway.hosts import Hosts, Place
from stratolite.gateway.listener import serve
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("localhost:4566", Place(True)),
        ("LOCALHOST", Place(True)),
        ("127.0.0.1:4566", Place(True)),
        ("127.8.9.1", Place(True)),
        ("[::1]:4566", Place(True)),
        ("s3.localhost", Place(True)),
        ("000000000000.localhost", Place(True)),
        ("b.s3.localhost:1", Place(True, "s3", "b")),
        ("my.dotted.b.s3.localhost", Place(True, "s3", "my.dotted.b")),
        ("b.s3.eu-west-1.localhost", Place(True, "s3", "b", "eu-west-1")),
        ("a.s3.s3.localhost", Place(True, "s3", "a.s3")),
        ("b.s3-website.us-gov-west-1.localhost", Place(True, "s3-website", "b", "us-gov-west-1")),
        ("b.s3-website-us-east-1.localhost", Place(True, "s3-website", "b", "us-east-1")),
        ("id.execute-api.us-east-1.localhost", Place(True, "execute-api", "id", "us-east-1")),
        ("id.lambda-url.localhost", Place(True, "lambda-url", "id")),
        ("b.s3.example.org", Place(True, "s3", "b", "", "example.org")),
        ("evil.example", Place(False)),
        ("localhost.evil.example", Place(False)),
        ("127.0.0.1.evil.example", Place(False)),
        ("notlocalhost", Place(False)),
        ("", Place(False)),
    ],
)
def test_which_names_are_ours(host, place) -> None:
    assert Hosts(["example.org"]).place(host) == place


@pytest.fixture
def door(platform, monkeypatch) -> list[tuple[Call, Door, HttpRequest]]:
    """Every visit to the execute-api door."""
    visits: list[tuple[Call, Door, HttpRequest]] = []
    service = platform.cloud.service("apigatewayv2")

    async def serve(self: Any, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        visits.append((call, door, request))
        return HttpResponse(200, [], b"served")

    monkeypatch.setattr(type(service), "serve", serve)
    return visits


def visit(
    platform, path: str, host: str = "localhost:4566", method: str = "GET", **headers: str
) -> int:
    sent = {"host": host} | {n.replace("_", "-"): v for n, v in headers.items()}
    return platform.send(HttpRequest(method, path, "q=1", sent, b""))[0]


def test_a_door_opens_by_path_and_by_host(platform, door) -> None:
    assert visit(platform, "/_aws/execute-api/abc/prod/a%20b") == 200
    assert visit(platform, "/_aws/execute-api/abc") == 200
    assert visit(platform, "/prod/a%20b", "abc.execute-api.eu-west-1.localhost:4566") == 200
    assert visit(platform, "/x", method="OPTIONS", host="abc.execute-api.localhost") == 200
    assert [v[1] for v in door] == [
        Door("execute-api", "abc", "/prod/a%20b", "/_aws/execute-api/abc"),
        Door("execute-api", "abc", "/", "/_aws/execute-api/abc"),
        Door("execute-api", "abc", "/prod/a%20b", ""),
        Door("execute-api", "abc", "/x", ""),
    ]
    assert door[2][0].region == "eu-west-1"
    assert all(v[0].principal.kind == "anonymous" for v in door)
    assert visit(platform, "/_aws/nothing/abc/") == 404
    assert visit(platform, "/_aws/execute-api/") == 404


def test_a_door_is_told_who_signed_and_believes_nothing_else(platform, door) -> None:
    """Forwarded headers would let any client choose its address."""
    request = AWSRequest("GET", "http://localhost:4566/_aws/execute-api/abc/x?b=1&a=2")
    SigV4Auth(Credentials("test", "test"), "execute-api", "us-east-1").add_auth(request)
    sent = to_http(request.prepare())
    assert platform.send(sent)[0] == 200
    assert door[-1][0].principal.kind == "root"
    sent.query = "b=1&a=3"
    assert platform.send(sent)[0] == 200
    assert door[-1][0].principal.kind == "anonymous"
    assert (
        visit(
            platform, "/_aws/execute-api/abc/", x_forwarded_for="1.2.3.4", authorization="Bearer x"
        )
        == 200
    )
    call, _, request = door[-1]
    assert "x-forwarded-for" not in request.headers
    assert request.headers["authorization"] == "Bearer x"
    assert call.context["aws:SourceIp"] == "127.0.0.1"
    assert call.endpoint == "http://localhost:4566"


def test_tls_speaks_the_same_http(tmp_path) -> None:
    cert, key = _certificate(tmp_path)

    async def main() -> None:
        app = Fake()
        server = await serve(app, "127.0.0.1", 0, cert_file=cert, key_file=key)
        try:
            trust = ssl.create_default_context(cafile=cert)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
            head = b"PUT /count HTTP/1.1\r\nHost: localhost\r\n"
            writer.write(head + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
            writer.write(b"GET /made?3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            raw = await asyncio.wait_for(reader.read(), 60)
            assert answers(raw) == [(200, b"3000000"), (200, b"z" * 196_608)]
            assert [r.scheme for r in app.seen] == ["https", "https"]
            writer.close()
        finally:
            await server.close(graceful=False)

    uvloop.run(main())


def _certificate(folder: Any) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")
