"""Send one POST to a foreign server, with a time limit, to an IP address that was checked."""

import asyncio
import ssl
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING

from jobs.locations.servers import addresses_of
from jobs.schemas.server_url import AddressRefused, port_of, split_url
from jobs.webhooks.sending import Outcome

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 10.0  # for the whole exchange, also if the response arrives slowly
MAX_ADDRESSES = 3


LOOKUPS = ThreadPoolExecutor(16, thread_name_prefix="lookup")  # a lookup cannot be cancelled


def post(url: str, body: bytes, headers: Mapping[str, str], *, only_public: bool) -> Outcome:
    """Send the POST and return its outcome. Never raise for what the other side does.

    Redirects are not followed.
    """
    until = time.monotonic() + TIMEOUT_SECONDS
    try:
        parts = split_url(url)
        host = parts.hostname or ""
        find = partial(addresses_of, host, port_of(parts), only_public=only_public)
        addresses = LOOKUPS.submit(find).result(TIMEOUT_SECONDS)
    except AddressRefused as error:
        return Outcome(error=f"the URL {error}")
    except TimeoutError:
        return Outcome(error=f"no name server answered within {TIMEOUT_SECONDS:g} s")
    except (OSError, UnicodeError) as error:
        return Outcome(error=f"its name has no address: {error}")
    headers = {**headers, "Host": parts.netloc}
    request = _post(url, addresses[:MAX_ADDRESSES], body, headers=headers, host=host)
    return asyncio.run(_by(until, request))


async def _by(until: float, request: Coroutine[None, None, Outcome]) -> Outcome:
    try:
        async with asyncio.timeout(until - time.monotonic()):
            return await request
    except TimeoutError:
        return Outcome(error=f"it did not answer within {TIMEOUT_SECONDS:g} s")


async def _post(
    url: str, addresses: list[str], body: bytes, *, headers: Mapping[str, str], host: str
) -> Outcome:
    import httpx  # imported late, because most processes never send

    try:
        async with httpx.AsyncClient(
            verify=_trusted(), trust_env=False, timeout=TIMEOUT_SECONDS
        ) as client:
            for address in addresses:
                request = client.build_request(
                    "POST",
                    httpx.URL(url).copy_with(host=address),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": host},
                )
                try:
                    return await _outcome(client, request)
                except httpx.ConnectError as error:
                    failed = error
            return Outcome(error=f"it cannot be reached: {failed}")
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Outcome(error=f"the connection failed: {type(error).__name__}")


async def _outcome(client: "httpx.AsyncClient", request: "httpx.Request") -> Outcome:
    """Send the request and return its outcome. A status of 2xx is a success.

    The body of the response is not read.
    """
    response = await client.send(request, stream=True)
    await response.aclose()
    status = response.status_code
    return Outcome(status, error=None if response.is_success else f"it answered {status}")


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()
