import subprocess
import sys
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from relora_core.errors import ModelError
from relora_core.estimate import Estimate, estimate
from relora_core.estimate.estimates import PhaseEstimate
from relora_core.methods.control import control_shape
from relora_core.models.build import make_config
from relora_core.spec import TrainSpec


def estimated(
    recipe: str = "relora_1b", *, gpus: int = 1, gpu: str = "h100", **parts: Any
) -> Estimate:
    return estimate(TrainSpec.model_validate({"recipe": recipe, **parts}), gpus=gpus, gpu=gpu)


def test_phases_share_the_steps_and_the_tokens_of_the_run() -> None:
    run = estimated("relora_1b").run
    assert [(phase.phase, phase.steps) for phase in run.phases] == [
        ("warm_start", 10_000),
        ("low_rank", 20_000),
    ]
    assert run.tokens == 30_000 * 1536 * 512
    assert sum(phase.tokens for phase in run.phases) == run.tokens


def test_the_warm_start_sets_the_peak_of_a_large_model() -> None:
    result = estimated("relora_1b", training={"micro_batch_size": 16})
    assert result.run.peak_phase == "warm_start"
    assert result.run.peak_bytes == result.full_rank.peak_bytes
    assert result.ratios.last_phase_bytes < 0.6


@pytest.mark.parametrize(
    "training",
    [
        {"global_batch_size": 1, "micro_batch_size": 1},
        {"global_batch_size": 8, "micro_batch_size": 2},
        {"global_batch_size": 8, "micro_batch_size": 8},
        {"global_batch_size": 64, "micro_batch_size": 16},
        {"global_batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": True},
        {"global_batch_size": 64, "micro_batch_size": 4, "gradient_checkpointing": True},
    ],
    ids=lambda training: "-".join(map(str, training.values())),
)
def test_with_a_warm_start_by_galore_low_rank_sets_the_peak_in_fp32(
    training: dict[str, Any],
) -> None:
    spec = {
        "model": {"preset": "llama_130m"},
        "data": {"train": {"uri": "unread.txt"}, "sequence_length": 256},
        "method": {"name": "relora", "warm_start": "galore"},
        "training": {"steps": 100, "precision": "fp32", "compile": False, **training},
    }
    warm_start, low_rank = estimate(TrainSpec.model_validate(spec)).run.phases
    assert warm_start.memory.peak <= 1.05 * low_rank.memory.peak


def test_without_a_warm_start_low_rank_sets_the_peak() -> None:
    run = estimated(method={"warm_start_steps": 0}, training={"micro_batch_size": 16}).run
    assert [phase.phase for phase in run.phases] == ["low_rank"]
    assert run.peak_phase == "low_rank"


def test_full_rank_beside_itself_is_the_same() -> None:
    result = estimated("full_130m")
    assert result.run == result.full_rank
    assert result.ratios.seconds == result.ratios.peak_bytes == 1


def test_time_is_the_arithmetic_over_the_share_of_the_peak() -> None:
    run = estimated("full_60m", gpus=2).run
    assert run.seconds == pytest.approx(run.executed_flops / (2 * 989e12 * 0.4))


def test_fp32_runs_at_the_speed_of_fp32() -> None:
    run = estimated("full_60m", training={"precision": "fp32"}).run
    assert run.seconds == pytest.approx(run.executed_flops / (67e12 * 0.4))


def low_rank_phase(frozen_dtype: str, *, gpu: str, precision: str = "bf16") -> PhaseEstimate:
    method = {"warm_start_steps": 0, "frozen_dtype": frozen_dtype}
    training = {"micro_batch_size": 16, "precision": precision}
    return estimated(method=method, training=training, gpu=gpu).run.phases[0]


