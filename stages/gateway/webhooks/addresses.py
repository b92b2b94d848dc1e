"""Which URLs an endpoint may have, and which addresses its host may have: none inside, unless an operator allows it.

Tenants choose where this deployment sends requests (SSRF). So one strict grammar reads a URL, the host is resolved
here, every address must be public, and the connection is made to exactly the address that was checked.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host and a port, as text. Raises OSError."""

MAX_URL = 2048
"""Characters of a URL."""
PORTS = {"https": 443, "http": 80}
LOWEST_PORT = 1024
"""Ports below, but for that of the scheme, belong to services that are no web servers."""
URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?"
    r"(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
"""No user, no fragment, no backslash, nothing that two parsers could read in two ways."""
LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A host whose last label is one is an IPv4 address to many resolvers: 2130706433, 0177.1, 0x7f.1."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
NEVER = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # The platform of Azure, at a public address.
            "192.0.0.0/24",  # IETF protocol assignments; the metadata of Oracle's cloud.
            "192.88.99.0/24",  # Relays of 6to4.
        ),
    )
)
"""Addresses that `ipaddress` counts as global, and that lead inside."""


class UrlRefused(ValueError):
    """The URL may not be an endpoint. ``allowed`` is what may, in words."""

    def __init__(self, message: str, allowed: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    scheme: str
    host: str
    """Without brackets, in lower case."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def resolve_by_system(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver has for a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class AddressPolicy:
    """What endpoints a deployment takes."""

    def __init__(
        self, *, allow_http: bool = False, networks: Sequence[Network] = (), resolve: Resolve = resolve_by_system
    ) -> None:
        """``networks`` may be used although they are not public."""
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._networks = tuple(networks)
        self._resolve = resolve

    def read(self, url: str) -> Target:
        """Where a URL leads; its host is not resolved, unless it is an address. Raises UrlRefused."""
        match = URL.fullmatch(url) if len(url) <= MAX_URL else None
        if match is None:
            allowed = f"{self._schemes_text}HOST[:PORT][/PATH][?QUERY], ASCII, at most {MAX_URL} characters, no user"
            raise UrlRefused("this is not a URL that a webhook can be sent to", allowed)
        scheme, host, port_text, path, query = match.groups()
        if scheme not in self._schemes:
            raise UrlRefused("the URL is not encrypted", self._schemes_text)
        port = int(port_text) if port_text else PORTS[scheme]
        if port != PORTS[scheme] and not LOWEST_PORT <= port <= 65535:
            raise UrlRefused(f"port {port} is not allowed", f"{PORTS[scheme]}, or {LOWEST_PORT} to 65535")
        target = Target(scheme, _host(host), port, (path or "/") + (query or ""))
        if (address := _literal(target.host)) is not None:
            self._check(target.host, address)
        return target

    def resolve(self, target: Target) -> str:
        """The address to connect to: the first of the host, once all of them are allowed. Raises UrlRefused for one
        that is not, OSError for a host that can't be resolved."""
        texts = [target.host] if _literal(target.host) is not None else self._resolve(target.host, target.port)
        if not texts:
            raise OSError(f"{target.host} has no address")
        for text in texts:
            address = _literal(text)
            if address is None:
                raise UrlRefused(f"the host {target.host} resolves to {text}, which is no address")
            self._check(target.host, address)
        return texts[0]

    def _check(self, host: str, address: Address) -> None:
        inner = embedded(address)
        if any(address in network or inner in network for network in self._networks):
            return
        if not (is_public(address) and is_public(inner)):
            raise UrlRefused(f"the host {host} lies at an address that is not public", "hosts of the public internet")

    @property
    def _schemes_text(self) -> str:
        return " or ".join(f"{scheme}://" for scheme in self._schemes)


def _host(text: str) -> str:
    """A name or an address. Raises UrlRefused."""
    host = text.lower()
    if host.startswith("["):
        host = host[1:-1]
        if not isinstance(_literal(host), IPv6Address):
            raise UrlRefused(f"{text} is no IPv6 address")
        return host
    labels = host.removesuffix(".").split(".")
    if NUMBER.fullmatch(labels[-1]):
        if host.endswith(".") or _literal(host) is None:
            raise UrlRefused(f"the host {text} is no IPv4 address of four decimal numbers")
    elif not all(map(LABEL.fullmatch, labels)):
        raise UrlRefused(f"{text} is no name of a host")
    return host


def _literal(text: str) -> Address | None:
    """The address that a text is, without a zone; None for any other text."""
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, by mapping, translation (NAT64) or a tunnel; else the same."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet, and of one host."""
    if isinstance(address, IPv6Address) and (address in NAT64 or address.ipv4_mapped is not None):
        return True  # What it embeds decides.
    inside = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    if isinstance(address, IPv6Address):
        inside = inside or address.is_site_local
    return address.is_global and not inside and not any(address in network for network in NEVER)
