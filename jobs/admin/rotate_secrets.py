"""`python -m jobs.admin.rotate_secrets`: encrypt all secrets under the newest key."""

import sys
from contextlib import closing

from jobs.backends import open_backends
from jobs.settings import Settings


def main() -> None:
    with closing(open_backends(Settings())) as backends:
        unreadable = backends.secrets.rotate()
    if unreadable:
        sys.exit(f"{unreadable} secrets are left: none of RELORA_SECRET_KEYS opens them")


if __name__ == "__main__":
    main()