@pytest.mark.parametrize(
    ("dtype", "gpu", "precision", "width"),
    [
        ("fp8", "h100", "bf16", 5472),  # 5461, filled up
        ("fp8", "h100", "fp32", None),
        ("fp8", "a100_80gb", "bf16", None),
        ("int8", "h100", "fp32", 5464),
        ("int8", "a100_80gb", "bf16", 5464),
    ],
)
def test_w_is_held_a_second_time_by_columns_where_a_gpu_multiplies_it_as_it_is_stored(
    dtype: str, gpu: str, precision: str, width: int | None
) -> None:
    memory = low_rank_phase(dtype, gpu=gpu, precision=precision).memory
    once = 24 * (4 * 2048 * 2048 + 3 * 2048 * 5461)
    scales = 24 * 4 * (4 * 2048 + 2 * 5461 + 2048)
    again = 24 * (4 * 2048 * 2048 + 3 * 2048 * width) if width else 0
    assert memory.frozen == once + scales + again
    assert memory.residual == 4 * once


@pytest.mark.parametrize(
    ("rank", "spectrum", "rows"),
    [
        (128, {"enabled": True}, {2048: 7 * 128, 5461: 7 * 128}),  # seven restarts, so eight cycles
        (512, {"enabled": True}, {2048: 1024, 5461: 5 * 512}),  # up to half of the inputs
        (128, {}, {2048: 0, 5461: 0}),  # over 32M weights
    ],
)
def test_the_directions_of_earlier_cycles_are_kept_up_to_half_of_the_inputs(
    rank: int, spectrum: dict[str, bool], rows: dict[int, int]
) -> None:
    warm_up, low_rank = estimated(
        method={"rank": rank, "warm_start_steps": 100, "reset_every": 100},
        training={"steps": 900},
        spectrum=spectrum,
        gpu="h100",
    ).run.phases
    assert warm_up.memory.directions == 0
    expected = 24 * 4 * (6 * 2048 * rows[2048] + 5461 * rows[5461])
    assert low_rank.memory.directions == expected


@pytest.mark.parametrize(
    ("dtype", "gpu", "peak", "as_stored"),
    [
        ("fp8", "h100", 989e12, 1979e12),
        ("fp8", "a100_80gb", 312e12, None),
        ("int8", "h100", 989e12, 1979e12),
        ("int8", "a100_80gb", 312e12, 624e12),
    ],
)
def test_w_multiplied_as_it_is_stored_takes_the_time_of_two_speeds(
    dtype: str, gpu: str, peak: float, as_stored: float | None
) -> None:
    phase = low_rank_phase(dtype, gpu=gpu)
    in_8_bits = low_rank_phase("fp32", gpu=gpu).memory.frozen if as_stored else 0  # 4 operations
    others = phase.executed_flops_per_token - in_8_bits
    expected = phase.tokens * (others / peak + in_8_bits / (as_stored or peak)) / 0.4
    assert phase.seconds == pytest.approx(expected)
    if as_stored:
        assert phase.seconds < 0.75 * low_rank_phase("bf16", gpu=gpu).seconds


def test_the_micro_batch_is_the_largest_that_fits_every_phase_and_full_rank() -> None:
    result = estimated("relora_1b", gpu="a100_40gb")
    phases = [*result.run.phases, *result.full_rank.phases]
    assert result.micro_batch_size == min(phase.largest_micro_batch_size for phase in phases)
    assert 1536 % result.micro_batch_size == 0
    assert result.run.fits


def test_a_run_that_does_not_fit_says_so() -> None:
    result = estimated("relora_1b", gpu="l4", model={"preset": "llama_7b"})
    assert not result.run.fits
    assert result.run.phases[0].largest_micro_batch_size == 0
    assert result.micro_batch_size == 1


def test_gradient_checkpointing_trades_memory_for_arithmetic() -> None:
    plain, again = (
        estimated("full_1b", training={"micro_batch_size": 16, "gradient_checkpointing": on}).run
        for on in (False, True)
    )
    assert again.peak_bytes < 0.8 * plain.peak_bytes
    assert again.executed_flops > 1.2 * plain.executed_flops
    assert again.model_flops == plain.model_flops


def test_eight_bit_moments_take_a_quarter() -> None:
    normal, small = (
        estimated("full_130m", optimizer={"name": name}).run.phases[0].memory.optimizer
        for name in ("adamw", "adamw_8bit")
    )
    assert small * 4 == normal


