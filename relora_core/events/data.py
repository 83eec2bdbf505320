"""The data, before the first step."""

from typing import Literal

from pydantic import Field

from relora_core.events.event import Event


class DataPrepared(Event):
    """The data is ready in the node's cache: made now, or found from an earlier run."""

    type: Literal["train.data"] = "train.data"
    split: Literal["train", "validation"]
    documents: int = 0
    tokens: int = 0
    images: int | None = Field(default=None, description="Of image classification.")
    labels: int | None = Field(default=None, description="How many classes the images have.")
    bad_rows: int = 0
    examples: list[str] = Field(default_factory=list, description="The first bad rows, and why.")
    reused: bool = Field(default=False, description="Found in the cache, nothing was read.")

    def __str__(self) -> str:
        bad = f", {self.bad_rows:,} bad rows left out" if self.bad_rows else ""
        made, what = "tokenized", f"{self.documents:,} documents, {self.tokens:,} tokens"
        if self.images is not None:
            made, what = "resized", f"{self.images:,} images, {self.labels} labels"
        how = "found in the cache" if self.reused else made
        return f"{self.split} data {how}: {what}{bad}"
