"""API keys, projects and secrets."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.keys import ApiKey, CreatedKey, Scope
from jobs.schemas.projects import Project, ProjectReport, Quotas
from jobs.schemas.secrets import Secret
from service.client.calls import AnyTransport, Group, endpoint, iterable_endpoint
from service.client.requests import Listing, Query, Request, changes_of, model, nothing, url_path
from service.schemas.pages import Page

GivenQuotas = Quotas | Mapping[str, Any]


class Keys(Group[AnyTransport]):
    @endpoint
    def create(
        self,
        name: str,
        *,
        scope: Scope | str = Scope.WRITE,
        expires_in_days: float | None = None,
        project: str | None = None,
    ) -> Request[CreatedKey]:
        """Create a key. Its secret, `.key` of the result, is shown only this once."""
        document = {
            "name": name,
            "scope": scope,
            "expires_in_days": expires_in_days,
            "project": project,
        }
        return Request("POST", url_path("keys"), model(CreatedKey), json=document)

    @iterable_endpoint
    def list(
        self, *, project: str | None = None, revoked: bool = False, limit: int | None = None
    ) -> Listing[ApiKey]:
        """Iterate over the keys, the newest first.

        Expired keys are included, and revoked ones with `revoked`.
        """
        query: Query = {"project": project, "revoked": revoked}
        return Listing(url_path("keys"), model(Page[ApiKey]), query=query, limit=limit)

    @endpoint
    def get(self, key_id: str) -> Request[ApiKey]:
        return Request("GET", url_path("keys", key_id), model(ApiKey))

    @endpoint
    def revoke(self, key_id: str) -> Request[None]:
        """Revoke a key permanently. It takes effect within seconds."""
        return Request("DELETE", url_path("keys", key_id), nothing)


class Projects(Group[AnyTransport]):
    @endpoint
    def create(self, name: str, *, quotas: GivenQuotas | None = None) -> Request[Project]:
        document = {"name": name, "quotas": changes_of(quotas or {})}
        return Request("POST", url_path("projects"), model(Project), json=document)

    @iterable_endpoint
    def list(self, *, limit: int | None = None) -> Listing[Project]:
        """Iterate over the projects, sorted by name."""
        return Listing(url_path("projects"), model(Page[Project]), limit=limit)

    @endpoint
    def get(self, project: str) -> Request[ProjectReport]:
        """Return the quotas of a project and how much of them it uses."""
        return Request("GET", url_path("projects", project), model(ProjectReport))

    @endpoint
    def change(self, project: str, *, quotas: GivenQuotas) -> Request[Project]:
        """Change quotas. Quotas that are left out keep their values."""
        document = {"quotas": changes_of(quotas)}
        return Request("PATCH", url_path("projects", project), model(Project), json=document)


class Secrets(Group[AnyTransport]):
    @endpoint
    def put(self, name: str, value: str) -> Request[Secret]:
        """Store a value, which replaces an earlier one. The service never returns it."""
        return Request("PUT", url_path("secrets", name), model(Secret), json={"value": value})

    @iterable_endpoint
    def list(self, *, limit: int | None = None) -> Listing[Secret]:
        """Iterate over the names of the secrets, sorted, without their values."""
        return Listing(url_path("secrets"), model(Page[Secret]), limit=limit)

    @endpoint
    def delete(self, name: str) -> Request[None]:
        return Request("DELETE", url_path("secrets", name), nothing)
