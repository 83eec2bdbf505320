import math

import pytest
import torch

from relora_core.lowrank.spectrum import (
    MAX_VALUES,
    UpdateSpectrum,
    mean_condition,
    spectrum_of,
    update_spectrum,
)


def matrix_with(values: list[float], rows: int, columns: int) -> torch.Tensor:
    """Random singular vectors, these singular values."""
    generator = torch.Generator().manual_seed(0)
    draw = [
        torch.randn(n, len(values), dtype=torch.float64, generator=generator)
        for n in (rows, columns)
    ]
    left, right = (torch.linalg.qr(d)[0] for d in draw)
    return (left * torch.tensor(values, dtype=torch.float64) @ right.T).float()


def test_equal_singular_values_count_alike_by_every_measure() -> None:
    spectrum = spectrum_of(matrix_with([2.0] * 5, 40, 30))
    assert spectrum.shape == (40, 30)
    assert spectrum.exact
    assert spectrum.singular_values[:5] == pytest.approx([2.0] * 5, rel=1e-5)
    assert len(spectrum.singular_values) == 30
    assert spectrum.norm == pytest.approx(2 * math.sqrt(5), rel=1e-5)
    assert spectrum.effective_rank == pytest.approx(5, rel=1e-4)
    assert spectrum.stable_rank == pytest.approx(5, rel=1e-5)
    assert spectrum.numerical_rank == 5


def test_the_measures_follow_their_definitions() -> None:
    spectrum = spectrum_of(torch.diag(torch.tensor([3.0, 1.0, 0.0])))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert spectrum.effective_rank == pytest.approx(math.exp(entropy))
    assert spectrum.stable_rank == pytest.approx(10 / 9)
    assert spectrum.numerical_rank == 2


def test_the_numerical_rank_stops_at_what_fp32_cannot_tell_from_zero() -> None:
    limit = torch.finfo(torch.float32).eps * 4  # for a largest value of 1 and sides up to 4
    assert spectrum_of(torch.diag(torch.tensor([1.0, limit * 2, 0, 0]))).numerical_rank == 2
    assert spectrum_of(torch.diag(torch.tensor([1.0, limit / 2, 0, 0]))).numerical_rank == 1


def test_a_matrix_of_zeros_has_no_rank() -> None:
    spectrum = spectrum_of(torch.zeros(4, 3))
    ranks = (spectrum.effective_rank, spectrum.stable_rank, spectrum.numerical_rank)
    assert ranks == (0.0, 0.0, 0)
    assert spectrum.condition_number is None


def test_the_condition_number_leaves_out_what_fp32_cannot_tell_from_zero() -> None:
    assert spectrum_of(torch.diag(torch.tensor([3.0, 2.0]))).condition_number == 1.5
    of_rank_2 = spectrum_of(matrix_with([6.0, 2.0], 40, 30))
    assert of_rank_2.condition_number == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_any_floating_type_is_taken(dtype: torch.dtype) -> None:
    assert spectrum_of(torch.eye(8, dtype=dtype)).effective_rank == pytest.approx(8)


def test_of_a_large_matrix_the_first_values_are_found_by_a_random_range() -> None:
    values = [2.0 ** (-i / 8) for i in range(100)]
    matrix = matrix_with(values, 1100, 1030)
    spectrum = spectrum_of(matrix)
    assert not spectrum.exact
    assert spectrum.condition_number is None  # the smallest value is not known
    assert len(spectrum.singular_values) == MAX_VALUES
    assert spectrum.singular_values[:100] == pytest.approx(values, rel=1e-4)
    assert spectrum.numerical_rank == 100
    assert spectrum.norm == pytest.approx(math.sqrt(sum(v * v for v in values)), rel=1e-5)


def test_the_random_range_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    matrix = torch.randn(1100, 1030, generator=torch.Generator().manual_seed(1))
    before = torch.get_rng_state()
    assert spectrum_of(matrix) == spectrum_of(matrix)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_is_the_mean_over_its_layers() -> None:
    layers = {"one": spectrum_of(torch.eye(4)), "two": spectrum_of(torch.eye(8))}
    spectrum = UpdateSpectrum(step=3, restart=1, layers=layers)
    assert spectrum.mean("numerical_rank") == 6
    assert UpdateSpectrum.model_validate_json(spectrum.model_dump_json()) == spectrum


def test_the_weight_of_a_layer_is_measured_beside_its_update() -> None:
    update, weight = torch.diag(torch.tensor([4.0, 0.0])), torch.diag(torch.tensor([5.0, 1.0]))
    spectrum = update_spectrum([("layer", update, weight)], step=3, restart=1)
    assert spectrum.layers["layer"] == spectrum_of(update)
    assert spectrum.weights["layer"].condition_number == 5
    assert spectrum.weights["layer"].effective_rank == spectrum_of(weight).effective_rank


def test_condition_numbers_have_a_geometric_mean_if_all_are_known() -> None:
    matrices = [spectrum_of(torch.diag(torch.tensor([last, 1.0]))) for last in (2.0, 8.0)]
    assert mean_condition(matrices) == pytest.approx(4)
    assert mean_condition([*matrices, spectrum_of(torch.zeros(2, 2))]) is None
    assert mean_condition([]) is None
