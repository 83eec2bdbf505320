"""Compute the `ModelShape` of a Hugging Face config, for each family."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from relora_core.errors import ModelError
from relora_core.shapes.defaults import resolved
from relora_core.shapes.model_shape import BlockActivations, Linear, ModelShape
from relora_core.shapes.sizes import check_sizes, check_switches

Config = Mapping[str, Any]
# A layer of a block: d_out, d_in, whether it has a bias.
Block = Mapping[str, tuple[int, int, bool]]


def model_shape(config: Config) -> ModelShape:
    """Return the shape of the model that transformers builds from `config`.

    Raise `ModelError` if the family is not one of `FAMILIES` or if a field is wrong.
    """
    family = FAMILIES.get(config["model_type"])
    if family is None:
        raise ModelError(
            f"no shape is known for model_type {config['model_type']!r}; known are "
            + ", ".join(FAMILIES)
        )
    fields = resolved(config)
    check_sizes(fields)
    check_switches(fields)
    return family(fields)


def _gated(config: Config) -> ModelShape:
    """Return the shape of Llama and similar families: RMS norms, rotary positions, a gated MLP."""
    hidden, inner, heads = _sizes(config)
    head_dim = config["head_dim"] or hidden // heads
    queries = heads * head_dim
    keys = (config["num_key_value_heads"] or heads) * head_dim
    is_qwen, bias = config["model_type"] == "qwen2", config["attention_bias"]
    block = {
        "self_attn.q_proj": (queries, hidden, bias or is_qwen),
        "self_attn.k_proj": (keys, hidden, bias or is_qwen),
        "self_attn.v_proj": (keys, hidden, bias or is_qwen),
        "self_attn.o_proj": (hidden, queries, bias),
        "mlp.gate_proj": (inner, hidden, config["mlp_bias"]),
        "mlp.up_proj": (inner, hidden, config["mlp_bias"]),
        "mlp.down_proj": (hidden, inner, config["mlp_bias"]),
    }
    statistics = heads + 2
    return ModelShape(
        hidden=hidden,
        layers=config["num_hidden_layers"],
        heads=heads,
        head_dim=head_dim,
        outputs=config["vocab_size"],
        linears=(*_in_blocks("model.layers", block, config), _head(hidden, config)),
        embeddings=config["vocab_size"] * hidden,
        norms=(2 * config["num_hidden_layers"] + 1) * hidden,
        eager=BlockActivations(
            fp32=4 * hidden + statistics,
            compute=2 * queries + 2 * keys + 4 * inner,
            normed=2 * hidden,
            casts=5 * hidden,
        ),
        compiled=BlockActivations(
            fp32=2 * hidden + statistics,
            compute=4 * queries + 3 * inner,
            normed=2 * hidden,
            casts=2 * hidden,
        ),
    )


def _gpt_neox(config: Config) -> ModelShape:
    hidden, inner, heads = _sizes(config)
    bias = config["attention_bias"]
    block = {
        "attention.query_key_value": (3 * hidden, hidden, bias),
        "attention.dense": (hidden, hidden, bias),
        "mlp.dense_h_to_4h": (inner, hidden, True),
        "mlp.dense_4h_to_h": (hidden, inner, True),
    }
    residuals = 1 if config["use_parallel_residual"] else 2
    return ModelShape(
        **_dimensions(config),
        linears=(*_in_blocks("gpt_neox.layers", block, config), _head(hidden, config)),
        embeddings=config["vocab_size"] * hidden,
        norms=_layer_norms(2 * config["num_hidden_layers"] + 1, hidden),
        **_activations(hidden, heads, compute=7 * hidden + 2 * inner, residuals=residuals),
    )


def _gpt2(config: Config) -> ModelShape:
    hidden, inner, heads = _sizes(config)
    block = {
        "attn.c_attn": (3 * hidden, hidden, True),
        "attn.c_proj": (hidden, hidden, True),
        "mlp.c_fc": (inner, hidden, True),
        "mlp.c_proj": (hidden, inner, True),
    }
    return ModelShape(
        **_dimensions(config),
        linears=(*_in_blocks("transformer.h", block, config), _head(hidden, config)),
        embeddings=(config["vocab_size"] + config["max_position_embeddings"]) * hidden,
        norms=_layer_norms(2 * config["num_hidden_layers"] + 1, hidden),
        **_activations(
            hidden,
            heads,
            compute=4 * hidden + 5 * inner,  # tanh-GELU keeps four intermediate tensors
            compiled=4 * hidden + 2 * inner,
        ),
    )


def _opt(config: Config) -> ModelShape:
    hidden, inner, heads = _sizes(config)
    width = config["word_embed_proj_dim"] or hidden  # of the token embedding
    bias = config["enable_bias"]
    block = {
        "self_attn.k_proj": (hidden, hidden, bias),
        "self_attn.v_proj": (hidden, hidden, bias),
        "self_attn.q_proj": (hidden, hidden, bias),
        "self_attn.out_proj": (hidden, hidden, bias),
        "fc1": (inner, hidden, bias),
        "fc2": (hidden, inner, bias),
    }
    projections = [
        Linear("model.decoder.project_in", hidden, width),
        Linear("model.decoder.project_out", width, hidden),
    ]
    last_norm = config["do_layer_norm_before"] and not config["_remove_final_layer_norm"]
    norms = 2 * config["num_hidden_layers"] + int(last_norm)
    return ModelShape(
        **_dimensions(config),
        linears=(
            *_in_blocks("model.decoder.layers", block, config),
            *(projections if width != hidden else []),
            _head(width, config),
        ),
        embeddings=config["vocab_size"] * width + (config["max_position_embeddings"] + 2) * hidden,
        norms=_layer_norms(norms, hidden) if config["layer_norm_elementwise_affine"] else 0,
        **_activations(hidden, heads, compute=4 * hidden + inner, readers=4),
    )


def _bloom(config: Config) -> ModelShape:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    block = {
        "self_attention.query_key_value": (3 * hidden, hidden, True),
        "self_attention.dense": (hidden, hidden, True),
        "mlp.dense_h_to_4h": (4 * hidden, hidden, True),
        "mlp.dense_4h_to_h": (hidden, 4 * hidden, True),
    }
    return ModelShape(
        **_dimensions(config),
        linears=(*_in_blocks("transformer.h", block, config), _head(hidden, config)),
        embeddings=config["vocab_size"] * hidden,
        norms=_layer_norms(2 * config["num_hidden_layers"] + 2, hidden),
        **_activations(hidden, heads, compute=12 * hidden),
        keeps_scores=True,
    )


def _vit(config: Config) -> ModelShape:
    """Return the shape of the image classifier."""
    hidden, inner, heads = _sizes(config)
    bias, patch = config["qkv_bias"], config["patch_size"]
    block = {
        "attention.q_proj": (hidden, hidden, bias),
        "attention.k_proj": (hidden, hidden, bias),
        "attention.v_proj": (hidden, hidden, bias),
        "attention.o_proj": (hidden, hidden, True),
        "mlp.fc1": (inner, hidden, True),
        "mlp.fc2": (hidden, inner, True),
    }
    tokens = (config["image_size"] // patch) ** 2 + 1  # one is the class token
    patches = (config["num_channels"] * patch**2 + 1) * hidden
    return ModelShape(
        **_dimensions(config, outputs="num_labels"),
        linears=(
            *_in_blocks("vit.layers", block, config),
            Linear("classifier", config["num_labels"], hidden, bias=True),
        ),
        embeddings=patches + (tokens + 1) * hidden,
        norms=_layer_norms(2 * config["num_hidden_layers"] + 1, hidden),
        **_activations(hidden, heads, compute=4 * hidden + 2 * inner, readers=4),
        image_tokens=tokens,
    )


def _sizes(config: Config) -> tuple[int, int, int]:
    """Return the hidden size, the inner size of the MLP, and the number of heads."""
    hidden = config["hidden_size"]
    return hidden, config["intermediate_size"] or 4 * hidden, config["num_attention_heads"]


class _Dimensions(TypedDict):
    hidden: int
    layers: int
    heads: int
    head_dim: int
    outputs: int


def _dimensions(config: Config, *, outputs: str = "vocab_size") -> _Dimensions:
    """Return the dimensions of a model whose heads divide the hidden size."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    return {
        "hidden": hidden,
        "layers": config["num_hidden_layers"],
        "heads": heads,
        "head_dim": hidden // heads,
        "outputs": config[outputs],
    }


