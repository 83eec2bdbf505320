"""`python -m service.openapi`: print how the API describes itself where keys are asked for."""

import json
from contextlib import closing
from typing import Any


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    from jobs.backends import open_backends
    from jobs.settings import Settings
    from service.app import create_app

    # Nothing is asked of it, so the database may be one that is nowhere.
    with closing(open_backends(Settings(database_url="sqlite://"))) as backends:
        return create_app(backends).openapi()


if __name__ == "__main__":
    print(json.dumps(document(), indent=2))  # noqa: T201 # what it is for
