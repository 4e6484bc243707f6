"""Every offered operation, asked with nothing in it: an answer or a refusal, never a bug of ours."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import ENDPOINT, to_http

from stratolite import wire
from stratolite.service import snake
from stratolite.services import OFFERS

SESSION = botocore.session.get_session()
KEYS = Credentials("test", "test")


def requests_of(service):
    """(operation, protocol, unsigned request) for each offered operation, all required members missing."""
    from house.test_rooms import service_class

    model, cls = SESSION.get_service_model(service), service_class(service)
    for name in wire.operations(service):
        if not hasattr(cls, snake(name)):
            continue
        operation = model.operation_model(name)
        for body in ("", "{}", "<x/>", "[]", "null", "1"):
            protocol = model.metadata["protocol"]
            if protocol == "json":
                headers = {
                    "X-Amz-Target": f"{model.metadata['targetPrefix']}.{name}",
                    "Content-Type": "application/x-amz-json-1.1",
                }
                yield name, body, AWSRequest("POST", f"{ENDPOINT}/", data=body, headers=headers)
            elif protocol == "query":
                if body:
                    continue
                form = f"Action={name}&Version={model.api_version}"
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                yield name, form, AWSRequest("POST", f"{ENDPOINT}/", data=form, headers=headers)
            else:
                path = re.sub(r"\{[^}]+\}", "xyz", operation.http["requestUri"])
                yield (
                    name,
                    body,
                    AWSRequest(operation.http["method"], ENDPOINT + path, data=body, headers={}),
                )


@pytest.mark.parametrize("service", [o.service for o in OFFERS])
def test_nothing_in_it_is_no_bug(platform, service):
    """Raw clients send what boto3 would not; AWS answers 4xx and so do we."""
    signing = SESSION.get_service_model(service).signing_name
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(KEYS, signing, "us-east-1")
    broken = []
    for name, body, request in requests_of(service):
        request.headers["Host"] = urlsplit(ENDPOINT).netloc
        auth.add_auth(request)
        status, _, raw = platform.send(to_http(request.prepare()))
        if status >= 500 and status != 501:
            broken.append((name, body, status, raw[:120]))
    assert not broken, "\n".join(map(str, broken))
