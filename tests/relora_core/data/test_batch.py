import torch

from relora_core.data.batch import IGNORED, Batch


def test_a_batch_is_cut_with_its_targets() -> None:
    batch = Batch(torch.arange(10).reshape(5, 2), torch.arange(5))
    parts = batch.split(2)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert parts[1].inputs.tolist() == [[4, 5], [6, 7]]
    assert [part.targets.tolist() for part in parts] == [[0, 1], [2, 3], [4]]


def test_one_example_stands_for_many() -> None:
    batch = Batch(torch.arange(6).reshape(3, 2), torch.tensor([7, 8, 9])).repeated(4)
    assert batch.inputs.tolist() == [[0, 1]] * 4
    assert batch.targets.tolist() == [7] * 4
    assert batch.inputs.is_contiguous()  # in memory as a batch that is read


def test_targets_that_fill_a_batch_up_do_not_count() -> None:
    batch = Batch(torch.arange(6).reshape(3, 2), torch.tensor([[7, 8], [9, 1], [2, 3]]))
    filled = batch.counting(2)
    assert filled.targets.tolist() == [[7, 8], [9, 1], [IGNORED, IGNORED]]
    assert (int(filled.num_targets()), int(batch.num_targets())) == (4, 6)
