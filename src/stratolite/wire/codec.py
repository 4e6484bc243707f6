"""One operation in one protocol, compiled on first use: requests to dicts, answers to responses."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.wire import overlays, query, rest_answers, rest_requests
from stratolite.wire.bodies import whole
from stratolite.wire.cbor import CborBodies
from stratolite.wire.crc import crc32
from stratolite.wire.eventstream import EventWriter
from stratolite.wire.faults import FaultWriter
from stratolite.wire.json import JsonBodies
from stratolite.wire.model import Model, Ref, load
from stratolite.wire.scalars import Malformed
from stratolite.wire.xml import XmlReaders, XmlWriters

Decode = Callable[[HttpRequest], dict[str, Any]]
Encode = Callable[[dict[str, Any], str], HttpResponse]

EVENT_STREAM = "application/vnd.amazon.eventstream"


class Codec:
    """What the gateway needs to speak one operation.

    ``decode`` raises Fault and nothing else. ``encode`` trusts the service: a member of a wrong type
    is a bug and raises what it raises.
    """

    __slots__ = (
        "content_type",
        "decode",
        "encode",
        "encode_body",
        "encode_fault",
        "encode_lines",
        "event_stream_output",
        "has_crc32",
        "header_members",
        "operation",
        "protocol",
        "read",
        "service",
        "streaming_input",
    )

    def __init__(self, service: str, operation: str, protocol: str) -> None:
        self.service = service
        self.operation = operation
        self.protocol = protocol
        self.decode: Decode
        self.read: Callable[[bytes], dict[str, Any]] | None = None
        """For JSON and CBOR requests without a content coding: ``decode`` of just the body."""
        self.header_members: dict[str, tuple[str, Callable[[str], Any] | None]] | None = None
        """For GetObject and PutObject: lower-case header -> (member, reader of its value, None: it is the text)."""
        self.encode: Encode
        self.encode_body: Callable[[dict[str, Any]], bytes] | None = None
        """For JSON and CBOR answers, which are 200 with ``content_type`` and a request id: just the
        body. ``has_crc32`` says whether ``x-amz-crc32`` belongs to it."""
        self.content_type = ""
        self.has_crc32 = service in ("dynamodb", "dynamodbstreams")
        self.encode_lines: rest_answers.EncodeLines | None = None
        """For GetObject and PutObject: a shorter ``encode`` of the usual answer, see there."""
        self.encode_fault: Callable[[Fault, str], HttpResponse]
        self.streaming_input: str | None = None
        """Member that holds the request's body as it came (bytes or a BodyStream)."""
        self.event_stream_output: str | None = None
        """Member that must be an async iterator of ``{"EventName": {...}}``."""


@cache
def codec(service: str, operation: str, protocol: str) -> Codec:
    """The compiled codec. Raises Fault if the service does not speak so."""
    tools = _tools(service)
    model = tools.model
    if operation not in model.operations or protocol not in model.protocols:
        raise Fault("UnknownOperationException", f"{service} has no {operation} in {protocol}")
    made = Codec(service, operation, protocol)
    made.streaming_input = _streaming_member(model, model.input(operation))
    made.event_stream_output = _event_stream_member(model, model.output(operation))
    encode_fault = tools.faults(protocol).encode
    made.encode_fault = encode_fault
    if model.operations[operation]["http"]["method"] == "HEAD":
        made.encode_fault = lambda fault, request_id: _headless(encode_fault(fault, request_id))
    _COMPILERS[protocol](tools, made)
    return made


@cache
def as_json(made: Codec) -> Codec:
    """A codec of the query protocol whose answers are JSON, for who asks with ``Accept: application/json`` as
    aws-iam-authenticator does. Forms as in LocalStack's test_get_list_queues_with_query_auth (tests/aws/services/sqs).
    """
    tools, operation = _tools(made.service), made.operation
    output = tools.model.output(operation)
    wrapper = output.get("resultWrapper", f"{operation}Result") if output else ""
    write = tools.json.writer(output) if output else None

    def encode(response: dict[str, Any], request_id: str) -> HttpResponse:
        inside: dict[str, Any] = (
            {} if write is None else {wrapper: orjson.Fragment(write(response))}
        )
        inside["ResponseMetadata"] = {"RequestId": request_id}
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", "application/json")]
        return HttpResponse(200, headers, orjson.dumps({f"{operation}Response": inside}))

    found = copy(made)
    found.encode, found.encode_fault = encode, tools.faults(made.protocol).query_json
    return found


def _headless(response: HttpResponse) -> HttpResponse:
    headers = [(name, value) for name, value in response.headers if name != "Content-Type"]
    return HttpResponse(response.status, headers)


