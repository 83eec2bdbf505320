"""The key policy: if callers need an API key, which depends on who can reach the service."""

import ipaddress
import logging
from enum import StrEnum
from typing import assert_never

from jobs.access.keys import KeyStore
from jobs.settings import Authentication

logger = logging.getLogger(__name__)


class KeyPolicy(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"  # a caller without a key has operator rights; a given key is checked
    IGNORED = "ignored"


class NoKeys(Exception):
    """Others could reach the service, but there is no API key. The message says what to do."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"others could reach {host}, and there is no API key yet. Make the first one with\n"
            "    python -m jobs.admin.keys create --name admin --scope operator\n"
            "or listen at 127.0.0.1. RELORA_AUTHENTICATION=required starts without a key and lets "
            "nobody in; RELORA_AUTHENTICATION=off lets in whoever reaches the service."
        )


def key_policy(setting: Authentication, host: str, keys: KeyStore) -> KeyPolicy:
    """Return the policy of a service that listens at the address `host`.

    Raise `NoKeys` if others can reach it and no usable key exists.
    """
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
