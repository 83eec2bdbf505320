"""The cookie that holds the API key of a browser which signed in.

Scripts of the page cannot read it, other sites cannot send it, and it ends with the browser. It has
no path, so the browser keeps it for the API below the address at which it signed in. The name has
the port because browsers send the cookies of one port of a machine to all its ports.
"""

from urllib.parse import urlsplit

from fastapi import Request, Response


def read(request: Request) -> str | None:
    """Return the key that the browser of a request signed in with."""
    return request.cookies.get(_name(request))


def write(request: Request, response: Response, secret: str) -> None:
    """Make the browser send the key with its requests from now on."""
    _set(request, response, secret)


def delete(request: Request, response: Response) -> None:
    """Make the browser forget the key."""
    _set(request, response, "", max_age=0)


def _set(request: Request, response: Response, value: str, max_age: int | None = None) -> None:
    response.set_cookie(
        _name(request),
        value,
        max_age=max_age,
        path=None,
        secure=_is_behind_tls(request),
        httponly=True,
        samesite="strict",
    )


def _name(request: Request) -> str:
    _, separator, port = request.headers.get("Host", "").rpartition(":")
    return f"relora_key_{port}" if separator and port.isdecimal() else "relora_key"


def _is_behind_tls(request: Request) -> bool:
    """Return True if the page came over TLS. The browser knows; the server is behind a proxy."""
    origin = request.headers.get("Origin", "")
    return "https" in {urlsplit(origin).scheme, request.url.scheme}
