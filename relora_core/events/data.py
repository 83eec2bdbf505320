"""The events of data preparation, before the first step."""

from typing import Literal

from pydantic import Field

from relora_core.counted import counted
from relora_core.events.event import Event

Split = Literal["train", "validation"]
SOURCE = Field(
    default=None,
    description="The name of the source in a mixture, or of a set in `evaluation.sets`.",
)


def data_name(split: Split, source: str | None) -> str:
    """Return what data this is, as text."""
    return f"{split} data" if source is None else f"{split} data {source}"


class DataProgress(Event):
    """Text is being read and tokenized, here or by another process of the node."""

    type: Literal["train.data_progress"] = "train.data_progress"
    split: Split
    source: str | None = SOURCE
    making: Literal["tokenizer", "tokens"] = Field(
        description="A tokenizer is trained on the text before any of it is tokenized."
    )
    documents: int = Field(default=0, description="Taken so far.")
    tokens: int = Field(default=0, description="Made of them.")
    bytes_read: int | None = Field(default=None, description="Of the files, as they lie there.")
    bytes_total: int | None = Field(
        default=None, description="Of all files; null for a Hugging Face dataset."
    )

    def __str__(self) -> str:
        tokens = f", {counted(self.tokens, 'token')}" if self.making == "tokens" else ""
        doing = "tokenizing" if self.making == "tokens" else "reading for the tokenizer"
        documents = counted(self.documents, "document")
        return f"{data_name(self.split, self.source)}, {doing}: {documents}{tokens}{self._share()}"

    def _share(self) -> str:
        if not self.bytes_total or self.bytes_read is None:
            return ""
        return f", {self.bytes_read / self.bytes_total:.0%} of {self.bytes_total / 1e6:,.1f} MB"


class DataPrepared(Event):
    """The data is ready in the node's cache: made now, or found from an earlier run."""

    type: Literal["train.data"] = "train.data"
    split: Split
    source: str | None = SOURCE
    documents: int = 0
    tokens: int = 0
    split_by: Literal["documents", "tokens"] = Field(
        default="documents",
        description="What was divided into training and validation data: whole documents or, if "
        "there are too few of them, the stream of tokens.",
    )
    images: int | None = Field(default=None, description="Of image classification.")
    labels: int | None = Field(default=None, description="How many classes the images have.")
    bad_rows: int = 0
    examples: list[str] = Field(default_factory=list, description="The first bad rows, and why.")
    reused: bool = Field(default=False, description="Found in the cache, nothing was read.")

    def __str__(self) -> str:
        bad = f", {counted(self.bad_rows, 'bad row')} left out" if self.bad_rows else ""
        made = "tokenized"
        what = f"{counted(self.documents, 'document')}, {counted(self.tokens, 'token')}"
        if self.images is not None:
            made = "resized"
            what = f"{counted(self.images, 'image')}, {counted(self.labels or 0, 'label')}"
        how = "found in the cache" if self.reused else made
        by = ", split by tokens" if self.split_by == "tokens" else ""
        return f"{data_name(self.split, self.source)} {how}: {what}{by}{bad}"
