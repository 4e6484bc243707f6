"""Browser uploads to S3: a multipart/form-data POST whose policy was signed, turned into a PutObject.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html

``read_form`` reads the fields; the file stays a stream. ``check_policy`` holds fields and file to the
policy. ``put_request`` is the PutObject they amount to, ``answer`` what the browser gets.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import re
from collections.abc import AsyncIterator, Mapping
from time import strptime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from stratolite.errors import Fault
from stratolite.http import BodyStream, HttpRequest, HttpResponse
from stratolite.wire.xml import escape

FIELDS_SIZE_BYTES_MAX = 20_000  # AWS: "no more than 20 KB" before the file
FILE_SIZE_BYTES_MAX = 5 << 30

_BOUNDARY = re.compile(
    r"""multipart/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE
)
_DISPOSITION = re.compile(rb"content-disposition:\s*form-data\s*;(.*)", re.IGNORECASE)
_NAME = re.compile(rb'(?:^|;)\s*name="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(rb'(?:^|;)\s*filename="([^"]*)"', re.IGNORECASE)
_TYPE = re.compile(rb"content-type:\s*(.*)", re.IGNORECASE)
_NOT_IN_POLICY = frozenset(
    {"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature", "bucket"}
)
_HEADERS = frozenset(
    {"cache-control", "content-type", "content-disposition", "content-encoding", "expires"}
)


class Form:
    """``fields`` by lower-case name; ``file`` is read once, after them."""

    def __init__(self, fields: dict[str, str], filename: str | None, file: Upload) -> None:
        self.fields, self.filename, self.file = fields, filename, file

    def named(self, value: str) -> str:
        """``value`` with the file's name in it; left alone where the file has none (LocalStack's recorded
        test_post_object_with_file_as_string)."""
        return value if self.filename is None else value.replace("${filename}", self.filename)


class Upload:
    """The file part of a form as a ``BodyStream``: ends at the boundary, never beyond the policy's range."""

    def __init__(self, source: AsyncIterator[bytes], rest: bytes, boundary: bytes) -> None:
        self.size_bytes: int | None = None
        self.trailers: Mapping[str, str] = {}
        self.range = (0, FILE_SIZE_BYTES_MAX)
        self._source, self._rest, self._mark = source, rest, b"\r\n--" + boundary

    async def __aiter__(self) -> AsyncIterator[bytes]:
        mark, rest, seen = self._mark, self._rest, 0
        while True:
            end = rest.find(mark)
            piece = rest[:end] if end >= 0 else rest[: max(0, len(rest) - len(mark))]
            seen += len(piece)
            if seen > self.range[1]:
                raise Fault(
                    "EntityTooLarge",
                    "Your proposed upload exceeds the maximum allowed size",
                    status=400,
                    ProposedSize=str(seen),
                    MaxSizeAllowed=str(self.range[1]),
                )
            if piece:
                yield piece
            if end >= 0:
                break
            rest = rest[len(piece) :]
            more = await anext(self._source, None)
            if more is None:
                raise _malformed()
            rest += more
        tail = rest[end + len(mark) :]
        async for more in self._source:
            tail += more[:100]
            if len(tail) > 1000:
                break
        if tail[:2] != b"--":
            raise _exactly_one()
        if seen < self.range[0]:
            raise Fault(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                status=400,
                ProposedSize=str(seen),
                MinSizeAllowed=str(self.range[0]),
            )


def is_form(request: HttpRequest) -> bool:
    kind = request.headers.get("content-type", "")
    return request.method == "POST" and kind[:19].lower() == "multipart/form-data"


