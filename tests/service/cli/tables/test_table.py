"""What is left of a table where a terminal is narrow."""

from io import StringIO

import pytest
from rich.console import Console, RenderableType

from service.cli.tables.table import Listing, line

ID = "job_06c47j38fnjz6besfkfpgrk2wv"


def printed(renderable: RenderableType, width: int) -> list[str]:
    screen = Console(file=StringIO(), width=width, color_system=None)
    screen.print(renderable)
    assert isinstance(screen.file, StringIO)
    return [one.rstrip() for one in screen.file.getvalue().splitlines()]


@pytest.fixture
def jobs() -> Listing:
    rows = Listing("name", "method", "status", "step", "loss", least="method loss")
    rows.add_row(ID, line("a name of many words"), "relora", "running", "1,500/20,000", "3.214")
    return rows


def test_a_wide_terminal_shows_all_columns(jobs: Listing) -> None:
    assert printed(jobs, 120) == [
        "id                             name                 method status  step         loss",
        f"{ID} a name of many words relora running 1,500/20,000 3.214",
    ]


def test_a_terminal_of_80_columns_cuts_a_name_before_it_leaves_out_a_column(jobs: Listing) -> None:
    assert printed(jobs, 80) == [
        "id                             name            method status  step         loss",
        f"{ID} a name of many… relora running 1,500/20,000 3.214",
    ]


def test_a_terminal_of_60_columns_shows_fewer_columns_that_can_be_read(jobs: Listing) -> None:
    assert printed(jobs, 60) == [
        "id                             name                 status",
        f"{ID} a name of many words running",
        "left out: method, step, loss; a wider terminal shows more",
    ]


def test_an_id_is_whole_where_nothing_else_has_room(jobs: Listing) -> None:
    assert printed(jobs, 30)[1] == ID


def test_a_table_of_nothing_says_so() -> None:
    assert printed(Listing("name", "status"), 80) == ["none"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(jobs: Listing, width: int) -> None:
    assert all(len(one) <= width for one in printed(jobs, width))