class _Tools:
    """The readers and writers all operations of one service share."""

    def __init__(self, service: str) -> None:
        self.model = load(service)
        self._json: JsonBodies | None = None
        self._cbor: CborBodies | None = None
        self._amz_cbor: CborBodies | None = None
        self._xml_readers: XmlReaders | None = None
        self._xml_writers: dict[bool, XmlWriters] = {}
        self._forms: query.QueryReaders | None = None
        self._faults: dict[str, FaultWriter] = {}

    @property
    def json(self) -> JsonBodies:
        self._json = self._json or JsonBodies(self.model)
        return self._json

    @property
    def cbor(self) -> CborBodies:
        self._cbor = self._cbor or CborBodies(self.model)
        return self._cbor

    @property
    def amz_cbor(self) -> CborBodies:
        self._amz_cbor = self._amz_cbor or CborBodies(self.model, millis=True)
        return self._amz_cbor

    @property
    def xml_readers(self) -> XmlReaders:
        self._xml_readers = self._xml_readers or XmlReaders(self.model)
        return self._xml_readers

    @property
    def forms(self) -> query.QueryReaders:
        self._forms = self._forms or query.QueryReaders(self.model)
        return self._forms

    def xml_writers(self, *, query_names: bool) -> XmlWriters:
        found = self._xml_writers.get(query_names)
        if found is None:
            found = XmlWriters(self.model, query_names=query_names)
            self._xml_writers[query_names] = found
        return found

    def faults(self, protocol: str) -> FaultWriter:
        found = self._faults.get(protocol)
        if found is None:
            found = self._faults[protocol] = FaultWriter(self.model, protocol)
        return found


@cache
def _tools(service: str) -> _Tools:
    try:
        return _Tools(service)
    except LookupError:
        raise Fault("UnknownOperationException", f"There is no AWS service {service}") from None


def _streaming_member(model: Model, ref: Ref | None) -> str | None:
    if ref is None or "payload" not in ref:
        return None
    payload: str = ref["payload"]
    member = model.members(ref)[payload]
    return payload if member["type"] == "blob" and member.get("streaming") else None


def _event_stream_member(model: Model, ref: Ref | None) -> str | None:
    if ref is None:
        return None
    return next((n for n, m in model.members(ref).items() if m.get("eventstream")), None)


# -- one compiler a protocol ----------------------------------------------------------------------


def _compile_json(tools: _Tools, made: Codec) -> None:
    version = tools.model.metadata.get("jsonVersion", "1.0")
    made.content_type = f"application/x-amz-json-{version}"
    made.decode, made.read = _rpc_decoder(tools.model, made.operation, tools.json.reader)
    _rpc_answer(tools.model, made, tools.json.writer, ())


def _compile_cbor(tools: _Tools, made: Codec) -> None:
    made.content_type = "application/cbor"
    made.decode, made.read = _rpc_decoder(tools.model, made.operation, tools.cbor.reader)
    _rpc_answer(tools.model, made, tools.cbor.writer, (("smithy-protocol", "rpc-v2-cbor"),))


def _compile_amz_cbor(tools: _Tools, made: Codec) -> None:
    made.content_type = overlays.AMZ_CBOR
    made.decode, made.read = _rpc_decoder(tools.model, made.operation, tools.amz_cbor.reader)
    _rpc_answer(tools.model, made, tools.amz_cbor.writer, ())


