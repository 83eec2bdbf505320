"""Keys, secrets and projects, as tables for a terminal."""

from collections.abc import Sequence

from rich.filesize import decimal
from rich.table import Table

from jobs.schemas.keys import ApiKey
from jobs.schemas.projects import Project, ProjectReport, Quotas
from jobs.schemas.secrets import Secret
from service.cli.tables.table import Listing, details, line, moment


def key_table(items: Sequence[ApiKey]) -> Listing:
    rows = Listing("name", "scope", "begins", "state", "last used", least="begins")
    for item in items:
        rows.add_row(
            item.id,
            line(item.name),
            item.scope,
            item.prefix,
            _usable(item),
            moment(item.last_used_at),
        )
    return rows


def key_details(key: ApiKey) -> Table:
    return details(
        [
            ("id", key.id),
            ("name", key.name),
            ("project", key.project),
            ("scope", key.scope),
            ("begins", key.prefix),
            ("state", _usable(key)),
            ("created", moment(key.created_at)),
            ("last used", moment(key.last_used_at)),
        ]
    )


def _usable(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "usable"


def secret_table(items: Sequence[Secret]) -> Listing:
    rows = Listing("changed", first="name")
    for item in items:
        rows.add_row(item.name, moment(item.updated_at))
    return rows


def project_table(items: Sequence[Project]) -> Listing:
    """Return a table of projects with their quotas."""
    rows = Listing(*Quotas.model_fields, "created", first="name")
    for item in items:
        quotas = [_amount(name, limit) for name, limit in item.quotas]
        rows.add_row(item.name, *quotas, moment(item.created_at))
    return rows


def quota_table(project: ProjectReport) -> Listing:
    """Return a table of the quotas of one project and their usage."""
    used = dict(project.usage)
    rows = Listing("used", "limit", first="quota")
    for name, limit in project.quotas:
        rows.add_row(name, _amount(name, used[name]), _amount(name, limit))
    rows.add_row("gpu_hours", f"{project.gpu_hours:,.2f}", "none")
    return rows


def _amount(quota: str, value: int | None) -> str:
    if value is None:
        return "none"
    return decimal(value) if quota.endswith("_bytes") else f"{value:,}"
