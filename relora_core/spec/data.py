"""The spec of the data: the text or the images that a run reads."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from relora_core.spec.accepted import was_accepted
from relora_core.spec.part import Line, Spec, Text, having, one_of

STAGED_SCHEMES = ("s3://", "upload://")  # the service's worker copies them to the node
SOURCE_SCHEMES = ("file://", "hf://", *STAGED_SCHEMES)
_HUB_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")

DEFAULT_IMAGE_SIZE = 224  # pixels, as for the models in arXiv 2010.11929


def is_hub_dataset(name: str) -> bool:
    """Return whether the name is the full name of a dataset on the Hub.

    A name without an owner could be a file format such as `json`. For such a name, the `datasets`
    library would read the files of the current folder.
    """
    return _HUB_DATASET.fullmatch(name) is not None


def _form(uri: object) -> str:
    return "several" if isinstance(uri, list | tuple) else "one"


Uris = Annotated[
    Annotated[Text, Tag("one")]
    | Annotated[tuple[Text, ...], Field(min_length=1, max_length=100), Tag("several")],
    Discriminator(_form),
]


class Source(Spec):
    """Where text, token ids or images are, and how they are read."""

    uri: Uris = Field(
        description="Where the data is: a path, file:///data/*.jsonl.gz, "
        "s3://bucket/key*.parquet, hf://OWNER/NAME?config=en&split=train&revision=..., or "
        "upload://DATASET_ID for a file that was uploaded to the service. A list of these is read "
        "as one source, in its order. "
        "The extension says the format: txt (a file is one document), jsonl or json (one object "
        "a line, or one array of objects), csv and tsv, each also as .gz or .zst; parquet; arrow, "
        "or a folder that Dataset.save_to_disk wrote. "
        "npy and bin hold token ids of the run's pretrained tokenizer; a document ends at EOS. "
        "hf:// streams the dataset; streaming=false downloads it first. "
        "Images come from hf:// or from a folder that has one folder of images for each label.",
    )
    text_field: Line = Field(
        default="text", description="The field or column that holds the text of a row."
    )
    image_field: Line = Field(
        default="image", description="The column of a Hugging Face dataset that holds its images."
    )
    label_field: Line = Field(
        default="label",
        description="The column of a Hugging Face dataset that holds the labels of its images.",
    )
    token_dtype: Literal["uint16", "uint32"] = Field(
        default="uint16",
        description="The type of the token ids in a .bin file. They are little-endian.",
    )

    @field_validator("uri")
    @classmethod
    def _known_schemes(
        cls, written: str | tuple[str, ...], info: ValidationInfo
    ) -> str | tuple[str, ...]:
        for uri in (written,) if isinstance(written, str) else written:
            cls._check_scheme(uri, info)
        return written

    @classmethod
    def _check_scheme(cls, uri: str, info: ValidationInfo) -> None:
        scheme, separator, rest = uri.partition("://")
        if separator and f"{scheme}://" not in SOURCE_SCHEMES:
            raise ValueError(f"cannot read {uri!r}; use {', '.join(SOURCE_SCHEMES)} or a path")
        if not (rest if separator else uri):
            raise ValueError(f"{uri!r} names no data")
        name = rest.partition("?")[0]
        is_known = is_hub_dataset(name) or name.startswith("/") or was_accepted(info)
        if scheme == "hf" and not is_known:
            raise ValueError(
                f"{uri!r} is no dataset on the Hub; write hf://OWNER/NAME, such as "
                "hf://Salesforce/wikitext"
            )

    @property
    def uris(self) -> tuple[str, ...]:
        """All URIs, in the order in which they are read."""
        return (self.uri,) if isinstance(self.uri, str) else self.uri

    @property
    def name(self) -> str:
        """All URIs as text, for a message."""
        return ", ".join(self.uris)

    def places(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield the path of each URI in the spec, and the URI. `path` is that of this source."""
        if isinstance(self.uri, str):
            yield f"{path}.uri", self.uri
        else:
            yield from ((f"{path}.uri.{number}", uri) for number, uri in enumerate(self.uri))

    @property
    def holds_tokens(self) -> bool:
        """Whether a file name says that it has token ids. For `data/*` this is not known: False."""
        return any(
            not uri.startswith("hf://") and uri.endswith((".npy", ".bin")) for uri in self.uris
        )


class HeldOut(Spec):
    fraction: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Share of the training documents or images that is held out for validation.",
    )


ValidationSpec = Annotated[
    Annotated[HeldOut, having("fraction")] | Annotated[Source, having("uri")],
    one_of("fraction", "uri"),
]


class DataSpec(Spec):
    """The text or images to train and to evaluate on."""

    train: Source
    validation: ValidationSpec = Field(
        default=HeldOut(),
        description="What the model is evaluated on: a share of the training data, or a source "
        "of its own.",
    )
    sequence_length: int = Field(default=512, ge=2, le=10**7, description="Tokens in a sequence.")
    image_size: int | None = Field(
        default=None,
        ge=1,
        le=10**5,
        description="Height and width of an image in pixels. Default: that of the model, or 224.",
    )
    augmentation: Literal["none", "flip"] = Field(
        default="flip",
        description="What is done to training images. flip: every other one is mirrored.",
    )
    max_bad_rows: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The run fails if a larger share of the rows or images is unreadable.",
    )

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Yield the path of each source in the spec, and the source."""
        yield "data.train", self.train
        if isinstance(self.validation, Source):
            yield "data.validation", self.validation

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each URI in the spec, and the URI."""
        for path, source in self.sources():
            yield from source.places(path)

    @field_validator("train", mode="before")
    @classmethod
    def _is_one_source(cls, train: object) -> object:
        if isinstance(train, list | tuple):
            raise ValueError(
                "takes one source, not a list; to read several places as one source, write "
                "{uri: [...]}"
            )
        return train
