"""What ``--egress`` allows beyond the defaults: a list of rules, each a place and for whom.

RULE      [WHO=]PLACE
WHO       a function's name, * in it standing for anything; @services for the platform's own deliveries.
          Without it: everybody
PLACE     public                        every public address
          none                          nothing leaves, not even the platform's deliveries to public addresses
          NAME[:PORT]                   a host; *.example.com has all below example.com. Its addresses must be
                                        public, or listed as well
          ADDRESS[:PORT] NETWORK[:PORT] 10.0.0.7, 127.0.0.1:3000, 10.0.0.0/8, [fd00::1]:80: reached by address,
                                        by a name that is listed too, by deliveries under any name
          localhost[:PORT]              loopback, 127.0.0.0/8 and ::1
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from stratolite.egress.addresses import Address, forbidden, never_open, not_public, plain

SERVICES = "@services"
"""Who asks when the platform delivers; else it is a function's name."""
_MAIL_PORT = 25
_PLACE = re.compile(
    r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+|[0-9a-fA-F:]*:[0-9a-fA-F:/.]*))(?::(?P<port>\d{1,5}))?"
)
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_WHO = re.compile(r"@services|[a-zA-Z0-9_*-]+")


class BadRule(ValueError):
    """Not a rule of ``--egress``; the message says why."""


class _Rule(NamedTuple):
    who: str
    """"" is everybody."""
    port: int
    """0 is any."""
    name: str = ""
    nets: tuple[IPv4Network | IPv6Network, ...] = ()
    public: bool = False


class Rules:
    """Raises BadRule."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._rules: list[_Rule] = []
        self._none = False
        for text in texts:
            if text.strip() == "none":
                self._none = True
            else:
                self._rules.append(_read(text.strip()))
        if self._none and self._rules:
            raise BadRule("none stands alone")

    @property
    def for_functions(self) -> bool:
        """Whether any function may leave at all."""
        return any(rule.who != SERVICES for rule in self._rules)

    def opens(self, who: str) -> bool:
        """Whether there is any place ``who`` may reach."""
        if who == SERVICES:
            return not self._none
        return any(_is_for(rule, who) for rule in self._rules)

    def refusal(self, who: str, name: str, address: Address, port: int) -> str:
        """Why ``who`` may not reach ``address``, found under ``name``; "" if they may."""
        if why := forbidden(address):
            return f"{address} is {why}"
        why = not_public(address)
        mine = [r for r in self._rules if _is_for(r, who) and r.port in (0, port)]
        real = plain(address)
        if any(real in net for rule in mine for net in rule.nets):
            return ""
        if why:
            return f"{address} is {why}"
        if who == SERVICES and not self._none and port != _MAIL_PORT:
            return ""
        if any(rule.public or _named(rule.name, name) for rule in mine):
            return ""
        return f"{name}:{port} is not listed by --egress" + (f" for {who}" if self._rules else "")

    def may_resolve(self, who: str, name: str, port: int) -> bool:
        """Whether it is worth asking who ``name`` is: a question, too, tells others something."""
        if who == SERVICES:
            return not self._none
        mine = [r for r in self._rules if _is_for(r, who) and r.port in (0, port)]
        return any(rule.public or _named(rule.name, name) for rule in mine)


def _is_for(rule: _Rule, who: str) -> bool:
    if not rule.who:
        return True
    return rule.who == who or (who != SERVICES and fnmatchcase(who, rule.who))


def _named(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return bool(pattern) and pattern == name


def _read(text: str) -> _Rule:
    before, equals, place = text.rpartition("=")
    who = before if equals else ""
    if equals and not _WHO.fullmatch(who):
        raise BadRule(f"{text}: before = stands a function's name or @services")
    if place == "public":
        return _Rule(who, 0, public=True)
    match = _PLACE.fullmatch(place)
    if match is None:
        raise BadRule(f"{text}: not a host, an address, a network, localhost, public or none")
    port = int(match["port"] or 0)
    if port > 65535 or match["port"] == "0":
        raise BadRule(f"{text}: no such port")
    host = (match["v6"] or match["host"]).lower().rstrip(".")
    if host == "localhost":
        return _Rule(who, port, nets=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")))
    try:
        net = ip_network(host, strict=False)
    except ValueError:
        pass
    else:
        if why := never_open(net):
            raise BadRule(f"{text}: {why}, never reached from here")
        return _Rule(who, port, nets=(net,))
    if not _NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
        raise BadRule(f"{text}: not a host, an address, a network, localhost, public or none")
    return _Rule(who, port, name=host)
