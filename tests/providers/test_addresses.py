"""Which addresses a client may have us connect to, and how it may write them."""

import socket

import pytest
from yarl import URL

from service.errors import BadRequest
from service.providers.addresses import Refused, address_of, is_named, is_public, public_socket

PUBLIC = ["8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111"]
PUBLIC_INSIDE = ["::ffff:8.8.8.8", "::ffff:808:808", "64:ff9b::808:808"]
SPECIAL = {
    "this network": ["0.0.0.0", "0.1.2.3"],
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"],
    "unspecified": ["::"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::", "fc00::1"],
    "shared by a carrier": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "link-local": ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%lo", "fe80::1%1"],
    "site-local": ["fec0::1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "5f00::1", "100::1", "4000::1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.9", "192.0.0.192", "2001::1", "2001:20::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255"],
    "the host of a virtual machine": ["168.63.129.16", "fd00:ec2::254"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
    "IPv4-compatible": ["::127.0.0.1", "::7f00:1", "::a00:1"],
    "IPv4-translated": ["::ffff:0:7f00:1"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "64:ff9b:1::808:808"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1", "192.88.99.1"],
    "Teredo": ["2001:0:7f00:1::1"],
    "no address": ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1 ", "[::1]"],
}


def target(address: str) -> tuple[int, int, int, str, tuple[str, int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_INSIDE)
def test_public_addresses_get_a_socket(address: str) -> None:
    assert is_public(address)
    with public_socket(target(address)) as made:
        assert made.family == target(address)[0]


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_addresses_get_none(kind: str) -> None:
    for address in SPECIAL[kind]:
        assert not is_public(address), address
        with pytest.raises(Refused):
            public_socket(target(address))


@pytest.mark.parametrize(
    "text",
    [
        "https://models.example/v1",
        "http://models.example",
        "HTTPS://models.example:8443/",
        "http://[2606:4700:4700::1111]:8080/openai/v1",
        "https://bücher.example/v1",
        "https://models.example/v1/a%20b;c=d,e",
    ],
)
def test_an_address_is_read(text: str) -> None:
    assert address_of(text).host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models.example/v1",
        "//models.example",
        "ftp://models.example",
        "file:///etc/passwd",
        "http:/models.example",
        "http://",
        "http:///v1",
        "http://a@127.0.0.1",
        "http://a:b@models.example",
        "http://@models.example",
        "http://127.0.0.1\\@models.example",
        "http://models.example\\@127.0.0.1",
        "http://models.example#@127.0.0.1",
        "http://models.example/v1?key=1",
        "http://models.example/v1#fragment",
        "http://models.example/v1\\..",
        "http://models.example\r\nHost: 127.0.0.1",
        "http://models.example/\n",
        "http://models.example /",
        " http://models.example",
        "http://models.example\0/",
        "http://models.example:port/",
        "http://models.example:99999/",
        "http://[::1",
        "http://xn--/",
        "http://" + "a" * 2000 + ".example",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as raised:
        address_of(text)
    assert raised.value.param == "base_url"


def test_hosts_are_named_with_or_without_a_port() -> None:
    hosts = ("models.intranet", "Other.Intranet:8000", "10.0.0.5:11434", "[fd00::1]")
    for text in (
        "http://models.intranet",
        "https://MODELS.intranet:9/v1",
        "http://other.intranet:8000/v1",
        "http://10.0.0.5:11434",
        "http://[fd00::1]:8080/",
    ):
        assert is_named(URL(text), hosts), text
    for text in (
        "http://models.intranet.example",
        "http://a.models.intranet",
        "http://other.intranet",
        "http://other.intranet:80",
        "http://10.0.0.5",
        "http://10.0.0.6:11434",
        "http://[fd00::2]",
    ):
        assert not is_named(URL(text), hosts), text
    assert not is_named(URL("http://models.intranet"), ())
