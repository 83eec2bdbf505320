"""What of a model decides its parameters, its memory and its FLOPs."""

import re
from dataclasses import dataclass

# The blocks of a transformer stand in a ModuleList: a number in a layer's name says it is in one.
_IN_A_BLOCK = re.compile(r"\.\d+\.")


def is_in_a_block(name: str) -> bool:
    """By the name of a module or parameter."""
    return _IN_A_BLOCK.search(name) is not None


@dataclass(frozen=True)
class Linear:
    """A linear layer with a weight (d_out, d_in), once or in each of `blocks`."""

    name: str  # as in `named_modules`; with `blocks`, {} stands for the number of a block
    d_out: int
    d_in: int
    bias: bool = False
    tied: bool = False  # its weight is the embedding's
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
        """Of the layers in all `blocks` together."""
        return self.count * self.d_out * self.d_in


@dataclass(frozen=True)
class BlockActivations:
    """What autograd keeps of one block until its backward, in elements a token.

    Counted from the tensors that torch 2.13 saves for the models of transformers 5.23, with
    attention in a fused kernel and no dropout.
    """

    fp32: int  # under autocast, too: the residual stream, the inside of norms
    compute: int  # in the precision of the arithmetic
    normed: int  # outputs of norms, which linear layers read
    casts: int  # instead of `normed` under eager autocast: a copy for each layer that reads it


@dataclass(frozen=True)
class ModelShape:
    hidden: int
    layers: int
    heads: int
    head_dim: int
    outputs: int  # of the head, for a token or for a sequence: the vocabulary, or the classes
    linears: tuple[Linear, ...]
    embeddings: int  # parameters: of tokens, positions, patches
    norms: int  # parameters
    eager: BlockActivations
    compiled: BlockActivations
    keeps_scores: bool = False  # attention outside a fused kernel: a weight for each pair of tokens
    image_tokens: int | None = None  # in a sequence, where the images and not the data decide it

    @property
    def parameters(self) -> int:
        """Of the plain model, each counted once."""
        weights = sum(linear.weights for linear in self.linears if not linear.tied)
        return weights + self.biases + self.embeddings + self.norms

    @property
    def biases(self) -> int:
        return sum(linear.count * linear.d_out for linear in self.linears if linear.bias)
