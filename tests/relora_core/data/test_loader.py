import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path

import pytest
import torch

from relora_core.data.batch import Batch
from relora_core.data.loader import BatchLoader
from relora_core.data.shards import TokenShards

MakeShards = Callable[[int, int], TokenShards]
MakeLoader = Callable[..., BatchLoader]


@pytest.fixture
def make_loader() -> Iterator[MakeLoader]:
    with ExitStack() as stack:

        def make(
            shards: TokenShards, batch: int, *, seed: int = 0, rank: int = 0, world_size: int = 1
        ) -> BatchLoader:
            loader = BatchLoader(
                shards, global_batch_size=batch, seed=seed, rank=rank, world_size=world_size
            )
            return stack.enter_context(closing(loader))

        yield make


def test_each_epoch_holds_every_sequence_once(
    make_shards: MakeShards, make_loader: MakeLoader
) -> None:
    loader = make_loader(make_shards(10, 2), 4)  # 5 steps: 2 epochs, one ends within a batch
    firsts = torch.cat([loader.batch(step).inputs[:, 0] for step in range(5)]) // 2
    epochs = firsts[:10].tolist(), firsts[10:].tolist()
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def test_a_batch_may_be_larger_than_an_epoch(
    make_shards: MakeShards, make_loader: MakeLoader
) -> None:
    batch = make_loader(make_shards(3, 2), 9).batch(0).inputs
    assert sorted(batch[:, 0].tolist()) == [0, 0, 0, 2, 2, 2, 4, 4, 4]


def test_ranks_share_the_batch_of_one_process(
    make_shards: MakeShards, make_loader: MakeLoader
) -> None:
    shards = make_shards(50, 3)
    alone = make_loader(shards, 8)
    ranks = [make_loader(shards, 8, rank=rank, world_size=4) for rank in range(4)]
    for step in (0, 1, 7, 1000):
        parts = [rank.batch(step).inputs for rank in ranks]
        assert [len(part) for part in parts] == [2, 2, 2, 2]
        assert torch.equal(torch.cat(parts), alone.batch(step).inputs)


def test_the_order_follows_from_the_seed(make_shards: MakeShards, make_loader: MakeLoader) -> None:
    shards = make_shards(50, 3)
    first, same, other = (make_loader(shards, 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.batch(3).inputs, same.batch(3).inputs)
    assert not torch.equal(first.batch(3).inputs, other.batch(3).inputs)


def test_any_order_of_steps_gives_the_same_batches(
    make_shards: MakeShards, make_loader: MakeLoader
) -> None:
    shards = make_shards(50, 3)
    forward, jumping = make_loader(shards, 4), make_loader(shards, 4)
    expected = [forward.batch(step).inputs for step in range(10)]
    for step in (9, 0, 1, 1, 5, 6, 4, 0):
        assert torch.equal(jumping.batch(step).inputs, expected[step])


def test_processes_must_divide_the_batch(make_shards: MakeShards) -> None:
    with pytest.raises(ValueError, match="must be a multiple of 3, the number of processes; got 8"):
        BatchLoader(make_shards(50, 3), global_batch_size=8, seed=0, world_size=3)


def test_closing_ends_the_thread_that_reads_ahead(make_shards: MakeShards) -> None:
    before = threading.active_count()
    loader = BatchLoader(make_shards(50, 3), global_batch_size=4, seed=0)
    loader.batch(0)
    assert threading.active_count() == before + 1
    loader.close()
    assert threading.active_count() == before


def test_any_step_of_ten_billion_tokens_is_read_in_milliseconds(
    tmp_path: Path, make_loader: MakeLoader
) -> None:
    file = tmp_path / "tokens.bin"
    file.touch()
    os.truncate(file, 20 * 10**9)  # sparse: it takes no disk
    shards = TokenShards(file, dtype="<u2", num_documents=1, vocab_size=50_000, sequence_length=512)
    loader = make_loader(shards, 64)
    seconds = []
    for step in (0, 10**5, 10**9, 17, 10**7):
        start = time.perf_counter()
        assert loader.batch(step).inputs.shape == (64, 512)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.01


class NoStream:
    """In place of a stream, where no GPU is."""

    def record_event(self) -> None: ...


def test_the_thread_that_copies_uses_the_gpu_of_its_rank_from_its_start(
    make_shards: MakeShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new thread begins with the first GPU, and would make a context there."""
    chosen: dict[str, torch.device] = {}
    copied_by: list[str] = []

    def set_device(device: torch.device) -> None:
        chosen[threading.current_thread().name] = device

    def copied(batch: Batch, _: torch.device) -> Batch:
        copied_by.append(threading.current_thread().name)
        return batch

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: NoStream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    monkeypatch.setattr(Batch, "pinned", lambda batch: batch)
    monkeypatch.setattr(Batch, "to", copied)
    device = torch.device("cuda", 3)
    with closing(BatchLoader(make_shards(50, 3), global_batch_size=8, seed=0, device=device)) as it:
        for step in range(3):
            it.batch(step)
    readers = set(copied_by) - {threading.current_thread().name}
    assert readers == {"batches_0"}
    assert chosen == {"batches_0": device}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_batches_arrive_on_a_gpu_while_the_host_goes_on(
    make_shards: MakeShards, forbid_sync: Callable[[], None]
) -> None:
    shards, device = make_shards(50, 3), torch.device("cuda")
    with (
        closing(BatchLoader(shards, global_batch_size=8, seed=0)) as here,
        closing(BatchLoader(shards, global_batch_size=8, seed=0, device=device)) as there,
    ):
        forbid_sync()
        arrived = [there.batch(step) for step in range(5)]
        torch.cuda.set_sync_debug_mode("default")
        for step, batch in enumerate(arrived):
            assert batch.inputs.device.type == "cuda"
            assert torch.equal(batch.inputs.cpu(), here.batch(step).inputs)
            assert torch.equal(batch.targets.cpu(), here.batch(step).targets)
