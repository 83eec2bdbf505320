"""API keys, projects and secrets."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.keys import ApiKey, CreatedKey, Scope
from jobs.schemas.projects import Project, ProjectReport, Quotas
from jobs.schemas.secrets import Secret
from service.client.calls import AnyTransport, Group, answered, iterated
from service.client.requests import Listing, Query, Request, at, changes_of, model, nothing
from service.schemas.pages import Page

GivenQuotas = Quotas | Mapping[str, Any]


class Keys(Group[AnyTransport]):
    @answered
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
        return Request("POST", at("keys"), model(CreatedKey), json=document)

    @iterated
    def list(
        self, *, project: str | None = None, revoked: bool = False, limit: int | None = None
    ) -> Listing[ApiKey]:
        """Iterate over the keys, the newest first.

        Expired keys are included, and revoked ones with `revoked`.
        """
        query: Query = {"project": project, "revoked": revoked}
        return Listing(at("keys"), model(Page[ApiKey]), query=query, limit=limit)

    @answered
    def get(self, key_id: str) -> Request[ApiKey]:
        return Request("GET", at("keys", key_id), model(ApiKey))

    @answered
    def revoke(self, key_id: str) -> Request[None]:
        """Revoke a key permanently. It takes effect within seconds."""
        return Request("DELETE", at("keys", key_id), nothing)


class Projects(Group[AnyTransport]):
    @answered
    def create(self, name: str, *, quotas: GivenQuotas | None = None) -> Request[Project]:
        document = {"name": name, "quotas": changes_of(quotas or {})}
        return Request("POST", at("projects"), model(Project), json=document)

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[Project]:
        """Iterate over the projects, sorted by name."""
        return Listing(at("projects"), model(Page[Project]), limit=limit)

    @answered
    def get(self, project: str) -> Request[ProjectReport]:
        """Return the quotas of a project and how much of them it uses."""
        return Request("GET", at("projects", project), model(ProjectReport))

    @answered
    def change(self, project: str, *, quotas: GivenQuotas) -> Request[Project]:
        """Change quotas. Quotas that are left out keep their values."""
        document = {"quotas": changes_of(quotas)}
        return Request("PATCH", at("projects", project), model(Project), json=document)


class Secrets(Group[AnyTransport]):
    @answered
    def put(self, name: str, value: str) -> Request[Secret]:
        """Store a value, which replaces an earlier one. The service never returns it."""
        return Request("PUT", at("secrets", name), model(Secret), json={"value": value})

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[Secret]:
        """Iterate over the names of the secrets, sorted, without their values."""
        return Listing(at("secrets"), model(Page[Secret]), limit=limit)

    @answered
    def delete(self, name: str) -> Request[None]:
        return Request("DELETE", at("secrets", name), nothing)
