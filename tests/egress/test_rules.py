"""Which places may be reached, by whom."""

from __future__ import annotations

import pytest

from stratolite.egress.addresses import forbidden, not_public, parse
from stratolite.egress.rules import SERVICES, BadRule, Rules

PUBLIC = (
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
)
NOT_PUBLIC = (
    "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "100.127.255.255", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.9", "203.0.113.9", "192.88.99.1",
    "100.100.100.200", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1", "4000::1", "3fff::1",
)  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public(text):
    assert not_public(parse(text)) == ""


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_no_other_address_is_reached_without_a_rule(text):
    """Also where IPv6 only wraps an IPv4 address: mapped, 6to4, Teredo, NAT64."""
    address = parse(text)
    assert not_public(address)
    assert Rules().refusal(SERVICES, "name.example", address, 443)
    assert Rules(["public"]).refusal(SERVICES, "name.example", address, 443)


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:169.254.169.254",
             "fd00:ec2::254", "168.63.129.16"],
)  # fmt: skip
def test_no_rule_opens_what_keeps_a_machines_credentials(text):
    rules = Rules(["0.0.0.0/0", "[::/0]"])
    assert forbidden(parse(text))
    assert rules.refusal(SERVICES, text, parse(text), 80)
    with pytest.raises(BadRule):
        Rules(["169.254.169.254"])


@pytest.mark.parametrize(
    ("rule", "name", "address", "port", "open_to"),
    [
        ("api.example.com", "api.example.com", "1.1.1.1", 443, True),
        ("api.example.com", "api.example.com", "10.0.0.1", 443, False),
        ("api.example.com", "www.example.com", "1.1.1.1", 443, False),
        ("api.example.com:443", "api.example.com", "1.1.1.1", 80, False),
        ("*.example.com", "a.b.example.com", "1.1.1.1", 443, True),
        ("*.example.com", "example.com", "1.1.1.1", 443, False),
        ("*.example.com", "notexample.com", "1.1.1.1", 443, False),
        ("public", "anything.test", "1.1.1.1", 25, True),
        ("10.0.0.0/8", "10.2.3.4", "10.2.3.4", 9, True),
        ("10.0.0.0/8:80", "10.2.3.4", "10.2.3.4", 81, False),
        ("localhost:3000", "localhost", "127.0.0.1", 3000, True),
        ("localhost:3000", "localhost", "::1", 3000, True),
        ("localhost:3000", "localhost", "127.0.0.1", 3001, False),
        ("127.0.0.1/32", "localhost", "127.0.0.1", 3001, True),
        ("127.0.0.1/32", "127.0.0.2", "127.0.0.2", 3001, False),
        ("[fd00::1]:80", "fd00::1", "fd00::1", 80, True),
        ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:127.0.0.1", 80, True),
        ("thumbs=api.example.com", "api.example.com", "1.1.1.1", 443, False),
        ("f=api.example.com", "api.example.com", "1.1.1.1", 443, True),
        ("f*=api.example.com", "api.example.com", "1.1.1.1", 443, True),
        ("@services=api.example.com", "api.example.com", "1.1.1.1", 443, False),
    ],
)  # fmt: skip
def test_a_function_reaches_what_a_rule_says(rule, name, address, port, open_to):
    assert (Rules([rule]).refusal("f", name, parse(address), port) == "") is open_to


def test_without_rules_deliveries_reach_the_internet_and_functions_nothing():
    rules = Rules()
    assert rules.refusal(SERVICES, "a.example", parse("1.1.1.1"), 8443) == ""
    assert rules.refusal(SERVICES, "a.example", parse("1.1.1.1"), 25)
    assert rules.refusal("f", "a.example", parse("1.1.1.1"), 443)
    assert not rules.opens("f")
    assert not rules.for_functions
    assert not Rules(["@services=10.0.0.1"]).for_functions


def test_none_ends_deliveries_too():
    rules = Rules(["none"])
    assert rules.refusal(SERVICES, "a.example", parse("1.1.1.1"), 443)
    assert not rules.opens(SERVICES)
    with pytest.raises(BadRule):
        Rules(["none", "public"])


def test_a_name_that_may_not_be_reached_is_not_even_asked_for():
    """A question to the name server carries data out as well as a request does."""
    rules = Rules(["f=*.example.com", "10.0.0.0/8"])
    assert rules.may_resolve("f", "a.example.com", 443)
    assert not rules.may_resolve("f", "secret.attacker.test", 443)
    assert not rules.may_resolve("g", "a.example.com", 443)


@pytest.mark.parametrize("text", ["", "http://x", "a b", "x:0", "x:99999", "1.2.3.4.5", "x/8", "a,b=c", "=x", "*", "256.1.1.1"])  # fmt: skip
def test_what_is_no_rule_is_said_at_the_start(text):
    with pytest.raises(BadRule):
        Rules([text])