def _in_blocks(prefix: str, block: Block, config: Config) -> list[Linear]:
    """Return the linear layers of the blocks, each once for all blocks.

    So the cost does not depend on the number of blocks.
    """
    blocks = range(config["num_hidden_layers"])
    return [
        Linear(f"{prefix}.{{}}.{name}", d_out, d_in, bias, blocks=blocks)
        for name, (d_out, d_in, bias) in block.items()
    ]


def _head(hidden: int, config: Config) -> Linear:
    return Linear("lm_head", config["vocab_size"], hidden, tied=config["tie_word_embeddings"])


def _layer_norms(count: int, hidden: int) -> int:
    """Return the parameters of layer norms, which have a weight and a bias."""
    return count * 2 * hidden


class _Activations(TypedDict):
    eager: BlockActivations
    compiled: BlockActivations


def _activations(
    hidden: int,
    heads: int,
    *,
    compute: int,
    compiled: int | None = None,
    residuals: int = 2,
    readers: int = 2,
) -> _Activations:
    """Return the activations of a block with two layer norms, read by `readers` linear layers."""
    eager = BlockActivations(
        fp32=residuals * hidden + heads + 4,
        compute=compute,
        normed=2 * hidden,
        casts=readers * hidden,
    )
    return {
        "eager": eager,
        "compiled": replace(eager, compute=compiled or compute, casts=eager.normed),
    }


FAMILIES: dict[str, Callable[[Config], ModelShape]] = {
    "llama": _gated,
    "mistral": _gated,
    "qwen2": _gated,
    "gpt_neox": _gpt_neox,
    "gpt2": _gpt2,
    "opt": _opt,
    "bloom": _bloom,
    "vit": _vit,
}
