from collections.abc import Callable

import numpy as np
import torch

from relora_core.data.shards import TokenShards

MakeShards = Callable[[int, int], TokenShards]


def test_a_sequence_ends_with_the_first_token_of_the_next(make_shards: MakeShards) -> None:
    shards = make_shards(5, 3)
    assert len(shards) == 5
    sequences = shards.sequences(np.array([4, 0]))
    assert sequences.tolist() == [[12, 13, 14, 15], [0, 1, 2, 3]]
    assert sequences.dtype == torch.int64


def test_every_token_but_the_first_is_predicted_once(make_shards: MakeShards) -> None:
    targets = make_shards(7, 4).sequences(np.arange(7))[:, 1:]
    assert targets.flatten().tolist() == list(range(1, 29))


def test_what_does_not_fill_a_sequence_is_left_out(make_shards: MakeShards) -> None:
    shards = make_shards(10, 1)
    shards.sequence_length = 4
    assert (shards.num_tokens, len(shards)) == (11, 2)
