import pytest

from relora_core.estimate import known_gpu


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100_80gb"),
        ("NVIDIA A100-PCIE-40GB", "a100_40gb"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA GeForce RTX 4090", "rtx_4090"),
        ("Tesla T4", None),
        ("NVIDIA A10G", None),
    ],
)
def test_a_gpu_is_known_by_what_its_driver_calls_it(product: str, name: str | None) -> None:
    assert known_gpu(product) == name
