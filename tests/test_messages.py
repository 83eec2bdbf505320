"""Messages are read at the command line, too, so they name no request of HTTP."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUEST = re.compile(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE) /|\bHTTP [1-5]\d\d\b")


def texts(source: str) -> Iterator[str]:
    """Yield the texts of a module, and the parts of its f-strings, but no docstring."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)) if node not in docstrings:
                yield text


def test_no_message_names_a_request_of_the_api() -> None:
    packages = ("jobs", "relora_core", "service", "worker")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    found = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in files
        if REQUEST.search(source := file.read_text())  # parsing all modules takes seconds
        for text in texts(source)
        if REQUEST.search(text)
    ]
    assert found == []