async def read_form(request: HttpRequest) -> Form:
    """Reads up to the file. Raises Fault."""
    found = _BOUNDARY.match(request.headers["content-type"])
    if not found:
        raise _malformed()
    boundary = (found[1] or found[2]).encode("latin-1")
    source = _pieces(request.body)
    data, fields = b"\r\n", dict[str, str]()
    mark = b"\r\n--" + boundary + b"\r\n"
    used = 0

    async def until(what: bytes) -> bytes:
        """Everything before ``what``, which is dropped."""
        nonlocal data, used
        start = 0
        while (at := data.find(what, start)) < 0:
            if used + len(data) > FIELDS_SIZE_BYTES_MAX + (64 << 10):
                raise _fields_too_large()
            start = max(0, len(data) - len(what))
            more = await anext(source, None)
            if more is None:
                raise _malformed() if not fields else _exactly_one()
            data += more
        before, data = data[:at], data[at + len(what) :]
        used += len(before)
        if used > FIELDS_SIZE_BYTES_MAX:
            raise _fields_too_large()
        return before

    if await until(mark):
        raise _malformed()
    while True:
        name, filename, kind = _part_head(await until(b"\r\n\r\n"))
        if name == "file":
            if kind and "content-type" not in fields:
                fields.setdefault("\0file-type", kind)
            return Form(fields, filename, Upload(source, data, boundary))
        value = await until(mark)
        if name in fields:
            raise Fault(
                "InvalidArgument", f"The form field {name} was given more than once", status=400
            )
        try:
            fields[name] = value.decode()
        except UnicodeDecodeError:
            raise _malformed() from None


async def _pieces(body: bytes | BodyStream) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    else:
        async for piece in body:
            yield piece


def _part_head(raw: bytes) -> tuple[str, str | None, str]:
    """(lower-case name, file name or None, content type) of a part."""
    name = kind = b""
    filename: bytes | None = None
    for line in raw.split(b"\r\n"):
        if found := _DISPOSITION.fullmatch(line):
            named, filed = _NAME.search(found[1]), _FILENAME.search(found[1])
            name = named[1] if named else b""
            filename = filed[1] if filed else None
        elif found := _TYPE.fullmatch(line):
            kind = found[1]
    if not name:
        raise _malformed()
    try:
        filed_as = None if filename is None else re.split(rb"[/\\]", filename)[-1].decode()
        return name.decode().lower(), filed_as, kind.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _malformed() from None


def check_policy(form: Form, bucket: str, now_s: float) -> None:
    """Raises Fault AccessDenied unless the (signed) policy allows every field; sets the file's range."""
    fields = form.fields
    try:
        policy = orjson.loads(base64.b64decode(fields["policy"], validate=True))
        expiration = policy["expiration"]
        conditions = policy["conditions"]
        until_s = calendar.timegm(
            strptime(re.sub(r"\.\d+Z$", "Z", expiration), "%Y-%m-%dT%H:%M:%SZ")
        )
        tests = [test for condition in conditions for test in _tests(condition)]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise Fault(
            "InvalidPolicyDocument",
            "The content of the form does not meet the conditions specified in the policy document.",
            status=400,
        ) from None
    if now_s > until_s:
        raise _against("Policy expired.")
    # "All variables within the form are expanded before validating the POST policy", says AWS's page on policies
    values = {n: form.named(v) for n, v in fields.items() if n[0] != "\0"} | {"bucket": bucket}
    allowed = set()
    for kind, name, value in tests:
        if kind == "content-length-range":
            form.file.range = (int(name), min(int(value), FILE_SIZE_BYTES_MAX))
            continue
        allowed.add(name)
        has = values.get(name, "")
        if not (has == value if kind == "eq" else has.startswith(value)):
            raise _failed(kind, f"${name}", value)
    extra = [
        n
        for n in values
        if n not in allowed and n not in _NOT_IN_POLICY and not n.startswith("x-ignore-")
    ]
    if extra:
        raise _against(f"Extra input fields: {extra[0]}")


