"""No URL of a tenant leads inside: hostile forms, addresses in disguise, hosts that change their address."""

import ipaddress
from collections.abc import Sequence

import pytest

from stages.gateway.webhooks.addresses import MAX_URL, AddressPolicy, Target, UrlRefused

PUBLIC = "93.184.215.14"


def policy(*answers: str, http: bool = False, networks: Sequence[str] = ()) -> AddressPolicy:
    """A policy whose resolver has these addresses for every host."""
    allowed = [ipaddress.ip_network(one) for one in networks]
    return AddressPolicy(allow_http=http, networks=allowed, resolve=lambda _host, _port: answers)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("https://Example.COM:8443/a%20b/c?d=e&f", Target("https", "example.com", 8443, "/a%20b/c?d=e&f")),
        ("https://xn--bcher-kva.example/hook", Target("https", "xn--bcher-kva.example", 443, "/hook")),
        ("https://8.8.8.8:443/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700:4700::1111]:1024?x", Target("https", "2606:4700:4700::1111", 1024, "/?x")),
    ],
)
def test_urls_of_the_public_internet_are_read(url: str, target: Target) -> None:
    assert policy(PUBLIC).read(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "http://example.com/",
        "HTTPS://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/_x",
        "https:///path",
        "https://",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com#@127.0.0.1/",
        "https://example.com/#fragment",
        "https://example.com/ path",
        "https://example.com/\r\nHost: inside",
        "https://exa\tmple.com/",
        "https://example.com\n",
        "https://ex\N{FULLWIDTH FULL STOP}com/",
        "https://\N{CIRCLED DIGIT ONE}27.0.0.1/",
        "https://example..com/",
        "https://-example.com/",
        "https://.example.com/",
        "https://%31%32%37.0.0.1/",
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:1023/",
        "https://example.com:65536/",
        "https://example.com:/",
        "https://example.com:443443/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[8.8.8.8]/",
        "https://[:::]/",
        f"https://example.com/{'a' * MAX_URL}",
    ],
)
def test_urls_that_parsers_may_read_in_two_ways_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        policy(PUBLIC).read(url)


INSIDE = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("100.100.100.200", "169.254.169.254", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16", "192.88.99.1", "203.0.113.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fec0::1", "ff02::1", "2001:db8::1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1", "100::1", "::ffff:0:127.0.0.1"),
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused_in_the_url_and_of_a_host(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(UrlRefused):
        policy(PUBLIC).read(f"https://{host}/")
    target = policy(PUBLIC).read("https://example.com/")
    for answers in ((address,), (PUBLIC, address)):
        with pytest.raises(UrlRefused):
            policy(*answers).resolve(target)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.0.01", "127.0.0.1.", "1.2.3", "0x", "08"],
)
def test_other_spellings_of_an_ipv4_address_are_refused(host: str) -> None:
    with pytest.raises(UrlRefused):
        policy(PUBLIC, networks=("0.0.0.0/0",)).read(f"https://{host}/")


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_taken(address: str) -> None:
    target = policy().read("https://example.com/")
    assert policy(address).resolve(target) == address


def test_a_network_of_the_operator_is_allowed_and_no_other_is() -> None:
    own = policy("10.1.2.3", http=True, networks=("10.1.0.0/16", "::1/128"))
    assert own.resolve(own.read("http://inside.example:8080/")) == "10.1.2.3"
    assert own.read("http://[::1]/").port == 80
    assert own.read("http://[::ffff:10.1.0.1]:8080/").authority == "[::ffff:10.1.0.1]:8080"
    for other in ("http://10.2.0.1/", "http://127.0.0.1/", "http://example.com:443/"):
        with pytest.raises(UrlRefused):
            own.read(other)


def test_a_host_that_changes_its_address_is_refused_when_it_is_asked_again() -> None:
    answers = iter(([PUBLIC], ["127.0.0.1"]))
    rebinding = AddressPolicy(resolve=lambda _host, _port: next(answers))
    target = rebinding.read("https://rebinding.example/")
    assert rebinding.resolve(target) == PUBLIC
    with pytest.raises(UrlRefused, match="not public"):
        rebinding.resolve(target)


def test_a_host_without_an_address_is_no_refusal() -> None:
    with pytest.raises(OSError, match="no address"):
        policy().resolve(policy().read("https://example.com/"))
