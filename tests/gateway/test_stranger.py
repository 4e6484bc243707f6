"""Requests that the platform sends to its own endpoint arrive as a stranger's."""

from __future__ import annotations

import socket

import pytest
from lambdas import create, role

from stratolite.egress import Own, Refused
from stratolite.gateway.listener import stranger


@pytest.fixture
def egress(platform):
    platform.cloud.egress.own = Own(
        4566, "http", lambda name: name == "localhost", stranger(platform.app, "http")
    )
    return platform.cloud.egress


def ask(platform, egress, method, url, headers=()):
    return platform.run(egress.request(method, url, headers))


def test_a_url_presigned_with_the_default_keys_is_worth_nothing_from_inside(
    platform, egress, client
):
    """Whoever may create a subscription would have the server fetch it from loopback, and be root."""
    s3 = client("s3")
    s3.create_bucket(Bucket="mine")
    s3.put_object(Bucket="mine", Key="k", Body=b"secret")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "mine", "Key": "k"})
    assert url.startswith("http://localhost:4566/")
    answer = ask(platform, egress, "GET", url)
    assert answer.status == 403
    assert b"secret" not in answer.body


def test_a_webhook_to_a_function_url_of_this_cloud_arrives(platform, egress, client):
    code = "def handler(event, context):\n    return event['requestContext']['http']['path']"
    create(client, "hook", code, Role=role(client))
    functions = client("lambda")
    url = functions.create_function_url_config(FunctionName="hook", AuthType="NONE")["FunctionUrl"]
    for more in (
        {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ):
        functions.add_permission(
            FunctionName="hook", StatementId=more["Action"][7:], Principal="*", **more
        )
    answer = ask(platform, egress, "POST", f"{url}x")
    assert (answer.status, answer.body) == (200, b"/x")


def test_it_is_reached_without_the_network(platform, egress):
    with socket.socket() as taken:  # nobody listens on 4566 of this test
        taken.bind(("127.0.0.1", 0))
        assert (
            ask(platform, egress, "GET", "http://localhost:4566/_stratolite/health").status == 200
        )
    with pytest.raises(Refused):
        ask(platform, egress, "GET", "http://127.0.0.1:4566/")
