"""A narrower model of the same family: same depth, heads, vocabulary and positions."""

import copy

from transformers import PreTrainedConfig

from relora_core.errors import ModelError

# What the families call the inner size of the MLP. Where GPT-2's is unset, and in families
# without a name for it, it is four times the hidden size.
_MLP_FIELDS = ("intermediate_size", "ffn_dim", "n_inner")


def possible_widths(config: PreTrainedConfig) -> range:
    """Hidden sizes below the config's, in steps that keep the dimension of each head even.

    Raises `ModelError` if the config does not say its width in fields that are known.
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
    """None if the family derives it from the hidden size."""
    field = _mlp_field(config)
    if field is None:
        return None
    size: int = getattr(config, field) or 4 * config.hidden_size
    return size


def narrowed(config: PreTrainedConfig, hidden: int, *, more_mlp: int = 0) -> PreTrainedConfig:
    """The config with this hidden size and its MLP in proportion, but for `more_mlp` units."""
    narrow = copy.deepcopy(config)
    narrow.hidden_size = hidden
    head_dim = vars(config).get("head_dim")  # a property in families that derive it
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
