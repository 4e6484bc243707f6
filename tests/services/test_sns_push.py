"""SNS: mobile push and phone numbers. Messages are AWS's as LocalStack recorded them unless a page is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import to_http
from eventing import advance, come_to_rest

ME = "000000000000"
APP = f"arn:aws:sns:us-east-1:{ME}:app/GCM/shop"


@pytest.fixture
def sns(client: Any) -> Any:
    return client("sns")


@pytest.fixture
def ask(platform: Any) -> Any:
    """A door of SNS, asked as the account's root."""

    def send(method: str, door: str) -> Any:
        asked = AWSRequest(method, f"http://localhost:4566/_aws/sns/{door}")
        SigV4Auth(Credentials(ME, "test"), "sns", "us-east-1").add_auth(asked)
        status, _, body = platform.send(to_http(asked.prepare()))
        return json.loads(body) if status == 200 else status

    return send


@pytest.fixture
def kept(ask: Any) -> Any:
    return lambda: [(m["channel"], m["to"], m["text"]) for m in ask("GET", "outbox")["mails"]]


def refused(code: str, message: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError) as found:
        call(**request)
    error = found.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, message)


def device(sns: Any, token: str = "t1", **attributes: str) -> str:
    sns.create_platform_application(Name="shop", Platform="GCM", Attributes={"PlatformCredential": "secret"})  # fmt: skip
    return str(sns.create_platform_endpoint(PlatformApplicationArn=APP, Token=token, Attributes=attributes)["EndpointArn"])  # fmt: skip


def test_what_is_for_a_device_is_in_the_outbox_in_its_platform_s_words(sns: Any, platform: Any, kept: Any) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html"""
    arn = device(sns)
    sns.publish(TargetArn=arn, Message="plain")
    said = json.dumps({"default": "d", "GCM": "for android", "APNS": "for apple"})
    sns.publish(TargetArn=arn, Message=said, MessageStructure="json")
    topic = sns.create_topic(Name="t")["TopicArn"]
    subscribed = sns.subscribe(TopicArn=topic, Protocol="application", Endpoint=arn)
    assert subscribed["SubscriptionArn"].startswith(topic)
    sns.publish(TopicArn=topic, Message=said, MessageStructure="json")
    come_to_rest(platform, "sns.fanout")
    assert kept() == [("push", arn, "plain"), ("push", arn, "for android"), ("push", arn, "for android")]  # fmt: skip
    sns.set_endpoint_attributes(EndpointArn=arn, Attributes={"Enabled": "false"})
    refused("EndpointDisabled", "Endpoint is disabled", sns.publish, TargetArn=arn, Message="m")
    sns.publish(TopicArn=topic, Message="m")
    come_to_rest(platform, "sns.fanout")
    assert len(kept()) == 3
    sns.delete_endpoint(EndpointArn=arn)
    refused("InvalidParameter", "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified", sns.publish, TargetArn=arn, Message="m")  # fmt: skip


def test_applications_and_endpoints_are_made_changed_listed_and_deleted(sns: Any) -> None:
    arn = device(sns, CustomUserData="ann")
    assert sns.list_platform_applications()["PlatformApplications"] == [
        {"PlatformApplicationArn": APP, "Attributes": {"Enabled": "true"}}
    ], "the credential is not given back"
    again = sns.create_platform_endpoint(PlatformApplicationArn=APP, Token="t1", CustomUserData="ann")  # fmt: skip
    assert again["EndpointArn"] == arn
    refused(
        "InvalidParameter",
        f"Invalid parameter: Token Reason: Endpoint {arn} already exists with the same Token, but different attributes.",
        sns.create_platform_endpoint, PlatformApplicationArn=APP, Token="t1", CustomUserData="bob",
    )  # fmt: skip
    sns.set_endpoint_attributes(EndpointArn=arn, Attributes={"Token": "t2"})
    assert sns.get_endpoint_attributes(EndpointArn=arn)["Attributes"] == {"Enabled": "true", "Token": "t2", "CustomUserData": "ann"}  # fmt: skip
    other = sns.create_platform_endpoint(PlatformApplicationArn=APP, Token="t1")["EndpointArn"]
    listed = sns.list_endpoints_by_platform_application(PlatformApplicationArn=APP)["Endpoints"]
    assert {(e["EndpointArn"], e["Attributes"]["Token"]) for e in listed} == {(arn, "t2"), (other, "t1")}  # fmt: skip
    sns.delete_endpoint(EndpointArn=arn)
    sns.delete_endpoint(EndpointArn=arn)
    refused("NotFound", "Endpoint does not exist", sns.get_endpoint_attributes, EndpointArn=arn)
    sns.set_platform_application_attributes(PlatformApplicationArn=APP, Attributes={"EventDeliveryFailure": "arn:x"})  # fmt: skip
    assert sns.get_platform_application_attributes(PlatformApplicationArn=APP)["Attributes"]["EventDeliveryFailure"] == "arn:x"  # fmt: skip
    sns.delete_platform_application(PlatformApplicationArn=APP)
    refused("NotFound", "PlatformApplication does not exist", sns.create_platform_endpoint, PlatformApplicationArn=APP, Token="t")  # fmt: skip
    refused("InvalidParameter", "Invalid parameter: Platform Reason: NOKIA is not supported", sns.create_platform_application, Name="a", Platform="NOKIA", Attributes={"PlatformCredential": "s"})  # fmt: skip
    for name, said in (
        ("a" * 257, f"{'a' * 257} Reason: must be at most 256 characters long"),
        ("", " Reason: cannot be empty"),
        ("@name", "@name Reason: must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'"),
    ):  # fmt: skip
        refused("InvalidParameter", f"Invalid parameter: {said}", sns.create_platform_application, Name=name, Platform="GCM", Attributes={"PlatformCredential": "s"})  # fmt: skip
    for given, other in (("PlatformCredential", "PlatformPrincipal"), ("PlatformPrincipal", "PlatformCredential")):  # fmt: skip
        said = f"Invalid parameter: Attributes Reason: {given} attribute provided without {other}"
        refused("InvalidParameter", said, sns.create_platform_application, Name="a", Platform="ADM", Attributes={given: "s"})  # fmt: skip
    null = "1 validation error detected: Value null at 'attributes' failed to satisfy constraint: Member must not be null"  # fmt: skip
    refused("ValidationError", null, sns.create_platform_application, Name="a", Platform="ADM", Attributes={})  # fmt: skip
    with pytest.raises(ClientError, match="SuccessFeedbackRoleArn .* is not offered"):
        sns.create_platform_application(Name="a", Platform="GCM", Attributes={"PlatformCredential": "s", "SuccessFeedbackRoleArn": "arn:x"})  # fmt: skip


def test_a_number_that_answered_stop_gets_nothing_until_it_is_opted_in(sns: Any, platform: Any, ask: Any, kept: Any) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/sns/latest/dg/sms_manage.html#sms_manage_optout"""
    number = "+12065550100"
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint=number)

    def publish(text: str) -> None:
        sns.publish(PhoneNumber=number, Message=f"{text} to it")
        sns.publish(TopicArn=topic, Message=f"{text} to all")
        come_to_rest(platform, "sns.fanout")

    publish("before")
    assert ask("POST", "stop?number=%2B1%20206-555-0100") == {}
    assert ask("GET", "stop?number=%2B12065550100") == 405
    assert ask("POST", "stop?number=none") == 400
    assert sns.check_if_phone_number_is_opted_out(phoneNumber=number)["isOptedOut"] is True
    assert sns.list_phone_numbers_opted_out()["phoneNumbers"] == [number]
    publish("meanwhile")
    sns.opt_in_phone_number(phoneNumber=number)
    assert sns.list_phone_numbers_opted_out()["phoneNumbers"] == []
    publish("after")
    assert [text for _, _, text in kept()] == ["before to it", "before to all", "after to it", "after to all"]  # fmt: skip
    ask("POST", "stop?number=%2B12065550100")
    with pytest.raises(ClientError, match="less than 30 days ago"):
        sns.opt_in_phone_number(phoneNumber=number)
    advance(platform, 31 * 86_400)
    sns.opt_in_phone_number(phoneNumber=number)
    assert sns.check_if_phone_number_is_opted_out(phoneNumber=number)["isOptedOut"] is False


