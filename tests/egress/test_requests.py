"""Requests over real sockets on loopback: what is sent, what is refused, what is cut short."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest

from stratolite.egress import Egress, Failed, Own, Refused

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Said: yes\r\n\r\nhi"


class Place:
    """A server that notes whole requests and answers as told."""

    def __init__(self, answer: bytes | Serve = OK, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        self._answer, self._tls = answer, tls

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._one, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            self.heard.append(head + await reader.readexactly(size))
            if isinstance(self._answer, bytes):
                writer.write(self._answer)
                await writer.drain()
            else:
                await self._answer(head, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def run(body: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(body())


def names(**addresses: list[str]) -> Callable[[str], Awaitable[list[str]]]:
    async def resolve(host: str) -> list[str]:
        if host.partition(".")[0] not in addresses:
            raise OSError("no such name")
        return addresses[host.partition(".")[0]]

    return resolve


def test_a_request_arrives_whole_and_its_answer_comes_back():
    async def body() -> None:
        async with Place() as place:
            egress = Egress([f"127.0.0.1:{place.port}"], resolve=names(hooks=["127.0.0.1"]))
            answer = await egress.request(
                "POST",
                f"http://us%65r:p%20w@hooks.example:{place.port}/a b?x=ä&y=%2F".replace(" ", "%20"),
                [("Content-Type", "text/plain"), ("Host", "other"), ("Content-Length", "9")],
                b"body",
            )
            assert (answer.status, answer.header("x-said"), answer.body) == (200, "yes", b"hi")
            head, _, sent = place.heard[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"POST /a%20b?x=%C3%A4&y=%2F HTTP/1.1"
            assert {line.lower() for line in lines[1:]} == {
                f"host: hooks.example:{place.port}".encode(), b"connection: close", b"content-type: text/plain",
                b"content-length: 4", b"user-agent: stratolite", b"authorization: basic dxnlcjpwihc=",
            }  # fmt: skip
            assert sent == b"body"

    run(body)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "app.localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1",
     "0", "0177.0.0.1", "inside.example", "mixed.example"],
)  # fmt: skip
def test_what_is_inside_is_refused_by_whatever_name(host, monkeypatch):
    """Also for a name of which only one address is inside: it could choose which is tried."""

    async def body() -> None:
        async with Place() as place:
            known = names(inside=["127.0.0.1"], mixed=["1.1.1.1", "127.0.0.1"])

            async def resolve(name: str) -> list[str]:
                return await (known(name) if name.endswith("example") else by_system(name))

            egress = Egress(resolve=resolve)
            with pytest.raises(Refused):
                await egress.request("GET", f"http://{host}:{place.port}/")
            assert place.heard == []

    from stratolite.egress.room import _by_system as by_system

    run(body)


def test_a_name_is_asked_for_once_and_the_address_judged_is_the_one_connected_to():
    """DNS rebinding: the second answer would be loopback, and nobody asks for it."""

    async def body() -> None:
        async with Place() as place:
            asked = []

            async def resolve(host: str) -> list[str]:
                asked.append(host)
                return ["127.0.0.1"] if len(asked) == 2 else ["127.0.0.2"]

            egress = Egress(["127.0.0.2"], resolve=resolve)  # nobody listens there
            with pytest.raises(Failed) as failed:
                await egress.request("GET", f"http://rebinding.example:{place.port}/")
            assert (failed.value.why, len(asked)) == ("connect", 1)
            with pytest.raises(Refused):
                await egress.request("GET", f"http://rebinding.example:{place.port}/")
            assert place.heard == []

    run(body)


def test_a_functions_connection_goes_to_the_address_judged_and_only_names_it_may_are_asked_for():
    """The proxy's part of the room: rebinding, and names as a way out."""

    async def body() -> None:
        async with Place() as place:
            asked: list[str] = []

            async def resolve(host: str) -> list[str]:
                asked.append(host)
                return ["127.0.0.1"] if len(asked) == 2 else ["127.0.0.2"]

            egress = Egress(["f=*.listed.example", "f=127.0.0.2"], resolve=resolve)
            with pytest.raises(Failed) as failed:
                await egress.connect("f", "a.listed.example", place.port)
            assert failed.value.why == "connect"  # nobody listens on 127.0.0.2
            with pytest.raises(Refused):
                await egress.connect("f", "a.listed.example", place.port)
            for who, host in (("f", "secret.attacker.example"), ("g", "a.listed.example")):
                with pytest.raises(Refused):
                    await egress.connect(who, host, place.port)
            assert asked == ["a.listed.example"] * 2
            assert place.heard == []

    run(body)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "gopher://x/", "//example.com/", "example.com", "http://", "http:///x",
     "http://a b/", "http://example.com:0/", "http://example.com:99999/", "http://a\r\nb/", "http://exa\\mple.com/",
     "http://[fe80::1%25eth0]/", "http://[::1", "http://a..b/", "http://" + "a" * 64 + ".example/", "http://x/" + "a" * 9000,
     "http://a%2eb/", "http://exa,mple/"],
)  # fmt: skip
def test_what_is_no_url_of_the_web_is_refused(url):
    egress = Egress(resolve=names())
    with pytest.raises(Refused):
        run(lambda: egress.request("GET", url))
    with pytest.raises(Refused):
        egress.check(url)


