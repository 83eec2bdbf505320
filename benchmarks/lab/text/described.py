"""A text in words: its packages, its sources, and its hash."""

from collections.abc import Iterator

from benchmarks.lab.text.build import Text
from relora_core.estimate.text_table import text_table


def described(text: Text) -> Iterator[str]:
    for package in text.packages:
        yield f"{package.name} {package.version}, sha256 {package.sha256}"
    yield ""
    yield text_table(
        ["source", "licence", "documents", "held out", "MB", "held out"],
        [
            [
                part.source,
                part.licence,
                f"{part.documents:,}",
                f"{part.validation_documents:,}",
                f"{part.bytes / 1e6:.2f}",
                f"{part.validation_bytes / 1e6:.2f}",
            ]
            for part in text.parts
        ],
    )
    yield ""
    yield f"text: sha256 {text.sha256}"
