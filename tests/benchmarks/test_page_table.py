from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks.page_table import PageTable

EMPTY = "# Speed\n<!-- speed: begin -->\n<!-- speed: end -->\nEnd\n"


class Speed(BaseModel):
    tokens: int


def lines(speed: Speed) -> Iterator[str]:
    yield "| tokens |"
    yield f"| {speed.tokens} |"


@pytest.fixture
def table(tmp_path: Path) -> PageTable[Speed]:
    page = tmp_path / "page.md"
    page.write_text(EMPTY)
    return PageTable("speed", page, tmp_path / "speed.json", Speed, lines)


def measure(cache: Path) -> Speed:
    assert list(cache.iterdir()) == []
    return Speed(tokens=7)


def test_a_measurement_is_printed_and_nothing_is_written(
    table: PageTable[Speed], capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.run(measure, []) == 0
    assert capsys.readouterr().out == "| tokens |\n| 7 |\n"
    assert (table.file.exists(), table.page.read_text()) == (False, EMPTY)


def test_save_writes_the_results_and_the_page(table: PageTable[Speed]) -> None:
    assert table.run(measure, ["--save"]) == 0
    assert table.read_results() == Speed(tokens=7)
    written = "# Speed\n<!-- speed: begin -->\n| tokens |\n| 7 |\n<!-- speed: end -->\nEnd\n"
    assert table.page.read_text() == written == table.page_text()