def test_a_header_cannot_smuggle_another():
    egress = Egress(["127.0.0.1"])
    for name, value in (("X-A", "b\r\nX-C: d"), ("X-A\r\nX-C", "d"), ("X A", "b"), ("X-A", "b\0")):
        with pytest.raises(Refused):
            run(lambda n=name, v=value: egress.request("GET", "http://127.0.0.1:9/", [(n, v)]))


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    async def body() -> None:
        async with Place() as place, Place() as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            egress = Egress(["127.0.0.1"])
            await egress.request("GET", f"http://127.0.0.1:{place.port}/")
            assert (len(place.heard), len(proxy.heard)) == (1, 0)

    run(body)


# -- redirects


def to(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_redirect_is_an_answer_unless_asked_to_be_followed():
    async def body() -> None:
        async with Place(to("http://127.0.0.1:9/")) as place:
            answer = await Egress(["localhost"]).request("GET", f"http://127.0.0.1:{place.port}/")
            assert answer.status == 302

    run(body)


def test_a_redirect_to_the_inside_is_judged_like_a_first_request():
    async def body() -> None:
        async with Place() as inside:
            for location in (
                f"http://127.0.0.2:{inside.port}/",
                "http://169.254.169.254/",
                "file:///etc/passwd",
            ):
                async with Place(to(location)) as place:
                    egress = Egress([f"127.0.0.1:{place.port}"])
                    with pytest.raises(Refused):
                        await egress.request(
                            "GET", f"http://127.0.0.1:{place.port}/", redirects_max=3
                        )
            assert inside.heard == []

    run(body)


def test_credentials_do_not_follow_a_redirect_elsewhere():
    async def body() -> None:
        async with Place() as second, Place(to(f"http://127.0.0.1:{second.port}/x")) as first:
            headers = [("Authorization", "Bearer secret"), ("X-Keep", "1")]
            answer = await Egress(["127.0.0.1"]).request(
                "POST", f"http://127.0.0.1:{first.port}/", headers, b"b", redirects_max=2
            )
            assert answer.status == 200
            (head,) = second.heard
            assert head.startswith(b"GET /x HTTP/1.1")
            assert b"secret" not in head
            assert b"x-keep: 1" in head.lower()

    run(body)


def test_redirects_in_a_circle_end():
    async def body() -> None:
        async with Place(to("/again", 307)) as place:
            with pytest.raises(Failed) as failed:
                await Egress(["127.0.0.1"]).request(
                    "GET", f"http://127.0.0.1:{place.port}/", redirects_max=3
                )
            assert failed.value.why == "protocol"
            assert len(place.heard) == 4

    run(body)


# -- caps


async def drip(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_head(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for n in range(100_000):
        writer.write(b"X-%d: %s\r\n" % (n, b"y" * 1000))
        await writer.drain()


async def interim(head: bytes, writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()


async def endless_chunks(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100_000):
        writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (drip, "timeout"),
        (endless_head, "protocol"),
        (interim, "protocol"),
        (endless_chunks, "too-large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 5000, "too-large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "protocol"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol"),
        (b"\x00\xff" * 100, "protocol"),
        (b"", "protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "protocol"),
    ],
)  # fmt: skip
def test_a_server_that_misbehaves_is_cut_off(answer, why):
    async def body() -> None:
        async with Place(answer) as place:
            with pytest.raises(Failed) as failed:
                await Egress(["127.0.0.1"]).request(
                    "GET", f"http://127.0.0.1:{place.port}/", timeout_s=0.5, answer_bytes_max=4096
                )
            assert failed.value.why == why

    run(body)


def test_an_answer_that_comes_before_the_body_was_read_is_heard():
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        try:
            await asyncio.sleep(0.2)
        finally:
            writer.close()

    async def body() -> None:
        server = await asyncio.start_server(early, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answer = await Egress(["127.0.0.1"]).request(
            "PUT", f"http://127.0.0.1:{port}/", body=bytes(20 << 20)
        )
        assert answer.status == 413
        server.close()

    run(body)


# -- TLS


def certificate(folder: Any, name: str) -> tuple[str, ssl.SSLContext]:
    """(the certificate's file, a server's context with it)"""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = f"{folder}/{name}.pem"
    with open(path, "wb") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))
    with open(f"{path}.key", "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, f"{path}.key")
    return path, context


def test_tls_is_verified_for_the_name_asked_for_at_the_address_judged(tmp_path):
    trusted, context = certificate(tmp_path, "hooks.example")

    async def body() -> None:
        async with Place(tls=context) as place:
            resolve = names(hooks=["127.0.0.1"], other=["127.0.0.1"])
            good = Egress(["127.0.0.1"], resolve=resolve, trust=trusted)
            answer = await good.request("GET", f"https://hooks.example:{place.port}/")
            assert answer.body == b"hi"
            assert f"host: hooks.example:{place.port}".encode() in place.heard[0].lower()
            for egress, host in (
                (good, "other.example"),
                (Egress(["127.0.0.1"], resolve=resolve), "hooks.example"),
            ):
                with pytest.raises(Failed) as failed:
                    await egress.request("GET", f"https://{host}:{place.port}/")
                assert failed.value.why == "tls"
            assert len(place.heard) == 1

    run(body)


# -- this cloud's own endpoint


def test_our_own_endpoint_is_reached_as_a_stranger_and_never_by_the_network():
    """By the network the default keys would be believed, for the peer is loopback: whoever may only name a URL were root."""

    async def body() -> None:
        import socket

        async with Place() as front:

            async def opened() -> socket.socket:
                here, there = socket.socketpair()
                here.setblocking(False)

                async def serve() -> None:
                    reader, writer = await asyncio.open_connection(sock=there)
                    inside.append(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(OK)
                    writer.close()

                tasks.append(asyncio.ensure_future(serve()))
                return here

            inside: list[bytes] = []
            tasks: list[Any] = []
            egress = Egress(
                ["0.0.0.0/0", "localhost"], resolve=names(alias=["127.0.0.1"], far=["127.0.0.7"])
            )
            egress.own = Own(
                front.port, "http", lambda name: name in ("127.0.0.1", "localhost"), opened
            )
            for host in ("127.0.0.1", "localhost"):
                assert (await egress.request("GET", f"http://{host}:{front.port}/f")).body == b"hi"
            assert len(inside) == 2
            for host in ("alias.example", "127.0.0.2", "far.example"):
                with pytest.raises((Refused, Failed)):
                    await egress.request("GET", f"http://{host}:{front.port}/")
            assert front.heard == []

    run(body)
