"""The models and tokenizers that a spec names, and their local copies, fetched for the run."""

from collections.abc import Iterator, Mapping

from relora_core.spec import LowRank, PretrainedModel, PretrainedTokenizer, TrainSpec
from relora_core.spec.file_uris import local_path


def pretrained(spec: TrainSpec) -> Iterator[tuple[str, str]]:
    """Yield the path of each field that names a model or a tokenizer, and the name."""
    if isinstance(spec.model, PretrainedModel):
        yield "model.pretrained", spec.model.pretrained
    if isinstance(spec.tokenizer, PretrainedTokenizer):
        yield "tokenizer.pretrained", spec.tokenizer.pretrained
    if isinstance(spec.method, LowRank) and spec.method.warm_start_from is not None:
        yield "method.warm_start_from", spec.method.warm_start_from


def with_copies(spec: TrainSpec, staged: Mapping[str, str]) -> TrainSpec:
    """Return the spec with local copies. `staged` maps names in the spec to folders.

    A file:// URI is replaced by its path.
    """
    changes: dict[str, object] = {}
    for part in ("model", "tokenizer"):
        source = getattr(spec, part)
        if isinstance(source, PretrainedModel | PretrainedTokenizer):
            copy = staged.get(source.pretrained, local_path(source.pretrained))
            changes[part] = source.model_copy(update={"pretrained": copy})
    method = spec.method
    if isinstance(method, LowRank) and method.warm_start_from is not None:
        copy = staged.get(method.warm_start_from, method.warm_start_from)
        changes["method"] = method.model_copy(update={"warm_start_from": copy})
    return spec.model_copy(update=changes)
