"""Which addresses are public, which are somebody's own network, and which nobody is ever sent to.

Written out, for ``ipaddress.is_global`` says different things in different releases of Python.

https://www.iana.org/assignments/iana-ipv4-special-registry/ and .../iana-ipv6-special-registry/
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_NEVER_4 = {
    "0.0.0.0/8": "this network",
    "169.254.0.0/16": "link-local, where machines find their credentials",
    "224.0.0.0/4": "multicast",
    "255.255.255.255/32": "broadcast",
    "100.100.100.200/32": "a metadata service",
    "168.63.129.16/32": "a metadata service",
    "192.0.0.192/32": "a metadata service",
}
_OWN_4 = {
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared between a carrier's customers",
    "127.0.0.0/8": "loopback",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "240.0.0.0/4": "reserved",
}
_NEVER_6 = {
    "::/128": "this network",
    "fe80::/10": "link-local, where machines find their credentials",
    "ff00::/8": "multicast",
    "fd00:ec2::/32": "a metadata service",
    "fd20:ce::/64": "a metadata service",
}
_OWN_6 = {
    "::1/128": "loopback",
    "100::/64": "discarded",
    "64:ff9b:1::/48": "translated to somebody's own",
    "2001:2::/48": "for benchmarks",
    "2001:10::/28": "hashes, not places",
    "2001:20::/28": "hashes, not places",
    "2001:db8::/32": "for documentation",
    "3fff::/20": "for documentation",
    "5f00::/16": "of segment routing",
    "fc00::/7": "private",
    "fec0::/10": "site-local",
}
_ROUTED_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")

_Table = list[tuple[IPv4Network | IPv6Network, str]]


def _table(v4: dict[str, str], v6: dict[str, str]) -> _Table:
    return [
        *((IPv4Network(net), why) for net, why in v4.items()),
        *((IPv6Network(net), why) for net, why in v6.items()),
    ]


_NEVER = _table(_NEVER_4, _NEVER_6)
_OWN = _table(_OWN_4, _OWN_6)


def parse(text: str) -> Address:
    """Raises ValueError for what is not an address, also for one with a zone id."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError(f"{text} has a zone id")
    return address


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only wraps (mapped, compatible, 6to4, Teredo, NAT64), else itself."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def forbidden(address: Address) -> str:
    """Why no rule may open ``address``; "" for others."""
    return _found(_NEVER, plain(address))


def never_open(net: IPv4Network | IPv6Network) -> str:
    """Why a rule for all of ``net`` could open nothing; "" if it could."""
    whole = _found(_NEVER, net.network_address)
    return whole if whole == _found(_NEVER, net.broadcast_address) else ""


def not_public(address: Address) -> str:
    """Why ``address`` is not a place on the internet; "" if it is one."""
    real = plain(address)
    why = _found(_NEVER, real) or _found(_OWN, real)
    if not why and isinstance(real, IPv6Address) and real not in _ROUTED_6:
        return "not routed"
    return why


def _found(table: _Table, address: Address) -> str:
    return next((why for net, why in table if address in net), "")
