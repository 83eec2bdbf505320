"""The check which servers are on the public internet."""

import socket
from typing import Any

import pytest

from jobs.locations.servers import check_addresses, check_url, is_public
from jobs.schemas.server_url import AddressRefused

PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255"),  # noqa: S104 # nobody listens
    *("::1", "::", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "fd00:ec2::254"),
    *("ff02::1", "2001:db8::1", "2001::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1"),
    *("64:ff9b::a00:1", "2002:7f00:1::"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_internet_is_none(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_an_address_of_the_public_internet_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]:8000/x",
        "http://localhost/x",
        "http://localhost./x",
        "http://127.0.0.1./x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_a_url_into_a_private_network_is_refused_where_only_public_ones_may_be_reached(
    url: str,
) -> None:
    with pytest.raises(AddressRefused, match="not on the public internet"):
        check_url(url, only_public=True)
    check_url(url, only_public=False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "example.com/x",
        "https://",
        "https://a:b@example.com/",
        "http://h:0/",
        "http://h:99999/",
        "http://[::1",
        "http://exämple.com/",
        "http://example.com/a b",
    ],
)
def test_what_is_no_plain_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, only_public=False)


def test_of_many_addresses_each_must_be_public() -> None:
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        check_addresses(["8.8.8.8", "10.0.0.1"])


def test_no_name_is_looked_up_when_a_url_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    look_up = socket.getaddrinfo

    def noting(*arguments: Any, **options: Any) -> Any:
        asked.append(options["flags"])
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    check_url("https://example.com/", only_public=True)
    assert asked == [socket.AI_NUMERICHOST]