def _tests(condition: Any) -> list[tuple[str, str, str]]:
    if isinstance(condition, dict):
        if len(condition) != 1:
            raise ValueError("a simple condition has exactly one property")
        return [("eq", _text(name).lower(), _text(value)) for name, value in condition.items()]
    kind, name, value = condition
    kind = kind.lower()
    if kind == "content-length-range":
        try:
            return [(kind, str(int(name)), str(int(value)))]
        except ValueError:
            raise _failed(kind, name, value) from None
    if kind not in ("eq", "starts-with"):
        raise ValueError(kind)
    if name[:1] != "$":
        raise _failed(kind, name, value)
    return [(kind, name[1:].lower(), _text(value))]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def put_request(request: HttpRequest, form: Form, bucket: str) -> HttpRequest:
    """The PutObject the form amounts to. Raises Fault."""
    fields = form.fields
    if not fields.get("key"):
        raise Fault(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            status=400,
            ArgumentName="key",
            ArgumentValue="",
        )
    key = form.named(fields["key"])
    headers = {"host": request.headers.get("host", "")}
    for name, value in fields.items():
        if name in _HEADERS or (name.startswith("x-amz-") and name not in _SIGNING):
            text = form.named(value)
            if not name.startswith("x-amz-meta-"):  # AWS puts a space for what no header can hold
                text = _NO_HEADER_TEXT.sub(" ", text)
            headers[name] = text
        elif name == "acl":
            headers["x-amz-acl"] = value
        elif name == "tagging":
            headers["x-amz-tagging"] = _tags(value)
    if kind := fields.get("\0file-type"):
        headers.setdefault("content-type", kind)
    path = f"/{bucket}/{quote(key, safe='/~')}"
    return HttpRequest(
        "PUT", path, "", headers, form.file, peer=request.peer, scheme=request.scheme
    )


_NO_HEADER_TEXT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_SIGNING = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}
)
_TAG = re.compile(r"<Tag>\s*<Key>([^<]*)</Key>\s*<Value>([^<]*)</Value>\s*</Tag>")


def _tags(xml: str) -> str:
    from xml.parsers.expat import ExpatError, ParserCreate
    from xml.sax.saxutils import unescape

    try:
        ParserCreate().Parse(xml, True)
    except ExpatError:
        raise Fault(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
            status=400,
        ) from None
    return urlencode([(unescape(key), unescape(value)) for key, value in _TAG.findall(xml)])


def success_status(form: Form) -> int:
    """Of the answer to a form whose file was taken."""
    if _redirect(form):
        return 303
    asked = form.fields.get("success_action_status")
    return int(asked) if asked in ("200", "201") else 204


def _redirect(form: Form) -> str:
    target = form.fields.get("success_action_redirect") or form.fields.get("redirect") or ""
    ok = urlsplit(target).scheme in ("http", "https") and target.isascii()
    return target if ok else ""


def answer(form: Form, bucket: str, key: str, etag: str, endpoint: str) -> HttpResponse:
    """204, or what ``success_action_redirect`` or ``success_action_status`` ask for."""
    location = f"{endpoint}/{bucket}/{quote(key, safe='~')}"
    headers = [("ETag", etag), ("Location", location)]
    status = success_status(form)
    if status == 303:
        target = _redirect(form)
        extra = urlencode({"bucket": bucket, "key": key, "etag": etag})
        headers[1] = ("Location", target + ("&" if "?" in target else "?") + extra)
        return HttpResponse(303, headers)
    if status == 201:
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>'
            f"<Location>{escape(location)}</Location><Bucket>{escape(bucket)}</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{escape(etag)}</ETag></PostResponse>"
        )
        return HttpResponse(201, [*headers, ("Content-Type", "application/xml")], body.encode())
    return HttpResponse(status, headers)


def _against(why: str) -> Fault:
    return Fault("AccessDenied", f"Invalid according to Policy: {why}", status=403)


def _failed(*condition: Any) -> Fault:
    """LocalStack's recorded test_post_object_policy_conditions_validation_eq and _validation_size."""
    shown = ", ".join(orjson.dumps(part).decode() for part in condition)
    return _against(f"Policy Condition failed: [{shown}]")


def _exactly_one() -> Fault:
    return Fault(
        "InvalidArgument",
        "POST requires exactly one file upload per request.",
        status=400,
        ArgumentName="file",
        ArgumentValue="0",
    )


def _fields_too_large() -> Fault:
    return Fault(
        "MaxPostPreDataLengthExceededError",
        "Your POST request fields preceding the upload file were too large.",
        status=400,
    )


def _malformed() -> Fault:
    return Fault(
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
        status=400,
    )
