"""`python -m service.openapi`: print how the API describes itself where keys are asked for."""

import json
from contextlib import closing


def main() -> None:
    from jobs.backends import open_backends
    from jobs.settings import Settings
    from service.app import create_app

    # Nothing is asked of it, so the database may be one that is nowhere.
    with closing(open_backends(Settings(database_url="sqlite://"))) as backends:
        print(json.dumps(create_app(backends).openapi(), indent=2))  # noqa: T201 # what it is for


if __name__ == "__main__":
    main()
