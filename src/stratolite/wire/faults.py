"""Faults on the wire: each protocol's error bodies, headers and statuses."""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpResponse
from stratolite.wire import overlays, scalars
from stratolite.wire.model import Model, Ref, error_code
from stratolite.wire.tree import Writers
from stratolite.wire.xml import XmlWriters, escape

BODYLESS_STATUSES = (204, 304)


class FaultWriter:
    """Encodes faults of one service (None: not known) in one protocol."""

    def __init__(self, model: Model | None, protocol: str) -> None:
        self._model = model
        self._protocol = protocol
        self._service = model.service if model else ""
        self._json_writers = Writers(model, cbor=protocol.endswith("cbor")) if model else None
        self._xml_writers = XmlWriters(model) if model else None
        self._xml_bodies: dict[str, Any] = {}
        self.encode = {
            "json": self._json,
            "query": self._query,
            "ec2": self._query,
            "rest-json": self._rest_json,
            "rest-xml": self._s3 if self._service in ("s3", "") else self._query,
            "smithy-rpc-v2-cbor": self._cbor,
            "amz-cbor": self._cbor,
        }[protocol]

    def shape(self, fault: Fault) -> Ref | None:
        """The model's shape of this fault, by its shape name or wire code."""
        return self._model.errors().get(fault.code) if self._model else None

    def status(self, fault: Fault, shape: Ref | None) -> int:
        if fault.status is not None:
            return fault.status
        if self._service == "s3" and fault.code in overlays.S3_STATUSES:
            return overlays.S3_STATUSES[fault.code]
        if shape is not None:
            trait = shape.get("error", {})
            # awsQueryCompatible statuses are those of the query wire; JSON answers 400
            if "httpStatusCode" in trait and not (
                self._service == "sqs" and self._protocol == "json"
            ):
                return int(trait["httpStatusCode"])
            if shape.get("fault"):
                return overlays.STATUSES.get(fault.code, 500)
            return 400
        if self._protocol == "rest-json" and fault.code in overlays.REST_STATUSES:
            return overlays.REST_STATUSES[fault.code]
        return overlays.STATUSES.get(fault.code, 400)

    # -- JSON and CBOR ------------------------------------------------------------------------

    def _tree(self, fault: Fault, shape: Ref | None) -> dict[str, Any]:
        """Message and members as they are written, under the names of the shape."""
        tree = dict(fault.members)
        if shape is None or self._json_writers is None:
            names = overlays.DYNAMODB_MESSAGES if self._service.startswith("dynamodb") else {}
            tree.setdefault(names.get(fault.code, "message"), fault.message)
            return tree
        members = self._model.members(shape) if self._model else {}
        name = next((n for n in members if n.lower() == "message"), None)
        tree.setdefault(name or "message", fault.message)
        convert = self._json_writers.of(shape)
        return convert(tree) if convert else tree

    def _typed_code(self, fault: Fault, shape: Ref | None) -> str:
        code = shape["shape"] if shape else fault.code
        if self._service.startswith("dynamodb"):
            coral = overlays.CORAL_ERRORS.get(code)
            if coral is not None:
                return coral + code
        code = overlays.QUERY_ERRORS.get(self._service, {}).get(code, code)
        return overlays.ERROR_PREFIXES.get(self._service, "") + code

    def _json(self, fault: Fault, request_id: str) -> HttpResponse:
        shape = self.shape(fault)
        tree = {"__type": self._typed_code(fault, shape), **self._tree(fault, shape)}
        body = orjson.dumps(tree, scalars.base64_text)
        version = self._model.metadata.get("jsonVersion", "1.0") if self._model else "1.0"
        headers = [
            ("x-amzn-RequestId", request_id),
            ("Content-Type", f"application/x-amz-json-{version}"),
        ]
        status = self.status(fault, shape)
        self._add_query_error(headers, fault, shape, status)
        if self._service.startswith("dynamodb"):
            from stratolite.wire.crc import crc32

            headers.append(("x-amz-crc32", str(crc32(body))))
        return HttpResponse(status, headers, body)

    def _add_query_error(
        self, headers: list[tuple[str, str]], fault: Fault, shape: Ref | None, status: int
    ) -> None:
        if self._model is not None and self._model.query_compatible:
            code = error_code(shape) if shape else fault.code
            side = "Sender" if status < 500 else "Receiver"
            headers.append(("x-amzn-query-error", f"{code};{side}"))

    def _rest_json(self, fault: Fault, request_id: str) -> HttpResponse:
        shape = self.shape(fault)
        status = self.status(fault, shape)
        code = shape["shape"] if shape else fault.code
        headers = [
            ("x-amzn-RequestId", request_id),
            ("x-amzn-ErrorType", code),
            ("Content-Type", "application/json"),
        ]
        plain = fault
        if shape is not None and self._model is not None:
            members = self._model.members(shape)
            located = {n: m for n, m in members.items() if m.get("location") == "header"}
            rest = {n: v for n, v in fault.members.items() if n not in located}
            for name, member in located.items():
                if name in fault.members:
                    text = scalars.text_writer(member, "rfc822")(fault.members[name])
                    headers.append((member.get("locationName", name), text))
            if "Type" in members and "Type" not in rest:
                rest["Type"] = "User" if status < 500 else "Service"
            plain = Fault(fault.code, fault.message, **rest)
        return HttpResponse(
            status, headers, orjson.dumps(self._tree(plain, shape), scalars.base64_text)
        )

    def _cbor(self, fault: Fault, request_id: str) -> HttpResponse:
        from cbor2 import dumps

        shape = self.shape(fault)
        status = self.status(fault, shape)
        body = dumps({"__type": self._typed_code(fault, shape), **self._tree(fault, shape)})
        headers = [("x-amzn-RequestId", request_id)]
        if self._protocol == "amz-cbor":
            headers.append(("Content-Type", overlays.AMZ_CBOR))
        else:
            headers += [("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")]
        self._add_query_error(headers, fault, shape, status)
        return HttpResponse(status, headers, body)

    # -- XML ----------------------------------------------------------------------------------

    def _members_xml(self, fault: Fault, shape: Ref | None) -> str:
        """Further members as elements: the shape's where there is one, else as they come."""
        out: list[str] = []
        known: dict[str, Ref] = {}
        if shape is not None and self._model is not None and self._xml_writers is not None:
            known = {
                name: member
                for name, member in self._model.members(shape).items()
                if name.lower() not in ("message", "code")
            }
            write = self._xml_bodies.get(shape["shape"])
            if write is None:
                write = self._xml_bodies[shape["shape"]] = self._xml_writers.body(known)
            write(fault.members, out.append)
        for name, value in fault.members.items():
            if name not in known and value is not None and name not in _NOT_ELEMENTS:
                text = scalars.boolean_text(value) if isinstance(value, bool) else str(value)
                out.append(f"<{name}>{escape(text)}</{name}>")
        return "".join(out)

    def _query(self, fault: Fault, request_id: str) -> HttpResponse:
        shape = self.shape(fault)
        status = self.status(fault, shape)
        code = error_code(shape) if shape else fault.code
        if code == "UnknownOperationException" and not fault.message:
            headers = [("x-amzn-RequestId", request_id)]
            return HttpResponse(status, headers, b"<UnknownOperationException/>\n")
        message = overlays.QUERY_MESSAGES.get(fault.message, fault.message)
        detail = "<Detail/>" if self._service == "sqs" else ""
        space = self._model.metadata.get("xmlNamespace") if self._model else None
        opening = f'<ErrorResponse xmlns="{space}">' if space else "<ErrorResponse>"
        side = "Sender" if status < 500 else "Receiver"
        text = (
            f'<?xml version="1.0"?>\n{opening}<Error><Type>{side}</Type><Code>{escape(code)}</Code>'
            f"<Message>{escape(message)}</Message>{detail}{self._members_xml(fault, shape)}</Error>"
            f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
        )
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")]
        return HttpResponse(status, headers, text.encode())

    def query_json(self, fault: Fault, request_id: str) -> HttpResponse:
        """What ``_query`` says, for who asks for JSON."""
        shape = self.shape(fault)
        status = self.status(fault, shape)
        error = {
            "Code": error_code(shape) if shape else fault.code,
            "Message": overlays.QUERY_MESSAGES.get(fault.message, fault.message),
            "Type": "Sender" if status < 500 else "Receiver",
        }
        headers = [("x-amzn-RequestId", request_id), ("Content-Type", "application/json")]
        body = orjson.dumps({"Error": error, "RequestId": request_id})
        return HttpResponse(status, headers, body)

    def _s3(self, fault: Fault, request_id: str) -> HttpResponse:
        shape = self.shape(fault)
        status = self.status(fault, shape)
        host_id = str(fault.members.get("HostId") or s3_host_id(request_id))
        headers = [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)]
        headers += fault.members.get("_headers", ())  # what the service says beside the error
        if status in BODYLESS_STATUSES:
            # a 304 carries the validators (RFC 9110, 15.4.5)
            if "ETag" in fault.members:
                headers.append(("ETag", fault.members["ETag"]))
            if "LastModified" in fault.members:
                headers.append(("Last-Modified", scalars.rfc822(fault.members["LastModified"])))
            return HttpResponse(status, headers)
        headers.append(("Content-Type", "application/xml"))
        code = error_code(shape) if shape else fault.code
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
            f"<Message>{escape(fault.message)}</Message>{self._members_xml(fault, shape)}"
            f"<RequestId>{escape(request_id)}</RequestId><HostId>{escape(host_id)}</HostId></Error>"
        )
        return HttpResponse(status, headers, text.encode())


_NOT_ELEMENTS = frozenset({"RequestId", "HostId", "_headers"})


def s3_host_id(request_id: str) -> str:
    """S3's ``x-amz-id-2``: opaque to clients, so the request id again, in its usual clothes."""
    return b2a_base64(b"stratolite/" + request_id.encode(), newline=False).decode()
