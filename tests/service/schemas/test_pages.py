"""How a list is cut into pages."""

import pytest
from pydantic import BaseModel

from service.schemas.pages import Page


class Thing(BaseModel):
    id: int
    name: str


THINGS = [Thing(id=number, name=f"thing-{number}") for number in range(3)]


def test_a_page_that_more_items_follow_leads_to_them() -> None:
    page = Page[Thing].of(THINGS, 2)
    assert (page.items, page.next) == (THINGS[:2], "1")


@pytest.mark.parametrize("limit", [3, 4])
def test_the_last_page_leads_nowhere_even_when_it_is_full(limit: int) -> None:
    assert Page[Thing].of(THINGS, limit) == Page[Thing](items=THINGS, next=None)


def test_a_list_of_nothing_is_one_page() -> None:
    assert Page[Thing].of([], 50) == Page[Thing](items=[], next=None)


def test_a_list_in_the_order_of_another_field_goes_on_from_that_field() -> None:
    assert Page[Thing].of(THINGS, 1, cursor="name").next == "thing-0"
