"""One page of a list, as the API answers every list. For server and client."""

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
        """The first `limit` of `found`, which holds one more where more pages follow.

        `cursor` is the attribute of an item that the page after it is asked for with.
        """
        items = list(found[:limit])
        more = len(found) > limit
        return cls(items=items, next=str(getattr(items[-1], cursor)) if more else None)
