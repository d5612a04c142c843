"""Where a client may send us: to addresses that everybody on the internet reaches, and to no others.

Source: IANA's registries of special-purpose addresses (RFC 6890). Python's `is_global` alone does not do: it
takes multicast and 6to4 for global, and how much else depends on its version.
"""

import re
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import AddrInfoType
from yarl import URL

from service.errors import BadRequest

ADDRESS = re.compile(r"https?://[^\s/?#@\\\x00-\x1f\x7f]+(/[^\s?#@\\\x00-\x1f\x7f]*)?", re.IGNORECASE)
LONGEST = 2000

SPECIAL = (
    ip_network("192.0.0.0/24"),  # protocol assignments
    ip_network("192.88.99.0/24"),  # relays of 6to4
    ip_network("168.63.129.16/32"),  # public, but within Azure it is the host of the virtual machine
)
GLOBAL_UNICAST = ip_network("2000::/3")
SPECIAL_6 = (
    ip_network("2001::/23"),  # protocol assignments, Teredo
    ip_network("2001:db8::/32"),  # documentation
    ip_network("2002::/16"),  # 6to4, with any IPv4 address inside
    ip_network("3fff::/20"),  # documentation
)
NAT64 = ip_network("64:ff9b::/96")


class Refused(PermissionError):
    """A connection that does not begin, because its address is not public."""


def is_public(address: str) -> bool:
    """Whether an address, as the system is about to connect to it, is one of the public internet."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip in NAT64):
        ip = IPv4Address(int(ip) & 0xFFFF_FFFF)  # this is where the packets go
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL)
    return ip in GLOBAL_UNICAST and not any(ip in network for network in SPECIAL_6)


def public_socket(target: AddrInfoType) -> socket.socket:
    """A socket for the very address that is connected to next: aiohttp's `socket_factory`.

    An earlier check could be deceived: a name resolves to another address the second time, and what a parser
    takes for a name (0x7f000001) the system reads as a number. Raises `Refused`.
    """
    family, kind, protocol, _, address = target
    if not is_public(str(address[0])):
        raise Refused("not a public address")
    return socket.socket(family, kind, protocol)


def address_of(text: str | None) -> URL:
    """The base address that a client names; raises `BadRequest` where two readers could differ about it."""
    with suppress(ValueError):
        if text and len(text) <= LONGEST and ADDRESS.fullmatch(text) and (url := URL(text)).host:
            return url
    raise BadRequest(
        "base_url must be an http or https address such as https://models.example/v1,"
        " without user, password, query or fragment.",
        "base_url",
    )


def is_named(url: URL, hosts: tuple[str, ...]) -> bool:
    """Whether the address's host is one of these; with a port, such as "10.0.0.5:8000", for that one only."""
    names = {url.host, url.host_subcomponent, f"{url.host_subcomponent}:{url.port}"}
    return any(host.lower() in names for host in hosts)