def _rpc_decoder(
    model: Model, operation: str, reader: Callable[[Ref], Callable[[bytes], dict[str, Any]]]
) -> tuple[Decode, Callable[[bytes], dict[str, Any]]]:
    ref = model.input(operation)
    if ref is None:
        return lambda _request: {}, lambda _body: {}
    read = reader(ref)
    is_dynamodb = model.service.startswith("dynamodb")

    def decode_body(body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        try:
            return read(body)
        except Malformed as error:
            message = str(error)
            if is_dynamodb:
                message = overlays.dynamodb_words(message)
            raise Fault("SerializationException", message, status=400) from None
        except RecursionError:
            raise Fault("SerializationException", "Nesting too deep", status=400) from None

    def decode(request: HttpRequest) -> dict[str, Any]:
        body = request.body
        if body and "content-encoding" in request.headers:
            try:
                body = whole(request)
            except Malformed as error:
                raise Fault("SerializationException", str(error), status=400) from None
        return decode_body(body)  # type: ignore[arg-type]  # RPC bodies never stream

    return decode, decode_body


def _rpc_answer(
    model: Model,
    made: Codec,
    writer: Callable[..., Callable[[Any], bytes]],
    further_headers: tuple[tuple[str, str], ...],
) -> None:
    ref = model.output(made.operation)
    stream = made.event_stream_output
    content_type = made.content_type
    if ref is not None and stream is not None:
        members = model.members(ref)
        initial = {name: m for name, m in members.items() if name != stream}
        write_initial = writer(ref, initial) if made.protocol == "json" else writer(ref)

        def body_writer(event: Ref, fields: dict[str, Ref] | None) -> Callable[[Any], bytes]:
            return writer(event, fields) if made.protocol == "json" else writer(event)

        events = EventWriter(model, members[stream], body_writer, content_type)

        def encode_stream(response: dict[str, Any], request_id: str) -> HttpResponse:
            first = write_initial({k: v for k, v in response.items() if k != stream})
            headers = [
                ("x-amzn-RequestId", request_id),
                ("Content-Type", EVENT_STREAM),
                *further_headers,
            ]
            return HttpResponse(200, headers, events.stream(response[stream], first))

        made.encode = encode_stream
        return
    write = writer(ref) if ref is not None else None
    empty = b"{}" if made.protocol == "json" else b"\xa0"
    if ref is None and made.protocol != "smithy-rpc-v2-cbor":
        empty = b""

    def encode_body(response: dict[str, Any]) -> bytes:
        return write(response) if write is not None else empty

    made.encode_body = write or encode_body
    has_crc32 = made.has_crc32

    def encode(response: dict[str, Any], request_id: str) -> HttpResponse:
        body = write(response) if write is not None else empty
        headers = [
            ("x-amzn-RequestId", request_id),
            ("Content-Type", content_type),
            *further_headers,
        ]
        if has_crc32:
            headers.append(("x-amz-crc32", str(crc32(body))))
        return HttpResponse(200, headers, body)

    made.encode = encode


def _compile_query(tools: _Tools, made: Codec) -> None:
    model, operation = tools.model, made.operation
    ref = model.input(operation)
    read = tools.forms.of(ref) if ref is not None else None
    is_sqs = model.service == "sqs"

    def decode(request: HttpRequest) -> dict[str, Any]:
        if read is None:
            return {}
        try:
            found: dict[str, Any] = read(query.parse_form(query.form_text(request)))
        except (Malformed, RecursionError) as error:
            raise Fault("MalformedInput", str(error), status=400) from None
        if is_sqs and "QueueUrl" not in found and request.path.count("/") > 1:
            # queries to SQS may be sent to the queue's own address
            found["QueueUrl"] = (
                f"{request.scheme}://{request.headers.get('host', '')}{request.path}"
            )
        return found

    made.decode = decode
    made.content_type = "text/xml"
    answer = query.compile_answer(model, tools.xml_writers(query_names=True), operation)

    def encode(response: dict[str, Any], request_id: str) -> HttpResponse:
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")]
        return HttpResponse(200, headers, answer(response, request_id))

    made.encode = encode


def _compile_rest_json(tools: _Tools, made: Codec) -> None:
    made.content_type = "application/json"
    made.decode = rest_requests.compile_request(tools.model, made.operation, tools.json)
    events = _rest_events(tools.model, made, tools.json.writer)
    made.encode = rest_answers.compile_answer(tools.model, made.operation, tools.json, None, events)


def _compile_rest_xml(tools: _Tools, made: Codec) -> None:
    made.content_type = "application/xml"
    writers = tools.xml_writers(query_names=False)
    made.decode = rest_requests.compile_request(tools.model, made.operation, tools.xml_readers)

    def body_writer(ref: Ref, members: dict[str, Ref] | None = None) -> Callable[[Any], bytes]:
        found = tools.model.members(ref) if members is None else members
        write = writers.body(found)
        tag = ref["shape"]

        def body(value: Any) -> bytes:
            out: list[str] = [f"<{tag}>"]
            write(value, out.append)
            out.append(f"</{tag}>")
            return "".join(out).encode()

        return body

    events = _rest_events(tools.model, made, body_writer)
    made.encode = rest_answers.compile_answer(tools.model, made.operation, None, writers, events)
    if made.service == "s3" and made.operation in ("GetObject", "PutObject"):
        made.encode_lines = rest_answers.compile_lines(tools.model, made.operation)
        made.header_members = rest_requests.header_members(tools.model, made.operation)


def _rest_events(
    model: Model, made: Codec, body_writer: Callable[..., Callable[[Any], bytes]]
) -> Callable[[Any], Any] | None:
    ref = model.output(made.operation)
    if ref is None or made.event_stream_output is None:
        return None
    stream = model.members(ref)[made.event_stream_output]
    content_type = "text/xml" if made.protocol == "rest-xml" else "application/json"
    writer = EventWriter(model, stream, body_writer, content_type)
    return lambda events: writer.stream(events, None)


_COMPILERS: dict[str, Callable[[_Tools, Codec], None]] = {
    "json": _compile_json,
    "smithy-rpc-v2-cbor": _compile_cbor,
    "amz-cbor": _compile_amz_cbor,
    "query": _compile_query,
    "rest-json": _compile_rest_json,
    "rest-xml": _compile_rest_xml,
}
