"""`python -m jobs.admin.keys`: make, list and revoke API keys, directly in the database.

Use it to make the first key, which the API cannot make without a key. Everyone who can read the
settings of the database can run it.
"""

import argparse
import sys
from contextlib import closing

from pydantic import ValidationError
from sqlalchemy.exc import OperationalError, ProgrammingError

from jobs.backends import Backends, open_backends
from jobs.database.tables.jobs import DEFAULT_PROJECT
from jobs.errors import JobsError
from jobs.schemas.keys import ApiKey, NewKey, Scope
from jobs.settings import Settings
from relora_core.spec.error_messages import readable_errors


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.admin.keys", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it, this once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--scope", choices=[scope.value for scope in Scope], default="operator")
    create.add_argument(
        "--days", type=float, metavar="N", help="until it expires; default: it never does"
    )
    listing = commands.add_parser("list", help="list the newest keys of a project")
    for command in (create, listing):
        command.add_argument("--project", default=DEFAULT_PROJECT)
    commands.add_parser("revoke", help="revoke a key").add_argument("key_id")
    return parser.parse_args(arguments)


def _run(asked: argparse.Namespace, backends: Backends) -> str:
    """Run the command and return the text to print."""
    match asked.command:
        case "create":
            return backends.keys.create(_new_key(asked), project=asked.project).key
        case "list":
            backends.projects.report(asked.project)  # raises an error for a wrong project name
            keys = backends.keys.list(asked.project, limit=200, revoked=True)
            return "\n".join(map(_line, keys))
        case _:
            backends.keys.revoke(asked.key_id)
            return f"revoked {asked.key_id}"


def _new_key(asked: argparse.Namespace) -> NewKey:
    fields = {"name": asked.name, "scope": asked.scope, "expires_in_days": asked.days}
    try:
        return NewKey.model_validate(fields)
    except ValidationError as error:
        raise ValueError("\n".join(map(str, readable_errors(error, fields, NewKey)))) from None


def _line(key: ApiKey) -> str:
    state = "revoked" if key.revoked_at else "" if not key.expires_at else f"to {key.expires_at}"
    return "  ".join((key.id, key.prefix, f"{key.scope.value:8}", key.name, state)).rstrip()


def main(arguments: list[str]) -> str | None:
    """Run the program; return an error to print, or None."""
    asked = _parse(arguments)
    try:
        with closing(open_backends(Settings())) as backends:
            sys.stdout.write(_run(asked, backends) + "\n")
    except (JobsError, ValueError) as error:
        return str(error)
    except (OperationalError, ProgrammingError) as error:
        reason = str(error.orig).partition("\n")[0]
        return f"{reason}\nIs the database up, and has `python -m jobs.admin.migrate` prepared it?"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
