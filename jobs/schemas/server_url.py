"""The check of the URL of a server."""

from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


class AddressRefused(ValueError):
    """The message says why a request cannot go there."""


def split_url(url: str) -> SplitResult:
    """Split a URL. Raise `AddressRefused` if it is not a plain http or https URL of a server."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"is no URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise AddressRefused("must be https://host/path or http://host/path")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("must not hold credentials; the signature says who calls")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused("must be plain ASCII; escape other characters")
    return parts


def port_of(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]
