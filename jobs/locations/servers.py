"""Servers that a spec or a webhook names, and the check that their addresses are public.

A literal IP address is checked when the API accepts it. A host name is resolved and checked before
each connection, and the connection goes to exactly the checked address. So no request to the API
waits for DNS, and a host name that changes its address later (DNS rebinding) bypasses nothing.
"""

import socket
from ipaddress import IPv6Address, ip_address, ip_network

from jobs.schemas.server_url import AddressRefused, split_url

_UNICAST = ip_network("2000::/3")
# Global addresses that still reach the metadata services of a cloud: Azure's and Oracle's.
_METADATA = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))


def addresses_of(host: str, port: int, *, only_public: bool) -> list[str]:
    """Return the addresses to connect to.

    Raise `OSError` if the name has no address, and `AddressRefused` if `only_public` is set and
    an address is not public.
    """
    addresses = resolve(host, port)
    if only_public:
        check_addresses(addresses)
    return addresses


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, IPv4 first. Raise `OSError` if it has none."""
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
    if "%" in address:  # a zone (scope id), which only local addresses have
        return False
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return False
    if isinstance(parsed, IPv6Address):
        # No address that embeds an IPv4 address, because that one may be private.
        return parsed in _UNICAST and parsed.sixtofour is None and parsed.teredo is None
    return not any(parsed in network for network in _METADATA)


def check_url(url: str, *, only_public: bool) -> None:
    """Raise `AddressRefused` if no request may go to `url`. Do not resolve host names."""
    host = split_url(url).hostname or ""
    if only_public:
        check_addresses(_written_out(host))


def _written_out(host: str) -> list[str]:
    """Return the address if `host` is a literal address in any spelling, or `localhost`.

    Return an empty list for any other host name.
    """
    host = host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]