def test_a_number_of_the_sandbox_is_verified_with_what_it_was_sent(sns: Any, platform: Any, kept: Any) -> None:  # fmt: skip
    """https://docs.aws.amazon.com/sns/latest/dg/sns-sms-sandbox-verifying-phone-numbers.html"""
    number = "+12065550100"
    assert sns.get_sms_sandbox_account_status()["IsInSandbox"] is False
    sns.create_sms_sandbox_phone_number(PhoneNumber=number)
    assert sns.list_sms_sandbox_phone_numbers()["PhoneNumbers"] == [{"PhoneNumber": number, "Status": "Pending"}]  # fmt: skip
    [(_, to, text)] = kept()
    password = text.split()[-1].rstrip(".")
    assert to == number
    wrong = f"{(int(password) + 1) % 1_000_000:06d}"
    refused("VerificationException", "The one-time password does not match", sns.verify_sms_sandbox_phone_number, PhoneNumber=number, OneTimePassword=wrong)  # fmt: skip
    sns.verify_sms_sandbox_phone_number(PhoneNumber=number, OneTimePassword=password)
    assert sns.list_sms_sandbox_phone_numbers()["PhoneNumbers"] == [{"PhoneNumber": number, "Status": "Verified"}]  # fmt: skip
    with pytest.raises(ClientError, match="less than 24 hours ago"):
        sns.delete_sms_sandbox_phone_number(PhoneNumber=number)
    advance(platform, 86_401)
    sns.delete_sms_sandbox_phone_number(PhoneNumber=number)
    assert sns.list_sms_sandbox_phone_numbers()["PhoneNumbers"] == []
    assert sns.list_origination_numbers()["PhoneNumbers"] == []
