"""The shape of a model, which decides its parameters, its memory and its FLOPs."""

import re
from dataclasses import dataclass

# The blocks of a transformer are in a ModuleList, so a layer in a block has a number in its name.
_IN_A_BLOCK = re.compile(r"\.\d+\.")


def is_in_a_block(name: str) -> bool:
    """Return whether a module or parameter is in a transformer block, by its name."""
    return _IN_A_BLOCK.search(name) is not None


@dataclass(frozen=True)
class Linear:
    """A linear layer with a weight (d_out, d_in), once or in each of `blocks`."""

    name: str  # as in `named_modules`; with `blocks`, {} is in the place of the block's number
    d_out: int
    d_in: int
    bias: bool = False
    tied: bool = False  # whether its weight is the embedding's
    blocks: range | tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        return [self.name.format(number) for number in self.blocks] or [self.name]

    @property
    def count(self) -> int:
        return max(1, len(self.blocks))

    @property
    def in_block(self) -> bool:
        return len(self.blocks) > 0 or is_in_a_block(self.name)

    @property
    def shape(self) -> tuple[int, int]:
        return self.d_out, self.d_in

    @property
    def weights(self) -> int:
        """The number of weights of the layers in all `blocks` together."""
        return self.count * self.d_out * self.d_in


@dataclass(frozen=True)
class BlockActivations:
    """The activations that autograd keeps of one block until its backward, in elements a token.

    They are the tensors that torch 2.13 saves for the models of transformers 5.23, with attention
    in a fused kernel and without dropout.
    """

    fp32: int  # fp32 also under autocast: the residual stream and inner tensors of norms
    compute: int  # in the compute type
    normed: int  # outputs of norms, which linear layers read
    casts: int  # instead of `normed` in eager autocast: a copy for each layer that reads a norm


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model, its linear layers and its other parameters."""

    hidden: int
    layers: int
    heads: int
    head_dim: int
    outputs: int  # of the head: the vocabulary for a token, or the classes for an image
    linears: tuple[Linear, ...]
    embeddings: int  # parameters: of tokens, positions, patches
    norms: int  # parameters
    eager: BlockActivations
    compiled: BlockActivations
    keeps_scores: bool = False  # attention is not fused: it keeps a weight for each pair of tokens
    image_tokens: int | None = None  # tokens in a sequence, if images decide it

    @property
    def parameters(self) -> int:
        """The number of parameters of the plain model. Tied weights count once."""
        weights = sum(linear.weights for linear in self.linears if not linear.tied)
        return weights + self.biases + self.embeddings + self.norms

    @property
    def biases(self) -> int:
        return sum(linear.count * linear.d_out for linear in self.linears if linear.bias)
