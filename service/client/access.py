"""Who may use the service, and what they keep in it: keys, projects, secrets."""

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
        """Make a key; `.key` of the answer is shown this once."""
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
        """The newest first, expired ones among them and, if they are asked for, revoked ones."""
        query: Query = {"project": project, "revoked": revoked}
        return Listing(at("keys"), model(Page[ApiKey]), query=query, limit=limit)

    @answered
    def get(self, key_id: str) -> Request[ApiKey]:
        return Request("GET", at("keys", key_id), model(ApiKey))

    @answered
    def revoke(self, key_id: str) -> Request[None]:
        """For good, within seconds."""
        return Request("DELETE", at("keys", key_id), nothing)


class Projects(Group[AnyTransport]):
    @answered
    def create(self, name: str, *, quotas: GivenQuotas | None = None) -> Request[Project]:
        document = {"name": name, "quotas": changes_of(quotas or {})}
        return Request("POST", at("projects"), model(Project), json=document)

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[Project]:
        """By name."""
        return Listing(at("projects"), model(Page[Project]), limit=limit)

    @answered
    def get(self, project: str) -> Request[ProjectReport]:
        """A project's quotas, and what it uses of them."""
        return Request("GET", at("projects", project), model(ProjectReport))

    @answered
    def change(self, project: str, *, quotas: GivenQuotas) -> Request[Project]:
        """Quotas that are left out stay."""
        document = {"quotas": changes_of(quotas)}
        return Request("PATCH", at("projects", project), model(Project), json=document)


class Secrets(Group[AnyTransport]):
    @answered
    def put(self, name: str, value: str) -> Request[Secret]:
        """Store a value, in place of the one before. No answer has it again."""
        return Request("PUT", at("secrets", name), model(Secret), json={"value": value})

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[Secret]:
        """The names, sorted, without the values."""
        return Listing(at("secrets"), model(Page[Secret]), limit=limit)

    @answered
    def delete(self, name: str) -> Request[None]:
        return Request("DELETE", at("secrets", name), nothing)
