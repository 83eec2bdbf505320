"""Choose the layers that get a low-rank update, by names and shapes. No torch needed."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import prod

from relora_core.errors import ModelError
from relora_core.shapes import is_in_a_block
from relora_core.spec import Targets

# The share of the blocks' matrix entries that may be trained in full: routers, gates, short
# convolutions. With more, the run would not be the low-rank run that the spec asks for.
SMALL_SHARE = 0.05

READS_WEIGHTS = {"rwkv"}  # `_rescale_layers` in its forward

Shape = tuple[int, ...]


def is_target(name: str, shape: Shape, targets: Targets) -> bool:
    """Return whether a linear layer gets a low-rank update."""
    if targets.target_modules == "all_linear":
        return is_in_a_block(name) and min(shape) >= targets.rank
    return _matching(tuple(targets.target_modules)).match(name) is not None


@lru_cache(maxsize=8)
def _matching(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)))


def is_below_rank(name: str, shape: Shape, targets: Targets) -> bool:
    """Return whether `all_linear` trains the layer in full, because a side is below the rank.

    Routers and gates are such layers.
    """
    of_all = targets.target_modules == "all_linear" and is_in_a_block(name)
    return of_all and min(shape) < targets.rank


def check_rank(shapes: Mapping[str, Shape], targets: Targets) -> None:
    """Raise `ModelError` if the rank does not fit a linear layer that it was meant for."""
    narrow = [name for name, shape in shapes.items() if is_below_rank(name, shape, targets)]
    in_blocks = [shape for name, shape in shapes.items() if is_in_a_block(name)]
    if _entries(shapes[name] for name in narrow) <= SMALL_SHARE * _entries(in_blocks):
        narrow = []
    named = [name for name, shape in shapes.items() if is_target(name, shape, targets)]
    for name in (*narrow, *named):
        smaller = min(shapes[name])
        if targets.rank > smaller:
            raise ModelError(
                f"method.rank {targets.rank} is over the smaller side of {name}, which is "
                f"{format_shape(shapes[name])}; take a rank of at most {smaller}"
            )


def check_untied(names: Iterable[str]) -> None:
    """Raise `ModelError` if `names`, the target layers with a tied weight, are not empty.

    The two uses of the weight would get different values, and an exported model has only one.
    """
    if names := list(names):
        raise ModelError(
            f"method.target_modules matches {abbreviated(names)}, whose weight is tied to "
            "the embeddings; leave it out of method.target_modules, or set tie_word_embeddings: "
            "false in model.config"
        )


def check_family(model_type: str | None) -> None:
    """Raise `ModelError` if no layer of such a model can be replaced by a low-rank one."""
    if model_type in READS_WEIGHTS:
        raise ModelError(
            f"the code of a {model_type} reads the weights of its linear layers, so no low-rank "
            "layer can replace them; take method full or galore, or another model"
        )


def no_targets(targets: Targets, linears: Iterable[str]) -> ModelError:
    """Return the error for patterns that match none of these linear layers."""
    kinds = dict.fromkeys(f"*.{name.rpartition('.')[2]}" for name in linears)
    return ModelError(
        f"method.target_modules {targets.target_modules!r} matches no linear layer of the model; "
        f"take all_linear, or some of {', '.join(kinds)}"
    )


def check_blocks(linears: Iterable[Shape], others: Mapping[str, Shape], *, model: str) -> None:
    """Raise `ModelError` if too many entries are in `others`, matrices outside of linear layers."""
    share = _entries(others.values()) / max(1, _entries(linears) + _entries(others.values()))
    if share > SMALL_SHARE:
        shown = [f"{name} ({format_shape(shape)})" for name, shape in others.items()]
        raise ModelError(
            f"{share:.0%} of the numbers in the blocks of {model} are in no linear layer, so no "
            f"low-rank update belongs to them and they would be trained in full: "
            f"{abbreviated(shown)}. Mixtures of experts are such models; take a dense model, or "
            "method full"
        )


def abbreviated(names: list[str], *, shown: int = 3) -> str:
    """Return the first names as text, and the number of the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def format_shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _entries(shapes: Iterable[Shape]) -> int:
    return sum(prod(shape) for shape in shapes)
