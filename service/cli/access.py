"""`relora keys`, `relora secrets`: API keys and secrets."""

from typing import Annotated

import typer
from rich.text import Text

from jobs.schemas.keys import Scope
from service.cli.session import (
    URL,
    AsJson,
    Limit,
    Url,
    connected,
    err,
    group,
    out,
    print_all,
    print_gone,
    print_json,
    show,
)
from service.cli.tables.access import key_details, key_table, secret_table

keys = group("API keys: who may use the service.")
secrets = group("Values that jobs name and nobody reads back.")

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key.")]
Project = Annotated[
    str | None, typer.Option(help="Default: that of your key; another needs an operator's key.")
]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    scope: Annotated[Scope, typer.Option(help="What it may do.")] = Scope.WRITE,
    expires_in_days: Annotated[float | None, typer.Option(help="Default: never.")] = None,
    project: Project = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Make a key. It is shown this once."""
    with connected(url) as client:
        key = client.keys.create(
            name, scope=scope, expires_in_days=expires_in_days, project=project
        )
    if json:
        print_json(key)
    else:
        err.print(
            f"{key.scope} key {key.id} of project {key.project}; it is shown this once:",
            soft_wrap=True,
        )
        out.print(Text(key.key, style="bold"), soft_wrap=True)


@keys.command("list")
def list_keys(
    *,
    project: Project = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Revoked ones, too.")] = False,
    limit: Limit = 50,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List a project's keys, the newest first."""
    with connected(url) as client:
        found = client.keys.list(project=project, revoked=revoked, limit=limit)
        print_all(found, key_table, json=json)


@keys.command()
def get(key_id: KeyId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a key, without the key itself."""
    with connected(url) as client:
        key = client.keys.get(key_id)
    print_json(key) if json else show(key_details(key))


@keys.command()
def revoke(key_id: KeyId, *, url: Url = URL, json: AsJson = False) -> None:
    """Revoke a key, for good."""
    with connected(url) as client:
        client.keys.revoke(key_id)
    print_gone(key_id, json=json)


SecretName = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]


@secrets.command("set")
def set_secret(name: SecretName, *, url: Url = URL, json: AsJson = False) -> None:
    """Store a value, typed or from stdin; it replaces the one before."""
    typed = typer.get_text_stream("stdin")
    value = typer.prompt("value", hide_input=True, err=True) if typed.isatty() else typed.read()
    with connected(url) as client:
        secret = client.secrets.put(name, value.removesuffix("\n"))
    print_json(secret) if json else out.print(f"stored {secret.name}")


@secrets.command("list")
def list_secrets(*, limit: Limit = 50, url: Url = URL, json: AsJson = False) -> None:
    """List the names of the secrets."""
    with connected(url) as client:
        found = client.secrets.list(limit=limit)
        print_all(found, secret_table, json=json)


@secrets.command()
def delete(name: SecretName, *, url: Url = URL, json: AsJson = False) -> None:
    """Delete a secret."""
    with connected(url) as client:
        client.secrets.delete(name)
    print_gone(name, json=json)
