"""Whether the service asks for API keys, which depends on who can reach it."""

import ipaddress
import logging
from enum import StrEnum
from typing import assert_never

from jobs.access.keys import KeyStore
from jobs.settings import Authentication

logger = logging.getLogger(__name__)


class KeyPolicy(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"  # without one, a caller has the rights of an operator; a given one counts
    IGNORED = "ignored"


class NoKeys(Exception):
    """Others could reach the service, and nobody has a key; the message says what to do."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"others could reach {host}, and there is no API key yet. Make the first one with\n"
            "    python -m jobs.admin.keys create --name admin --scope operator\n"
            "or listen at 127.0.0.1. RELORA_AUTHENTICATION=required starts without a key and lets "
            "nobody in; RELORA_AUTHENTICATION=off lets in whoever reaches the service."
        )


def key_policy(setting: Authentication, host: str, keys: KeyStore) -> KeyPolicy:
    """For a service that listens at the address `host`. Raises `NoKeys`."""
    loopback = ipaddress.ip_address(host).is_loopback
    match setting:
        case "required":
            return KeyPolicy.REQUIRED
        case "off":
            if not loopback:
                logger.warning("no authentication: whoever reaches %s may do everything", host)
            return KeyPolicy.IGNORED
        case "auto" if loopback:
            return KeyPolicy.OPTIONAL
        case "auto":
            if not keys.any_usable():
                raise NoKeys(host)
            return KeyPolicy.REQUIRED
        case _:
            assert_never(setting)
