from relora_core.models.loss_chunks import number_of_chunks


def test_a_gpu_has_fewer_and_larger_chunks_than_a_cpu() -> None:
    logits = 512 * 1024**2  # 1 GiB in bf16
    assert number_of_chunks(logits, itemsize=2, on_gpu=False) == 16
    assert number_of_chunks(logits, itemsize=2, on_gpu=True) == 2
