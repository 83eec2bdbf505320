"""A table of a page of docs, written from the committed results of one benchmark."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from benchmarks.report import with_measured

Results = TypeVar("Results", bound=BaseModel)


@dataclass(frozen=True)
class PageTable(Generic[Results]):
    """The table between the markers `name` of `page`, made from the results in `file`."""

    name: str
    page: Path
    file: Path
    model: type[Results]
    lines: Callable[[Results], Iterator[str]]

    def read_results(self) -> Results:
        return self.model.model_validate_json(self.file.read_text())

    def page_text(self) -> str:
        """Return the text that the page has with the table of the committed results."""
        table = "\n".join(self.lines(self.read_results()))
        return with_measured(self.page.read_text(), table, self.name)

    def run(
        self, measure: Callable[[Path], Results], arguments: Sequence[str] | None = None
    ) -> int:
        """Run the program of the benchmark: measure, and print the table.

        `measure` gets an empty folder for prepared data. With `--save`, write the results and the
        page.
        """
        parser = argparse.ArgumentParser(
            f"python -m benchmarks.{Path(sys.argv[0]).stem}",
            description=sys.modules[self.lines.__module__].__doc__,
        )
        parser.add_argument(
            "--save", action="store_true", help=f"write {self.file.name} and {self.page.name}"
        )
        options = parser.parse_args(arguments)
        with tempfile.TemporaryDirectory(prefix="relora-bench-") as cache:
            results = measure(Path(cache))
        if options.save:
            self.file.write_text(results.model_dump_json(indent=1) + "\n")
            self.page.write_text(self.page_text())
        print("\n".join(self.lines(results)))
        return 0
