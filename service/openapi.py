"""The API's description of itself: FastAPI's, with errors and keys as they really are.

`python -m service.openapi` prints it, as a server describes itself that asks for keys.
"""

import json
from contextlib import closing
from typing import Any

from service.http.openapi import _operations


def _without_keys(document: dict[str, Any]) -> None:
    """`/docs` then shows no lock at any operation and no button for a key."""
    for operation in _operations(document):
        operation.pop("security", None)
    document["components"].pop("securitySchemes")


def main() -> None:
    from jobs.backends import open_backends
    from jobs.settings import Settings
    from service.app import create_app

    # Nothing is asked of it, so the database may be one that is nowhere.
    with closing(open_backends(Settings(database_url="sqlite://"))) as backends:
        print(json.dumps(create_app(backends).openapi(), indent=2))  # noqa: T201 # what it is for


if __name__ == "__main__":
    main()
