"""Make a narrower model of the same family, with equal depth, heads, vocabulary and positions."""

import copy

from transformers import PreTrainedConfig

from relora_core.errors import ModelError

# The names of the MLP's inner size in the families. If GPT-2's is unset, and in families without
# a name for it, the inner size is four times the hidden size.
_MLP_FIELDS = ("intermediate_size", "ffn_dim", "n_inner")


def possible_widths(config: PreTrainedConfig) -> range:
    """Return the smaller hidden sizes, in steps that keep the dimension of each head even.

    Raise `ModelError` if the config has no known fields for its width.
    """
    hidden = getattr(config, "hidden_size", None)
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(hidden, int) or not isinstance(heads, int):
        raise ModelError(
            f"method control cannot narrow a {config.model_type}: its config has no hidden_size "
            "and num_attention_heads; take a family such as llama, or method full"
        )
    step = 2 * heads
    return range(step, hidden, step)


def mlp_size(config: PreTrainedConfig) -> int | None:
    """Return the inner size of the MLP, or None if the family derives it from the hidden size."""
    field = _mlp_field(config)
    if field is None:
        return None
    size: int = getattr(config, field) or 4 * config.hidden_size
    return size


def narrowed(config: PreTrainedConfig, hidden: int, *, more_mlp: int = 0) -> PreTrainedConfig:
    """Return the config with this hidden size and a proportional MLP plus `more_mlp` units."""
    narrow = copy.deepcopy(config)
    narrow.hidden_size = hidden
    head_dim = vars(config).get("head_dim")  # families that derive it have a property instead
    if head_dim is not None:
        narrow.head_dim = max(2, 2 * round(head_dim * hidden / config.hidden_size / 2))
    if getattr(config, "word_embed_proj_dim", None) == config.hidden_size:  # OPT
        narrow.word_embed_proj_dim = hidden
    field, size = _mlp_field(config), mlp_size(config)
    if field is not None and size is not None:
        setattr(narrow, field, max(1, round(size * hidden / config.hidden_size) + more_mlp))
    return narrow


def _mlp_field(config: PreTrainedConfig) -> str | None:
    return next((field for field in _MLP_FIELDS if hasattr(config, field)), None)
