"""What a run reads at each place, of one source or of a mixture."""

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from relora_core.data.mixture import Stage
from relora_core.data.order import Mixture, SourceUse, order_of
from relora_core.data.shards import TokenShards

LENGTH = 2
TOKENS = 10**10


def shards_of(folder: Path, number: int, sequences: int) -> TokenShards:
    """The tokens of source n begin at 1000 n, so that a token says where it is from."""
    file = folder / f"{number}.bin"
    tokens = 1000 * number + np.arange(sequences * LENGTH + 1, dtype="<u4")
    file.write_bytes(tokens.tobytes())
    return TokenShards(file, dtype="<u4", num_documents=1, vocab_size=2**32, sequence_length=LENGTH)


@pytest.fixture
def mixture(tmp_path: Path) -> Mixture:
    """Two sources of 10 sequences in equal shares, and from place 40 on a third one alone."""
    sizes = {"web": 10, "books": 10, "code": 30}
    parts = {name: shards_of(tmp_path, n, size) for n, (name, size) in enumerate(sizes.items())}
    return Mixture(parts, (Stage(0, (1, 1, 0)), Stage(40, (0, 0, 1))))


def rows(mixture: Mixture, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the source of each place and the sequence of it, (n, 2)."""
    batch = order_of(mixture, seed=5).read(places)
    assert np.array_equal(batch.targets[:, 0], batch.inputs[:, 1])
    return np.stack(np.divmod(batch.inputs[:, 0].numpy(), 1000), 1) // [1, LENGTH]


def test_each_source_gives_every_sequence_once_in_an_epoch(mixture: Mixture) -> None:
    read = rows(mixture, np.arange(40))
    for source in (0, 1):
        sequences = read[read[:, 0] == source, 1].tolist()
        assert sorted(sequences[:10]) == sorted(sequences[10:]) == list(range(10))
        assert sequences[:10] != sequences[10:]


def test_sources_of_equal_size_have_orders_of_their_own(mixture: Mixture) -> None:
    read = rows(mixture, np.arange(40))
    assert read[read[:, 0] == 0, 1].tolist() != read[read[:, 0] == 1, 1].tolist()


def test_a_batch_is_the_same_however_it_is_cut(mixture: Mixture) -> None:
    whole = rows(mixture, np.arange(30, 60))
    parts = [rows(mixture, np.arange(start, start + 6)) for start in range(30, 60, 6)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_it_says_what_was_read_of_each_source(mixture: Mixture) -> None:
    assert order_of(mixture, seed=5).sources(55) == [
        SourceUse("web", 20, 2.0),
        SourceUse("books", 20, 2.0),
        SourceUse("code", 15, 0.5),
    ]
    assert order_of(mixture.parts["web"], seed=5).sources(5) == [SourceUse("", 5, 0.5)]


def test_any_batch_of_10_billion_tokens_is_found_in_milliseconds(tmp_path: Path) -> None:
    """Sparse files stand for the tokens of 8 sources."""
    parts = {}
    for number in range(8):
        file = tmp_path / f"{number}.bin"
        with file.open("wb") as sparse:
            sparse.truncate(2 * TOKENS // 8)
        parts[str(number)] = TokenShards(
            file, dtype="<u2", num_documents=1, vocab_size=2**16, sequence_length=512
        )
    weights = tuple(np.random.default_rng(0).dirichlet(np.ones(8)).tolist())
    stages = Stage(0, weights), Stage(TOKENS // 1024, weights[::-1])
    order = order_of(Mixture(parts, stages), seed=0)
    seconds = []
    for place in np.random.default_rng(1).integers(0, TOKENS // 512 - 512, 21):
        started = time.process_time()
        order.read(np.arange(place, place + 512))
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.02  # the others may wait for a busy machine
