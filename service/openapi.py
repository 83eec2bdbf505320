"""`python -m service.openapi`: print the OpenAPI document of a service that requires keys."""

import json
from contextlib import closing
from typing import Any


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    from jobs.backends import open_backends
    from jobs.settings import Settings
    from service.app import create_app

    # The database is never used, so an empty one in memory is enough.
    with closing(open_backends(Settings(database_url="sqlite://"))) as backends:
        return create_app(backends).openapi()


if __name__ == "__main__":
    print(json.dumps(document(), indent=2))  # noqa: T201 # this command prints
