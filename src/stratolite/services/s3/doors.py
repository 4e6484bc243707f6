"""The website endpoint: a bucket served to browsers, as everyone and no one (anonymous).

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteEndpoints.html
"""

from __future__ import annotations

from base64 import b64encode
from email.utils import formatdate, parsedate_to_datetime
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import ANONYMOUS, Call, Door, Response, Service
from stratolite.services.s3 import access_logs, cors, state, website
from stratolite.services.s3.faults import no_such_bucket
from stratolite.services.s3.state import Bucket

_SHOWN_HEADERS = {
    "ContentType": "Content-Type",
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentRange": "Content-Range",
    "ETag": "ETag",
    "StorageClass": "x-amz-storage-class",
    "ServerSideEncryption": "x-amz-server-side-encryption",
}
_DETAILS = ("BucketName", "Key", "Method", "ResourceType")


class Doors(Service):
    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        """One transaction; a GET's body is sent after it."""

        def answer(inner: Call) -> HttpResponse:
            return self._website(inner, door, request)

        return await call.transact(answer)

    def _website(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        method = request.method
        head = method == "HEAD"
        bucket = state.bucket(call.tx, door.label)
        if bucket is None:
            return _error_page(call, no_such_bucket(door.label), head=head)
        config = state.config(call.tx, bucket, "website")
        if config is None:
            fault = Fault(
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
                status=404,
                BucketName=bucket.name,
            )
            return _error_page(call, fault, head=head)
        call = call.scoped(bucket.account, bucket.region, ANONYMOUS)
        if method == "OPTIONS":
            return self._preflight(call, bucket, request)
        if method not in ("GET", "HEAD"):
            fault = Fault(
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                status=405,
                Method=method,
                ResourceType="OBJECT",
            )
            return _error_page(call, fault, head=False)
        response = self._page(call, bucket, config, door, request)
        key = website.index_key(config, unquote(door.path.removeprefix("/")))
        uri = door.path + (f"?{request.query}" if request.query else "")
        access_logs.visited(call, bucket, method, key, uri, response)
        origin = request.headers.get("origin")
        rules = state.config(call.tx, bucket, "cors")
        if origin and rules:
            rule = cors.find(rules, origin, method, ())
            if rule is not None:
                response.headers += cors.headers(rule, origin, (), preflight=False)
        return response

    def _preflight(self, call: Call, bucket: Bucket, request: HttpRequest) -> HttpResponse:
        method = request.headers.get("access-control-request-method", "")
        rules = state.config(call.tx, bucket, "cors")
        origin = request.headers.get("origin", "")
        asked = cors.asked_headers(request.headers)
        rule = cors.find(rules, origin, method, asked) if rules else None
        if rule is None:
            return _error_page(call, cors.refused(enabled=bool(rules), method=method), head=False)
        return HttpResponse(200, cors.headers(rule, origin, asked, preflight=True))

    def _page(
        self, call: Call, bucket: Bucket, config: website.Config, door: Door, request: HttpRequest
    ) -> HttpResponse:
        head = request.method == "HEAD"
        if door.base and request.path == door.base:  # so that relative links find their way
            return HttpResponse(302, [("Location", f"{door.base}/")])
        redirect = website.everything_redirected(config, door.path, request.query)
        if redirect is not None:
            return _redirected(redirect, door, request)
        try:
            key = unquote(door.path.removeprefix("/"), errors="strict")
        except UnicodeDecodeError:
            fault = Fault("InvalidURI", "Couldn't parse the specified URI.", status=400)
            return _error_page(call, fault, head=head)
        redirect = website.routed(config, key, None)
        if redirect is not None:
            return _redirected(redirect, door, request)
        target = website.index_key(config, key)
        try:
            found = self._object(call, bucket, target, request)
        except Fault as fault:
            if fault.status == 304:
                return _not_modified(fault)
            if fault.status == 416:
                return _error_page(call, fault, head=head)
            folder = website.index_key(config, f"{key}/")
            if (
                target == key
                and fault.status in (403, 404)
                and self._readable(call, bucket, folder)
            ):
                return HttpResponse(302, [("Location", f"{door.base}/{quote(key)}/")])
            redirect = website.routed(config, key, fault.status)
            if redirect is not None:
                return _redirected(redirect, door, request)
            return self._error(call, bucket, config, fault, head=head)
        location = found.get("WebsiteRedirectLocation")
        if location:
            where = f"{door.base}{location}" if location.startswith("/") else location
            return HttpResponse(301, [("Location", where)])
        return _shown(found, head=head)

    def _object(
        self, call: Call, bucket: Bucket, key: str, request: HttpRequest | None
    ) -> Response:
        """GetObject as everyone, with the request's conditions and range. Raises Fault."""
        asked: dict[str, Any] = {"Bucket": bucket.name, "Key": key}
        if request is not None:
            headers = request.headers
            for member, name in (
                ("Range", "range"),
                ("IfRange", "if-range"),
                ("IfMatch", "if-match"),
                ("IfNoneMatch", "if-none-match"),
            ):
                if name in headers:
                    asked[member] = headers[name]
            for member, name in (
                ("IfModifiedSince", "if-modified-since"),
                ("IfUnmodifiedSince", "if-unmodified-since"),
            ):
                if name in headers and (time_s := _http_date(headers[name])) is not None:
                    asked[member] = time_s
        self.cloud.authorize(call, self, "GetObject", asked)
        found: Response = self.get_object(call, asked)  # type: ignore[attr-defined]  # of the whole service
        return found

    def _readable(self, call: Call, bucket: Bucket, key: str) -> bool:
        try:
            self._object(call, bucket, key, None)
        except Fault:
            return False
        return True

    def _error(
        self, call: Call, bucket: Bucket, config: website.Config, fault: Fault, *, head: bool
    ) -> HttpResponse:
        document = (config.get("ErrorDocument") or {}).get("Key")
        if not document or not 400 <= (fault.status or 400) < 500:
            return _error_page(call, fault, head=head)
        try:
            found = self._object(call, bucket, document, None)
        except Fault as nested:
            return _error_page(call, fault, head=head, nested=nested)
        response = _shown(found, head=head)
        response.status = fault.status or 400
        return response


def _shown(found: Response, *, head: bool) -> HttpResponse:
    headers = [(name, str(found[m])) for m, name in _SHOWN_HEADERS.items() if m in found]
    headers += [
        ("Last-Modified", formatdate(found["LastModified"], usegmt=True)),
        ("Accept-Ranges", "bytes"),
        ("Content-Length", str(found["ContentLength"])),
    ]
    if "Expires" in found:
        expires = found["Expires"]
        text = expires if isinstance(expires, str) else formatdate(expires, usegmt=True)
        headers.append(("Expires", text))
    headers += [(f"x-amz-meta-{name}", value) for name, value in found["Metadata"].items()]
    status = 206 if "ContentRange" in found else 200
    return HttpResponse(status, headers, b"" if head else found["Body"])


def _not_modified(fault: Fault) -> HttpResponse:
    modified = formatdate(fault.members["LastModified"], usegmt=True)
    return HttpResponse(304, [("ETag", fault.members["ETag"]), ("Last-Modified", modified)])


def _redirected(redirect: website.Redirect, door: Door, request: HttpRequest) -> HttpResponse:
    protocol = redirect.protocol or request.scheme
    host = redirect.host or request.headers.get("host", "")
    base = door.base if redirect.host is None else ""
    return HttpResponse(
        redirect.status, [("Location", f"{protocol}://{host}{base}{redirect.path}")]
    )


def _error_page(
    call: Call, fault: Fault, *, head: bool, nested: Fault | None = None
) -> HttpResponse:
    """S3's HTML for an error, and for the failure to get the error document."""
    status = fault.status or 400
    title = f"{status} {HTTPStatus(status).phrase}"
    lines = [
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<h1>{title}</h1>",
        "<ul>",
        *_facts(fault),
        f"<li>RequestId: {escape(call.request_id)}</li>",
        f"<li>HostId: {_host_id(call)}</li>",
        "</ul>",
    ]
    if nested is not None:
        lines += [
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>",
            "<ul>",
            *_facts(nested),
            "</ul>",
        ]
    lines += ["<hr/>", "</body>", "</html>", ""]
    body = "\n".join(lines).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("x-amz-error-code", fault.code),
        ("x-amz-error-message", fault.message),
    ]
    if head:
        headers.append(("Content-Length", str(len(body))))
    return HttpResponse(status, headers, b"" if head else body)


def _host_id(call: Call) -> str:
    """As x-amz-id-2 of an answer of the API."""
    return b64encode(b"stratolite/" + call.request_id.encode()).decode()


def _facts(fault: Fault) -> list[str]:
    facts = [("Code", fault.code), ("Message", fault.message)]
    facts += [(name, fault.members[name]) for name in _DETAILS if name in fault.members]
    return [f"<li>{name}: {escape(str(value))}</li>" for name, value in facts]


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
