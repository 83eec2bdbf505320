"""The spec of the data: the text or the images that a run reads."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from relora_core.spec.accepted import was_accepted
from relora_core.spec.part import Line, Spec, Steps, Text, having, one_of
from relora_core.spec.text_pattern import TextPattern
from relora_core.spec.written import SpecConflict
from relora_core.suggestions import no_such

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


MAX_SOURCES = 100  # of a mixture; also the most places that are read as one source

Uris = Annotated[
    Annotated[Text, Tag("one")]
    | Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_SOURCES), Tag("several")],
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
    def place(self) -> str:
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


SourceName = Annotated[
    str,
    Field(max_length=64),
    TextPattern(r"^[A-Za-z0-9][A-Za-z0-9_-]*$", "letters, digits, - and _"),
]
Weight = Annotated[float, Field(ge=0, le=10**9)]


class MixedSource(Source):
    """A source of a mixture."""

    name: SourceName = Field(
        description="The name of the source in events, curves and `data.stages`."
    )
    weight: Weight = Field(
        default=1.0,
        description="The share of its tokens in the training data, relative to the other weights. "
        "0: it is read only in `data.stages`.",
    )
    max_epochs: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="How often it may be read. A run that would read it more often fails before "
        "its first step. Default: as often as needed.",
    )


_OF_MIXTURES = MixedSource.model_fields.keys() - Source.model_fields.keys()


class MixtureStage(Spec):
    """Other weights of a mixture from a step on."""

    from_step: Steps = Field(description="The first step that reads these weights.")
    weights: dict[SourceName, Weight] = Field(
        min_length=1,
        max_length=MAX_SOURCES,
        description="The weight of each source by its name. A source that is not named has 0.",
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


TrainingData = Annotated[
    Annotated[Source, Tag("one")]
    | Annotated[
        tuple[MixedSource, ...], Field(min_length=1, max_length=MAX_SOURCES), Tag("several")
    ],
    Discriminator(_form),
]


class DataSpec(Spec):
    """The text or images to train and to evaluate on."""

    train: TrainingData = Field(
        description="What the model is trained on: a source or, for a mixture, a list of sources "
        "with their weights."
    )
    stages: tuple[MixtureStage, ...] = Field(
        default=(),
        max_length=100,
        description="Other weights of the mixture from a step on, for example better data at the "
        "end of a run. A source goes on where it was.",
    )
    validation: ValidationSpec = Field(
        default=HeldOut(),
        description="What the model is evaluated on: a share of the training data, or a source "
        "of its own.",
    )
    sequence_length: int = Field(default=512, ge=2, le=10**7, description="Tokens in a sequence.")
    document_mask: bool = Field(
        default=False,
        description="Whether a token attends only within its document. Positions then restart at "
        "each document.",
    )
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

    @field_validator("train", mode="before")
    @classmethod
    def _is_a_source_or_a_mixture(cls, train: object) -> object:
        if isinstance(train, Mapping):
            for name in sorted(_OF_MIXTURES & train.keys()):
                raise ValueError(
                    f"`{name}` belongs to a mixture; write a list of sources, or leave it out"
                )
        if isinstance(train, list | tuple) and any(isinstance(one, str) for one in train):
            raise ValueError(
                "to read several places as one source, write {uri: [...]}; a mixture is a list of "
                "sources, each with `uri`, `name` and `weight`"
            )
        return train

    @model_validator(mode="after")
    def _fits_the_mixture(self, info: ValidationInfo) -> Self:
        if was_accepted(info):
            return self
        if isinstance(self.train, Source):
            if self.stages:
                raise SpecConflict("stages", "needs a mixture: a list of sources in data.train")
            return self
        names = [source.name for source in self.train]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise SpecConflict(f"train.{number}.name", f"is given twice: {name}")
        if not any(source.weight for source in self.train):
            raise SpecConflict("train", "needs a source whose weight is above 0")
        self._check_stages(names)
        return self

    def _check_stages(self, names: list[str]) -> None:
        before = 0
        for number, stage in enumerate(self.stages):
            path = f"stages.{number}"
            if stage.from_step <= before:
                raise SpecConflict(
                    f"{path}.from_step", f"must be above that of the stage before, {before}"
                )
            before = stage.from_step
            for name in stage.weights:
                if name not in names:
                    raise SpecConflict(f"{path}.weights.{name}", no_such("source", name, names))
            if not any(stage.weights.values()):
                raise SpecConflict(f"{path}.weights", "needs a weight above 0")

    @property
    def training_sources(self) -> tuple[Source, ...]:
        """The one source to train on, or those of the mixture."""
        return (self.train,) if isinstance(self.train, Source) else self.train

    @property
    def mixture(self) -> tuple[MixedSource, ...]:
        """The sources of the mixture to train on; empty if the run trains on one source."""
        return () if isinstance(self.train, Source) else self.train

    def weights_by_stage(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Yield the first step of each stage of the mixture, and the weights of all sources."""
        yield 0, tuple(source.weight for source in self.mixture)
        for stage in self.stages:
            weights = (stage.weights.get(source.name, 0.0) for source in self.mixture)
            yield stage.from_step, tuple(weights)

    @property
    def training_places(self) -> str:
        """The URIs of the training data as text, for a message."""
        return ", ".join(source.place for source in self.training_sources)

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Yield the path of each source of this part in the spec, and the source."""
        if isinstance(self.train, Source):
            yield "data.train", self.train
        else:
            yield from ((f"data.train.{n}", source) for n, source in enumerate(self.train))
        if isinstance(self.validation, Source):
            yield "data.validation", self.validation
