"""Servers that a spec or a webhook names, and which of their addresses are public.

An address that is written out is checked when it is accepted. A name is resolved before each
connection, which then goes to the very address that was checked: so no request to the API waits
for a name server, and a name that changes its address gains nothing.
"""

import socket
from ipaddress import IPv6Address, ip_address, ip_network

from jobs.schemas.server_url import AddressRefused, split_url

_UNICAST = ip_network("2000::/3")
# Public by their number, and yet a door into the network of a cloud: Azure's, Oracle's.
_METADATA = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))


def addresses_of(host: str, port: int, *, only_public: bool) -> list[str]:
    """Where to connect to. Raises `OSError` for a name without an address, and `AddressRefused`."""
    addresses = resolve(host, port)
    if only_public:
        check_addresses(addresses)
    return addresses


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, IPv4 first. Raises `OSError` if it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return sorted(addresses, key=lambda address: ":" in address)


def check_addresses(addresses: list[str]) -> None:
    """Raise `AddressRefused` if any of them is not public."""
    for address in addresses:
        if not is_public(address):
            raise AddressRefused(f"points to {address}, which is not on the public internet")


def is_public(address: str) -> bool:
    parsed = ip_address(address)
    if "%" in address:  # a zone, which only addresses of a network nearby have
        return False
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return False
    if isinstance(parsed, IPv6Address):
        # Nothing that stands for an IPv4 address: the embedded one may be private.
        return parsed in _UNICAST and parsed.sixtofour is None and parsed.teredo is None
    return not any(parsed in network for network in _METADATA)


def check_url(url: str, *, only_public: bool) -> None:
    """Raise `AddressRefused` if `url` names, without a look at the network, a place where no
    request may go.
    """
    host = split_url(url).hostname or ""
    if only_public:
        check_addresses(_written_out(host))


def _written_out(host: str) -> list[str]:
    """The address that `host` is, in any of its spellings; none of a name."""
    host = host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]