def test_several_gpus_hold_their_gradients_all_the_time_and_once() -> None:
    together = {"global_batch_size": 32, "micro_batch_size": 8}
    alone, many = (
        estimated("full_130m", training=together, gpus=gpus).run.phases[0].memory for gpus in (1, 4)
    )
    in_one_pass = estimated("full_130m", training={**together, "global_batch_size": 8})
    assert many.peak == alone.peak  # which accumulates
    assert many.peak - in_one_pass.run.phases[0].memory.peak == many.gradients


def test_the_vocabulary_of_a_trained_tokenizer_is_the_models() -> None:
    pretrained, trained = (
        run.run.phases[0].parameters
        for run in (
            estimated("full_130m"),
            estimated("full_130m", tokenizer={"train": {"vocab_size": 8192}}),
        )
    )
    assert pretrained - trained == 2 * 768 * (32100 - 8192)


def test_an_image_classifier_is_estimated_by_its_patches() -> None:
    spec = TrainSpec.model_validate(
        {
            "task": "image_classification",
            "model": {"preset": "vit_tiny"},
            "data": {"train": {"uri": "images"}, "image_size": 32},
            "method": "full",
            "training": {"steps": 10, "global_batch_size": 8},
        }
    )
    assert estimate(spec).run.tokens == 10 * 8 * (2 * 2 + 1)  # patches of 16 pixels, a class token


def test_a_control_is_as_small_as_the_model_that_the_trainer_builds() -> None:
    spec = TrainSpec.model_validate({"recipe": "control_60m"})
    assert spec.method.name == "control"
    shape = control_shape(make_config(spec, {}), spec.method, AutoModelForCausalLM)
    assert estimate(spec).run.phases[0].parameters == shape.parameters


def test_experts_that_would_be_trained_in_full_are_refused_as_the_trainer_does() -> None:
    config = {"model_type": "mixtral", "num_hidden_layers": 1, "num_local_experts": 2}
    small = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4}
    model = {"config": config | small | {"num_key_value_heads": 4}}
    with pytest.raises(ModelError, match="no linear layer, so no low-rank update belongs to them"):
        estimated("relora_60m", model=model, method={"rank": 8})
    assert estimated("full_60m", model=model).run.tokens


def test_a_model_without_attention_heads_is_refused_by_name() -> None:
    config = {"model_type": "rwkv", "hidden_size": 64, "num_hidden_layers": 2}
    with pytest.raises(ModelError, match="a rwkv has no num_attention_heads"):
        estimated("full_60m", model={"config": config})


@pytest.mark.parametrize("family", ["phi", "qwen3"])
def test_a_family_without_a_known_shape_is_read_from_transformers(family: str) -> None:
    config = {
        "model_type": family,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 128,
    }
    spec = TrainSpec.model_validate(
        {"recipe": "relora_60m", "model": {"config": config}, "method": {"rank": 8}}
    )
    low = estimate(spec).run.phases[-1]
    assert low.trainable_parameters < low.parameters
    assert low.memory.peak > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 7}, "480 does not divide over 7 GPUs"),
        ({"gpus": 0}, "needs at least one GPU"),
        ({"gpu": "abacus"}, "no GPU 'abacus'; there are h100, h200"),
        ({"utilization": 40.0}, "up to 1; got 1 and 40.0"),
    ],
)
def test_what_cannot_be_estimated_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        estimate(TrainSpec.model_validate({"recipe": "relora_60m"}), **options)


@pytest.mark.integration
def test_the_estimate_of_a_known_family_loads_no_torch() -> None:
    code = """
import sys
sys.modules.update(torch=None, transformers=None)
from relora_core.estimate import estimate
from relora_core.spec import TrainSpec
def phases(recipe):
    return estimate(TrainSpec.model_validate({"recipe": recipe})).run.phases
print(phases("relora_60m")[-1].trainable_parameters)
try:
    phases("control_60m")
except Exception as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[0] == "42873344", result.stderr
    assert "pip install -e '.[trainer]'" in result.stdout
