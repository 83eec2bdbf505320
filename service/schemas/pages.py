"""A page of a list. Every list of the API has this shape. Server and client use it."""

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pydantic import BaseModel, Field

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next: str | None = Field(
        description="Give it as `cursor` for the page after this one; null on the last page."
    )

    @classmethod
    def of(cls, found: Sequence[Item], limit: int, cursor: str = "id") -> Self:
        """Return a page of the first `limit` items of `found`.

        `found` has one item more if another page follows. `cursor` names the attribute of the
        last item that becomes `next`.
        """
        items = list(found[:limit])
        more = len(found) > limit
        return cls(items=items, next=str(getattr(items[-1], cursor)) if more else None)
